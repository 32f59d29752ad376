"""Stage 0: check the settings of all stages, before the first of them spends any time."""

import click

from depixel.base.console import params_option, told_plainly
from depixel.base.settings import read_section
from depixel.params import MODELS


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
    for name, model in MODELS.items():
        read_section(params, name, model)


if __name__ == "__main__":
    main()
