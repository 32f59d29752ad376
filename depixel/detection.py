"""Pixelated areas found by themselves: where they are, how large their blocks are, where the grid begins.

Both ways to find them are tests of one hypothesis: within blocks the picture is constant, at the lines between blocks
it may do what it wants, and outside it is a photo. Its log-likelihood ratio to "all is a photo" is added up over an
area, and the area, block size and phase with the largest sum are looked for.

In lossless pictures the ratio is that of each step between neighbouring pixels (`_Steps`). JPEG leaves nothing exactly
constant, but its errors are known: a coefficient of an 8 x 8 block is wrong by at most half of its quantization step.
There the ratio is that of the coefficients of what the block means leave over (`_Coefficients`). Smooth parts of a
photo say nothing either way: what is expected of a photo follows from the contrast around.
"""

import gc
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.fft import dct
from scipy.ndimage import uniform_filter, uniform_filter1d

LEAST_BLOCK = 2
MOST_BLOCK = 200
LEAST_JPEG_BLOCK = 4

EXACT = 0.05
"""Mean step within blocks that the lossless test allows for, gray levels: in effect none."""

AT_ONCE = 4_000_000
"""Pixels that are searched at once."""
_TILE, _OVERLAP = 2000, 400  # sides of tiles and of what two of them share, pixels; multiples of 8
_LARGEST = 12_000_000  # pixels of a window around an area that no tile shows whole

_WINDOW = 17  # pixels; over which the contrast of the surroundings is taken
_WINDOWS = (_WINDOW, 129)  # for blocks of up to twice as many pixels
_WRONG = 0.05  # share of an outer row or column of an area that may not be constant within blocks
_LINE = 6.0  # mean step between blocks / mean step around
_CORNER = 3.0  # by how much a grid that begins at the area's corner is likelier than any other, in each direction
_STRIPS = (4, 8, 16, 32)  # heights of the strips in which areas are first looked for, pixels
_BLOCK = 8  # of JPEG
_BASIS = dct(np.eye(_BLOCK), axis=0, norm="ortho")  # (8 frequencies, 8 pixels)
_WORST = -6.0  # a single coefficient says no more than this against an area

_FREQUENCY = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
_SPECTRUM = np.where(_FREQUENCY > 0, 7.5 / np.maximum(_FREQUENCY, 1) * np.exp(-_FREQUENCY / 12), 20.0)
"""(8, 8) mean size of a photo's coefficients / mean step around; fitted to photos of 64 and 128 pixels."""


class Found(NamedTuple):
    """A pixelated area.

    Attributes:
        x, y, width, height: pixels. block_size: pixels.
        offset_x, offset_y: how many columns and rows the first blocks lack, 0 to block_size - 1; 0 where blocks begin
            at the area's upper left corner.
        score: log-likelihood ratio, natural logarithm, of the area being pixelated and not a part of the photo.
        certain: the evidence is beyond what nearly all untouched photos show. There are limits of the score, of how
            much better blocks explain the area than one block does, and of how many neighbouring blocks differ; higher
            ones for blocks below 6 pixels in a JPEG, for grids that do not begin at the area's corner, and for larger
            JPEGs, which have more places to look alike by chance.
    """

    x: int
    y: int
    width: int
    height: int
    block_size: int
    offset_x: int
    offset_y: int
    score: float
    certain: bool


class _Box(NamedTuple):
    """An area [x0, x1) x [y0, y1) with its blocks; px and py are the offsets of `Found`."""

    x0: int
    y0: int
    x1: int
    y1: int
    size: int
    px: int
    py: int

    def overlap(self, other: "_Box") -> float:
        """Share of the smaller of the two that both cover."""
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(wide, 0) * max(high, 0) / min(self.pixels, other.pixels)

    @property
    def pixels(self) -> int:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def moved(self, x: int, y: int) -> "_Box":
        return self._replace(x0=self.x0 + x, x1=self.x1 + x, y0=self.y0 + y, y1=self.y1 + y)

    def plain(self) -> "_Box":
        """The same area; where no line is seen along an axis, the grid begins with the area."""
        x, y = self.lines()
        return self._replace(px=self.px if len(x) else 0, py=self.py if len(y) else 0)

    def odd(self) -> list[np.ndarray]:
        """The lines along those axes where the first block is cut off."""
        return [lines for lines, offset in zip(self.lines(), (self.px, self.py), strict=True) if offset]

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """The first columns and rows of all blocks but the first."""
        return _lines(self.x0, self.x1, self.size, self.px), _lines(self.y0, self.y1, self.size, self.py)


def _lines(start: int, stop: int, size: int, offset: int) -> np.ndarray:
    return np.arange(start + size - offset, stop, size)


