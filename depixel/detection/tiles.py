"""Search of large pictures in overlapping tiles, so that memory hardly grows with the picture."""

import gc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from depixel.detection.boxes import Box, Candidate, apart
from depixel.detection.jpeg import BLOCK, luma
from depixel.detection.watch import Watch

_TILE, _OVERLAP = 2000, 400  # pixels: side of a tile, and overlap of two tiles; multiples of 8
_LARGEST = 12_000_000  # pixels: largest window around an area that no tile shows whole


class _Window(NamedTuple):
    """A part of a picture, [x0, x1) x [y0, y1); it begins at the corner of a JPEG block."""

    x0: int
    y0: int
    x1: int
    y1: int

    def put_back(self, one: Candidate) -> Candidate:
        """Convert an area in this part to coordinates of the whole picture."""
        return one._replace(box=one.box.moved(self.x0, self.y0))

    def part(self, one: Candidate) -> Candidate | None:
        """The part of an area within this window, in its coordinates; None: nothing."""
        x0, y0 = max(one.box.x0, self.x0), max(one.box.y0, self.y0)
        x1, y1 = min(one.box.x1, self.x1), min(one.box.y1, self.y1)
        if x0 >= x1 or y0 >= y1:
            return None
        seen = one.cut(one.box._replace(x0=x0, y0=y0, x1=x1, y1=y1))
        return seen._replace(box=seen.box.moved(-self.x0, -self.y0))

    def cuts(self, box: Box, shape: tuple[int, ...]) -> list[bool]:
        """For the left, upper, right and lower border: whether it cuts the area, with more picture behind it."""
        return [
            box.x0 == self.x0 > 0,
            box.y0 == self.y0 > 0,
            box.x1 == self.x1 < shape[1],
            box.y1 == self.y1 < shape[0],
        ]


def find_in_tiles(
    image: np.ndarray,
    find: Callable[[np.ndarray, list[Candidate], Watch], list[Candidate]],
    suspicion: Callable[[np.ndarray], float],
    known: Sequence[Candidate],
    check: Watch,
) -> list[Candidate]:
    """Find the areas of a picture tile by tile; some may overlap.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        find: searches a part: takes luminance (H, W) float32, the known areas there, and a watch.
        suspicion: rates a part by its luminance; tiles with a higher value are searched first.
        known: areas that are skipped.
        check: receives the share that is done and the areas found.
    """
    shape = image.shape[:2]
    found: list[Candidate] = []

    def search(window: _Window, check: Watch) -> list[Candidate]:
        here = [part for one in known if (part := window.part(one)) is not None]
        seen = check.part(0, 1, lambda more: found + [window.put_back(one) for one in more])
        more = find(luma(image[window.y0 : window.y1, window.x0 : window.x1]), here, seen)
        gc.collect()  # `Steps` are large and refer to each other, so they are freed only here
        return [window.put_back(one) for one in more]

    windows = []
    for y in range(0, max(shape[0] - _OVERLAP, 1), _TILE - _OVERLAP):
        for x in range(0, max(shape[1] - _OVERLAP, 1), _TILE - _OVERLAP):
            check()
            window = _Window(x, y, min(x + _TILE, shape[1]), min(y + _TILE, shape[0]))
            windows.append((suspicion(luma(image[window.y0 : window.y1, window.x0 : window.x1])), window))
    windows.sort(key=lambda both: -both[0])
    for n, (_, window) in enumerate(windows):
        here = check.part(n / len(windows), (n + 1) / len(windows))
        for one in apart(search(window, here)):
            found.append(_whole(one, window, shape, lambda window, here=here: search(window, here)))  # type: ignore[misc]
    return found


def _whole(
    one: Candidate, window: _Window, shape: tuple[int, ...], search: Callable[[_Window], list[Candidate]]
) -> Candidate:
    """Search an area again that a window cuts, in windows that show all of it. One that is too large is not certain."""
    while any(cut := window.cuts(one.box, shape)):
        box = one.box
        around = [n // BLOCK * BLOCK for n in (box.x1 - box.x0 + 64, box.y1 - box.y0 + 64)]
        grown = _Window(
            max(box.x0 - (around[0] if cut[0] else 64), 0) // BLOCK * BLOCK,
            max(box.y0 - (around[1] if cut[1] else 64), 0) // BLOCK * BLOCK,
            min(box.x1 + (around[0] if cut[2] else 64), shape[1]),
            min(box.y1 + (around[1] if cut[3] else 64), shape[0]),
        )
        if (grown.x1 - grown.x0) * (grown.y1 - grown.y0) > _LARGEST:
            return one._replace(certain=False)
        better = [other for other in apart(search(grown)) if other.box.overlap(box) > 0.5]
        if not better or grown == window:
            return one._replace(certain=False)
        one, window = better[0], grown
    return one
