"""Additional networks of the plan: ours without one part or with another, and those of `peers.py` if their packages are
installed.

python recipes/variants.py    runs stages/train.py with these networks
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this file, whatever is installed

from depixel.model.networks import DeepUNet, UNet, register

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


@register("unet_deep_low")
class DeepAtLowResolution(DeepUNet):
    """The deep U-Net with twice as many blocks at 1/4 and 1/8 of the resolution: 7.6 M parameters at width 64."""

    BLOCKS = (8, 4, 4, 2, 4, 4, 8)


@register("unet_deep_attention")
class WithAttention(DeepUNet):
    """The deep U-Net with self-attention at 1/8 of the resolution, over the whole window."""

    def __init__(self, width: int, dropout: float):
        super().__init__(width, dropout)
        self.stages[3].append(Attention(4 * width))


@register("unet_deep_large_kernels")
class WithLargeKernels(DeepUNet):
    """The deep U-Net with kernels of 7 x 7 at 1/8 of the resolution, which cover most of the window."""

    def __init__(self, width: int, dropout: float):
        super().__init__(width, dropout)
        self.stages[3].append(LargeKernels(4 * width))


class Attention(nn.Module):
    """x + self-attention(x) in heads of 32 channels (Vaswani et al. 2017); it starts as the identity.

    channels: fewer than 64, or a multiple of 32.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(1, channels // 32)
        self.normalization = nn.GroupNorm(1, channels)
        self.inputs, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C, H, W) features."""
        parts = self.inputs(self.normalization(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        queries, keys, values = parts.transpose(3, 4).unbind(1)  # each (B, heads, H W, 32)
        found = F.scaled_dot_product_attention(queries, keys, values)
        return x + self.out(found.transpose(2, 3).reshape(x.shape))


class LargeKernels(nn.Module):
    """x + conv1(gelu(conv1(depthwise conv7(x)))) (Liu et al. 2022, "ConvNeXt"); it starts as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.around = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.wide, self.out = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C, H, W) features."""
        return x + self.out(F.gelu(self.wide(self.around(x))))


if __name__ == "__main__":
    from stages.train import main

    main()
