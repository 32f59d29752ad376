"""Additional networks of the plan: ours without one part, and those of `peers.py` if their packages are installed.

python recipes/variants.py    runs stages/train.py with these networks
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
    """The U-Net without normalization of the window's brightness and contrast."""

    def inputs(self, pixelated, blocks):
        gray, base, _ = super().inputs(pixelated, blocks)
        gray = torch.cat([pixelated - 128, base - 128, gray[:, 2:] * 64], dim=1) / 64
        return gray, base, 64.0


@register("unet_without_interpolation")
class WithoutInterpolation(UNet):
    """The U-Net without the smooth interpolation: it corrects the blocks themselves."""

    SMOOTHING = 0


@register("unet_without_geometry")
class WithoutGeometry(UNet):
    """The U-Net without the geometry of blocks and area; it only knows which pixels are known."""

    def inputs(self, pixelated, blocks):
        planes, base, contrast = super().inputs(pixelated, blocks)
        planes[:, 3:] = 0
        return planes, base, contrast


if __name__ == "__main__":
    from stages.train import main

    main()
