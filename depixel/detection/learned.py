"""Detection by a network, for areas without exactly constant blocks, such as those that JPEG has blurred.

The detector is a small U-Net, made by `recipes/detector.py`. It classifies each step between neighbouring pixels: in a
photo, within a block, or between two blocks. Areas follow from these steps. If JPEG's quantization is known, they are
judged by their `likelihood`. Large blocks have no steps in their middle, so they are searched in the picture of half
the size, and of a quarter. In large pictures the detector only runs where a far smaller network, the screen, suspects
steps between blocks. The ONNX files of both have

    gray    (B, 1, H, W) float32, luminance, 0..255; H and W are multiples of 8; JPEG's blocks begin in the corner
    noise   (B,) float32, standard deviation of the quantization's errors in gray levels; 0 if it is unknown
    logits  float32. Detector: (B, 6, H, W): photo, within, between; first for steps from the left neighbour, then for
            steps from the upper one. Screen: (B, 1, H / 8, W / 8): whether a cell of 8 x 8 pixels has steps between
            blocks
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import MOST_BLOCK, block_means, spread
from depixel.detection.boxes import Box, Candidate, apart, differ, lines_of
from depixel.detection.grids import parts
from depixel.detection.jpeg import BLOCK, LEAST_BLOCK
from depixel.detection.likelihood import Likelihood
from depixel.detection.outlines import Outline, outline
from depixel.detection.steps import Steps, search
from depixel.detection.watch import Watch
from depixel.model.locations import shipped
from depixel.onnx.reading import opened

DETECTOR, SCREEN = "detector.onnx", "screen.onnx"
INPUTS = ["gray", "noise"]
CELL = 8  # pixels: side of the screen's cells
# The windows in which the networks run
_WINDOW, _HALO = 576, 32  # pixels: approximate side of the detector's windows, and their overlap on each side
_SCREENED = 1_000_000  # pixels of the largest picture on which the detector runs everywhere
_SCREENED_WINDOW = 256  # pixels: replaces _WINDOW in larger pictures
_SUSPECT = 0.0  # screen's logit from which the detector runs around a cell
# Log-likelihood ratios of steps and areas, natural logarithm; those called certain are lower limits for a certain area
_UNSEEN = -1.0  # of a step where the detector did not run
_MOST = 8.0  # of a step, at most
_REACH, _CORNER = 48, 30.0  # see `Steps`; the corner is high because the network is overconfident
_LIMIT = 200.0  # certain, for the sum over an area without a likelihood, in a picture of 64 x 64 pixels
_MORE_PLACES = 50.0  # increase of _LIMIT for e times as many pixels in the picture
_EVIDENCE, _WEIGHT = 50.0, 10.0  # certain, in 64 x 64 pixels, for the likelihood plus _WEIGHT times the mean of a pixel
_LEAST_MEAN = 1.5  # certain, for the mean of a pixel
_MORE_EVIDENCE = 10.0  # increase of _EVIDENCE for e times as many pixels in the picture
_MEAN = 22.0  # certain, for `Outline.mean`
_MEAN_OF_SMALL, _SMALL = 12.0, 300  # the same for an area of fewer pixels than the second
_EVIDENCE_OF_SHAPE, _MEAN_OF_SHAPE = 100.0, 20.0  # certain, for the likelihood and the mean of a non-rectangle
_LEAD = 2.0  # certain, for the log odds of each side to places more than a pixel away, and of the block size to others
_FEW, _HOPELESS = 8, -200.0  # number of tiles, and the likelihood in them below which refining cannot help
_DOUBTED, _PART = 5.0, 0.8  # mean of a pixel above which a rejected area is doubtful; a part of one covers this share
_SEEN = 2.0  # mean of the steps along a visible side
_SURE = 5.0  # certain, for the mean of a pixel without a likelihood; two steps give at most 16
# Other limits
_TRIES = 24  # number of failed tries after which the search stops
_MORE_TRIES = 0.9  # estimated share of the remaining search that is left after one more try
_HIDDEN = 2.0  # if steps at lines are below this multiple of JPEG's noise, the noise hides them
_BLURRED = 2  # pixels: blur of a shape's edge
_LARGE = 24  # pixels: size of large blocks
_HALVED = 256  # pixels: from this shorter side on, the picture is also searched in half its size
_LEFT = 1.0, 0.9  # gray levels, and share of JPEG's noise: RMS deviation of pixels from their block's mean, at most
_SHARP, _SHARP_IN_JPEG = 0.8, 0.55  # least share of the steps at and beside lines that is exactly at them


@lru_cache(maxsize=2)
def _network(file: str) -> Callable[[np.ndarray, float], np.ndarray]:
    """Load a network: a function of a picture (H, W) float32 and its noise that returns the logits (planes, ...)."""
    session, _ = opened(shipped(file), INPUTS)

    def logits(gray: np.ndarray, noise: float) -> np.ndarray:
        values = np.ascontiguousarray(gray[None, None]), np.array([noise], np.float32)
        return session.run(None, dict(zip(INPUTS, values, strict=True)))[0][0]

    return logits


def find(gray: np.ndarray, table: np.ndarray | None, check: Watch, known: Sequence[Candidate] = ()) -> list[Candidate]:
    """Find the areas of a picture; some may overlap.

    Args:
        gray: (H, W) float32, luminance, 0..255; JPEG's blocks begin in its corner.
        table: (8, 8) JPEG's quantization steps; None: unknown.
        check: receives the share that is done and the areas found.
        known: areas that are skipped.
    """
    noise = _noise(table)
    picture = _Picture(gray, noise, was_jpeg=table is not None, screened=gray.size > _SCREENED, known=tuple(known))
    found = _find(picture, check, None if table is None else Likelihood(gray, table, check))
    if table is None:
        found = [one._replace(certain=one.certain and _is_sharp(gray, one.box, _SHARP)) for one in found]
    return found


class _Picture(NamedTuple):
    """A picture to search.

    Attributes:
        gray: (H, W) float32, luminance, 0..255.
        noise: the networks' input of that name, gray levels.
        was_jpeg: whether its JPEG quantization is known.
        screened: whether the detector only runs where the screen suspects something.
        known: areas that are skipped.
    """

    gray: np.ndarray
    noise: float
    was_jpeg: bool
    screened: bool
    known: tuple[Candidate, ...] = ()

    def halved(self) -> "_Picture":
        high, wide = (n // 2 * 2 for n in self.gray.shape)
        half = self.gray[:high, :wide].reshape(high // 2, 2, wide // 2, 2).mean(axis=(1, 3))
        return self._replace(gray=half, noise=self.noise / 2, known=tuple(map(_halved, self.known)))


def _is_sharp(gray: np.ndarray, box: Box, least: float) -> bool:
    """Whether blocks have sharp edges, from one pixel to the next; a picture that was resized later has blurred ones.

    Also True if JPEG's noise hides the edges. `least`: share of the steps at and beside lines that is at them.
    """
    at, beside, noise = 0.0, 0.0, 0.0
    lefts, tops = box.area.grid.begins(box.x1 - box.x0, box.y1 - box.y0)
    part = gray[box.y0 : box.y1, box.x0 : box.x1]
    for lines, steps in (
        (lefts[1:], np.abs(np.diff(part, axis=1)).sum(axis=0)),
        (tops[1:], np.abs(np.diff(part.T, axis=1)).sum(axis=0)),
    ):
        lines = lines[(lines > 1) & (lines < len(steps))]
        inner = np.ones(len(steps), bool)
        inner[np.concatenate([lines - 2, lines - 1, lines]).astype(int)] = False
        usual = float(steps[inner].mean()) if inner.any() else 0.0  # from JPEG's noise
        at += float(np.maximum(steps[lines - 1] - usual, 0).sum())
        beside += float(np.maximum(steps[lines - 2] - usual, 0).sum() + np.maximum(steps[lines] - usual, 0).sum())
        noise += usual * len(lines)
    return at < _HIDDEN * noise or at >= least * (at + beside)


def _is_flat(picture: _Picture, area: ResolvedArea, seen: np.ndarray | None = None) -> bool:
    """Whether blocks are as flat as JPEG leaves them.

    They are not if the area has another shape or other blocks, or if the picture was resized later. seen: (h, w) bool,
    the pixels that show blocks; None: all.
    """
    part, grid = picture.gray[area.part][:, :, None].astype(np.float64), area.grid
    clear = np.ones(part.shape[:2], bool) if seen is None else seen
    clear = np.asarray(binary_erosion(clear, iterations=_BLURRED, border_value=1))[:, :, None]
    sums, counts = (
        spread(block_means(of, grid), grid, part.shape[:2]) for of in (part * clear, clear.astype(np.float64))
    )
    rest = (part - sums / np.maximum(counts, 1e-9))[clear]
    return len(rest) > 0 and float(np.sqrt(np.square(rest).mean())) <= _LEFT[0] + _LEFT[1] * picture.noise


def suspicion(gray: np.ndarray, table: np.ndarray | None) -> float:
    """The number of cells of a picture that the screen suspects; `gray` and `table` as for `find`."""
    return float((_screened(gray, _noise(table)) > _SUSPECT).sum())


def _noise(table: np.ndarray | None) -> float:
    return 0.0 if table is None else float(np.sqrt(np.mean(table**2 / 12)))


def _screened(gray: np.ndarray, noise: float) -> np.ndarray:
    """(H / 8, W / 8): the screen's logits."""
    padded = np.pad(gray, [(0, -n % BLOCK) for n in gray.shape], mode="edge")
    return _network(SCREEN)(padded, noise)[0]


