"""Detection of areas with exactly constant blocks: in lossless pictures, or pixelated after the picture was a JPEG.

Each group of `cells` is a candidate. The shared sides of its cells give the block size (`periods`), its pixels give its
extent (`shapes`), and the photo around it tells whether it could be chance.
"""

from fractions import Fraction
from itertools import islice
from typing import NamedTuple

import numpy as np

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import MOST_BLOCK, Grid, Pixels, as_pixels, begins
from depixel.detection.cells import Shared, find_cells, groups
from depixel.detection.periods import fit, fit_size
from depixel.detection.shapes import DRAWN_OVER, extended, is_open, is_rectangle, masked, shape, turned, wider
from depixel.detection.watch import Watch

_AROUND = 24  # pixels around an area from which the photo's rate of equal neighbours is measured
_LEAST_EVIDENCE = 400.0  # of a certain area, natural logarithm of the likelihood ratio
_LEAST_OF_SHAPES = 1500.0  # the same for an area that is no rectangle
_ENLARGED = 3.5  # pixels; smaller blocks over much of a picture count as an enlargement
_MOST_ENLARGED = 16  # pixels; larger blocks over the whole picture are no enlargement
_MIXED = 0.3  # share of shared sides with a line of mixed pixels from which a tool mixes lines
_LEAST_MIXED = 3  # least number of lines along each axis if lines are mixed
_MOST_TINY = 0.1  # largest share of a picture that blocks below `_ENLARGED` may cover
_EVIDENCE_OF_STEPS = 2000.0  # of a certain area whose blocks hardly differ
_LEAST_DIFFERENT = 0.1  # share of neighbouring blocks that differ by more than a gray level in any channel
_LOOKED_AT = 300  # groups that are looked at whatever their cells promise
_PROMISED = 0.4  # of the least evidence: what the cells of another group must promise
_GUESSES = 20  # areas that are not certain and are kept, those with most evidence
ALL = 0.9
"""An area that covers at least this share of a picture's pixels counts as the whole picture."""


class Exact(NamedTuple):
    """An area of constant blocks.

    Attributes:
        area: its place and blocks.
        evidence: log-likelihood ratio to a photo, natural logarithm.
        certain: see `search.Found`.
    """

    area: ResolvedArea
    evidence: float
    certain: bool


def find(image: np.ndarray, check: Watch = Watch(), most: int | None = None) -> list[Exact]:  # noqa: B008 - it holds nothing
    """Find the areas of a picture (H, W) or (H, W, 3) uint8 whose blocks have a single color each.

    Areas may overlap slightly.

    Args:
        image: the picture.
        check: receives the share that is done.
        most: number of groups of cells that are looked at, those with most shared sides first; None: all.
    """
    codes = image if image.ndim == 2 else _codes(image)
    cells = find_cells(codes, check.part(0, 0.8))
    found: list[Exact] = []
    for number, (members, shared) in enumerate(islice(groups(cells), most)):
        check(0.8)
        bounds = _bounds(cells[members])
        if any(_overlap(bounds, one.area) > 0.5 for one in found if one.certain):
            continue
        # an enlarged photo has tens of thousands of flat spots
        if number >= _LOOKED_AT and _promised(codes, cells[members], bounds) < _PROMISED * _LEAST_EVIDENCE:
            continue
        one = _area(codes, cells[members], shared)
        if one is not None:
            found.append(one)
        if one is not None and one.certain and one.area.width * one.area.height > ALL * codes.size:
            break
    found = _joined(codes, _without_tiny(found, codes.size))
    guesses = sorted((one for one in found if not one.certain), key=lambda one: -one.evidence)
    kept = [one for one in found if one.certain] + guesses[:_GUESSES]
    return _within_enlarged(image, kept, check.part(0.8, 1))


def _codes(image: np.ndarray) -> np.ndarray:
    """(H, W) uint32: a number for each color."""
    codes = image[:, :, 0].astype(np.uint32)
    for channel in (1, 2):
        codes <<= 8
        codes |= image[:, :, channel]
    return codes


