"""Areas that are not seen otherwise, as those that JPEG has blurred: a network says what each step is.

JPEG leaves nothing exactly constant. Large blocks are found in the picture of half the size, and of half of that: in
their middle there is nothing to see. The detector is a small U-Net, made by `benchmarks/detector.py`, that tells of
each step between neighbouring pixels whether it is one of a photo, within a block or between two; where JPEG's
quantization is known, the area that follows from that is weighed by its `likelihood`. Its ONNX file has

    gray    (B, 1, H, W) float32, luminance, 0..255; H and W multiples of 8, JPEG's blocks begin in the corner
    noise   (B,) float32, standard deviation of the quantization's errors in gray levels; 0 if it is not known
    logits  (B, 6, H, W) float32: photo, within, between; of steps from the left neighbour, then of those from the upper
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from depixel.detection.boxes import Box, Candidate, apart, differ, lines_of
from depixel.detection.jpeg import BLOCK, LEAST_BLOCK
from depixel.detection.likelihood import Likelihood
from depixel.detection.steps import Steps, search
from depixel.exported import opened
from depixel.models import shipped
from depixel.pixelation import MOST_BLOCK

FILE = "detector.onnx"
INPUTS = ["gray", "noise"]
_WINDOW, _HALO = 576, 32  # the network sees windows of about this side, this much of which is their neighbours', pixels
_MOST = 8.0  # a step says no more than this
_TRIES = 24  # areas in vain
_REACH, _CORNER = 48, 30.0  # of `Steps`; the network is surer than it should be
_LIMIT = 200.0  # of what is certain in 64 x 64 pixels
_MORE_PLACES = 50.0  # by how much it rises when a picture has e times the pixels
_EVIDENCE, _WEIGHT = 50.0, 10.0  # of what is certain in 64 x 64 pixels: evidence, and so often what a pixel's steps say
_LEAST_MEAN, _LEAST_OF_ONE = 1.5, 5.0  # of what a pixel's steps say; where no line is seen, only one block
_MORE_EVIDENCE = 10.0  # by how much the limit rises when a picture has e times the pixels
_LARGE = 24  # pixels: of blocks
_HALVED = 256  # pixels: a shorter side from which on the picture is looked at in half its size, too
_SEEN = 2.0  # of a step being between blocks, in the mean along a side that is seen
_SURE = 5.0  # of what is certain, a pixel; two steps could say 16


@lru_cache(maxsize=1)
def _detector() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    session, _ = opened(shipped(FILE), INPUTS)
    return lambda gray, noise: session.run(None, dict(zip(INPUTS, (gray, noise), strict=True)))[0]


def find(gray: np.ndarray, table: np.ndarray | None, check: Callable[[], None]) -> list[Candidate]:
    """The areas of a picture (H, W) float32 with this quantization, None if it is not known; some may overlap."""
    if table is None:
        return _find(gray, 0.0, False, check)
    return _find(gray, float(np.sqrt(np.mean(table**2 / 12))), True, check, Likelihood(gray, table, check))


def _find(
    gray: np.ndarray,
    noise: float,
    was_jpeg: bool,
    check: Callable[[], None],
    likelihood: Likelihood | None = None,
    most: int = MOST_BLOCK,
) -> list[Candidate]:
    steps = _steps(gray, noise, check)
    found = _large(gray, noise, was_jpeg, steps, check, most)
    for one in found:
        if one.certain:
            steps.rule_out(one.box)

    def decided(score: float, box: Box) -> Box | None:
        check()
        score, box = _regridded(steps, score, box.plain())
        thin = min(box.x1 - box.x0, box.y1 - box.y0) < LEAST_BLOCK
        if thin or box.size < LEAST_BLOCK:
            return None
        if likelihood:
            found.append(_weighed(likelihood, box, steps))
        elif any(map(len, box.lines())):
            found.append(Candidate(score, box, _is_certain(score, box, gray, was_jpeg)))
        else:
            return None
        return found[-1].box if found[-1].certain else None

    search(steps, 4.0, _TRIES, min(most, max(gray.shape)), decided)
    return found


def _large(
    gray: np.ndarray, noise: float, was_jpeg: bool, steps: Steps, check: Callable[[], None], most: int
) -> list[Candidate]:
    """Areas of large blocks, in the middle of which there is nothing to see: they are found in half the size."""
    if min(gray.shape) < _HALVED:
        return []
    high, wide = (n // 2 * 2 for n in gray.shape)
    half = gray[:high, :wide].reshape(high // 2, 2, wide // 2, 2).mean(axis=(1, 3))
    return [
        Candidate(4 * one.score, _refined(steps, one.box), one.certain)
        for one in apart(_find(half, noise / 2, was_jpeg, check, most=most // 2))
        if _LARGE <= one.box.size <= MOST_BLOCK // 2
    ]


def _refined(steps: Steps, half: Box) -> Box:
    """An area that was found in the picture of half the size, to the pixel: its sides and lines are where steps are
    likeliest to be between blocks."""
    size, grown = 2 * half.size, Box(2 * half.x0, 2 * half.y0, 2 * half.x1, 2 * half.y1, *(2 * n for n in half[4:]))
    spans = [
        _span(of, slice(*rows), start, stop, offset, size)
        for of, rows, start, stop, offset in (
            (steps, (grown.y0, grown.y1), grown.x0, grown.x1, grown.px),
            (steps.turned, (grown.x0, grown.x1), grown.y0, grown.y1, grown.py),
        )
    ]
    (x0, x1, across), (y0, y1, down) = spans
    options = range(max(size - 2, LEAST_BLOCK), min(size + 2, MOST_BLOCK) + 1)
    best = max(options, key=lambda tried: across[tried][0] + down[tried][0])
    return Box(x0, y0, x1, y1, best, across[best][1], down[best][1]).plain()


def _span(
    steps: Steps, rows: slice, start: int, stop: int, offset: int, size: int
) -> tuple[int, int, dict[int, tuple[float, int]]]:
    """Along one axis: the sides; and for each size near `size`, what its lines are worth and the best offset."""
    line = steps.line[rows].mean(axis=0, dtype=np.float64)
    inside = steps.inside[rows].mean(axis=0, dtype=np.float64)

    def side(edge: int, end: int) -> int:
        near = np.arange(max(edge - 3, 1), min(edge + 4, steps.width))
        best = int(near[line[near].argmax()])
        return end if abs(edge - end) <= 3 and line[best] < _SEEN else best

    start, stop = side(start, 0), side(stop, steps.width)
    # a block that is cut off to a few pixels is not seen in half the size
    for further in range(stop + 1, min(stop + size // 2, steps.width - 1)):
        if inside[further] < 0 and line[further] < _SEEN:
            break
        if line[further] >= _SEEN:
            stop = further
            break
    gain = line - inside
    worth = {}
    for tried in range(size - 2, size + 3):
        options = sorted({(offset + k) % tried for k in range(-3, 4)}) if offset else [0]
        sums = [float(gain[lines_of(start, stop, tried, option)].sum()) for option in options]
        worth[tried] = max(sums), options[int(np.argmax(sums))]
    return start, stop, worth


def _steps(gray: np.ndarray, noise: float, check: Callable[[], None]) -> Steps:
    high, wide = gray.shape
    ratios = np.zeros((2, 2, high, wide), np.float32)  # across and down; inside and line
    padded = np.pad(gray, [(0, -n % BLOCK) for n in gray.shape], mode="edge")
    for y, rows, inner_rows in _windows(padded.shape[0]):
        for x, columns, inner_columns in _windows(padded.shape[1]):
            check()
            logits = _detector()(np.ascontiguousarray(padded[None, None, rows, columns]), np.float32([noise]))[0]
            logits = logits[:, inner_rows, inner_columns].reshape(2, 3, *logits[0, inner_rows, inner_columns].shape)
            part = np.clip(logits[:, 1:] - logits[:, :1], -_MOST, _MOST)[:, :, : high - y, : wide - x]
            ratios[:, :, y : y + part.shape[2], x : x + part.shape[3]] = part
    ratios[0, :, :, 0] = ratios[1, :, 0] = 0
    return Steps.of(tuple(ratios[0]), tuple(ratios[1]), _REACH, _CORNER)


def _windows(length: int) -> Iterator[tuple[int, slice, slice]]:
    """Along one axis: where the part begins that a window is for, the window, and the part within it; as few as can be
    and of like size, so that little is seen twice."""
    count = max(1, -(-(length - 2 * _HALO) // (_WINDOW - 2 * _HALO)))
    side = -(-length // count // BLOCK) * BLOCK
    for begin in range(0, length, side):
        start = max(0, begin - _HALO)
        yield begin, slice(start, begin + side + _HALO), slice(begin - start, begin - start + side)


def _regridded(steps: Steps, score: float, box: Box) -> tuple[float, Box]:
    """The same area with the likeliest grid that begins at its corner, unless one that does not is much likelier."""
    gains = [  # of a line, by where it is
        (of.line[rows, columns] - of.inside[rows, columns]).sum(axis=0, dtype=np.float64)
        for of, rows, columns in (
            (steps, slice(box.y0, box.y1), slice(box.x0, box.x1)),
            (steps.turned, slice(box.x0, box.x1), slice(box.y0, box.y1)),
        )
    ]
    x, y = box.lines()
    lines = gains[0][x - box.x0].sum() + gains[1][y - box.y0].sum()
    sizes = range(LEAST_BLOCK, min(MOST_BLOCK, max(map(len, gains)) - 1) + 1)
    worth = [sum(gain[size::size].sum() for gain in gains) for size in sizes]
    if not worth or max(worth) <= lines - 2 * _CORNER * ((box.px > 0) + (box.py > 0)):
        return score, box
    best = int(np.argmax(worth))
    return float(score + worth[best] - lines), box._replace(size=sizes[best], px=0, py=0)


def _weighed(likelihood: Likelihood, box: Box, steps: Steps) -> Candidate:
    """The likeliest area near one; if no line is seen in it, it is one block."""
    box = likelihood.refined(box, steps).plain()
    one_block, longest = not any(map(len, box.lines())), max(box.x1 - box.x0, box.y1 - box.y0)
    score, mean = likelihood.evidence(box), steps.score(box) / box.pixels
    least = _EVIDENCE + _MORE_EVIDENCE * max(np.log(steps.width * steps.height / 4096), 0)
    certain = score + _WEIGHT * mean > least and mean > (_LEAST_OF_ONE if one_block else _LEAST_MEAN)
    if one_block:
        box = box._replace(size=min(longest, MOST_BLOCK), px=0, py=0)
        certain &= longest <= MOST_BLOCK
    return Candidate(score, box, bool(certain))


def _is_certain(score: float, box: Box, gray: np.ndarray, was_jpeg: bool) -> bool:
    if box.size > _LARGE and box.size > min(box.x1 - box.x0, box.y1 - box.y0):  # no block is whole
        return False
    limit = _LIMIT + _MORE_PLACES * max(np.log(gray.size / 4096), 0)
    # the middle of a large block could be a flat part of a photo
    sure = score > limit and score > _SURE * min(1, 2 * _LARGE / box.size) * box.pixels
    return bool(sure and (was_jpeg or differ(gray, box, 1)))  # smooth parts are constant without JPEG's noise
