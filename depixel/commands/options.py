"""What several commands ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from depixel.base import layout
from depixel.base.errors import DepixelError

if TYPE_CHECKING:
    from depixel.areas.area import Area

    _AreaType = click.ParamType[Area]
else:
    _AreaType = click.ParamType  # older versions of click have no type arguments

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def path(**options: bool) -> click.Path:
    """A path as a `Path`; `options` are click's."""
    return click.Path(path_type=Path, **options)


class AreaType(_AreaType):
    """x,y,width,height as an `Area`; with `blocks` also with the block size and the offset behind it."""

    name = "x,y,w,h"

    def __init__(self, blocks: bool = False):
        self.counts = (4, 5, 7) if blocks else (4,)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Area":
        """Read the text of an option as an area; what is none ends the command with a message."""
        from depixel.areas.area import Area  # NumPy: the command starts without it

        if isinstance(value, Area):
            return value
        numbers = value.split(",")
        if len(numbers) not in self.counts or not all(number.strip().isdecimal() for number in numbers):
            counts = "four, or with the blocks five or seven," if 7 in self.counts else "four"
            self.fail(
                f"{value!r} is not x,y,width,height: {counts} whole numbers of pixels with commas between", param, ctx
            )
        return Area.of([int(number) for number in numbers])


def areas(blocks: bool = False, **options: Any) -> _Decorator:
    """--area, as often as wanted; `blocks` as of `AreaType`, `options` are click's."""
    return click.option("--area", "areas", type=AreaType(blocks), multiple=True, metavar="X,Y,W,H", **options)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead.")
force = click.option("--force", is_flag=True, help="Overwrite what is there.")

PIPELINE_MODEL = layout.MODEL.as_posix()


def model(default: str | list[str] = "laptop", *names: str, **options: Any) -> _Decorator:
    """--model; `names` and `options` are click's."""
    shown: dict[str, Any] = {
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