def _without_tiny(found: list[Exact], pixels: int) -> list[Exact]:
    """If groups of tiny blocks cover much of the picture together, it was enlarged: none of them is certain."""
    tiny = {one.area.place: one.area.width * one.area.height for one in found if _is_tiny(one.area)}
    if sum(tiny.values()) <= _MOST_TINY * pixels:
        return found
    return [one._replace(certain=one.certain and not _is_tiny(one.area)) for one in found]


def _is_tiny(area: ResolvedArea) -> bool:
    return min(area.grid.width, area.grid.height) < _ENLARGED


def _joined(codes: np.ndarray, found: list[Exact]) -> list[Exact]:
    """Join areas that are parts of one, split by something that is drawn over it."""
    joined = sorted(found, key=lambda one: (one.area.y, one.area.x))
    first = 0
    while first < len(joined):
        if not joined[first].certain:
            first += 1
            continue
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
    """Both areas and the gap between them as one; None: they are not parts of one area."""
    areas, grid = (one.area, other.area), one.area.grid
    if not (one.certain and other.certain):
        return None
    for of, across, beside in ((areas, grid.width, grid.height), (tuple(map(turned, areas)), grid.height, grid.width)):
        upper, lower = sorted(of, key=lambda area: area.y)
        down = lower.y - lower.offset_y - upper.y + upper.offset_y
        right = lower.x - lower.offset_x - upper.x + upper.offset_x
        if (
            max(abs(upper.x - lower.x), abs(upper.x + upper.width - lower.x - lower.width)) < across
            and upper.grid[:2] == lower.grid[:2]
            and -beside <= lower.y - upper.y - upper.height <= 3 * beside
            and down % beside == right % across == 0
        ):
            x0, y0 = min(area.x for area in areas), min(area.y for area in areas)
            x1, y1 = max(area.x + area.width for area in areas), max(area.y + area.height for area in areas)
            blocks = grid._replace(lines_x=None, lines_y=None).at(x0 - one.area.x, y0 - one.area.y)
            whole = Area(x0, y0, x1 - x0, y1 - y0).in_blocks(blocks)
            if is_rectangle(shape(codes, whole)[0], drawn=1 - DRAWN_OVER):
                return Exact(whole, one.evidence + other.evidence, certain=True)
    return None


def _within_enlarged(image: np.ndarray, found: list[Exact], check: Watch) -> list[Exact]:
    """If blocks cover the whole picture, it may have been enlarged: search the picture before its enlargement instead.

    If that has certain areas, the whole picture is no longer a certain area.
    """
    pixels = image.shape[0] * image.shape[1]
    one = next((one for one in found if one.area.width * one.area.height > ALL * pixels), None)
    if one is None:
        return found
    grid = one.area.grid
    if max(grid.width, grid.height) > _MOST_ENLARGED or one.area.mask is not None:
        return found
    whole = one.area
    if grid.lines_x is None and grid.lines_y is None:  # large blocks can hide where it ends: take all of the picture
        whole = Area(0, 0, image.shape[1], image.shape[0]).in_blocks(grid.at(-whole.x, -whole.y))
    columns, rows = whole.grid.begins(whole.width, whole.height)
    before = find(np.ascontiguousarray(image[whole.part][rows[:, None], columns]), check)
    edges = np.append(columns, whole.width), np.append(rows, whole.height)
    inside = [scaled for part in before if part.certain and (scaled := _enlarged(part, whole, edges)) is not None]
    return [*inside, one._replace(certain=not inside and one.certain)]


