"""Areas as a person names them become areas that can be restored: the pixels show their block sizes and offsets."""

from collections.abc import Sequence

import numpy as np

from depixel.areas.area import Area, AreaLike, ResolvedArea, checked_areas
from depixel.areas.grid import MOST_BLOCK, fits_blocks, shown_block_size, shown_grid, shows_multiples
from depixel.base.errors import DepixelError
from depixel.pictures.pixels import scale_of, without_alpha

_LOOKED_AT = 2048  # pixels a side of a large area, to see whether it is pixelated
_EXACT = 0.4  # share of columns and rows


def resolve(image: np.ndarray, areas: Sequence[AreaLike]) -> list[ResolvedArea]:
    """Check areas against a picture, and find the block sizes and offsets that are not named.

    In a JPEG each area takes a search by likelihood. A `ResolvedArea` was looked at before and is not looked at again;
    it is checked to be inside the picture like any other.

    Args:
        image: the pixels of a picture, as `Restorer.restore` takes them. areas: as `Restorer.restore` takes them.

    Raises:
        DepixelError: an area is not inside the picture, overlaps another, is not pixelated, or not in such blocks.
    """
    colors = without_alpha(image)
    checked = checked_areas(areas, colors.shape[1], colors.shape[0])
    return [area if isinstance(area, ResolvedArea) else _looked_at(colors, area) for area in checked]


def _looked_at(colors: np.ndarray, area: Area) -> ResolvedArea:
    """The area with the blocks that the pixels show, or with those that are named if the pixels do not contradict."""
    size = area.block_size
    seen = _gray_levels(colors, area, _LOOKED_AT)
    if colors.dtype == np.uint8 and not _is_exact(seen):
        from depixel.detection.named import block_size_in_jpeg  # SciPy: a third of the start of the command

        found = block_size_in_jpeg(colors.squeeze(2) if colors.shape[2] == 1 else colors, area)
        if found and size in (None, found):
            return area.in_blocks_of(found)
        if found:
            raise DepixelError(_other_size(area, found))
    if (
        size is not None
        and fits_blocks(seen, size, area.offset)
        and (not shows_multiples(seen, size, area.offset) or shown_block_size(seen) == size)
    ):
        return area.in_blocks_of(size)
    if any(area.offset):
        raise DepixelError(
            f"area {area.place}: it does not look pixelated in blocks of {size} pixels, of which the first lack "
            f"{area.offset_x} columns and {area.offset_y} rows"
        )
    return _in_the_blocks_shown(seen, area, size)


def _in_the_blocks_shown(seen: np.ndarray, area: Area, size: int | None) -> ResolvedArea:
    """The area, which names no offset, with the blocks that its pixels (h, w, C) show."""
    found = shown_block_size(seen)
    shifted, offset = shown_grid(seen)
    if shifted > max(found, 1) and size in (None, shifted) and shifted <= MOST_BLOCK:  # it begins within a block
        return area.in_blocks_of(shifted, offset)
    if size is None and found:
        return area.in_blocks_of(min(found, MOST_BLOCK))
    if found:
        raise DepixelError(_other_size(area, found))
    raise DepixelError(
        f"area {area.place}: it does not look pixelated"
        + (" in blocks that begin at its upper left corner. Name their size if you know it" if size is None else
           f" in blocks of {size} pixels that begin at its upper left corner")
    )  # fmt: skip


def _is_exact(seen: np.ndarray) -> bool:
    """Whether many columns and rows are as those before them, which JPEG leaves hardly anywhere."""
    same = [(np.diff(seen, axis=axis) == 0).all(axis=(1 - axis, 2)) for axis in (0, 1)]
    return bool(np.concatenate(same).mean() > _EXACT)


def _other_size(area: Area, shown: int) -> str:
    return (
        f"area {area.place}: from its upper left corner on it shows blocks of {shown} pixels, not of "
        f"{area.block_size}. Give the size that fits, or the corner at which a block begins"
    )


def _gray_levels(colors: np.ndarray, area: Area, most: int) -> np.ndarray:
    """(h, w, C) float32, 0..255: the area, or its upper left corner of at most `most` pixels a side."""
    return colors[area.part][:most, :most].astype(np.float32) / scale_of(colors)
