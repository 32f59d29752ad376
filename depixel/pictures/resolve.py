"""Resolving areas that a person names: the pixels show their blocks, and where these begin."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from depixel.areas.area import Area, AreaLike, ResolvedArea, checked_areas
from depixel.areas.grid import (
    MOST_BLOCK,
    Grid,
    block_means,
    fits_blocks,
    shown_block_size,
    shown_grid,
    shows_multiples,
    spread,
)
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_BLOCK
from depixel.pictures.pixels import scale_of, without_alpha

_LOOKED_AT = 2048  # pixels: at most this much of an area's sides is checked
_EXACT = 0.4  # share of columns and rows that equal the ones before, from which blocks count as exact
_NEAR = 3  # pixels: a named area snaps to a detected one whose sides are at most this far away
_AROUND = 64  # pixels around an area that are searched, too; a multiple of JPEG's blocks
_CONSTANT = 0.5  # least share of constant blocks if the block size is named; something may be drawn over the others
_SOME_CONSTANT = (
    0.2  # share of constant blocks from which on those at each side must be constant, too; photos have fewer
)
_MOST_SEARCHED = 1_000_000  # pixels of an area in a JPEG with its surroundings; larger ones are not moved
_SAID = 0.01  # pixels: accuracy of a named block size that is not whole
_FORCE = ". To restore it in these blocks regardless of the pixels: --ignore-check"


def resolve(image: np.ndarray, areas: Sequence[AreaLike], ignore_check: bool = False) -> list[ResolvedArea]:
    """Check areas against a picture, and find block sizes that are not named.

    An area becomes a detected one if all its sides are within 3 pixels of those. A part of a detected one stays where
    it is named, and its first blocks may be cut off. An area that reaches further beyond a detected one is refused. In
    a JPEG each area takes a search. A `ResolvedArea` is not searched again, but must be inside the picture, too.

    Args:
        image: the pixels of a picture, as for `Restorer.restore`.
        areas: as for `Restorer.restore`.
        ignore_check: whether to accept areas with a named block size even if the pixels contradict it.

    Raises:
        DepixelError: an area is not inside the picture, overlaps another, is not pixelated or only in part, or has
            other blocks.
    """
    colors = without_alpha(image)
    checked = checked_areas(areas, colors.shape[1], colors.shape[0])
    resolved = [area if isinstance(area, ResolvedArea) else _looked_at(colors, area, ignore_check) for area in checked]
    return [
        area for area in checked_areas(resolved, colors.shape[1], colors.shape[0]) if isinstance(area, ResolvedArea)
    ]


def _looked_at(colors: np.ndarray, area: Area, ignore_check: bool) -> ResolvedArea:
    """Resolve one area: in the blocks that the pixels show, or in the named ones if the pixels do not contradict."""
    seen = _gray_levels(colors, area, _LOOKED_AT)
    named = _named_grids(area)
    if _is_exact(seen):
        whole = _fitting_from_corner(colors, seen, area)
        if whole:
            return whole
        shown, other = _shown(colors, area)
        if not shown and (fitting := [grid for grid in named if _fits_exactly(seen, grid)]):
            return area.in_blocks(fitting[0])
    else:
        shown, other = _shown_in_noise(colors, area)
    if shown and (not named or _same_blocks(shown, area) or any(_same_lines(shown, area, grid) for grid in named)):
        return shown
    if named and ignore_check:
        return area.in_blocks(min(named, key=lambda grid: _noise(seen, grid)))
    if shown:
        raise DepixelError(_other_blocks(area, shown.blocks))
    if other:
        raise DepixelError(
            f"area {area.place}: not all of it is pixelated, but {other.described()} is. Name that area: "
            f"{','.join(map(str, other.numbers()))}; or let it be found: --auto" + (_FORCE if named else "")
        )
    fitting = [grid for grid in named if _is_even(seen, grid) and fits_blocks(seen, grid)]
    if fitting := [grid for grid in fitting if not _are_larger(seen, grid)]:
        return area.in_blocks(fitting[0])
    if area.offset_x or area.offset_y:
        raise DepixelError(
            f"area {area.place}: it does not look pixelated in blocks of {area.blocks} pixels whose first ones lack "
            f"{area.offset_x} columns and {area.offset_y} rows" + _FORCE
        )
    return _in_the_blocks_shown(seen, area)


def _fitting_from_corner(colors: np.ndarray, seen: np.ndarray, area: Area) -> ResolvedArea | None:
    """The area if it consists exactly of square blocks from its corner: the usual case, which needs no search."""
    if area.offset_x or area.offset_y or area.mask is not None or seen.shape[:2] != (area.height, area.width):
        return None
    size = int(area.block_width) if area.is_square and area.block_width else 0
    for axis, length in ((1, area.width), (0, area.height)):
        steps = (np.diff(seen, axis=axis) != 0).any(axis=(1 - axis, 2))
        lines = np.flatnonzero(steps) + 1  # blocks of 8 that begin at 4, 12, 20 are no blocks of 4
        step = int(np.gcd.reduce(np.diff(lines) if len(lines) > 1 else lines)) if len(lines) > 1 or not size else size
        if (len(lines) < 2 and not size) or (lines % step).any() or (size and step != size):
            return None
        size = step
        end = (area.x, area.y)[1 - axis] + length
        across = colors[area.part[0], :] if axis else colors[:, area.part[1]]
        beyond = across.take(range(end - 1, min(end + 1, across.shape[axis])), axis)
        if length % size and beyond.shape[axis] == 2 and not np.diff(beyond.astype(int), axis=axis).any():
            return None  # the last block continues beyond the area
    return area.in_blocks_of(size) if LEAST_BLOCK <= size <= MOST_BLOCK and area.blocks in ("", str(size)) else None


def _named_grids(area: Area) -> list[Grid]:
    """The possible grids of the named blocks; none if no block size is named.

    Blocks that are not whole pixels have several grids, because tools round them differently.
    """
    if area.block_width is None or area.block_height is None:
        return []
    grid = Grid(area.block_width, area.block_height, area.offset_x, area.offset_y)
    if grid.is_whole or area.offset_x or area.offset_y:
        return [grid]
    steps = [0 if side == int(side) else Fraction(Fraction(side).denominator - 1, Fraction(side).denominator)
             for side in (grid.width, grid.height)]  # fmt: skip
    halves = [0 if side == int(side) else Fraction(1, 2) for side in (grid.width, grid.height)]
    return [grid._replace(offset_x=x, offset_y=y) for x, y in ((halves[0], halves[1]), (0, 0), (steps[0], steps[1]))]


def _shown(colors: np.ndarray, area: Area) -> tuple[ResolvedArea | None, ResolvedArea | None]:
    """Find the area by its constant blocks; otherwise another area that it crosses. See `_meant`."""
    from depixel.detection import exact  # SciPy: a third of the start of the command

    if colors.dtype != np.uint8:
        colors = (colors >> 8).astype(np.uint8)
    left, top, part = _surroundings(colors, area)
    return _meant([one.area.moved(left, top) for one in exact.find(part) if one.certain], area)


def _shown_in_noise(colors: np.ndarray, area: Area) -> tuple[ResolvedArea | None, ResolvedArea | None]:
    """Find the area if its blocks are noisy, as in a JPEG; otherwise another area that it crosses. See `_meant`."""
    from depixel.detection import named, search  # SciPy: a third of the start of the command

    left, top, part = _surroundings(colors, area)
    if colors.dtype != np.uint8 or part.shape[0] * part.shape[1] > _MOST_SEARCHED:
        shown, other = _shown(colors, area)
    else:
        shown, other = _meant([one.area.moved(left, top) for one in search.find(part) if one.certain], area)
    if colors.dtype != np.uint8 or area.mask is not None or not (area.is_square or not area.blocks):
        return shown, other
    image = colors.squeeze(2) if colors.shape[2] == 1 else colors
    if shown:
        return (named.likelier(image, area, shown) if shown.is_square else shown), None
    size = named.block_size_in_jpeg(image, area)
    as_named = area.in_blocks_of(size, (int(area.offset_x), int(area.offset_y))) if size else None
    if other and as_named and named.is_likelier(image, as_named, other):
        other = None
    return (None, other) if other else (as_named, None)


def _meant(found: list[ResolvedArea], area: Area) -> tuple[ResolvedArea | None, ResolvedArea | None]:
    """The found area that a person meant; if there is none, the one that the named area crosses most."""
    if shown := _nearest(found, area):
        return shown, None
    crossed = [one for one in found if _common(one, area) > 0]
    return None, max(crossed, key=lambda one: _common(one, area), default=None)


def _common(one: Area, other: Area) -> int:
    """Number of pixels that two rectangles share, less those at most `_NEAR` pixels from the side of either."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x) - _NEAR
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y) - _NEAR
    return max(wide, 0) * max(high, 0)