def find(image: np.ndarray, check: Callable[[], None] = lambda: None) -> list[Found]:
    """Find the pixelated areas of a picture.

    A picture of more than `AT_ONCE` pixels is searched in tiles that overlap, and again around what reaches over the
    border of one, so that memory hardly grows with the picture.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8.
        check: called again and again; what it raises ends the search.

    Returns:
        The areas, certain ones first, then by score, none overlapping. Those that are not `certain` are guesses.
        Blocks of `LEAST_BLOCK` to `MOST_BLOCK` pixels, in a JPEG from `LEAST_JPEG_BLOCK`.

    Raises:
        ValueError: another shape or dtype.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"image must be (H, W) or (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if min(image.shape[:2]) < 2 * LEAST_BLOCK:
        return []
    if image.shape[0] * image.shape[1] <= AT_ONCE:
        gray = luma(image)
        found = _find(gray, quantization(gray), check)
    else:
        found = _find_in_tiles(image, check)
    return [
        Found(b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0, b.size, b.px, b.py, score, certain)
        for score, b, certain in _apart(found)
    ]


_Candidate = tuple[float, _Box, bool]
"""Score, area, and whether it is certain."""


def _find(gray: np.ndarray, table: np.ndarray | None, check: Callable[[], None]) -> list[_Candidate]:
    """The areas of a picture (H, W) float32 that has gone through this quantization last."""
    found = _exact(gray, table is not None, check)
    if table is not None:
        later = [_is_later(gray, table, box) for _, box, _ in found]  # pixelated after it was a JPEG
        before = [box for (_, box, _), after in zip(found, later, strict=True) if not after]
        found = [one for one, after in zip(found, later, strict=True) if after]
        if not any(certain for _, _, certain in found):
            found += _lossy(gray, table, before, check)
    return found


def _apart(found: list[_Candidate]) -> list[_Candidate]:
    """Certain ones first, then by score; those that overlap a better one left out."""
    kept: list[_Candidate] = []
    for candidate in sorted(found, key=lambda one: (-one[2], -one[0])):
        if all(candidate[1].overlap(other) < 0.2 for _, other, _ in kept):
            kept.append(candidate)
    return kept


class _Window(NamedTuple):
    """A part of a picture, [x0, x1) x [y0, y1); it begins at the corner of a JPEG block."""

    x0: int
    y0: int
    x1: int
    y1: int

    def cuts(self, box: _Box, shape: tuple[int, ...]) -> list[bool]:
        """Whether the area reaches the left, upper, right, lower border and the picture goes on behind it."""
        return [
            box.x0 == self.x0 > 0,
            box.y0 == self.y0 > 0,
            box.x1 == self.x1 < shape[1],
            box.y1 == self.y1 < shape[0],
        ]


def _find_in_tiles(image: np.ndarray, check: Callable[[], None]) -> list[_Candidate]:
    shape = image.shape[:2]
    middle = [slice(max(n // 2 - 500, 0) // _BLOCK * _BLOCK, n // 2 + 500) for n in shape]
    table = quantization(luma(image[middle[0], middle[1]]))

    def search(window: _Window) -> list[_Candidate]:
        found = _find(luma(image[window.y0 : window.y1, window.x0 : window.x1]), table, check)
        gc.collect()  # `_Steps` refer to each other, and are large
        return [(score, box.moved(window.x0, window.y0), certain) for score, box, certain in found]

    found = []
    for y in range(0, max(shape[0] - _OVERLAP, 1), _TILE - _OVERLAP):
        for x in range(0, max(shape[1] - _OVERLAP, 1), _TILE - _OVERLAP):
            window = _Window(x, y, min(x + _TILE, shape[1]), min(y + _TILE, shape[0]))
            for one in _apart(search(window)):
                found.append(_whole(one, window, shape, search))
    return found


def _whole(one: _Candidate, window: _Window, shape: tuple[int, ...], search: Callable) -> _Candidate:
    """The area as it is in a window that shows all of it; not certain if it is too large for one."""
    while any(cut := window.cuts(one[1], shape)):
        box = one[1]
        around = [n // _BLOCK * _BLOCK for n in (box.x1 - box.x0 + 64, box.y1 - box.y0 + 64)]
        grown = _Window(
            max(box.x0 - (around[0] if cut[0] else 64), 0) // _BLOCK * _BLOCK,
            max(box.y0 - (around[1] if cut[1] else 64), 0) // _BLOCK * _BLOCK,
            min(box.x1 + (around[0] if cut[2] else 64), shape[1]),
            min(box.y1 + (around[1] if cut[3] else 64), shape[0]),
        )
        if (grown.x1 - grown.x0) * (grown.y1 - grown.y0) > _LARGEST:
            return one[0], box, False
        better = [other for other in _apart(search(grown)) if other[1].overlap(box) > 0.5]
        if not better or grown == window:
            return one[0], box, False
        one, window = better[0], grown
    return one


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: the luminance that JPEG codes (ITU-R BT.601), 0..255, not rounded."""
    return (image if image.ndim == 2 else image @ np.array([0.299, 0.587, 0.114])).astype(np.float32)


# JPEG's quantization, seen in the pixels

_STANDARD = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(8, 8)  # fmt: skip
"""The table of luminance of the JPEG standard (ITU-T T.81, annex K), which nearly all programs scale by a quality."""


