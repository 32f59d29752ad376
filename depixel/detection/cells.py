"""Cells: rectangles of a single value, as blocks of one color are.

Photos have such rectangles, too, but hardly any two of them share a whole side. Cells that share whole sides form a
group of any shape, and the shared sides are the lines of its grid.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from depixel.detection.watch import Watch

_BAND = 1024  # number of rows that are searched at a time, to limit memory


def find_cells(codes: np.ndarray, check: Watch) -> np.ndarray:
    """Find the rectangles of a single value in a picture, at least 2 pixels a side.

    Args:
        codes: (H, W) integers, a number for each color.
        check: receives the share that is done.

    Returns:
        (N, 4) int64: x0, y0, x1, y1; pixels, the last two excluded.
    """
    height, parts = len(codes), []
    for top in range(0, height, _BAND // 2):
        check(top / height)
        band = codes[top : top + _BAND]
        found = _rectangles(band)
        whole = ((found[:, 1] > 0) | (top == 0)) & ((found[:, 3] < len(band)) | (top + len(band) == height))
        parts.append(found[whole] + np.array([0, top, 0, top]))
        if top + _BAND >= height:
            break
    return np.unique(np.concatenate(parts), axis=0) if len(parts) > 1 else parts[0]


def _rectangles(codes: np.ndarray) -> np.ndarray:
    same = (codes[1:, 1:] == codes[:-1, 1:]) & (codes[1:, 1:] == codes[1:, :-1]) & (codes[1:, 1:] == codes[:-1, :-1])
    labels, count = label(same)
    places = np.flatnonzero(labels)
    of = labels.ravel()[places] - 1
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    last[of] = places  # the last assignment stays
    first[of[::-1]] = places[::-1]
    wide = labels.shape[1]
    y0, x0, y1, x1 = first // wide, first % wide, last // wide, last % wide
    filled = np.bincount(of, minlength=count) == (y1 - y0 + 1) * (x1 - x0 + 1)
    return np.stack([x0, y0, x1 + 2, y1 + 2], axis=1)[filled & (x1 >= x0)]


class _Pairs(NamedTuple):
    """Pairs of adjacent cells: (P,) int64, the numbers of the first and of the second cell."""

    first: np.ndarray
    second: np.ndarray


def _beside(cells: np.ndarray) -> _Pairs:
    """Find pairs of cells with the same rows, of which the second begins where the first ends, or a pixel later.

    The pixel between is a line that some tools mix from both blocks.
    """
    most = int(cells.max(initial=0)) + 2

    def keys(x: np.ndarray) -> np.ndarray:
        return (x * most + cells[:, 1]) * most + cells[:, 3]

    order = np.argsort(keys(cells[:, 0]))
    starts = keys(cells[:, 0])[order]
    first, second = [], []
    for gap in (0, 1):
        wanted = keys(cells[:, 2] + gap)
        at = np.minimum(np.searchsorted(starts, wanted), len(starts) - 1)
        hit = starts[at] == wanted
        first.append(np.flatnonzero(hit))
        second.append(order[at[hit]])
    return _Pairs(np.concatenate(first), np.concatenate(second))


class Shared(NamedTuple):
    """Sides that cells of a group share: (P,) int64 each, where the first cell ends and where the second begins.

    Attributes:
        across: columns, of pairs side by side.
        down: rows, of pairs one above the other.
    """

    across: tuple[np.ndarray, np.ndarray]
    down: tuple[np.ndarray, np.ndarray]


def groups(cells: np.ndarray) -> Iterator[tuple[np.ndarray, Shared]]:
    """Yield the groups, those with most shared sides first: the numbers of their cells, and the sides these share."""
    if not len(cells):
        return
    across, down = _beside(cells), _beside(cells[:, [1, 0, 3, 2]])
    first, second = (np.concatenate(both) for both in zip(across, down, strict=True))
    graph = coo_array((np.ones(len(first), bool), (first, second)), (len(cells),) * 2)
    count, group = connected_components(graph, directed=False)
    pairs = np.bincount(group[first], minlength=count)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(count + 1))
    across_order, down_order = (np.argsort(group[part.first], kind="stable") for part in (across, down))
    across_at, down_at = (
        np.searchsorted(group[part.first][by], np.arange(count + 1))
        for part, by in ((across, across_order), (down, down_order))
    )
    for one in np.argsort(-pairs, kind="stable"):
        if pairs[one] < 2:
            return
        members = order[bounds[one] : bounds[one + 1]]
        sides = []
        for part, by, at, (end, begin) in (
            (across, across_order, across_at, (2, 0)),
            (down, down_order, down_at, (3, 1)),
        ):
            here = by[at[one] : at[one + 1]]
            sides.append((cells[part.first[here], end], cells[part.second[here], begin]))
        yield members, Shared(*sides)
