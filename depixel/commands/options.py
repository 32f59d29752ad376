"""What several commands ask for."""

from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from depixel.base.errors import DepixelError


def path(**options) -> click.Path:
    return click.Path(path_type=Path, **options)


class Area(click.ParamType):
    """x,y,width,height; with `blocks` also with the block size and the offsets of `fullsize.Area`"""

    name = "x,y,w,h"

    def __init__(self, blocks: bool = False):
        self.counts = (4, 5, 7) if blocks else (4,)

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        numbers = value.split(",")
        if len(numbers) not in self.counts or not all(number.strip().isdecimal() for number in numbers):
            counts = "four, or with the blocks five or seven," if 7 in self.counts else "four"
            self.fail(
                f"{value!r} is not x,y,width,height: {counts} whole numbers of pixels with commas between", param, ctx
            )
        return tuple(int(number) for number in numbers)


def areas(blocks: bool = False, **options) -> Callable:
    """--area, as often as wanted; `blocks` as of `Area`, `options` are click's."""
    return click.option("--area", "areas", type=Area(blocks), multiple=True, metavar="X,Y,W,H", **options)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead.")
force = click.option("--force", is_flag=True, help="Overwrite what is there.")

PIPELINE_MODEL = "models/depixel.safetensors"


def model(default: str | list[str] = "laptop", *names: str, **options) -> Callable:
    """--model; `names` and `options` are click's."""
    shown = {
        "metavar": "NAME|PATH",
        "default": default,
        "show_default": True,
        "help": "The model: a pretrained one by its name, the pipeline's or any other by its path.",
        "shell_complete": _complete_model,
    }
    return click.option("--model", *names, **shown | options)


def _complete_model(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from depixel.model.locations import folders

    names = sorted({path.stem for folder in folders() for path in folder.glob("*.safetensors")})
    return [CompletionItem(name) for name in names if name.startswith(begun)] + [CompletionItem(begun, type="file")]


def refuse_existing(output: Path, force: bool) -> None:
    """Raise DepixelError if `output` is there and not to be overwritten."""
    if output.exists() and not force:
        raise DepixelError(f"{output}: exists already. Choose another name, or overwrite it: --force")
