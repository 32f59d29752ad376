"""Why an area that was found is doubtful, in words for people."""

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_means, spread
from depixel.detection.boxes import Box

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
    if not Box.around(area).has_whole_block:
        return "it shows no whole block, so nothing says how large its blocks are"
    off = part - spread(means, grid, part.shape[:2])
    uneven = float(np.sqrt(np.square(off if area.mask is None else off[area.mask]).mean()))
    if uneven > _EVEN + _EVEN_IN_NOISE * noise:
        return f"its blocks are not even: their pixels differ from the mean by {uneven:.0f} gray levels"
    steps = np.concatenate([np.abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1)])
    if float(steps.mean()) < _CLEAR * max(uneven, 1.0):
        return f"its blocks hardly differ from each other, by {steps.mean():.1f} gray levels"
    if area.mask is None and (side := _vague_side(gray, area, _CLEAR * max(uneven, 1.0))):
        return f"nothing shows where it ends: at its {side} side the picture hardly changes"
    return "untouched photos sometimes look like this, or its sides or blocks could be others"


def _vague_side(gray: np.ndarray, area: ResolvedArea, least: float) -> str | None:
    """The name of a side within the picture across which neighbours differ by less than `least` gray levels."""
    x, y, right, bottom = area.x, area.y, area.x + area.width, area.y + area.height
    rows, columns = slice(y, bottom), slice(x, right)
    sides = {
        "left": gray[rows, x - 1 : x + 1] if x else None,
        "right": gray[rows, right - 1 : right + 1] if right < gray.shape[1] else None,
        "upper": gray[y - 1 : y + 1, columns].T if y else None,
        "lower": gray[bottom - 1 : bottom + 1, columns].T if bottom < gray.shape[0] else None,
    }
    vague = (name for name, both in sides.items() if both is not None and np.abs(np.diff(both)).mean() < least)
    return next(vague, None)
