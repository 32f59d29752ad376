"""Areas as a person names them, with the block sizes and offsets that the pixels show."""

from collections.abc import Iterable, Sequence

import numpy as np

from depixel.areas.area import Area, checked, named, refuse_overlap
from depixel.areas.grid import MOST_BLOCK, fits_blocks, shown_block_size, shown_grid, shows_multiples
from depixel.base.errors import DepixelError
from depixel.pictures.pixels import scale_of, without_alpha

_LOOKED_AT = 2048  # pixels a side of a large area, to see whether it is pixelated
_EXACT = 0.4  # share of columns and rows


def resolve(image: np.ndarray, areas: Sequence[Sequence[int | None]]) -> list[Area]:
    """Check areas, and find the block sizes that they do not say.

    Args:
        image, areas: as `Restorer.restore` takes them.

    Raises:
        DepixelError: an area is not inside the picture, overlaps another, is not pixelated, or not in such blocks.
    """
    colors = without_alpha(image)
    if not isinstance(areas, Iterable):
        raise DepixelError(f"{areas!r} are no areas: each is x, y, width, height and, if known, block size")
    checked = [checked(given, *colors.shape[1::-1]) for given in areas]
    refuse_overlap(checked)
    return [_looked_at(colors, area) for area in checked]


def _looked_at(colors: np.ndarray, area: Area) -> Area:
    """The area with its block size, which is what the pixels show, or is not contradicted by them."""
    size = area.block_size
    seen = _gray_levels(colors, area, _LOOKED_AT)
    if colors.dtype == np.uint8 and not _is_exact(seen):
        from depixel.detection.named import block_size_in_jpeg  # SciPy: a third of the start of the command

        found = block_size_in_jpeg(colors.squeeze(2) if colors.shape[2] == 1 else colors, area)
        if found and size in (None, found):
            return area._replace(block_size=found)
        if found:
            raise DepixelError(_other_size(area, found))
    if (
        size is not None
        and fits_blocks(seen, size, area.lacks)
        and (not shows_multiples(seen, size, area.lacks) or shown_block_size(seen) == size)
    ):
        return area
    if any(area.lacks):
        raise DepixelError(
            f"area {named(area)}: it does not look pixelated in blocks of {size} pixels, of which the first lack "
            f"{area.offset_x} columns and {area.offset_y} rows"
        )
    found = shown_block_size(seen)
    shifted, lacks = shown_grid(seen)
    if shifted > max(found, 1) and size in (None, shifted) and shifted <= MOST_BLOCK:  # it begins within a block
        return area._replace(block_size=shifted, offset_y=lacks[0], offset_x=lacks[1])
    if size is None and found:
        return area._replace(block_size=min(found, MOST_BLOCK))
    if found:
        raise DepixelError(_other_size(area, found))
    raise DepixelError(
        f"area {named(area)}: it does not look pixelated"
        + (" in blocks that begin at its upper left corner. Name their size if you know it" if size is None else
           f" in blocks of {size} pixels that begin at its upper left corner")
    )  # fmt: skip


def _is_exact(seen: np.ndarray) -> bool:
    """Whether many columns and rows are as those before them, which JPEG leaves hardly anywhere."""
    same = [(np.diff(seen, axis=axis) == 0).all(axis=(1 - axis, 2)) for axis in (0, 1)]
    return bool(np.concatenate(same).mean() > _EXACT)


def _other_size(area: Area, shown: int) -> str:
    return (
        f"area {named(area)}: from its upper left corner on it shows blocks of {shown} pixels, not of "
        f"{area.block_size}. Give the size that fits, or the corner at which a block begins"
    )


def _gray_levels(colors: np.ndarray, area: Area, most: int) -> np.ndarray:
    """(h, w, C) float32, 0..255: the area, or its upper left corner of at most `most` pixels a side."""
    part = colors[area.y : area.y + min(area.height, most), area.x : area.x + min(area.width, most)]
    return part.astype(np.float32) / scale_of(colors)
