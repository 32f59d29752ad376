"""Areas whose blocks are exactly constant: of lossless pictures, or pixelated after the picture was a JPEG.

A block is a rectangle of one value, a cell. Photos have such rectangles, too, but hardly any two of them share a whole
side. Cells that do are one area, whatever its shape, and the sides they share are the lines of its grid.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import MOST_BLOCK, Grid, Pixels, begins
from depixel.detection.periods import fit, fit_size

_BAND = 1024  # rows whose cells are looked for at once
_WRONG = 0.05  # share of the pixels beside an area that may not go on with its blocks
_AROUND = 24  # pixels around an area that say how often neighbours are equal in the photo
_LEAST_EVIDENCE = 400.0  # of what is certain, natural logarithm of the likelihood ratio
_LEAST_OF_SHAPES = 1500.0  # the same of an area that is no rectangle
_DRAWN_OVER = 0.5  # share of blocks that are constant, at least, if the others have something drawn over them
_ENLARGED = 4  # pixels: blocks all over a picture that are smaller are taken for an enlargement
_ALL = 0.9  # share of the pixels of a picture


class Exact(NamedTuple):
    """An area of constant blocks. evidence: log-likelihood ratio to a photo, natural logarithm."""

    area: ResolvedArea
    evidence: float
    certain: bool


def find(image: np.ndarray, check: Callable[[], None] = lambda: None) -> list[Exact]:
    """The areas of a picture (H, W) or (H, W, 3) uint8 whose blocks are of one color each; none overlap by much."""
    codes = image if image.ndim == 2 else image.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    cells = _cells(codes, check)
    found: list[Exact] = []
    for members, shared in _groups(cells, check):
        check()
        x0, y0 = cells[members, :2].min(axis=0)
        x1, y1 = cells[members, 2:].max(axis=0)
        if any(_overlap((x0, y0, x1, y1), one.area) > 0.5 for one in found if one.certain):
            continue
        one = _area(codes, cells[members], shared)
        if one is not None:
            found.append(one)
        if one is not None and one.certain and one.area.width * one.area.height > _ALL * codes.size:
            break
    return _within_enlarged(image, _joined(codes, found), check)


def _joined(codes: np.ndarray, found: list[Exact]) -> list[Exact]:
    """Areas that are parts of one, of which what is drawn over it left two or more, joined."""
    joined = sorted(found, key=lambda one: (one.area.y, one.area.x))
    first = 0
    while first < len(joined):
        for second in range(first + 1, len(joined)):
            whole = _together(codes, joined[first], joined[second])
            if whole is not None:
                joined[first] = whole
                del joined[second]
                break
        else:
            first += 1
    return joined


def _together(codes: np.ndarray, one: Exact, other: Exact) -> Exact | None:
    """Both areas and what is between them; None: they are no parts of one."""
    areas, grid = (one.area, other.area), one.area.grid
    if not (one.certain and other.certain) or any(area.mask is not None for area in areas):
        return None
    for of, beside in ((areas, grid.height), (tuple(map(_turned, areas)), grid.width)):
        upper, lower = sorted(of, key=lambda area: area.y)
        down = lower.y - lower.offset_y - upper.y + upper.offset_y
        if (
            (upper.x, upper.width) == (lower.x, lower.width)
            and upper.grid[:3] == lower.grid[:3]
            and 0 < lower.y - upper.y - upper.height <= 3 * beside
            and down % beside == 0
        ):
            x0, y0 = min(area.x for area in areas), min(area.y for area in areas)
            x1, y1 = max(area.x + area.width for area in areas), max(area.y + area.height for area in areas)
            first = next(area for area in areas if (area.x, area.y) == (x0, y0))
            whole = Area(x0, y0, x1 - x0, y1 - y0).in_blocks(first.grid._replace(lines_x=None, lines_y=None))
            if _is_rectangle(_shape(codes, whole)[0], drawn=1 - _DRAWN_OVER):
                return Exact(whole, one.evidence + other.evidence, certain=True)
    return None


def _within_enlarged(image: np.ndarray, found: list[Exact], check: Callable[[], None]) -> list[Exact]:
    """If blocks are all over the picture it may have been enlarged: then its areas are those of the picture before."""
    pixels = image.shape[0] * image.shape[1]
    whole = [one for one in found if one.area.width * one.area.height > _ALL * pixels]
    if not whole:
        return found
    one = whole[0]
    grid = one.area.grid
    if max(grid.width, grid.height) > 16 or one.area.mask is not None:
        return found
    columns, rows = grid.begins(one.area.width, one.area.height)
    before = find(np.ascontiguousarray(image[one.area.part][rows[:, None], columns]), check)
    edges = np.append(columns, one.area.width), np.append(rows, one.area.height)
    inside = [scaled for part in before if part.certain and (scaled := _enlarged(part, one.area, edges)) is not None]
    if inside:
        return inside
    return [one._replace(certain=one.certain and min(grid.width, grid.height) >= _ENLARGED)]


def _enlarged(one: Exact, whole: ResolvedArea, edges: tuple[np.ndarray, np.ndarray]) -> Exact | None:
    """An area of the picture before it was enlarged, in the pixels it has now."""
    area, grid, by = one.area, one.area.grid, whole.grid
    if area.width * area.height > _ALL * (len(edges[0]) - 1) * (len(edges[1]) - 1):
        return None  # all of it again
    x0, x1 = (int(edges[0][at]) for at in (area.x, area.x + area.width))
    y0, y1 = (int(edges[1][at]) for at in (area.y, area.y + area.height))
    grid = Grid(
        _whole(Fraction(grid.width) * by.width),
        _whole(Fraction(grid.height) * by.height),
        _whole(Fraction(grid.offset_x) * by.width),
        _whole(Fraction(grid.offset_y) * by.height),
    )
    if max(grid.width, grid.height) > MOST_BLOCK:
        return None
    mask = area.mask
    if mask is not None:
        spread = (
            np.diff(edges[0][area.x : area.x + area.width + 1]),
            np.diff(edges[1][area.y : area.y + area.height + 1]),
        )
        mask = mask.repeat(spread[1], axis=0).repeat(spread[0], axis=1)
    bounds = Area(x0 + whole.x, y0 + whole.y, x1 - x0, y1 - y0, mask=mask)
    return one._replace(area=bounds.in_blocks(grid))


def _whole(value: Fraction) -> Pixels:
    return int(value) if value.denominator == 1 else value


def _cells(codes: np.ndarray, check: Callable[[], None]) -> np.ndarray:
    """(N, 4) int64: x0, y0, x1, y1 of the rectangles of one value, 2 pixels a side and more."""
    height, parts = len(codes), []
    for top in range(0, height, _BAND // 2):
        check()
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
    """Cells side by side: (P,) int64 numbers of the first and of the second, and whether a line of mixed pixels lies
    between; across or down."""

    first: np.ndarray
    second: np.ndarray


def _beside(cells: np.ndarray) -> _Pairs:
    """Pairs of cells of which the second begins where the first ends, or a pixel later, and that are equally high."""
    most = int(cells.max(initial=0)) + 2

    def keys(x: np.ndarray) -> np.ndarray:
        return (x * most + cells[:, 1]) * most + cells[:, 3]

    order = np.argsort(keys(cells[:, 0]))
    begins = keys(cells[:, 0])[order]
    first, second = [], []
    for gap in (0, 1):
        wanted = keys(cells[:, 2] + gap)
        at = np.minimum(np.searchsorted(begins, wanted), len(begins) - 1)
        hit = begins[at] == wanted
        first.append(np.flatnonzero(hit))
        second.append(order[at[hit]])
    return _Pairs(np.concatenate(first), np.concatenate(second))


class _Shared(NamedTuple):
    """Sides that cells of one group share: (P,) int64 each, where the first ends and the second begins."""

    across: tuple[np.ndarray, np.ndarray]
    down: tuple[np.ndarray, np.ndarray]


def _groups(cells: np.ndarray, check: Callable[[], None]) -> Iterator[tuple[np.ndarray, _Shared]]:
    """Numbers of cells that are one area, largest areas first, with the sides they share."""
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
        yield members, _Shared(*sides)


def _overlap(bounds: tuple[int, int, int, int], area: ResolvedArea) -> float:
    """Share of a rectangle that an area covers."""
    x0, y0, x1, y1 = bounds
    wide = min(x1, area.x + area.width) - max(x0, area.x)
    high = min(y1, area.y + area.height) - max(y0, area.y)
    return max(wide, 0) * max(high, 0) / ((x1 - x0) * (y1 - y0))


def _area(codes: np.ndarray, cells: np.ndarray, shared: _Shared) -> Exact | None:
    x0, y0 = cells[:, :2].min(axis=0)
    x1, y1 = cells[:, 2:].max(axis=0)
    grid = _grid(cells, shared, (int(x0), int(y0), int(x1), int(y1)))
    if grid is None:
        return None
    core = _conforming(cells, grid, int(x0), int(y0))
    if not len(core):
        return None
    left, top = (int(n) for n in core[:, :2].min(axis=0))
    right, bottom = (int(n) for n in core[:, 2:].max(axis=0))
    area = Area(left, top, right - left, bottom - top).in_blocks(grid.at(left - int(x0), top - int(y0)))
    area = _refitted(_extended(codes, area), shared)
    constant, _ = _shape(codes, area)
    count = len(shared.across[0]) + len(shared.down[0])
    evidence = _evidence(codes, area, constant)
    rectangle = _is_rectangle(constant)
    if not rectangle:
        wider = _wider(area, codes.shape)  # of the blocks beside it, a part may be in the area
        hidden = _shape(codes, wider)[1]
        if not hidden.any():
            return None
        area = _masked(wider, hidden)
    least = _LEAST_EVIDENCE if rectangle else _LEAST_OF_SHAPES
    certain = evidence >= least and count >= constant.sum() / 2 and _is_likely(area, shared)
    return Exact(area, evidence, bool(certain))


def _grid(cells: np.ndarray, shared: _Shared, bounds: tuple[int, int, int, int]) -> Grid | None:
    """The blocks of a group of cells, counted from the upper left corner of its bounds."""
    x0, y0, x1, y1 = bounds
    axes = [
        _Axis.of(shared.across, x0, x1, cells[:, 2] - cells[:, 0]),
        _Axis.of(shared.down, y0, y1, cells[:, 3] - cells[:, 1]),
    ]
    main = 0 if len(axes[0].low) >= len(axes[1].low) else 1
    size, offset = axes[main].fitted()
    if size is None or offset is None:
        return None
    other_size, other_offset = axes[1 - main].fitted(size)
    if other_size is None or other_offset is None:
        return None
    grid = Grid(size, other_size, offset, other_offset)
    grid = grid if main == 0 else grid.turned
    return grid if max(grid.width, grid.height) <= MOST_BLOCK else None


def _refitted(area: ResolvedArea, shared: _Shared) -> ResolvedArea:
    """The simplest blocks, now that it is known where the area ends, with their lines where they are seen."""
    sizes, seen = [], []
    for sides, start, length, size, offset in (
        (shared.across, area.x, area.width, area.grid.width, area.grid.offset_x),
        (shared.down, area.y, area.height, area.grid.height, area.grid.offset_y),
    ):
        lines = np.unique(np.stack(sides, axis=1) - start, axis=0)
        lines = lines[(lines[:, 0] > 0) & (lines[:, 1] < length)]
        kept = lines[_off(begins(length, size, offset), lines[:, 0]) <= 1]
        fraction = size != int(size) and len(kept)
        found = fit(kept[:, 0], kept[:, 1], length, float(size)) if fraction else None
        sizes.append(found or (size, offset))
        regular = begins(length, *sizes[-1])[1:]
        near = [kept[:, 1][np.abs(kept[:, 1] - line) <= 1] for line in regular]
        moved = [int(line) if line in of or not len(of) else int(of[0]) for line, of in zip(regular, near, strict=True)]
        seen.append(None if moved == regular.tolist() or len(set(moved)) < len(moved) else tuple(moved))
    (width, offset_x), (height, offset_y) = sizes
    return area.in_blocks(Grid(width, height, offset_x, offset_y, *seen))


class _Axis(NamedTuple):
    """The lines of a group along one axis, from its first pixel: (n,) int64, ascending; low and high as of `fit`."""

    low: np.ndarray
    high: np.ndarray
    votes: np.ndarray
    length: int
    guess: float

    @classmethod
    def of(cls, sides: tuple[np.ndarray, np.ndarray], start: int, stop: int, lengths: np.ndarray) -> "_Axis":
        lines, votes = np.unique(np.stack(sides, axis=1) - start, axis=0, return_counts=True)
        counts = np.bincount(lengths)
        usual = np.flatnonzero(counts >= counts.max() / 2).max()  # of as many, the smaller ones are cut off
        near = lengths[np.abs(lengths - usual) <= 1]
        gap = float((sides[1] - sides[0]).mean()) if len(lines) else 0.0
        return cls(lines[:, 0], lines[:, 1], votes, stop - start, float(near.mean()) + gap)

    def fitted(self, other: Pixels | None = None) -> tuple[Pixels | None, Pixels | None]:
        """Size and offset of blocks; those of the size they have along the other axis, if they can be."""
        if not len(self.low):  # a single row of blocks, which may be cut off
            size = other if other and other >= self.length else self.length
            return size, 0
        if other:
            offset = fit_size(self.low, self.high, other)
            regular = begins(self.length, other, offset or 0)[1:]
            if offset is not None and len(regular) == len(self.low) and (np.abs(regular - self.low) <= 1).all():
                return other, offset  # no line is missing, and none is too many
        axis = self
        while len(axis.low):
            if other and abs(float(other) - axis.guess) < 1:
                offset = fit_size(axis.low, axis.high, other)
                if offset is not None:
                    return other, offset
            found = fit(axis.low, axis.high, axis.length, axis.guess)
            if found:
                return found
            kept = axis.votes > axis.votes.min()  # what fewest cells share is chance
            if kept.sum() < 0.6 * len(self.low):
                return None, None
            axis = axis._replace(low=axis.low[kept], high=axis.high[kept], votes=axis.votes[kept])
        return None, None


def _conforming(cells: np.ndarray, grid: Grid, x: int, y: int) -> np.ndarray:
    """The cells that begin and end with blocks, or a pixel beside where a tool has mixed two; those at the end of the
    group may be cut off. x, y: from where the grid is counted."""
    kept = np.ones(len(cells), bool)
    for first, last, size, offset, start in (
        (0, 2, grid.width, grid.offset_x, x),
        (1, 3, grid.height, grid.offset_y, y),
    ):
        low, high = cells[:, first] - start, cells[:, last] - start
        stop = int(high.max())
        lines = begins(stop + MOST_BLOCK, size, offset)
        kept &= (_off(lines, low) <= 1) & ((_off(lines, high) <= 1) | (high == stop))
    return cells[kept]


def _off(lines: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How far places are from the nearest line."""
    after = np.minimum(np.searchsorted(lines, places), len(lines) - 1)
    return np.minimum(np.abs(lines[after] - places), np.abs(lines[np.maximum(after - 1, 0)] - places))


