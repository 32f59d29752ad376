"""Why an area that was found is doubtful, in words for people."""

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_means, spread

_FEW = 6  # blocks
_EVEN, _EVEN_IN_NOISE = 1.5, 0.9  # gray levels, and share of the noise: deviation from a block's mean
_CLEAR = 2.0  # times the deviation within blocks: mean step between neighbouring blocks


def reason(gray: np.ndarray, area: ResolvedArea, noise: float = 0.0) -> str:
    """Say why an area may be none: the property of its blocks that is least like a pixelation.

    Args:
        gray: (H, W) float, luminance of the picture, 0..255.
        area: the area that was found.
        noise: what JPEG adds, gray levels.

    Returns:
        A clause without a full stop.
    """
    part, grid = gray[area.part][:, :, None].astype(np.float64), area.grid
    means = block_means(part, grid)
    count = means.shape[0] * means.shape[1]
    if count < _FEW:
        return f"it has only {count} block{'s' * (count > 1)}, and photos have such flat spots, too"
    off = part - spread(means, grid, part.shape[:2])
    uneven = float(np.sqrt(np.square(off if area.mask is None else off[area.mask]).mean()))
    if uneven > _EVEN + _EVEN_IN_NOISE * noise:
        return f"its blocks are not even: their pixels differ from the mean by {uneven:.0f} gray levels"
    steps = np.concatenate([np.abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1)])
    if float(steps.mean()) < _CLEAR * max(uneven, 1.0):
        return f"its blocks hardly differ from each other, by {steps.mean():.1f} gray levels"
    return "untouched photos sometimes look like this"