def _find(
    picture: _Picture, check: Watch, likelihood: Likelihood | None = None, most: int = MOST_BLOCK
) -> list[Candidate]:
    halves = _in_half(picture, check.part(0, 0.2, lambda found: None), most)
    steps = _steps(picture, [_doubled(one.box) for one in halves], check.part(0.2, 0.5))
    found = []
    for one in halves:
        box = _refined(steps, _doubled(one.box))
        certain = one.certain and one.box.grid is None  # other grids are only certain if found in full size
        if certain and likelihood:
            box, certain = _placed(likelihood, box, steps)
        found.append(Candidate(4 * one.score, box, certain and _is_shown(box) and _is_flat(picture, box.area)))
    for one in (*picture.known, *found):
        if one.certain:
            _rule_out(steps, one)

    doubted: list[Box] = []
    tried = 0

    def decided(score: float, box: Box) -> list[Box]:
        nonlocal tried
        tried += 1
        check(1 - 0.5 * _MORE_TRIES**tried)
        boxes = parts(steps, picture.gray, box.plain())
        if likelihood and len(boxes) == 1:
            likelihood.leave_out(box, None)
            boxes = [max(boxes[0], box.plain(), key=lambda one: likelihood.evidence(one, _FEW))]
        new = []
        for part in boxes:
            worth = score if len(boxes) == 1 else steps.score(part)
            one = _candidate(picture, steps, likelihood, worth, part, [other for other in boxes if other != part])
            new += [] if one is None else [one]
        # Parts are certain together or not at all; a part of a doubtful area is never certain
        sure = [one.box for one in (*picture.known, *found) if one.certain]
        certain = all(
            one.certain and _is_shown(one.box) and not _is_part_of(one.box, doubted) and not _is_edge_of(one.box, sure)
            for one in new
        )
        if not certain and steps.score(box) > _DOUBTED * box.pixels:
            doubted.append(box)
        found.extend(one._replace(certain=certain) for one in new)
        for one in new if certain else []:
            _rule_out(steps, one)
        check(0.5, found)
        return [one.box for one in new if certain]

    search(steps, 4.0, _TRIES, min(most, max(picture.gray.shape)), decided)
    return found


