"""Colors for a luminance that was predicted."""

import numpy as np
import torch

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_counts, block_means, spread
from depixel.model.blocks import Blocks
from depixel.pictures.coloring import COLOR_STEPS, smoothed
from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo


def test_colors_are_interpolated_as_the_networks_interpolate():
    """`Blocks.smooth` keeps the truncated means that networks have learnt with, this one the means as they are."""
    for area in (ResolvedArea(8, 12, 45, 40, 7), ResolvedArea(0, 3, 61, 50, 9, offset_x=4, offset_y=8)):
        shown = pixelate(photo(64, 72), [area]).astype(np.float32)
        smooth = smoothed(shown, area)
        for channel in range(3):
            lowered = shown[:, :, channel].copy()
            count = block_counts(area.height, area.width, area.grid)
            lowered[area.part] -= spread((count - 1) / count / 2, area.grid, (area.height, area.width))
            blocks = Blocks(torch.tensor([area.columns()]), 64, 72)
            expected = blocks.smooth(torch.from_numpy(lowered)[None, None], COLOR_STEPS)[0, 0].numpy()
            np.testing.assert_allclose(smooth[area.part][:, :, channel], expected[area.part], atol=0.01)
        means = [block_means(of[area.part], area.grid) for of in (smooth, shown)]
        np.testing.assert_allclose(*means, atol=0.01)