def _extended(codes: np.ndarray, area: ResolvedArea) -> ResolvedArea:
    """With the rows and columns beside it that go on with its blocks: cut off, or of one color all along."""
    for _ in range(4):  # a row may follow a column
        before = area
        area = _turned(_widened(codes.T, _turned(_widened(codes, area))))
        if area == before:
            break
    return area


def _turned(area: ResolvedArea) -> ResolvedArea:
    return Area(area.y, area.x, area.height, area.width).in_blocks(area.grid.turned)


def _widened(codes: np.ndarray, area: ResolvedArea) -> ResolvedArea:
    """To the left and to the right."""
    rows = slice(area.y, area.y + area.height)
    tops = begins(area.height, area.grid.height, area.grid.offset_y)
    within = np.ones(area.height, bool)  # steps down a column that must be none
    within[tops] = False
    tops = tops[1:]
    reach = int(area.grid.width) + 1

    def goes_on(column: int, inner: int | None) -> bool:
        """Whether a column is one of the blocks; `inner`: its neighbour in the same block, None in the first."""
        values = codes[rows, column]
        wrong = np.append(False, np.diff(values) != 0) & within
        if inner is not None:
            wrong = wrong | (values != codes[rows, inner])
        return bool(wrong.mean() <= _WRONG)

    def strip(columns: range, line: bool) -> int:
        """How many of the columns go on. line: whether a block begins with the first."""
        inner = None if line else columns.start - columns.step
        for n, column in enumerate(columns):
            if not goes_on(column, inner):
                return n
            inner = column
        return len(columns)

    x0, x1, offset = area.x, area.x + area.width, area.grid.offset_x
    while x1 < codes.shape[1]:
        lines = x0 + begins(x1 - x0 + reach + 1, area.grid.width, offset)
        is_line = x1 in lines
        end = min(int(lines[lines > x1].min(initial=x1 + reach)), codes.shape[1])
        count = strip(range(x1, end), is_line)
        if not count or not _is_seen(codes, rows, tops, x1, x1 + count, x1 + count):
            break
        x1 += count
        if x1 < end:
            break
    while x0 > 0:
        whole = ceil(Fraction(area.grid.width)) if offset == 0 else ceil(offset)
        begin = max(x0 - whole, 0)
        count = strip(range(x0 - 1, begin - 1, -1), offset == 0)
        if not count or not _is_seen(codes, rows, tops, x0 - count, x0, x0 - count):
            break
        offset = (offset - count) % area.grid.width
        x0 -= count
        if x0 > begin:
            break
    grid = area.grid._replace(offset_x=offset)
    return Area(x0, area.y, x1 - x0, area.height).in_blocks(grid)