def standard_table(quality: int) -> np.ndarray:
    """(8, 8) quantization steps of the luminance at a quality of 1 to 100, as libjpeg has them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_STANDARD * percent + 50) // 100, 1, 255)


def quantization(gray: np.ndarray) -> np.ndarray | None:
    """Which JPEG quantization the pixels have last gone through.

    A coefficient is near a multiple of its step, up to the rounding of pixels; steps are those under which the
    coefficients of up to 2 000 blocks are likeliest, of the standard's tables.

    Args:
        gray: (H, W) float, luminance, of which blocks begin in the upper left corner.

    Returns:
        (8, 8) integers, or None: no JPEG, or one of so high a quality that it cannot be told.
    """
    blocks = _blocks(gray).reshape(-1, _BLOCK, _BLOCK)
    blocks = blocks[(blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < 255)]  # clipping spoils coefficients
    if len(blocks) < 4:
        return None
    blocks = blocks[:: -(-len(blocks) // 2000)]
    values = np.abs(_BASIS @ (blocks - 128) @ _BASIS.T)
    told = values > 1.5  # those that are zero fit any step
    steps = np.arange(1, 122)
    likely = np.zeros((len(steps), _BLOCK, _BLOCK))
    for i, step in enumerate(steps):
        off = values - step * np.round(values / step)
        near = np.exp(-0.5 * (off / _ROUNDING) ** 2) / (_ROUNDING * np.sqrt(2 * np.pi))
        likely[i] = (np.log(0.95 * step * near + 0.05) * told).sum(axis=0)
    rows, columns = np.indices((_BLOCK, _BLOCK))
    tables = [standard_table(quality) for quality in range(20, 100)]
    totals = [likely[np.minimum(table, 121) - 1, rows, columns].sum() for table in tables]
    best = int(np.argmax(totals))
    gain = (totals[best] - likely[0].sum()) / max(told.sum(), 1)
    return tables[best] if gain > _GAIN else None


_BLOCKY = 4.0  # steps between constant JPEG blocks are smaller, gray levels
_LIMIT, _LIMIT_FINE, _LIMIT_ODD = 80.0, 105.0, 400.0  # of what is certain in a JPEG of 64 x 64 pixels
_FINE = 6  # smaller blocks are more easily seen where there are none, pixels
_MORE_PLACES = 18.0  # by how much the limits rise when a picture has e times the pixels
_TRIES = 24  # areas of a JPEG that are tried; a third of them to the end
_MOST_SCANNED = 90_000  # pixels of a picture of which each grid is tried everywhere
_ENDLESS = 1_000_000  # a block without end
_ROUNDING = 0.45  # standard deviation that rounding of pixels and of colors gives a coefficient
_GAIN = 0.25  # a coefficient; to tell a JPEG


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """(rows, columns, 8, 8): the whole JPEG blocks of a picture."""
    high, wide = (n // _BLOCK for n in pixels.shape)
    return pixels[: high * _BLOCK, : wide * _BLOCK].reshape(high, _BLOCK, wide, _BLOCK).transpose(0, 2, 1, 3)


# Steps between neighbouring pixels


class _Steps:
    """What every step between neighbouring pixels says: log-likelihood ratios to a photo's.

    Steps within blocks, between blocks and in a photo have mean sizes of `noise`, 6 times that around, and that around,
    with a heavy tail: the density at a step s of mean size a is 2/a (1 + s/a)^-3.

    Attributes:
        inside, line: (H, W) float32, of the steps from the left neighbour, within a block and between two.
        turned: the same of the transposed picture.
    """

    def __init__(self, inside: np.ndarray, line: np.ndarray):
        self.inside, self.line = inside, line
        self.height, self.width = inside.shape
        self.turned: _Steps
        self.reach = 3 * _WINDOW

    @classmethod
    def of(
        cls,
        gray: np.ndarray,
        noise: tuple = (EXACT, EXACT),
        smooth: int = 1,
        dull: np.ndarray | None = None,
        window: int = _WINDOW,
    ) -> "_Steps":
        """Of a picture (H, W) float32; where `dull`, steps say nothing. `noise` is that of steps across and down;
        `window`: over how many pixels the contrast around is taken, not much less than the largest blocks."""
        steps = [np.zeros_like(gray), np.zeros_like(gray)]
        steps[0][:, 1:] = np.abs(np.diff(uniform_filter1d(gray, smooth, axis=0), axis=1))
        steps[1][1:] = np.abs(np.diff(uniform_filter1d(gray, smooth, axis=1), axis=0))
        around = uniform_filter((steps[0] + steps[1]) / 2, window, mode="nearest")
        both = []
        for axis, (step, level) in enumerate(zip(steps, noise, strict=True)):
            scale = np.maximum(around, level)
            tail = np.log1p(step / scale)
            inside = (np.log(scale / level) + 3 * (tail - np.log1p(step / level))) / smooth
            line = (3 * (tail - np.log1p(step / (_LINE * scale))) - np.float32(np.log(_LINE))) / smooth
            for ratio in (inside, line):
                ratio[(slice(None), 0) if axis == 0 else 0] = 0
                if dull is not None:
                    ratio[dull] = 0
            both.append((inside.T, line.T) if axis else (inside, line))
        across, down = (cls(*pair) for pair in both)
        across.turned, down.turned = down, across
        across.reach = down.reach = 3 * window
        return across


def _seeds(steps: _Steps, least: float) -> list[tuple[float, int, int, int, int]]:
    """Stretches of strips of rows that look like blocks in a row: (score, y0, y1, x0, x1)."""
    found = []
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
        begins = rise <= 0
        begins[:, 0] = True
        begins = np.flatnonzero(begins)
        peaks = np.maximum.reduceat(rise.reshape(-1), begins)
        ends = np.append(begins[1:], rise.size)
        for k in np.flatnonzero(peaks >= least):
            row, start = divmod(int(begins[k]), steps.width)
            stop = start + int(rise.reshape(-1)[begins[k] : ends[k]].argmax()) + 1
            found.append((float(peaks[k]), int(tops[row]), int(tops[row]) + high, start, stop))
    return found


class _Span(NamedTuple):
    """Along one axis: pixels [start, stop), with lines at phase + k size."""

    start: int
    stop: int
    size: int
    phase: int

    @property
    def offset(self) -> int:
        return (self.start - self.phase) % self.size

    def lines(self) -> np.ndarray:
        return _lines(self.start, self.stop, self.size, self.offset)


@lru_cache(maxsize=64)
def _grids(least: int, most: int) -> np.ndarray:
    """(G, 2): every size in the range with every phase."""
    return np.array([(size, phase) for size in range(least, most + 1) for phase in range(size)])


def _fit(
    steps: _Steps, rows: tuple[int, int], row_lines: np.ndarray | None, low: int, high: int, sizes: tuple[int, int]
) -> tuple[float, _Span]:
    """The best columns within [low, high) for given rows, and the grid's size and phase along x, with their score.

    For each grid, the stretch with the largest sum. With row_lines None the steps down the columns do not count.
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
    if length * len(grids) > 20000:  # those whose lines gain most
        gain = line - inside
        worth = np.concatenate([np.bincount(columns % b, gain, minlength=b) for b in range(sizes[0], sizes[1] + 1)])
        grids = grids[np.argsort(-worth)[:40]]
    on = (columns - grids[:, 1:]) % grids[:, :1] == 0  # (G, length)
    step = np.where(on, line, inside)
    total = np.zeros((len(grids), length + 1))
    np.cumsum(step + down, axis=1, out=total[:, 1:])
    start = total[:, :length] + step - line - _CORNER * on
    ends = total[:, 2:] - np.minimum.accumulate(start, axis=1)[:, : length - 1] + np.append(line[2:], after)
    grid, end = divmod(int(ends.argmax()), length - 1)
    begin = int(start[grid, : end + 1].argmin())
    return float(ends[grid, end]), _Span(low + begin, low + end + 2, *map(int, grids[grid]))


