"""Networks that only the plan has: ours without one part, and the published ones of `peers.py` if their packages are
installed.

    python recipes/variants.py    stages/train.py, with these networks
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this file, whatever is installed

from depixel.model.networks import UNet, register

if find_spec("spandrel") and find_spec("segmentation_models_pytorch"):
    from recipes import peers  # noqa: F401


@register("unet_without_contrast")
class WithoutContrast(UNet):
    """Brightness and contrast of the window are not taken out."""

    def inputs(self, pixelated, blocks):
        gray, base, _ = super().inputs(pixelated, blocks)
        gray = torch.cat([pixelated - 128, base - 128, gray[:, 2:] * 64], dim=1) / 64
        return gray, base, 64.0


@register("unet_without_interpolation")
class WithoutInterpolation(UNet):
    """Corrects the blocks themselves, and is not shown the smooth interpolation."""

    SMOOTHING = 0


@register("unet_without_geometry")
class WithoutGeometry(UNet):
    """Is told which pixels are known, but neither where the blocks are nor where the area ends."""

    def inputs(self, pixelated, blocks):
        planes, base, contrast = super().inputs(pixelated, blocks)
        planes[:, 3:] = 0
        return planes, base, contrast


if __name__ == "__main__":
    from stages.train import main

    main()
