"""The losses of `train.loss`: distances between restored windows and the wanted ones.

All are scaled so that a typical error has a gradient as large as that of `rmse`. So one learning rate and one
`train.gradient_clip` suit them all.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from depixel.base.settings import one_of
from depixel.model.functions import root

TYPICAL = 20.0
"""A typical RMSE of a restoration, gray levels."""

HUBER = 10.0
"""The error up to which `huber` is quadratic, gray levels."""

SSIM = 7
"""Side of the uniform window of `ssim_mse`, pixels."""

SSIM_WEIGHT = 40.0
"""The weight of 1 - SSIM in `ssim_mse`, gray levels: both of its parts are then about equally large."""


class Restored(NamedTuple):
    """N restored windows of photos, and what they should be.

    Attributes:
        prediction: (N, 1, H, W) float32, gray levels; the photo outside the area.
        wanted: (N, 1, H, W) float32, gray levels: the photo, or a teacher's restoration of it.
        squares: (N,) float32, the sum of the expected squared errors over the pixels of each area.
        pixels: (N,) int64, the number of pixels of each area.
        mean_pixels: the expected number of pixels of an area. A pooled loss divides by it, not by the pixels of its own
            batch, because areas within a batch have similar sizes.
    """

    prediction: Tensor
    wanted: Tensor
    squares: Tensor
    pixels: Tensor
    mean_pixels: float


def _rmse(found: Restored) -> Tensor:
    """Each picture's RMSE."""
    return root(found.squares / found.pixels + 1e-2)  # 1e-2 bounds the gradient


def _mse(found: Restored) -> Tensor:
    """The squared error, pooled: each pixel counts the same."""
    return found.squares / (2 * TYPICAL * found.mean_pixels)


def _mae(found: Restored) -> Tensor:
    """The absolute error, pooled."""
    return _pooled((found.prediction - found.wanted).abs(), found)


def _huber(found: Restored) -> Tensor:
    """Huber 1964, pooled: quadratic for small errors, linear for large ones."""
    return _pooled(F.huber_loss(found.prediction, found.wanted, reduction="none", delta=HUBER) / HUBER, found)


def _charbonnier(found: Restored) -> Tensor:
    """Charbonnier et al. 1994, pooled: the absolute error, rounded off below one gray level."""
    return _pooled(root((found.prediction - found.wanted).square() + 1) - 1, found)


def _ssim_mse(found: Restored) -> Tensor:
    """Half the squared error, half the structural dissimilarity (Wang et al. 2004) of the whole windows."""
    from pytorch_msssim import ssim  # only who uses it waits for it

    window = found.wanted.new_full((1, 1, 1, SSIM), 1 / SSIM)
    likeness = ssim(found.prediction, found.wanted, data_range=255, size_average=False, win=window)
    return _mse(found) + SSIM_WEIGHT * (1 - likeness)


def _pooled(errors: Tensor, found: Restored) -> Tensor:
    """(N, 1, H, W) errors, 0 outside the areas, as (N,) contributions to their mean over all pixels."""
    return errors.sum(dim=(1, 2, 3)) / found.mean_pixels


DISTANCES: dict[str, Callable[[Restored], Tensor]] = {
    "rmse": _rmse,
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
    "charbonnier": _charbonnier,
    "ssim_mse": _ssim_mse,
}
"""The values of `train.loss`: each makes (N,) contributions, whose mean over the batch is the loss."""

Name = Annotated[str, one_of(DISTANCES)]