def _surroundings(colors: np.ndarray, area: Area) -> tuple[int, int, np.ndarray]:
    """The part of the picture with the area and its surroundings: its x and y, and its pixels."""
    left, top = max(area.x - _AROUND, 0) // 8 * 8, max(area.y - _AROUND, 0) // 8 * 8
    part = colors[top : area.y + area.height + _AROUND, left : area.x + area.width + _AROUND]
    return left, top, np.ascontiguousarray(part if part.shape[2] == 3 else part[:, :, 0])


def _nearest(found: list[ResolvedArea], area: Area) -> ResolvedArea | None:
    """The found area that a person meant, or the meant part of it; None: none of them."""
    if area.mask is not None:
        return _under_mask(found, area)
    for one in found:
        starts = one.x - area.x, one.y - area.y
        stops = area.x + area.width - one.x - one.width, area.y + area.height - one.y - one.height
        if all(abs(by) <= _NEAR for by in (*starts, *stops)):
            return one
        if all(by <= _NEAR for by in (*starts, *stops)):  # the named area is a part of it
            x0, y0 = max(area.x, one.x), max(area.y, one.y)
            x1, y1 = (
                min(area.x + area.width, one.x + one.width),
                min(area.y + area.height, one.y + one.height),
            )
            part = Area(x0, y0, x1 - x0, y1 - y0)
            if one.mask is not None:
                part = replace(part, mask=one.mask[y0 - one.y : y1 - one.y, x0 - one.x : x1 - one.x])
            return part.in_blocks(one.grid.at(x0 - one.x, y0 - one.y))
    return None


