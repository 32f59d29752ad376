"""What several commands ask for."""

from collections.abc import Callable
from pathlib import Path

import click

from depixel.errors import DepixelError


def path(**options) -> click.Path:
    return click.Path(path_type=Path, **options)


class Area(click.ParamType):
    """x,y,width,height"""

    name = "x,y,w,h"

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        numbers = value.split(",")
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            self.fail(
                f"{value!r} is not x,y,width,height: four whole numbers of pixels with commas between", param, ctx
            )
        return tuple(int(number) for number in numbers)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead.")
force = click.option("--force", is_flag=True, help="Overwrite what is there.")

PIPELINE_MODEL = "models/depixel.safetensors"


def model(default: str | list[str] = "laptop", *names: str, **options) -> Callable:
    """--model; `names` and `options` are click's."""
    help = "The model: a pretrained one by its name, the pipeline's or any other by its path."
    return click.option(
        "--model", *names, metavar="NAME|PATH", default=default, show_default=True, **{"help": help} | options
    )


def refuse_existing(output: Path, force: bool) -> None:
    """Raise DepixelError if `output` is there and not to be overwritten."""
    if output.exists() and not force:
        raise DepixelError(f"{output}: exists already. Choose another name, or overwrite it: --force")
