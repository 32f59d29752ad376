"""Stage 0: check the settings of all stages before the first one runs."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from depixel.base import layout
from depixel.base.console import params_option, told_plainly
from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.learning.task import check_models, pretrained_models
from depixel.params import MODELS
from depixel.versioning import file_at


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@told_plainly
def main(params: str) -> None:
    """Check the settings of all stages before the first one runs.

    Each stage also checks its own settings. This stage finds a misspelt key of the last stage before hours of training,
    and a model in models/pretrained that does not fit train.init or train.teacher. It writes nothing.

    \b
    Example
      python stages/settings.py
    """
    try:
        found: dict[str, Any] = {name: read_section(params, name, model) for name, model in MODELS.items()}
        if layout.PRETRAINED.is_dir():  # if not, training says how to get it
            size = found["prepare"].size
            check_models(
                *pretrained_models(found["train"], layout.PRETRAINED), found["train"], found["pixelation"], size
            )
    except DepixelError as error:
        raise DepixelError(f"{error}{_way_back(params)}") from error


def _way_back(params: str) -> str:
    """Advice to undo a wrong setting that `dvc exp run -S` left in the file; "" if the last commit has it too."""
    if layout.DVC.name in Path.cwd().parts:  # a queued experiment, which runs in a temporary folder
        return ""
    with suppress(DepixelError):  # without git there is no advice
        committed = file_at("HEAD", params)
        if committed is not None and committed != Path(params).read_bytes():
            return (
                f"\n{params} differs from the last commit. Correct it, or discard all its changes: "
                f"`touch {params} && git checkout {params}`"  # git does not notice a change of the same size and time
            )
    return ""


if __name__ == "__main__":
    main()
