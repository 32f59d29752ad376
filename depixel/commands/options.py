"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.commands.models import model_names

if TYPE_CHECKING:
    from depixel.areas.area import Area, ResolvedArea
    from depixel.areas.grid import Pixels
    from depixel.pictures.tools import Tool

    _AreaType = click.ParamType[Area]
    _BlockType = click.ParamType[tuple[Pixels, Pixels]]
else:
    _AreaType = _BlockType = click.ParamType  # older versions of click have no type arguments

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def path(**options: bool) -> click.Path:
    """A path as a `Path`; `options` are click's."""
    return click.Path(path_type=Path, **options)


class AreaType(_AreaType):
    """x,y,width,height as an `Area`; the block size and the offset may follow."""

    name = "x,y,w,h"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Area":
        """Read the text of an option as an area; other text ends the command with an error."""
        from depixel.areas.area import Area  # NumPy: the command starts without it

        if isinstance(value, Area):
            return value
        text, _, grid = value.partition("@")
        numbers = text.split(",")
        if len(numbers) not in (4, 5, 7) or not all(number.strip().isdecimal() for number in numbers[:4]):
            self.fail(
                f"{text!r} is not x,y,width,height: four whole numbers of pixels with commas between; five or seven "
                "with the blocks",
                param,
                ctx,
            )
        try:
            area = Area.of([*map(int, numbers[:4]), *numbers[4:]])
            return area.in_grid(*_counts(grid)) if grid else area
        except (DepixelError, ValueError) as error:
            self.fail(str(error), param, ctx)


class BlockType(_BlockType):
    """8 or 16x8 as the width and the height of a block, pixels."""

    name = "block"

    def get_metavar(self, *args: Any, **options: Any) -> str:
        """As --help shows it."""
        return "SIDE|WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text of an option as a size; other text ends the command with an error."""
        from depixel.areas.area import Area
        from depixel.areas.grid import MOST_BLOCK

        if isinstance(value, tuple):
            return value
        try:
            area = Area.of([0, 0, MOST_BLOCK, MOST_BLOCK, value]).checked(MOST_BLOCK, MOST_BLOCK)
        except DepixelError:
            self.fail(
                f"{value!r} is not the size of a block. Name 2 to {MOST_BLOCK} pixels, such as 8 or 16x8", param, ctx
            )
        return area.block_width, area.block_height


def _counts(grid: str) -> tuple[int, int]:
    columns, _, rows = grid.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise ValueError(f"--grid {grid}: name the number of blocks across and down, such as 16x12")
    return int(columns), int(rows)


class GridCommand(click.Command):
    """A command with --area and --grid: a grid belongs to the area before it, which click does not keep in order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put each grid behind its area: `--area X,Y,W,H --grid 16x12` becomes `--area X,Y,W,H@16x12`."""
        joined: list[str] = []
        waiting = iter(args)
        for arg in waiting:
            name, is_joined, value = arg.partition("=")
            if arg == "--":
                joined += [arg, *waiting]
            elif name == "--grid" and (is_joined or (value := next(waiting, ""))):
                last = max((i for i, one in enumerate(joined) if one.partition("=")[0] == "--area"), default=None)
                if last is None or "@" in (at := joined[-1]) or joined[last:] not in ([at], ["--area", at]):
                    raise click.UsageError("--grid belongs to the --area right before it", ctx)
                joined[-1] += f"@{value}"
            else:
                joined.append(arg)
        return super().parse_args(ctx, joined)


grid = click.option(
    "--grid",
    metavar="COLUMNSxROWS",
    expose_value=False,  # `GridCommand` puts it behind the area
    help="Number of blocks across and down in the --area before it, if you know that rather than their size.",
)


def areas(**options: Any) -> _Decorator:
    """--area, which may be repeated, and --grid, for a `GridCommand`; `options` are click's."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        option = click.option("--area", "areas", type=AreaType(), multiple=True, metavar="X,Y,W,H", **options)
        return option(grid(command))

    return decorate


like = click.option(
    "--like",
    type=click.Choice(["flameshot", "imagemagick", "opencv", "pillow"]),
    help="Make the blocks as this tool does: a whole number of them shares the area evenly.",
)


def with_blocks(area: "Area", block: "tuple[Pixels, Pixels] | None", like: "Tool | None") -> "ResolvedArea":
    """The area in the blocks that --block or --grid name; with `like`, they share the area evenly.

    Raises:
        DepixelError: neither names them, or both do.
    """
    if block and area.blocks:
        raise DepixelError(f"area {area.place}: its blocks are named twice. Leave out --block")
    if block:
        area = area.with_blocks(*block)
    if not area.blocks:
        raise DepixelError(
            f"area {area.place}: name the size of its blocks, such as --block 8 or 16x8, or their number: --grid 16x12"
        )
    if like:
        from depixel.pictures.tools import counts

        area = area.in_grid(*counts(area))
    from depixel.areas.grid import Grid

    return area.in_blocks(Grid(area.block_width or 0, area.block_height or 0, area.offset_x, area.offset_y))


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
force = click.option("--force", is_flag=True, help="Overwrite existing files.")

PIPELINE_MODEL = layout.MODEL.as_posix()


def model(default: str | list[str] = "laptop", *names: str, **options: Any) -> _Decorator:
    """--model; `names` and `options` are click's."""
    shown: dict[str, Any] = {
        "metavar": "NAME|PATH",
        "default": default,
        "show_default": True,
        "help": "The name of a pretrained model, or the path of any other.",
        "shell_complete": _complete_model,
    }
    return click.option("--model", *names, **shown | options)


def _complete_model(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    names = [name for name in model_names() if name.startswith(begun)]
    return [*map(CompletionItem, names), CompletionItem(begun, type="file")]


def refuse_existing(output: Path, force: bool) -> None:
    """Raise `DepixelError` if `output` exists and is not to be overwritten."""
    if output.exists() and not force:
        raise DepixelError(f"{output}: exists already. Choose another name, or overwrite it: --force")