def _enlarged(one: Exact, whole: ResolvedArea, edges: tuple[np.ndarray, np.ndarray]) -> Exact | None:
    """Convert an area of the picture before its enlargement to pixels of the enlarged one; None: it cannot be one."""
    area, grid, by = one.area, one.area.grid, whole.grid
    if area.width * area.height > ALL * (len(edges[0]) - 1) * (len(edges[1]) - 1):
        return None  # the whole picture again
    x0, x1 = (int(edges[0][at]) for at in (area.x, area.x + area.width))
    y0, y1 = (int(edges[1][at]) for at in (area.y, area.y + area.height))
    grid = Grid(
        as_pixels(Fraction(grid.width) * by.width),
        as_pixels(Fraction(grid.height) * by.height),
        as_pixels(Fraction(grid.offset_x) * by.width),
        as_pixels(Fraction(grid.offset_y) * by.height),
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


def _overlap(bounds: tuple[int, int, int, int], area: ResolvedArea) -> float:
    """Share of a rectangle that an area covers."""
    x0, y0, x1, y1 = bounds
    wide = min(x1, area.x + area.width) - max(x0, area.x)
    high = min(y1, area.y + area.height) - max(y0, area.y)
    return max(wide, 0) * max(high, 0) / ((x1 - x0) * (y1 - y0))


def _bounds(cells: np.ndarray) -> tuple[int, int, int, int]:
    x0, y0 = (int(n) for n in cells[:, :2].min(axis=0))
    x1, y1 = (int(n) for n in cells[:, 2:].max(axis=0))
    return x0, y0, x1, y1


def _area(codes: np.ndarray, cells: np.ndarray, shared: Shared) -> Exact | None:
    x0, y0, x1, y1 = _bounds(cells)
    grid = _grid(cells, shared, (x0, y0, x1, y1))
    if grid is None:
        return None
    core = _conforming(cells, grid, x0, y0)
    if not len(core):
        return None
    left, top, right, bottom = _bounds(core)
    area = Area(left, top, right - left, bottom - top).in_blocks(grid.at(left - x0, top - y0))
    area = _refitted(extended(codes, area), shared)
    constant, _ = shape(codes, area)
    count = len(shared.across[0]) + len(shared.down[0])
    evidence = _evidence(codes, area, constant)
    rectangle = is_rectangle(constant)
    if not rectangle:
        around = wider(area, codes.shape)  # the area may include parts of the blocks beside it
        hidden = shape(codes, around)[1]
        if not hidden.any():
            return None
        area = masked(around, hidden)
    least = _LEAST_EVIDENCE if rectangle else _LEAST_OF_SHAPES
    certain = evidence >= least and count >= constant.sum() / 2 and _is_likely(area, shared, codes.size)
    certain = certain and (evidence >= _EVIDENCE_OF_STEPS or not _are_steps(codes, area, constant))
    return Exact(area, evidence, bool(certain and not (rectangle and is_open(codes, area))))


def _grid(cells: np.ndarray, shared: Shared, bounds: tuple[int, int, int, int]) -> Grid | None:
    """The blocks of a group of cells, relative to the upper left corner of its bounds; None: no grid fits."""
    x0, y0, x1, y1 = bounds
    axes = [
        _Axis.of(shared.across, x0, x1, cells[:, 2] - cells[:, 0]),
        _Axis.of(shared.down, y0, y1, cells[:, 3] - cells[:, 1]),
    ]
    counted = any(axis.is_mixed() for axis in axes)
    sides = _sides(axes, counted)
    if sides is not None and not counted and any(size != int(size) for size, _ in sides):
        sides = _sides(axes, counted=True) or sides
    if sides is None:
        return None
    (width, offset_x), (height, offset_y) = sides
    return Grid(width, height, offset_x, offset_y) if max(width, height) <= MOST_BLOCK else None


def _sides(axes: "list[_Axis]", counted: bool) -> list[tuple[Pixels, Pixels]] | None:
    """Size and offset of blocks along both axes."""
    main = 0 if len(axes[0].low) >= len(axes[1].low) else 1
    found = axes[main].fitted(counted=counted)
    other = axes[1 - main].fitted(found[0], counted) if found is not None else None
    if found is None or other is None:
        return None
    return [found, other] if main == 0 else [other, found]


def _refitted(area: ResolvedArea, shared: Shared) -> ResolvedArea:
    """Fit the blocks again, now that the extent of the area is known, with their lines where the pixels show them."""
    sizes, seen = [], []
    counted = not area.grid.is_whole
    for sides, start, length, size, offset in (
        (shared.across, area.x, area.width, area.grid.width, area.grid.offset_x),
        (shared.down, area.y, area.height, area.grid.height, area.grid.offset_y),
    ):
        lines = np.unique(np.stack(sides, axis=1) - start, axis=0)
        lines = lines[(lines[:, 0] > 0) & (lines[:, 1] < length)]
        kept = lines[_off(begins(length, size, offset), lines[:, 0]) <= 1]
        found = fit(kept[:, 0], kept[:, 1], length, float(size), counted) if counted and len(kept) else None
        sizes.append(found or (size, offset))
        regular = begins(length, *sizes[-1])[1:]
        near = [kept[:, 1][np.abs(kept[:, 1] - line) <= 1] for line in regular]
        moved = [int(line) if line in of or not len(of) else int(of[0]) for line, of in zip(regular, near, strict=True)]
        seen.append(None if moved == regular.tolist() or len(set(moved)) < len(moved) else tuple(moved))
    (width, offset_x), (height, offset_y) = sizes
    return area.in_blocks(Grid(width, height, offset_x, offset_y, *seen))


class _Axis(NamedTuple):
    """The lines between the blocks of a group along one axis.

    Attributes:
        low, high: (n,) int64, ascending, counted from its first pixel; see `periods.fit`.
        votes: (n,) int, the number of pairs of cells that share each line.
        length: length of the group, pixels.
        guess: the block size, pixels.
    """

    low: np.ndarray
    high: np.ndarray
    votes: np.ndarray
    length: int
    guess: float

    @classmethod
    def of(cls, sides: tuple[np.ndarray, np.ndarray], start: int, stop: int, lengths: np.ndarray) -> "_Axis":
        lines, votes = np.unique(np.stack(sides, axis=1) - start, axis=0, return_counts=True)
        counts = np.bincount(lengths)
        usual = np.flatnonzero(counts >= counts.max() / 2).max()  # the largest common length; shorter ones are cut off
        near = lengths[np.abs(lengths - usual) <= 1]
        gap = float((sides[1] - sides[0]).mean()) if len(lines) else 0.0
        return cls(lines[:, 0], lines[:, 1], votes, stop - start, float(near.mean()) + gap)

    def is_mixed(self) -> bool:
        """Whether the lines between blocks are mixed, as some tools do if a side of a block lies within a pixel."""
        return len(self.low) > 0 and float(self.votes[self.low < self.high].sum()) > _MIXED * float(self.votes.sum())

    def fitted(self, other: Pixels | None = None, counted: bool = False) -> tuple[Pixels, Pixels] | None:
        """Fit size and offset of the blocks, pixels; None: nothing fits.

        Args:
            other: the size along the other axis; it is preferred if it fits.
            counted: see `periods.fit`.
        """
        if not len(self.low):  # a single row of blocks, which may be cut off
            return (other if other and other >= self.length else self.length), 0
        if other and not counted:
            offset = fit_size(self.low, self.high, other)
            regular = begins(self.length, other, offset or 0)[1:]
            if offset is not None and len(regular) == len(self.low) and (np.abs(regular - self.low) <= 1).all():
                return other, offset  # exactly these lines
        axis = self
        while len(axis.low):
            if other and not counted and abs(float(other) - axis.guess) < 1:
                offset = fit_size(axis.low, axis.high, other)
                if offset is not None:
                    return other, offset
            found = fit(axis.low, axis.high, axis.length, axis.guess, counted)
            if found:
                return found
            kept = axis.votes > axis.votes.min()  # lines that the fewest cells share are chance
            if kept.sum() < 0.6 * len(self.low):
                return None
            axis = axis._replace(low=axis.low[kept], high=axis.high[kept], votes=axis.votes[kept])
        return None


def _off(lines: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The distance of each place to its nearest line, pixels."""
    after = np.minimum(np.searchsorted(lines, places), len(lines) - 1)
    return np.minimum(np.abs(lines[after] - places), np.abs(lines[np.maximum(after - 1, 0)] - places))


def _conforming(cells: np.ndarray, grid: Grid, x: int, y: int) -> np.ndarray:
    """The cells that begin and end with blocks, to a pixel, because tools may mix a line between two blocks.

    Cells at the end of the group may be cut off.

    Args:
        cells: (N, 4) int64, see `find_cells`.
        grid: the blocks.
        x, y: the origin of the grid, pixels.
    """
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


def _is_likely(area: ResolvedArea, shared: Shared, pixels: int) -> bool:
    """Whether the blocks are plausible, as tools make them.

    A single row of long, thin blocks is a smooth part of the photo. Tiny blocks over much of the picture mean that it
    was enlarged. A few blocks with mixed lines between them mean that it was shrunk.

    Args:
        area: the area.
        shared: the sides that its cells share.
        pixels: number of pixels of the picture.
    """
    mixed = [float((low < high).mean()) if len(low) else 0.0 for low, high in shared]
    if max(mixed) > _MIXED and min(len(np.unique(low)) for low, _ in shared) < _LEAST_MIXED:
        return False
    if _is_tiny(area) and area.width * area.height > _MOST_TINY * pixels:
        return False
    if len(shared.across[0]) and len(shared.down[0]):
        return True
    sides = sorted((float(area.grid.width), float(area.grid.height)))
    return area.grid.is_whole and sides[1] <= 2 * sides[0]


def _are_steps(codes: np.ndarray, area: ResolvedArea, constant: np.ndarray) -> bool:
    """Whether the blocks may be the steps of a gradient: an enlarged photo has flat spots a gray level apart."""
    lefts, tops = area.grid.begins(area.width, area.height)
    within = codes[area.part][tops[:, None], lefts].astype(np.uint32)
    colors = np.stack([within >> 16 & 255, within >> 8 & 255, within & 255], axis=2).astype(int)
    different = pairs = 0
    for along, solid in ((colors, constant), (colors.swapaxes(0, 1), constant.T)):
        steps = np.abs(np.diff(along, axis=0)).max(axis=2)[solid[1:] & solid[:-1]]
        different, pairs = different + int((steps > 1).sum()), pairs + steps.size
    return different < _LEAST_DIFFERENT * pairs


def _evidence(codes: np.ndarray, area: ResolvedArea, constant: np.ndarray) -> float:
    """Log-likelihood ratio of the equal neighbours within blocks: pixelated, or as frequent as in the photo around."""
    usual = _usual(codes, (area.x, area.y, area.x + area.width, area.y + area.height))
    lefts, tops = area.grid.begins(area.width, area.height)
    columns, rows = np.diff(np.append(lefts, area.width)), np.diff(np.append(tops, area.height))
    within = (rows[:, None] * (columns - 1) + (rows - 1)[:, None] * columns) * constant
    return float(within.sum() * -np.log(usual))


def _promised(codes: np.ndarray, cells: np.ndarray, bounds: tuple[int, int, int, int]) -> float:
    """The evidence of the cells of a group, if no block is added to them."""
    columns, rows = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
    return float((rows * (columns - 1) + (rows - 1) * columns).sum() * -np.log(_usual(codes, bounds)))


def _usual(codes: np.ndarray, bounds: tuple[int, int, int, int]) -> float:
    """The rate, above 0 and below 1, of equal neighbours in the photo around a rectangle."""
    x0, y0, x1, y1 = bounds
    left, top = max(x0 - _AROUND, 0), max(y0 - _AROUND, 0)
    around = codes[top : y1 + _AROUND, left : x1 + _AROUND]
    equal = steps = 0
    for part, (low, high), across in (
        (around, (y0 - top, y1 - top), slice(x0 - left, x1 - left)),
        (around.T, (x0 - left, x1 - left), slice(y0 - top, y1 - top)),
    ):
        same = part[1:] == part[:-1]
        inside = same[max(low - 1, 0) : high, across]  # pairs with a pixel of the rectangle
        equal, steps = equal + int(same.sum() - inside.sum()), steps + same.size - inside.size
    return (equal + 1) / (steps + 2)