def _under_mask(found: list[ResolvedArea], area: Area) -> ResolvedArea | None:
    """An area with a mask, in the blocks of the found area that covers most of it; None: there is none."""
    for one in found:
        left, top = max(one.x, area.x), max(one.y, area.y)
        right, bottom = min(one.x + one.width, area.x + area.width), min(one.y + one.height, area.y + area.height)
        if max(right - left, 0) * max(bottom - top, 0) > area.width * area.height / 2:
            x, y = area.x - one.x, area.y - one.y
            grid = one.grid if x >= 0 and y >= 0 else one.grid._replace(lines_x=None, lines_y=None)
            return area.in_blocks(grid.at(x, y))
    return None


def _same_blocks(shown: ResolvedArea, area: Area) -> bool:
    """Whether the blocks found have the named size."""
    sides = zip((shown.grid.width, shown.grid.height), (area.block_width or 0, area.block_height or 0), strict=True)
    return all(one == other or (one != int(one) and abs(float(one - other)) <= _SAID) for one, other in sides)


def _same_lines(shown: ResolvedArea, area: Area, grid: Grid) -> bool:
    """Whether blocks of a slightly different size, such as 77/13 instead of 6, begin at the same pixels."""
    lines = zip(shown.grid.begins(shown.width, shown.height), grid.begins(area.width, area.height), strict=True)
    return shown.place == area.place and all(map(np.array_equal, *zip(*lines, strict=True)))


