"""The windows around areas that networks see, and the 8 views of them. No tensors: it loads at once."""

from typing import Any, overload

import numpy.typing as npt

CONTEXT = 16
"""How many pixels a window is wider than its area: at least half of it on each side, unless the image ends."""

TRAINING_CONTEXT = 8
"""The same in training: it teaches nearly as much in less than half of the time."""

STEP = 8
"""Window sides are multiples of it, as the networks need."""

MIRROR_X, MIRROR_Y, TRANSPOSE = 1, 2, 4  # bits of a view

# the transposed view first: as in training, its blocks begin at the area's upper left corner
VIEWS = sorted(range(8), key=lambda view: (bool(view & (MIRROR_X | MIRROR_Y)), view))


@overload
def window_side(extent: int, context: int = CONTEXT) -> int: ...
@overload
def window_side(extent: npt.NDArray[Any], context: int = CONTEXT) -> npt.NDArray[Any]: ...
def window_side(extent: int | npt.NDArray[Any], context: int = CONTEXT) -> int | npt.NDArray[Any]:
    """Width or height of the window for an area that is `extent` pixels wide or high; of many at once in an array."""
    return -(-(extent + context) // STEP) * STEP