def _is_shown(box: Box) -> bool:
    """Whether an area shows its blocks: a line between two of them, and a whole one if they are large.

    A flat rectangle looks like a single block.
    """
    return any(map(len, box.lines())) and (box.size <= _LARGE or box.has_whole_block)


def _is_part_of(box: Box, others: list[Box]) -> bool:
    return any(box.overlap(other) > _PART and box.pixels < _PART * other.pixels for other in others)


def _is_edge_of(box: Box, others: list[Box]) -> bool:
    """Whether an area without a whole block lies beside another one: the part where that one fades into the photo."""
    x0, y0, x1, y1 = box[:4]
    around = box._replace(x0=x0 - _BLURRED, y0=y0 - _BLURRED, x1=x1 + _BLURRED, y1=y1 + _BLURRED)
    return not box.has_whole_block and any(around.overlap(other) > 0 for other in others)


def _rule_out(steps: Steps, one: Candidate) -> None:
    """Exclude an area from the search, and the partial blocks along the edge of its shape."""
    wider = None if one.mask is None else np.asarray(binary_dilation(one.mask, iterations=_BLURRED))
    steps.rule_out(one.box, wider)


def _candidate(
    picture: _Picture, steps: Steps, likelihood: Likelihood | None, score: float, box: Box, beside: list[Box]
) -> Candidate | None:
    """Judge an area that was found by its steps; None: it is no area. beside: other areas, which it must not enter."""
    thin = min(box.x1 - box.x0, box.y1 - box.y0) < LEAST_BLOCK
    if thin or box.size < LEAST_BLOCK:
        return None
    if likelihood is None:
        if not any(map(len, box.lines())):
            return None
        certain = _is_certain(score, box, picture) and _is_flat(picture, box.area)
        return Candidate(score, box, certain)
    if likelihood.is_spent:
        return Candidate(score, box, False)
    edge = outline(steps, box, beside)
    if edge.mask is not None:
        shaped = _shaped(picture, likelihood, edge)
        if shaped.certain:
            return shaped
        if not edge.whole:
            return Candidate(score, box, False)
        edge = edge._replace(box=box, other=np.zeros((box.y1 - box.y0, box.x1 - box.x0), bool))
    likelihood.leave_out(edge.box, edge.other)
    if edge.mean < _MEAN / 3 or likelihood.evidence(box, _FEW) < _HOPELESS:
        return Candidate(score, box, False)
    one = _weighed(likelihood, box, steps, beside)
    if one.certain:
        placed, fixed = _placed(likelihood, one.box, steps)
        one = one._replace(box=placed, certain=fixed)
    seen = np.ones(picture.gray.shape, bool)
    seen[box.area.part] = ~edge.other
    edge = outline(steps, one.box, beside)
    least = _MEAN_OF_SMALL if one.box.pixels < _SMALL else _MEAN
    least *= min(1, 2 * _LARGE / one.box.size)  # the middle of a large block has no steps
    sure = one.certain and edge.whole and edge.mean > least and _is_sharp(picture.gray, one.box, _SHARP_IN_JPEG)
    return one._replace(certain=sure and _is_flat(picture, one.area, seen[one.area.part]))


