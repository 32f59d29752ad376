"""The size of the windows that networks get, and their 8 views. It does not import PyTorch, so it loads fast."""

from typing import Any, overload

import numpy.typing as npt

CONTEXT = 16
"""The minimum number of pixels by which a window is wider and higher than its area; at least half of them lie on each
side, unless the image ends there."""

TRAINING_CONTEXT = 8
"""The context in training, pixels. A network learns nearly as much with it in less than half the time."""

STEP = 8
"""Sides of windows are multiples of this number of pixels, as the networks need."""

MIRROR_X, MIRROR_Y, TRANSPOSE = 1, 2, 4  # bits of a view

# views without mirroring first: as in training, their blocks begin at the area's upper left corner
VIEWS = sorted(range(8), key=lambda view: (bool(view & (MIRROR_X | MIRROR_Y)), view))


@overload
def window_side(extent: int, context: int = CONTEXT) -> int: ...
@overload
def window_side(extent: npt.NDArray[Any], context: int = CONTEXT) -> npt.NDArray[Any]: ...
def window_side(extent: int | npt.NDArray[Any], context: int = CONTEXT) -> int | npt.NDArray[Any]:
    """The side of the window for an area with a side of `extent` pixels; of many areas if it is an array."""
    return -(-(extent + context) // STEP) * STEP