def _fits_exactly(seen: np.ndarray, grid: Grid) -> bool:
    """Whether most blocks have a single value, and larger blocks do not."""
    return min(_constant(seen, grid)) > _CONSTANT and not _are_larger(seen, grid)


def _is_even(seen: np.ndarray, grid: Grid) -> bool:
    """Whether the blocks at each side are as even as the others. If not, the area reaches beyond the blocks.

    Blocks that are not whole pixels may be mixed at their lines, so nothing is asked of them.
    """
    everywhere, at_sides = _constant(seen, grid)
    return not grid.is_whole or everywhere <= _SOME_CONSTANT or at_sides > _CONSTANT


def _constant(seen: np.ndarray, grid: Grid) -> tuple[float, float]:
    """The share of blocks with a single value: of all, and of those at the side with the smallest share."""
    high, low = np.maximum, np.minimum
    lefts, tops = grid.begins(seen.shape[1], seen.shape[0])
    ranges = [of.reduceat(of.reduceat(seen, tops, axis=0), lefts, axis=1) for of in (high, low)]
    constant = (ranges[0] == ranges[1]).all(axis=2)
    sides = constant[0], constant[-1], constant[:, 0], constant[:, -1]
    return float(constant.mean()), float(min(of.mean() for of in sides))


def _are_larger(seen: np.ndarray, grid: Grid) -> bool:
    return grid.is_whole and grid.width == grid.height and (
        shows_multiples(seen, int(grid.width), (int(grid.offset_x), int(grid.offset_y)))
        and shown_block_size(seen) != grid.width
    )  # fmt: skip


def _noise(seen: np.ndarray, grid: Grid) -> float:
    return float(np.square(seen - spread(block_means(seen, grid), grid, seen.shape[:2])).mean())


def _in_the_blocks_shown(seen: np.ndarray, area: Area) -> ResolvedArea:
    """Resolve an area without a named offset, in the blocks that its pixels, (h, w, C), show."""
    size = area.block_size if area.is_square else None
    found, shifted = shown_block_size(seen), shown_grid(seen)
    if shifted and max(found, 1) < shifted.width <= MOST_BLOCK and size in (None, shifted.width):
        return area.in_blocks(shifted)  # the area begins within a block
    if not area.blocks and found and _is_even(seen, Grid.square(min(found, MOST_BLOCK))):
        return area.in_blocks_of(min(found, MOST_BLOCK))
    if found and (not area.blocks or found == size):
        raise DepixelError(
            f"area {area.place}: it does not look pixelated up to its sides. Name it more exactly, or let it be found: "
            "--auto" + (_FORCE if area.blocks else "")
        )
    if found:
        raise DepixelError(_other_blocks(area, str(found)))
    raise DepixelError(
        f"area {area.place}: it does not look pixelated"
        + (f" in blocks of {area.blocks} pixels that begin at its upper left corner" + _FORCE if area.blocks else
           " in blocks that begin at its upper left corner. Give the block size if you know it")
    )  # fmt: skip


def _is_exact(seen: np.ndarray) -> bool:
    """Whether many columns and rows equal the ones before them; after JPEG hardly any do."""
    same = [(np.diff(seen, axis=axis) == 0).all(axis=(1 - axis, 2)) for axis in (0, 1)]
    return bool(np.concatenate(same).mean() > _EXACT)


def _other_blocks(area: Area, shown: str) -> str:
    return (
        f"area {area.place}: from its upper left corner on it shows blocks of {shown} pixels, not of "
        f"{area.blocks}. Give that size, or a corner at which a block begins; or accept your size: --ignore-check"
    )


def _gray_levels(colors: np.ndarray, area: Area, most: int) -> np.ndarray:
    """(h, w, C) float32, 0..255: the area, or its upper left corner of at most `most` pixels a side."""
    return colors[area.part][:most, :most].astype(np.float32) / scale_of(colors)
