"""Stage 0: check the settings of all stages, before the first of them spends any time."""

from contextlib import suppress
from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import params_option, told_plainly
from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.params import MODELS
from depixel.versioning import file_at


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@told_plainly
def main(params: str) -> None:
    """Check the settings of all stages, before the first of them spends any time.

    Each stage checks its own settings too; this one keeps a misspelt key of the last stage from being found after hours
    of training. It writes nothing.

    \b
    Example
      python stages/settings.py
    """
    try:
        for name, model in MODELS.items():
            read_section(params, name, model)
    except DepixelError as error:
        raise DepixelError(f"{error}{_way_back(params)}") from error


def _way_back(params: str) -> str:
    """How to take back a wrong setting, which `dvc exp run -S` leaves in the file; "" if the last commit has it."""
    if layout.DVC.name in Path.cwd().parts:  # a queued experiment, in a folder of its own
        return ""
    with suppress(DepixelError):  # git has nothing to add
        committed = file_at("HEAD", params)
        if committed is not None and committed != Path(params).read_bytes():
            return (
                f"\n{params} differs from the last commit. Correct it; or take all its changes back: "
                f"`git checkout {params}`"
            )
    return ""


if __name__ == "__main__":
    main()