def _grow(steps: _Steps, seed: tuple[float, int, int, int, int], most: int) -> tuple[float, _Span, _Span]:
    """From a seed to the best area, columns for the rows and rows for the columns in turn: score, along x, along y."""
    _, y0, y1, x0, x1 = seed

    def fit(of: _Steps, across: tuple[int, int], lines: np.ndarray | None, near: tuple[int, int], reach: int, sizes):
        return _fit(of, across, lines, max(0, near[0] - reach), min(of.width, near[1] + reach), sizes)

    least = LEAST_BLOCK
    _, x = fit(steps, (y0, y1), None, (x0, x1), max(steps.reach // 3, 2 * (x1 - x0)), (least, most))
    y, last = _Span(y0, y1, most, y0), -np.inf
    for _ in range(6):
        sizes = (x.size, x.size) if len(x.lines()) > 1 else (least, most)
        reach = max(steps.reach, 3 * (y.stop - y.start))
        _, y = fit(steps.turned, (x.start, x.stop), x.lines(), (y.start, y.stop), reach, sizes)
        sizes = (y.size, y.size) if len(y.lines()) > 1 else (least, most)
        reach = max(steps.reach, 3 * (x.stop - x.start))
        score, x = fit(steps, (y.start, y.stop), y.lines(), (x.start, x.stop), reach, sizes)
        if score <= last + 1e-6:
            break
        last = score
    if x.size != y.size and len(x.lines()) >= len(y.lines()):
        score, y = fit(steps.turned, (x.start, x.stop), x.lines(), (y.start, y.stop), 8, (x.size, x.size))
    elif x.size != y.size:
        score, x = fit(steps, (y.start, y.stop), y.lines(), (x.start, x.stop), 8, (y.size, y.size))
    return score, x, y


def _candidates(
    steps: _Steps, least: float, tries: int, most: int, done: Callable[[float, _Box], bool] = lambda score, box: False
) -> list[tuple[float, _Box]]:
    """The areas that grow from the likeliest seeds; no more seeds are tried within an area that is `done`,
    and none after `tries` of them in vain."""
    seeds = [(seed, False) for seed in _seeds(steps, least)] + [(seed, True) for seed in _seeds(steps.turned, least)]
    seeds.sort(key=lambda one: -one[0][0])
    found: dict[_Box, float] = {}
    used: list[_Box] = []
    finished: list[_Box] = []
    vain = 0
    for seed, flipped in seeds:
        _, y0, y1, x0, x1 = seed
        place = _Box(y0, x0, y1, x1, 1, 0, 0) if flipped else _Box(x0, y0, x1, y1, 1, 0, 0)
        if any(place.overlap(other) > 0.5 and other.pixels > place.pixels / 2 for other in used):
            continue
        if any(place.overlap(other) > 0.5 for other in finished):
            continue
        score, x, y = _grow(steps.turned if flipped else steps, seed, most)
        x, y = (y, x) if flipped else (x, y)
        box = _Box(x.start, y.start, x.stop, y.stop, x.size, x.offset, y.offset)
        used += [place, box]
        vain += 1
        if box not in found and done(score, box):
            finished.append(box)
            vain = 0
        found[box] = score
        if vain == tries:
            break
    return [(score, box) for box, score in found.items()]


class _Traits(NamedTuple):
    """What a decision on an area of a lossless picture rests on; mean log-likelihood ratios.

    Attributes:
        lines: of a step at the lines between blocks being no step within one; line_pixels: how many. sides: the same of
            the area's sides, the mean of the four. inside: of a step within blocks being none of a photo.
    """

    lines: float
    line_pixels: int
    sides: float
    inside: float


def _traits(steps: _Steps, box: _Box) -> _Traits:
    lines, sides, inside = [], [], []
    for of, (x0, x1), (y0, y1), at in (
        (steps, (box.x0, box.x1), (box.y0, box.y1), box.lines()[0]),
        (steps.turned, (box.y0, box.y1), (box.x0, box.x1), box.lines()[1]),
    ):
        rows = slice(y0, y1)
        lines.append((of.line[rows, at] - of.inside[rows, at]).ravel())
        sides += [_side(of, rows, edge) for edge in (x0, x1) if 0 < edge < of.width]
        inside.append(np.delete(of.inside[rows, x0:x1], np.append(at - x0, 0), axis=1).ravel())
    lines, inside = map(np.concatenate, (lines, inside))
    return _Traits(
        lines=float(lines.mean()) if lines.size else 0.0,
        line_pixels=lines.size,
        sides=float(np.mean(sides)) if sides else 4.0,  # the whole picture
        inside=float(inside.mean()) if inside.size else 0.0,
    )


def _side(steps: _Steps, rows: slice, column: int) -> float:
    """How much likelier the steps into a column are to be a side of blocks than to be within one; the mean."""
    return float((steps.line[rows, column] - steps.inside[rows, column]).mean())


def _dull(gray: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of constant JPEG blocks that hardly differ from their left and upper neighbours.

    Where JPEG itself made blocks, they say nothing of pixelation.
    """
    blocks = _blocks(gray)
    flat = blocks.max(axis=(2, 3)) == blocks.min(axis=(2, 3))
    dull = np.zeros(gray.shape, dtype=bool)
    flat = flat.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    dull[: flat.shape[0], : flat.shape[1]] = flat
    dull[:, 1:] &= np.abs(np.diff(gray, axis=1)) < _BLOCKY
    dull[1:] &= np.abs(np.diff(gray, axis=0)) < _BLOCKY
    return dull


def _exact(gray: np.ndarray, was_jpeg: bool, check: Callable[[], None]) -> list[_Candidate]:
    """Areas whose blocks are exactly constant, with scores and whether they are certain."""
    dull = _dull(gray) if was_jpeg else None
    found: list[_Candidate] = []
    for window in _WINDOWS:
        if window > _WINDOW and window > min(gray.shape) // 4:
            break
        steps = _Steps.of(gray, dull=dull, window=window)

        def decided(score: float, grown: _Box, steps: _Steps = steps) -> bool:
            check()
            score, box = _regridded(gray, steps, score, grown)
            box = _peeled(gray, steps, _trimmed(gray, box)).plain()
            verdict = _verdict(score, box, _traits(steps, box), _differ(gray, box, 1, was_jpeg))
            if verdict is not None:
                found.append((score, box, verdict))
            return bool(verdict)

        _candidates(
            steps,
            15.0,
            _TRIES if gray.size > 1_000_000 else 3 * _TRIES,
            min(MOST_BLOCK, max(gray.shape), 2 * window),
            decided,
        )
    return found


def _regridded(gray: np.ndarray, steps: _Steps, score: float, box: _Box) -> tuple[float, _Box]:
    """The grid that follows from where pixels of the area differ, and the area that is best under it."""
    area = gray[box.y0 : box.y1, box.x0 : box.x1]
    x, y = (np.flatnonzero((np.diff(area, axis=1 - axis) != 0).any(axis=axis)) + 1 for axis in (0, 1))
    size, px, py = int(np.gcd.reduce(np.append(x, y))) if x.size + y.size else 0, 0, 0
    if size < LEAST_BLOCK:
        size = int(np.gcd.reduce(np.append(np.diff(x), np.diff(y)))) if x.size + y.size > 2 else 0
        px, py = (int(-at[0] % size) if at.size and size else 0 for at in (x, y))
    if size < LEAST_BLOCK:
        return score, box
    box = box._replace(size=size, px=px, py=py)
    for _ in range(2):
        x_lines, near = box.lines()[0], (max(0, box.y0 - size), min(steps.height, box.y1 + size))
        _, down = _fit(steps.turned, (box.x0, box.x1), x_lines, *near, (size, size))
        near = max(0, box.x0 - size), min(steps.width, box.x1 + size)
        new, across = _fit(steps, (down.start, down.stop), down.lines(), *near, (size, size))
        if new < score:
            break
        score = new
        box = _Box(across.start, down.start, across.stop, down.stop, size, across.offset, down.offset)
    return score, box


def _trimmed(gray: np.ndarray, box: _Box) -> _Box:
    """Less the outer rows and columns that are not constant within blocks: smooth parts of the photo."""
    area = gray[box.y0 : box.y1, box.x0 : box.x1]
    x, y = box.lines()
    across, down = np.diff(area, axis=1, prepend=area[:, :1]) != 0, np.diff(area, axis=0, prepend=area[:1]) != 0
    across[:, x - box.x0] = down[y - box.y0] = False
    wrong = across | down
    top, bottom, left, right = 0, area.shape[0], 0, area.shape[1]
    while min(bottom - top, right - left) > LEAST_BLOCK:
        part = wrong[top:bottom, left:right]
        # a step is noted at its second pixel: the first row or column is wrong where the next one differs from it
        shares = [part[1].mean(), part[-1].mean(), part[:, 1].mean(), part[:, -1].mean()]
        worst = int(np.argmax(shares))
        if shares[worst] <= _WRONG:
            break
        top, bottom, left, right = top + (worst == 0), bottom - (worst == 1), left + (worst == 2), right - (worst == 3)
    return _Box(
        box.x0 + left,
        box.y0 + top,
        box.x0 + right,
        box.y0 + bottom,
        box.size,
        (box.px + left) % box.size,
        (box.py + top) % box.size,
    )


def _peeled(gray: np.ndarray, steps: _Steps, box: _Box) -> _Box:
    """Less the outer rows and columns of blocks that are of one value and end in no step: smooth parts of the photo."""
    for _ in range(MOST_BLOCK):
        x, y = box.lines()
        if not (len(x) and len(y)):
            break
        rows, columns = slice(box.y0, box.y1), slice(box.x0, box.x1)
        sides = (
            (steps, rows, box.x0, gray[rows, box.x0 : x[0]], {"x0": int(x[0]), "px": 0}),
            (steps, rows, box.x1, gray[rows, x[-1] : box.x1], {"x1": int(x[-1])}),
            (steps.turned, columns, box.y0, gray[box.y0 : y[0], columns], {"y0": int(y[0]), "py": 0}),
            (steps.turned, columns, box.y1, gray[y[-1] : box.y1, columns], {"y1": int(y[-1])}),
        )
        for of, along, edge, outer, change in sides:
            ends = 0 < edge < of.width and _side(of, along, edge) >= 2
            if not ends and outer.min() == outer.max():
                box = box._replace(**change)
                break
        else:
            break
    return box


def _verdict(score: float, box: _Box, traits: _Traits, differ: bool) -> bool | None:
    """Certain, uncertain, or None: not pixelated."""
    odd = box.odd()
    thin = min(box.x1 - box.x0, box.y1 - box.y0) < 3
    if thin or not traits.line_pixels or score < 100 or traits.inside < 1.1 or traits.sides < 3:
        return None
    if not differ or any(len(at) < 3 for at in odd):  # where a grid begins is seen by its lines
        return False
    return bool(traits.lines >= 1 and traits.sides > (3.5 if odd else 3) and score > (1200 if odd else 220))


def _differ(gray: np.ndarray, box: _Box, least: float, was_jpeg: bool) -> bool:
    """Whether along each axis a third of neighbouring blocks differ by `least` gray levels, as in photos.

    In drawings and in smooth parts few do. Blocks that are those of JPEG must differ more: these do so by themselves.
    """
    x, y = (np.append(0, lines - start) for lines, start in zip(box.lines(), (box.x0, box.y0), strict=True))
    area = gray[box.y0 : box.y1, box.x0 : box.x1]
    wide, high = np.diff(np.append(x, area.shape[1])), np.diff(np.append(y, area.shape[0]))
    means = np.add.reduceat(np.add.reduceat(area, y, axis=0, dtype=np.float64), x, axis=1) / (high[:, None] * wide)
    jumps = [np.abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1)]
    if was_jpeg and _is_aligned(box):
        least = max(least, 2 * _BLOCKY)
    return all((of >= least).mean() >= 1 / 3 for of in jumps if of.size)


# Coefficients of JPEG blocks


class _Coefficients:
    """How well blocks explain an area of a picture that was saved as JPEG after it was pixelated.

    What the block means leave over is error of the quantization where the hypothesis is right: its coefficients have
    the variance q^2 / 12. In a photo they also have that of `_SPECTRUM`. Where an area covers a JPEG block in part,
    both leak from frequency to frequency in a known way.

    Args:
        gray: (H, W) float32; JPEG's blocks begin in its upper left corner. table: (8, 8) quantization steps.
    """

    def __init__(self, gray: np.ndarray, table: np.ndarray):
        self.height, self.width = gray.shape
        self.gray = gray
        self.noise = table**2 / 12 + 1 / 12  # of the quantization and of rounding pixels
        self.noise[0, 0] += _BLOCK**2 / 12  # all pixels of a constant block are rounded alike
        steps = np.zeros_like(gray)
        steps[:, 1:] = np.abs(np.diff(gray, axis=1))
        steps[1:] += np.abs(np.diff(gray, axis=0))
        around = uniform_filter(steps / 2, _WINDOW, mode="nearest")
        padding = [(0, -n % _BLOCK) for n in gray.shape]
        self.contrast = _blocks(np.pad(around, padding, mode="edge")).mean(axis=(2, 3)) ** 2  # of each JPEG block
        self._known: dict[_Box, float] = {}

    def score(self, box: _Box) -> float:
        """The log-likelihood ratio; coefficients of a block that is covered in part count in part."""
        area = self.gray[box.y0 : box.y1, box.x0 : box.x1].astype(np.float64)
        x, y = (np.append(0, lines - start) for lines, start in zip(box.lines(), (box.x0, box.y0), strict=True))
        wide, high = np.diff(np.append(x, area.shape[1])), np.diff(np.append(y, area.shape[0]))
        means = np.add.reduceat(np.add.reduceat(area, y, axis=0), x, axis=1) / (high[:, None] * wide)
        first_x, leak_x, share_x = _cover(box.x0, box.x1)
        first_y, leak_y, share_y = _cover(box.y0, box.y1)
        left = np.zeros((_BLOCK * len(share_y), _BLOCK * len(share_x)))
        top, begin = box.y0 - _BLOCK * first_y, box.x0 - _BLOCK * first_x
        left[top : top + len(area), begin : begin + area.shape[1]] = area - means.repeat(high, 0).repeat(wide, 1)
        found = np.abs(_BASIS @ _blocks(left) @ _BASIS.T)  # (rows, columns, 8, 8)
        contrast = self.contrast[first_y : first_y + len(share_y), first_x : first_x + len(share_x), None, None]
        noise = leak_y[:, None] @ self.noise @ leak_x
        photo = leak_y[:, None] @ _natural(box.size) @ leak_x * contrast
        return float((_ratios(found, noise, photo).sum(axis=(2, 3)) * share_y[:, None] * share_x).sum())

    def worth(self, box: _Box) -> float:
        """`score`, less what an unusual grid costs; minus infinity for what is no area."""
        if box not in self._known:
            wide, high = box.x1 - box.x0, box.y1 - box.y0
            fits = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= self.width and box.y1 <= self.height
            fits &= min(wide, high) >= LEAST_JPEG_BLOCK and LEAST_JPEG_BLOCK <= box.size <= MOST_BLOCK
            fits = fits and any(map(len, box.lines()))
            cost = 2 * _CORNER * ((box.px != 0) + (box.py != 0))
            self._known[box] = self.score(box) - cost if fits else -np.inf
        return self._known[box]

    def climb(self, box: _Box, sweeps: int) -> tuple[float, _Box]:
        """The best area that small changes lead to."""
        best = self.worth(box)
        for _ in range(sweeps):
            before = best
            for change in _CHANGES if box.pixels < _LARGE else _CHANGES_OF_LARGE:
                options = change(box) or [box]
                values = [self.worth(option) for option in options]
                top = int(np.argmax(values))
                if values[top] > best + 1e-9:
                    best, box = values[top], options[top]
            if best <= before:
                break
        return best, box


def _ratios(found: np.ndarray, noise: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Log-likelihood ratios of coefficients being noise (Gaussian) and not a photo's (heavy-tailed) with noise."""
    scale = np.sqrt(noise + photo)
    quiet = np.sqrt(2 / np.pi / noise) * np.exp(-np.minimum(found**2 / (2 * noise), 30))
    loud = 2 / scale * (1 + found / scale) ** -3
    share = photo / (photo + noise)
    ratios = np.maximum(-np.log(share * loud / quiet + 1 - share), _WORST)
    return np.where(
        found**2 < noise, np.maximum(ratios, 0), ratios
    )  # what was rounded to nothing speaks not against it


@lru_cache(maxsize=100_000)
def _cover(start: int, stop: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Along one axis: the first JPEG block of [start, stop), how frequencies leak in each (n, 8, 8), shares (n,)."""
    first = start // _BLOCK
    pixels = np.arange(_BLOCK * first, _BLOCK * -(-stop // _BLOCK)).reshape(-1, _BLOCK)
    inside = (pixels >= start) & (pixels < stop)
    return first, ((_BASIS * inside[:, None]) @ _BASIS.T) ** 2, inside.mean(axis=1)


@lru_cache(maxsize=MOST_BLOCK)
def _natural(size: int) -> np.ndarray:
    """(8, 8): the variance of what the means of blocks of this size leave of a photo's coefficients."""
    angle = np.pi * np.arange(1, _BLOCK) / (2 * _BLOCK)
    kept = np.append(1, np.sin(size * angle) / (size * np.sin(angle))) ** 2
    return _SPECTRUM**2 * (1 - np.multiply.outer(kept, kept))


def _parts(size: int) -> list[int]:
    """Sizes of which this one is a multiple: where few lines are strong, a multiple is found first."""
    return [size // n for n in range(2, size // LEAST_JPEG_BLOCK + 1) if size % n == 0]


_NEAR = (-4, -2, -1, 1, 2, 4)
_LARGE = 20_000  # pixels of an area of which steps say nearly all
_CHANGES_OF_LARGE = [
    lambda b: [b._replace(x1=b.x1 + d) for d in (-1, 1)],
    lambda b: [b._replace(y1=b.y1 + d) for d in (-1, 1)],
    lambda b: [b._replace(x0=b.x0 + d, px=(b.px + k) % b.size) for d in (-1, 1) for k in (0, d)],
    lambda b: [b._replace(y0=b.y0 + d, py=(b.py + k) % b.size) for d in (-1, 1) for k in (0, d)],
    lambda b: [b._replace(px=0, py=0)],
    lambda b: [b._replace(size=size, px=b.px % size, py=b.py % size) for size in _parts(b.size)],
]  # fmt: skip
_CHANGES = [
    lambda b: [b._replace(x1=b.x1 + d) for d in (-8, *_NEAR, 8)],
    lambda b: [b._replace(y1=b.y1 + d) for d in (-8, *_NEAR, 8)],
    lambda b: [b._replace(x0=b.x0 + d, px=(b.px + d) % b.size) for d in (-8, *_NEAR, 8)],
    lambda b: [b._replace(y0=b.y0 + d, py=(b.py + d) % b.size) for d in (-8, *_NEAR, 8)],
    lambda b: [b._replace(x0=b.x0 + d) for d in (-2, -1, 1, 2)],
    lambda b: [b._replace(y0=b.y0 + d) for d in (-2, -1, 1, 2)],
    lambda b: [b.moved(d, 0) for d in _NEAR] + [b.moved(0, d) for d in _NEAR],
    lambda b: [b._replace(px=p % b.size) for p in (0, b.px - 2, b.px - 1, b.px + 1, b.px + 2)],
    lambda b: [b._replace(py=p % b.size) for p in (0, b.py - 2, b.py - 1, b.py + 1, b.py + 2)],
    lambda b: [b._replace(px=0, py=0), b._replace(x0=b.x0 - b.px, px=0), b._replace(y0=b.y0 - b.py, py=0)],
    lambda b: [
        b._replace(size=size, px=b.px % size * keep, py=b.py % size * keep)
        for size in (b.size // 2, b.size - 2, b.size - 1, b.size + 1, b.size + 2, 2 * b.size) if size > 1
        for keep in (0, 1)
    ],
    lambda b: [b._replace(size=size, px=b.px % size, py=b.py % size) for size in _parts(b.size)],
    lambda b: [b._replace(size=size, px=0, py=0) for size in {b.x1 - b.x0 - 1, b.y1 - b.y0 - 1} if size > 1],
]  # fmt: skip


def _is_aligned(box: _Box) -> bool:
    """Whether blocks consist of whole ones of JPEG."""
    return not any(n % _BLOCK for n in (box.x0 - box.px, box.y0 - box.py, box.size))


def _is_later(gray: np.ndarray, table: np.ndarray, box: _Box) -> bool:
    """Whether the pixels of an area do not look as if they had gone through the quantization."""
    touched = _blocks(gray)[box.y0 // 8 : -(-box.y1 // 8), box.x0 // 8 : -(-box.x1 // 8)]
    values = _BASIS @ (touched - 128) @ _BASIS.T
    off = np.abs(values - table * np.round(values / table))
    off[:, :, 0, 0] = 0  # of a constant block, all rounding is here
    known = (touched.min(axis=(2, 3)) > 0) & (touched.max(axis=(2, 3)) < 255)
    return bool((off.max(axis=(2, 3))[known] > 4 * _ROUNDING).mean() > 0.3) if known.any() else True


def _lossy(gray: np.ndarray, table: np.ndarray, starts: list[_Box], check: Callable[[], None]) -> list[_Candidate]:
    """Areas of a JPEG, with scores and whether they are certain; `starts` are first guesses."""
    most = min(MOST_BLOCK, max(gray.shape))
    coefficients = _Coefficients(gray, table)
    found: list[_Candidate] = []

    def decided(start: _Box, sweeps: int = 10) -> bool:
        check()
        score, box = coefficients.climb(start, sweeps)
        for times in range(MOST_BLOCK // box.size, 1, -1):  # the largest blocks that explain it about as well
            size = times * box.size
            coarse = box._replace(
                size=size,
                px=-(box.size - box.px) % size if box.px else 0,
                py=-(box.size - box.py) % size if box.py else 0,
            )
            if (worth := coefficients.worth(coarse)) > 0.95 * score:
                score, box = worth, coarse
                break
        box = box.plain()
        lines = score - coefficients.score(box._replace(size=_ENDLESS, px=0, py=0))
        verdict = _judged(score, lines, box, gray.size)
        if verdict and not _differ(gray, box, 1.5, was_jpeg=True):
            verdict = False
        if verdict is not None:
            found.append((score, box, verdict))
        return bool(verdict)

    large = gray.size > _MOST_SCANNED
    tries = int(_TRIES * np.clip(gray.size / 4096, 1, 4))
    ways = [(2, _WINDOW), (4, _WINDOW)] + [(4, window) for window in _WINDOWS[1:] if window <= min(gray.shape) // 4]
    for smooth, window in ways:
        steps = _Steps.of(gray, _step_noise(table, smooth, gray.shape), smooth, window=window)
        if large:
            _candidates(steps, 4.0, _TRIES, most, lambda _, box: decided(box))
        else:
            starts = starts + [box for _, box in _candidates(steps, 4.0, tries // 2, most)]
        del steps
    if not large:
        starts = starts + _scan(coefficients, 16 if gray.size <= 4096 else 48)
    ranked = sorted({(coefficients.worth(box), box) for box in starts}, reverse=True)[:tries]
    begun = sorted({coefficients.climb(box, 1) for _, box in ranked}, reverse=True)
    for value, start in begun[: tries // 3]:
        if value >= 4 and not any(start.overlap(other) > 0.9 for _, other, _ in found):
            decided(start)
    return found


def _judged(score: float, lines: float, box: _Box, pixels: int) -> bool | None:
    """Certain, uncertain, or None: not worth telling.

    lines: by how much the blocks explain the area better than one block does. A photo has smooth rectangles, but
    hardly any with steps in such places, and fewer that begin where the blocks do; it has more of them the more
    pixels it has.
    """
    odd = box.odd()
    limit = _LIMIT_ODD if odd else _LIMIT if box.size >= _FINE else _LIMIT_FINE
    limit += _MORE_PLACES * max(np.log(pixels / 4096), 0)
    both = score + 0.2 * min(lines, 200)
    if lines < 40 or both < 0.6 * limit:
        return None
    return bool(lines > 65 and both > limit and all(len(at) > 2 for at in odd))  # a grid's phase is seen by its lines


@lru_cache(maxsize=8)
def _step_noise_of(table: bytes, smooth: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.frombuffer(table, dtype=np.int64).reshape(8, 8)
    error = (np.random.default_rng(0).random((32, 32, 8, 8)) - 0.5) * steps
    pixels = (_BASIS.T @ error @ _BASIS).transpose(0, 2, 1, 3).reshape(256, 256)
    levels = []
    for axis in (1, 0):
        step = np.abs(np.diff(uniform_filter1d(pixels, smooth, axis=1 - axis), axis=axis, prepend=0))
        levels.append(np.maximum(_blocks(step[8:-8, 8:-8]).mean(axis=(0, 1)), 0.3).astype(np.float32))
    return tuple(levels)


def _step_noise(table: np.ndarray, smooth: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) twice: mean size of the errors of steps across and down, by their place in the JPEG block."""
    times = [-(-n // _BLOCK) for n in shape]
    return tuple(
        np.tile(level, times)[: shape[0], : shape[1]]
        for level in _step_noise_of(table.astype(np.int64).tobytes(), smooth)
    )


def _scan(coefficients: _Coefficients, top: int = 16) -> list[_Box]:
    """Areas to start from: for each grid along x or y, the JPEG blocks whose rows or columns it explains best."""
    sizes = (LEAST_JPEG_BLOCK, 16)
    tiles, contrast = _blocks(coefficients.gray.astype(np.float64)), coefficients.contrast
    high, wide = tiles.shape[:2]
    contrast = contrast[:high, :wide]
    maps = []
    for turned in (False, True):
        pixels, around, noise = (
            (tiles.transpose(1, 0, 3, 2), contrast.T, coefficients.noise.T)
            if turned
            else (tiles, contrast, coefficients.noise)
        )
        which, projections = _patterns(pixels.shape[1], *sizes)
        table = _explained(pixels, around, noise, projections)  # (P, halves, blocks)
        maps.append(table[which, :, np.arange(pixels.shape[1])].transpose(0, 2, 1))  # (G, halves, blocks)
    grids, out = _grids(*sizes), []
    for turned, (of, others) in enumerate((maps, maps[::-1])):
        for g, r0, r1, c0, c1 in _best_rectangles(of, top):
            size, phase = map(int, grids[g])
            same = np.flatnonzero(grids[:, 0] == size)
            sums = others[same][:, 2 * c0 : 2 * c1, r0 // 2 : -(-r1 // 2)].sum(axis=(1, 2))
            for other in grids[same[np.argsort(-sums)[:2]], 1]:
                x0, y0, x1, y1 = 8 * c0, 4 * r0, 8 * c1, 4 * r1
                px, py = (x0 - phase) % size, int(y0 - other) % size
                out.append(_Box(y0, x0, y1, x1, size, py, px) if turned else _Box(x0, y0, x1, y1, size, px, py))
    return out


@lru_cache(maxsize=16)
def _patterns(count: int, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """How grids cut JPEG blocks in a row: (G, count) which of the projections (P, 8, 8) onto constant stretches."""
    grids = _grids(least, most)
    on = (np.arange(_BLOCK * count) - grids[:, 1:]) % grids[:, :1] == 0
    on = on.reshape(len(grids), count, _BLOCK)
    on[:, :, 0] = True
    codes, which = np.unique(on @ (1 << np.arange(_BLOCK)), return_inverse=True)
    projections = np.zeros((len(codes), _BLOCK, _BLOCK))
    for projection, code in zip(projections, codes, strict=True):
        for a, b in pairwise([i for i in range(_BLOCK) if code >> i & 1] + [_BLOCK]):
            projection[a:b, a:b] = 1 / (b - a)
    return which.reshape(on.shape[:2]), projections


def _explained(pixels: np.ndarray, contrast: np.ndarray, noise: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """(P, 2 rows, columns): log-likelihood ratios of the upper and lower half of JPEG blocks being constant in x."""
    out = []
    for projection in projections:
        rest = np.eye(_BLOCK) - projection
        left, leak_x = pixels @ rest, (_BASIS @ rest @ _BASIS.T) ** 2
        values = []
        for rows in (slice(0, 8), slice(0, 4), slice(4, 8)):
            mask = np.zeros(_BLOCK)
            mask[rows] = 1
            leak_y = (_BASIS * mask @ _BASIS.T) ** 2
            found = np.abs(_BASIS @ (left * mask[:, None]) @ _BASIS.T)
            photo = leak_y @ _SPECTRUM**2 @ leak_x.T * contrast[..., None, None]
            ratios = _ratios(found, leak_y @ noise @ leak_x.T + 0.05, photo)
            values.append(ratios.sum(axis=(2, 3)) * np.trace(rest) / _BLOCK * mask.mean())
        out.append(np.maximum(np.stack(values[1:], axis=1), values[0][:, None] / 2).reshape(-1, pixels.shape[1]))
    return np.array(out)


def _best_rectangles(maps: np.ndarray, top: int) -> list[tuple[int, int, int, int, int]]:
    """Of maps (G, R, C), the rectangle with the largest sum in each of the best `top`: (g, r0, r1, c0, c1)."""
    total = np.pad(np.cumsum(maps, axis=1), ((0, 0), (1, 0), (0, 0)))
    r0, r1 = np.triu_indices(total.shape[1], 1)
    near = r1 - r0 <= 16
    r0, r1 = r0[near], r1[near]
    run = np.pad(np.cumsum(total[:, r1] - total[:, r0], axis=2), ((0, 0), (0, 0), (1, 0)))  # (G, K, C + 1)
    rise = (run - np.minimum.accumulate(run, axis=2)).reshape(len(maps), -1)
    best = rise.argmax(axis=1)
    found = []
    for g in np.argsort(-rise[np.arange(len(maps)), best])[:top]:
        k, stop = divmod(int(best[g]), run.shape[2])
        start = int(run[g, k, : stop + 1].argmin())
        if stop > start:
            found.append((int(g), int(r0[k]), int(r1[k]), start, stop))
    return found