def _is_seen(codes: np.ndarray, rows: slice, lines: np.ndarray, start: int, stop: int, edge: int) -> bool:
    """Whether columns that go on with the blocks are no flat part of the photo: they step at most lines between rows of
    blocks, or into what is beyond their edge, all along. lines: rows, counted from the first."""
    strip = codes[rows, start:stop]
    if len(lines) and (strip[lines] != strip[lines - 1]).any(axis=1).mean() > 0.5:
        return True
    return 0 < edge < codes.shape[1] and bool((codes[rows, edge] != codes[rows, edge - 1]).mean() > 0.9)


def _shape(codes: np.ndarray, area: ResolvedArea) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) bool: which blocks are of one color, but for a line that a tool has mixed at their sides; and
    (h, w) bool: which pixels are of the color that most of their block has."""
    part = codes[area.part].astype(np.int64)
    lefts, tops = area.grid.begins(area.width, area.height)
    columns, rows = np.diff(np.append(lefts, area.width)), np.diff(np.append(tops, area.height))
    # the color in the middle of a block that is of one color is that of the block
    middle = part[(tops + rows // 2)[:, None], lefts + columns // 2]
    equal = part == middle.repeat(rows, axis=0).repeat(columns, axis=1)

    def shares(of: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(of, tops, axis=0, dtype=np.int64), lefts, axis=1)

    count = rows[:, None] * columns
    inner = np.maximum(rows - 1, 1)[:, None] * np.maximum(columns - 1, 1)  # less a mixed line along each side
    constant = (shares(equal) == count) | ((shares(equal) >= inner) & (count >= 16))
    for row, column in zip(*np.nonzero(~constant), strict=True):  # only a part of the block is in the area
        here = np.s_[tops[row] : tops[row] + rows[row], lefts[column] : lefts[column] + columns[column]]
        values, counts = np.unique(part[here], return_counts=True)
        equal[here] = (part[here] == values[counts.argmax()]) & (counts.max() >= max(4, counts.sum() / 5))
    whole = constant.repeat(rows, axis=0).repeat(columns, axis=1)
    return constant, whole | binary_opening(equal | whole, np.ones((3, 3), bool))  # a few pixels are equal by chance


def _is_likely(area: ResolvedArea, shared: _Shared) -> bool:
    """Whether blocks have the sides that tools make; a single row of long, thin ones is a smooth part of the photo."""
    if len(shared.across[0]) and len(shared.down[0]):
        return True
    sides = sorted((float(area.grid.width), float(area.grid.height)))
    return area.grid.is_whole and sides[1] <= 2 * sides[0]


def _is_rectangle(constant: np.ndarray, drawn: float = 0.15) -> bool:
    """Whether an area is all of its rectangle, though something may be drawn over blocks: these are few together, and
    not at a corner, as those that an ellipse or an L lacks are. drawn: share of the blocks that one thing may hide."""
    if constant.mean() < _DRAWN_OVER:
        return False
    pieces, count = label(~constant, np.ones((3, 3)))
    corners = {int(pieces[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return not corners and (not count or np.bincount(pieces.ravel())[1:].max() <= drawn * constant.size)


def _wider(area: ResolvedArea, shape: tuple[int, ...]) -> ResolvedArea:
    """The area and the blocks beside it, as far as the picture goes."""
    grid = area.grid
    left, top = min(area.x, ceil(grid.width)), min(area.y, ceil(grid.height))
    right = min(area.x + area.width + ceil(grid.width), shape[1])
    bottom = min(area.y + area.height + ceil(grid.height), shape[0])
    lines = [
        None if of is None else tuple(line + start for line in (0, *of) if line + start)
        for of, start in ((grid.lines_x, left), (grid.lines_y, top))
    ]
    grid = grid._replace(lines_x=None, lines_y=None).at(-left, -top)._replace(lines_x=lines[0], lines_y=lines[1])
    x, y = area.x - left, area.y - top
    return Area(x, y, right - x, bottom - y).in_blocks(grid)


def _masked(area: ResolvedArea, hidden: np.ndarray) -> ResolvedArea:
    """The area in the shape that its blocks have: the largest piece, without specks and holes."""
    pieces, _ = label(hidden)
    hidden = binary_fill_holes(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    part = np.ascontiguousarray(hidden[top:bottom, left:right])
    bounds = Area(area.x + int(left), area.y + int(top), int(right - left), int(bottom - top))
    return replace(bounds, mask=None if part.all() else part).in_blocks(area.grid.at(int(left), int(top)))


def _evidence(codes: np.ndarray, area: ResolvedArea, constant: np.ndarray) -> float:
    """Log-likelihood ratio of the equal neighbours within blocks to those of the photo around."""
    y0, x0 = max(area.y - _AROUND, 0), max(area.x - _AROUND, 0)
    around = codes[y0 : area.y + area.height + _AROUND, x0 : area.x + area.width + _AROUND]
    outside = np.ones(around.shape, bool)
    outside[area.y - y0 : area.y - y0 + area.height, area.x - x0 : area.x - x0 + area.width] = False
    equal = steps = 0
    for axis in (0, 1):
        both = np.s_[1:], np.s_[:-1]
        one, other = (around[part] if axis == 0 else around[:, part] for part in both)
        there = (outside[both[0]] & outside[both[1]]) if axis == 0 else outside[:, both[0]] & outside[:, both[1]]
        equal, steps = equal + int(((one == other) & there).sum()), steps + int(there.sum())
    usual = (equal + 1) / (steps + 2)
    lefts, tops = area.grid.begins(area.width, area.height)
    columns, rows = np.diff(np.append(lefts, area.width)), np.diff(np.append(tops, area.height))
    within = (rows[:, None] * (columns - 1) + (rows - 1)[:, None] * columns) * constant
    return float(within.sum() * -np.log(usual))
