"""Log-likelihood ratios of steps between neighbouring pixels, and the search for the areas with the largest sums."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from depixel.detection.boxes import Box, lines_of
from depixel.model.pixelation import LEAST_BLOCK

_RULED_OUT = 10.0  # penalty of each step in an excluded area
_STRIPS = (4, 8, 16, 32)  # pixels: heights of the strips in which the search begins


class Steps:
    """Log-likelihood ratios of every step between neighbouring pixels, relative to a step of a photo.

    Attributes:
        inside, line: (H, W) float32, for steps from the left neighbour: of being within a block, and between two
            blocks; 0 in the first column.
        turned: the same for the transposed picture.
        reach: distance from a first guess up to which sides are searched, pixels.
        corner: log prior odds of a grid that begins at the area's corner, along each axis.
    """

    def __init__(self, inside: np.ndarray, line: np.ndarray, reach: int, corner: float):
        self.inside, self.line, self.reach, self.corner = inside, line, reach, corner
        self.height, self.width = inside.shape
        self.turned: Steps

    @classmethod
    def of(
        cls, across: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], reach: int, corner: float
    ) -> "Steps":
        """Make steps from (inside, line) for steps from the left and from the upper neighbour, (H, W) float32 each."""
        steps = cls(across[0], across[1], reach, corner)
        turned = cls(np.ascontiguousarray(down[0].T), np.ascontiguousarray(down[1].T), reach, corner)
        steps.turned, turned.turned = turned, steps
        return steps

    def score(self, box: Box) -> float:
        """The sum over an area including its sides, without the prior for its offset."""
        total = 0.0
        for of, (start, stop), (top, bottom), lines in (
            (self, (box.x0, box.x1), (box.y0, box.y1), box.lines()[0]),
            (self.turned, (box.y0, box.y1), (box.x0, box.x1), box.lines()[1]),
        ):
            inside, line = (sums[bottom] - sums[top] for sums in of._above)
            between = np.append(lines, [start, stop] if stop < of.width else start)
            total += inside[start + 1 : stop].sum() + line[between].sum() - inside[lines].sum()
        return float(total)

    @cached_property
    def _above(self) -> list[np.ndarray]:
        """(H + 1, W) float64 each: the cumulative sums of inside and line down the rows."""
        return [
            np.pad(np.cumsum(part, axis=0, dtype=np.float64), ((1, 0), (0, 0))) for part in (self.inside, self.line)
        ]

    def rule_out(self, box: Box, mask: np.ndarray | None = None) -> None:
        """Erase an accepted area, so that weaker neighbours cannot grow into it. mask: (h, w) bool, its shape."""
        here = np.ones((box.y1 - box.y0, box.x1 - box.x0), bool) if mask is None else mask
        for of, part, within in (
            (self, np.s_[box.y0 : box.y1, box.x0 : box.x1], here),
            (self.turned, np.s_[box.x0 : box.x1, box.y0 : box.y1], here.T),
        ):
            of.inside[part][within] = of.line[part][within] = -_RULED_OUT
            of.__dict__.pop("_above", None)


def _seeds(steps: Steps, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Find stretches of strips of rows that look like a row of blocks.

    Returns:
        (S,) float32: their scores, at least `least`. (S, 4) int64: y0, y1, x0, x1.
    """
    scores, places = [np.zeros(0, np.float32)], [np.zeros((0, 4), np.int64)]
    padded = [np.pad(np.cumsum(r, axis=0, dtype=np.float32), ((1, 0), (0, 0))) for r in (steps.inside, steps.line)]
    for high in _STRIPS:
        if high > steps.height:
            break
        tops = np.unique(np.append(np.arange(0, steps.height - high + 1, high // 2), steps.height - high))
        inside, line = (total[tops + high] - total[tops] for total in padded)
        calm = inside > 0
        alone = np.zeros_like(calm)
        alone[:, 1:-1] = calm[:, :-2] & calm[:, 2:]
        total = np.cumsum(np.where(alone, np.maximum(inside, line - 2), inside), axis=1)
        rise = total - np.minimum(np.minimum.accumulate(total, axis=1), 0)
        falls = rise <= 0
        falls[:, 0] = True
        begins = np.flatnonzero(falls)
        peaks = np.maximum.reduceat(rise.reshape(-1), begins)
        wanted = np.repeat(np.where(peaks >= least, peaks, np.inf), np.diff(begins, append=rise.size))
        ends = np.flatnonzero(rise.reshape(-1) == wanted)
        stretches, first = np.unique(np.searchsorted(begins, ends, side="right") - 1, return_index=True)
        starts = begins[stretches]
        top, start = tops[starts // steps.width], starts % steps.width
        scores.append(peaks[stretches])
        places.append(np.stack([top, top + high, start, start + ends[first] - starts + 1], axis=1))
    return np.concatenate(scores), np.concatenate(places)


class Span(NamedTuple):
    """An area along one axis: pixels [start, stop) in blocks of `size`; the first block lacks `offset` pixels."""

    start: int
    stop: int
    size: int
    offset: int

    def lines(self) -> np.ndarray:
        """The first pixel of every block but the first."""
        return lines_of(self.start, self.stop, self.size, self.offset)


@lru_cache(maxsize=64)
def _grids(least: int, most: int) -> np.ndarray:
    """(G, 2): all pairs of a block size in the range and a first line, 0 to size - 1, from the picture's side."""
    return np.array([(size, first) for size in range(least, most + 1) for first in range(size)])


def fit(
    steps: Steps, rows: tuple[int, int], row_lines: np.ndarray | None, low: int, high: int, sizes: tuple[int, int]
) -> tuple[float, Span]:
    """Find the best columns for given rows, with their block size and offset along x: the stretch with the largest sum.

    Args:
        steps: the log-likelihood ratios of all steps.
        rows: first and last row, the last excluded.
        row_lines: the lines between blocks along y; None: the steps down the columns do not count.
        low, high: bounds of the columns, the last excluded.
        sizes: smallest and largest block size, pixels.

    Returns:
        The sum, and the columns.
    """
    y0, y1 = rows
    window, length = slice(low, high), high - low
    inside = steps.inside[y0:y1, window].sum(axis=0, dtype=np.float64)
    line = steps.line[y0:y1, window].sum(axis=0, dtype=np.float64)
    after = steps.line[y0:y1, high].sum() if high < steps.width else 0.0
    down = np.zeros(length)
    if row_lines is not None:
        within, between = steps.turned.inside[window].T, steps.turned.line[window].T
        down += within[y0 + 1 : y1].sum(axis=0, dtype=np.float64)
        down += (between[row_lines] - within[row_lines]).sum(axis=0, dtype=np.float64)
        down += between[y0]
        if y1 < steps.height:
            down += between[y1]
    grids = _grids(*sizes)
    columns = np.arange(low, high)
    if length * len(grids) > 20000:  # to save time, keep only the grids with the largest gain
        gain = line - inside
        worth = np.concatenate([np.bincount(columns % b, gain, minlength=b) for b in range(sizes[0], sizes[1] + 1)])
        grids = grids[np.argsort(-worth)[:40]]
    on = (columns - grids[:, 1:]) % grids[:, :1] == 0  # (G, length)
    step = np.where(on, line, inside)
    total = np.zeros((len(grids), length + 1))
    np.cumsum(step + down, axis=1, out=total[:, 1:])
    start = total[:, :length] + step - line - steps.corner * on
    ends = total[:, 2:] - np.minimum.accumulate(start, axis=1)[:, : length - 1] + np.append(line[2:], after)
    grid, end = divmod(int(ends.argmax()), length - 1)
    begin = int(start[grid, : end + 1].argmin())
    (size, first), start_at = map(int, grids[grid]), low + begin
    return float(ends[grid, end]), Span(start_at, low + end + 2, size, (start_at - first) % size)


def _grow(steps: Steps, seed: tuple[int, int, int, int], most: int) -> tuple[float, Span, Span]:
    """Grow a seed to the best area, by fitting columns and rows in turn: its score, and its spans along x and y."""
    y0, y1, x0, x1 = seed

    def refit(
        of: Steps,
        across: tuple[int, int],
        lines: np.ndarray | None,
        near: tuple[int, int],
        reach: int,
        sizes: tuple[int, int],
    ) -> tuple[float, Span]:
        return fit(of, across, lines, max(0, near[0] - reach), min(of.width, near[1] + reach), sizes)

    least = LEAST_BLOCK
    _, x = refit(steps, (y0, y1), None, (x0, x1), max(steps.reach // 3, 2 * (x1 - x0)), (least, most))
    y, last = Span(y0, y1, most, 0), -np.inf
    for _ in range(6):
        sizes = (x.size, x.size) if len(x.lines()) > 1 else (least, most)
        reach = max(steps.reach, 3 * (y.stop - y.start))
        _, y = refit(steps.turned, (x.start, x.stop), x.lines(), (y.start, y.stop), reach, sizes)
        sizes = (y.size, y.size) if len(y.lines()) > 1 else (least, most)
        reach = max(steps.reach, 3 * (x.stop - x.start))
        score, x = refit(steps, (y.start, y.stop), y.lines(), (x.start, x.stop), reach, sizes)
        if score <= last + 1e-6:
            break
        last = score
    if x.size != y.size and len(x.lines()) >= len(y.lines()):
        score, y = refit(steps.turned, (x.start, x.stop), x.lines(), (y.start, y.stop), 8, (x.size, x.size))
    elif x.size != y.size:
        score, x = refit(steps, (y.start, y.stop), y.lines(), (x.start, x.stop), 8, (y.size, y.size))
    return score, x, y


def search(steps: Steps, least: float, tries: int, most: int, done: Callable[[float, Box], list[Box]]) -> None:
    """Grow areas from the likeliest seeds, and pass each area with its score to `done`.

    Args:
        steps: the log-likelihood ratios of all steps; `done` may change them by `rule_out`.
        least: least score of a seed.
        tries: number of failed tries in a row after which the search stops.
        most: largest block size, pixels.
        done: decides about an area, and returns the areas that it accepted and ruled out; none: a failed try.
    """
    scores, places = zip(_seeds(steps, least), _seeds(steps.turned, least), strict=True)
    seeds, upright = np.concatenate(places), len(places[0])
    seen: set[Box] = set()
    used: list[Box] = []
    finished: list[Box] = []
    vain = 0
    for k in np.argsort(-np.concatenate(scores), kind="stable"):
        seed, flipped = tuple(seeds[k].tolist()), k >= upright
        y0, y1, x0, x1 = seed
        place = Box(y0, x0, y1, x1, 1, 0, 0) if flipped else Box(x0, y0, x1, y1, 1, 0, 0)
        if any(place.overlap(other) > 0.5 and other.pixels > place.pixels / 2 for other in used):
            continue
        if any(place.overlap(other) > 0.5 for other in finished):
            continue
        score, x, y = _grow(steps.turned if flipped else steps, seed, most)
        x, y = (y, x) if flipped else (x, y)
        box = Box(x.start, y.start, x.stop, y.stop, x.size, x.offset, y.offset)
        used += [place, box]
        vain += 1
        over = [] if box in seen else done(score, box)
        if over:
            finished += over
            used.clear()
            vain = 0
        seen.add(box)
        if vain == tries:
            break