def _shaped(picture: _Picture, likelihood: Likelihood, edge: Outline) -> Candidate:
    """Judge an area that is no rectangle, by the tiles that lie wholly within it."""
    likelihood.leave_out(edge.box, edge.other)
    evidence = likelihood.evidence(edge.box)
    shaped = Candidate(evidence, edge.box, False, edge.mask)
    sure = evidence > _EVIDENCE_OF_SHAPE and edge.mean > _MEAN_OF_SHAPE and any(map(len, edge.box.lines()))
    return shaped._replace(certain=sure and _is_flat(picture, shaped.area, ~edge.other))


def _in_half(picture: _Picture, check: Watch, most: int) -> list[Candidate]:
    """Find areas of large blocks in the picture of half the size, because their middle has no steps."""
    if min(picture.gray.shape) < _HALVED:
        return []
    found = apart(_find(picture.halved(), check, most=most // 2))
    return [one for one in found if _LARGE <= one.box.size <= MOST_BLOCK // 2]


def _doubled(box: Box) -> Box:
    x0, y0, x1, y1, size, offset_x, offset_y, _ = box
    return Box(2 * x0, 2 * y0, 2 * x1, 2 * y1, 2 * size, 2 * offset_x, 2 * offset_y)


def _halved(one: Candidate) -> Candidate:
    box, mask = one.box, one.mask
    x0, y0, x1, y1 = box.x0 // 2, box.y0 // 2, (box.x1 + 1) // 2, (box.y1 + 1) // 2
    if mask is not None:
        even = np.pad(mask, ((box.y0 % 2, box.y1 % 2), (box.x0 % 2, box.x1 % 2)))
        mask = np.asarray(even.reshape(y1 - y0, 2, x1 - x0, 2).any(axis=(1, 3)))
    return one._replace(box=Box(x0, y0, x1, y1, max(box.size // 2, 1), 0, 0), mask=mask)


def _refined(steps: Steps, grown: Box) -> Box:
    """Refine an area from an accuracy of two pixels to one: move its sides and lines to the likeliest steps."""
    size = grown.size
    spans = [
        _span(of, slice(*rows), start, stop, offset, size)
        for of, rows, start, stop, offset in (
            (steps, (grown.y0, grown.y1), grown.x0, grown.x1, grown.offset_x),
            (steps.turned, (grown.x0, grown.x1), grown.y0, grown.y1, grown.offset_y),
        )
    ]
    (x0, x1, across), (y0, y1, down) = spans
    options = range(max(size - 2, LEAST_BLOCK), min(size + 2, MOST_BLOCK) + 1)
    best = max(options, key=lambda tried: across[tried][0] + down[tried][0])
    return Box(x0, y0, x1, y1, best, across[best][1], down[best][1]).plain()


def _span(
    steps: Steps, rows: slice, start: int, stop: int, offset: int, size: int
) -> tuple[int, int, dict[int, tuple[float, int]]]:
    """Along one axis: start, stop, and for each block size near `size` the gain of its lines and the best offset."""
    line = steps.line[rows].mean(axis=0, dtype=np.float64)
    inside = steps.inside[rows].mean(axis=0, dtype=np.float64)

    def side(edge: int, end: int) -> int:
        near = np.arange(max(edge - 3, 1), min(edge + 4, steps.width))
        best = int(near[line[near].argmax()])
        return end if abs(edge - end) <= 3 and line[best] < _SEEN else best

    start, stop = side(start, 0), side(stop, steps.width)
    # in half the size, a last block that is cut off to a few pixels is invisible
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


def _steps(picture: _Picture, places: list[Box], check: Watch) -> Steps:
    """Run the detector on a picture. places: boxes where it runs whatever the screen says."""
    gray, noise, screened = picture.gray, picture.noise, picture.screened
    high, wide = gray.shape
    ratios = np.full((2, 2, high, wide), _UNSEEN, np.float32)  # across and down; inside and line
    padded = np.pad(gray, [(0, -n % BLOCK) for n in gray.shape], mode="edge")
    suspect = _screened(gray, noise) > _SUSPECT if screened else None
    if suspect is not None:
        for box in places:
            suspect[_cells(slice(box.y0, box.y1)), _cells(slice(box.x0, box.x1))] = True
    side = _SCREENED_WINDOW if screened else _WINDOW
    for y, rows, inner_rows in _windows(padded.shape[0], side):
        for x, columns, inner_columns in _windows(padded.shape[1], side):
            check((y + x * side / wide) / high)
            if suspect is not None and not suspect[_cells(rows), _cells(columns)].any():
                continue
            logits = _network(DETECTOR)(padded[rows, columns], noise)[:, inner_rows, inner_columns]
            logits = logits.reshape(2, 3, *logits.shape[1:])
            part = np.clip(logits[:, 1:] - logits[:, :1], -_MOST, _MOST)[:, :, : high - y, : wide - x]
            ratios[:, :, y : y + part.shape[2], x : x + part.shape[3]] = part
    ratios[0, :, :, 0] = ratios[1, :, 0] = 0
    return Steps.of(tuple(ratios[0]), tuple(ratios[1]), _REACH, _CORNER)


def _cells(pixels: slice) -> slice:
    return slice(pixels.start // CELL, -(-pixels.stop // CELL))


def _windows(length: int, most: int) -> Iterator[tuple[int, slice, slice]]:
    """Divide an axis into few windows of similar size that overlap by `_HALO` on each side.

    Args:
        length: length of the axis, pixels.
        most: approximate size of a window, pixels.

    Yields:
        The start of the part without overlap, the window, and that part within the window.
    """
    count = max(1, -(-(length - 2 * _HALO) // (most - 2 * _HALO)))
    side = -(-length // count // BLOCK) * BLOCK
    for begin in range(0, length, side):
        start = max(0, begin - _HALO)
        yield begin, slice(start, begin + side + _HALO), slice(begin - start, begin - start + side)


def _weighed(likelihood: Likelihood, box: Box, steps: Steps, beside: list[Box]) -> Candidate:
    """Find and judge the likeliest area near one. If it has no visible line, it is a single block, and not certain."""
    if box.grid is None:
        refined = likelihood.refined(box, steps, beside).plain()
        if likelihood.evidence(refined) > 0 or likelihood.evidence(box) < 0:
            box = refined
    score, mean = likelihood.evidence(box), steps.score(box) / box.pixels
    least = _EVIDENCE + _MORE_EVIDENCE * max(np.log(steps.width * steps.height / 4096), 0)
    certain = score + _WEIGHT * mean > least and mean > _LEAST_MEAN
    if not any(map(len, box.lines())):
        longest, certain = max(box.x1 - box.x0, box.y1 - box.y0), False
        box = box._replace(size=min(longest, MOST_BLOCK), offset_x=0, offset_y=0, grid=None)
    return Candidate(score, box, bool(certain))


def _placed(likelihood: Likelihood, box: Box, steps: Steps) -> tuple[Box, bool]:
    """The area with its sides at their likeliest places, and whether the pixels fix these and the block size.

    Blocks that are not whole pixels stay as they are: tools mix the pixels at their sides, which the likelihood does
    not describe.
    """
    if not box.area.grid.is_whole:
        return box, True
    box, lead = likelihood.placed(box, steps)
    return box, lead > _LEAD and likelihood.size_lead(box) > _LEAD


def _is_certain(score: float, box: Box, picture: _Picture) -> bool:
    gray = picture.gray
    limit = _LIMIT + _MORE_PLACES * max(np.log(gray.size / 4096), 0)
    # less for large blocks: their flat middle says little
    sure = score > limit and score > _SURE * min(1, 2 * _LARGE / box.size) * box.pixels
    # without JPEG's noise, smooth parts of a photo can be constant, too
    return bool(sure and (picture.was_jpeg or differ(gray, box.area, 1)))
