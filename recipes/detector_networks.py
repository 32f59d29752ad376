"""The two networks that detect pixelated areas. `depixel/detection/learned.py` describes their inputs and outputs."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.detection.learned import CELL
from depixel.model.networks import ResidualBlock, UNetBody

PHOTO, WITHIN, BETWEEN, UNKNOWN = 0, 1, 2, -1
"""Classes of a step between neighbouring pixels: in the photo, within a block, between two blocks; ignored."""


class Lines(nn.Module):
    """A residual block with long convolutions along rows and columns, because sides of areas and blocks are lines."""

    LONG = 9

    def __init__(self, channels: int):
        super().__init__()
        self.across = nn.Conv2d(channels, channels // 2, (1, self.LONG), padding=(0, self.LONG // 2))
        self.down = nn.Conv2d(channels, channels // 2, (self.LONG, 1), padding=(self.LONG // 2, 0))
        self.both = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.both.weight)
        nn.init.zeros_(self.both.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.both(F.relu(torch.cat([self.across(x), self.down(x)], dim=1)))


class Detector(UNetBody):
    """A U-Net with long convolutions along rows and columns.

    Its input planes are the picture, the size of its steps, the position in JPEG's blocks, and the noise. forward takes
    gray and noise, and returns logits, as described in `depixel.detection.learned`.
    """

    WIDTH = 32
    STEPS = 17_400
    KIND = f"a U-Net of width {WIDTH}"
    ABOUT = """\
A network that classifies each step between neighbouring pixels: in a photo, within a block of a pixelated area, or
between two blocks. `depixel restore --auto` uses it to find areas in pictures that were saved as JPEG after they were
pixelated. `depixel/detection/search.py` describes the search."""
    PLANES = 8
    BLOCKS = (1, 1, 2, 4, 2, 1, 1)

    def __init__(self, width: int = WIDTH):
        def stack(channels: int, depth: int) -> nn.Sequential:
            layers: list[nn.Module] = [ResidualBlock(channels, 0.0) for _ in range(depth)]
            if channels < 4 * width:  # all levels but the coarsest
                layers.append(Lines(channels))
            return nn.Sequential(*layers)

        super().__init__(self.PLANES, width, stack, kernel=5)
        self.out = nn.Conv2d(width, 6, 3, padding=1)

    def planes(self, gray: Tensor, noise: Tensor) -> Tensor:
        count, _, high, wide = gray.shape
        level, contrast = gray.mean((2, 3), keepdim=True), gray.std((2, 3), keepdim=True) + 8
        x, y = (torch.arange(n, device=gray.device) * (2 * np.pi / 8) for n in (wide, high))
        phases = [wave(x).expand(high, wide) for wave in (torch.cos, torch.sin)]
        phases += [wave(y)[:, None].expand(high, wide) for wave in (torch.cos, torch.sin)]
        planes = [
            (gray - level) / contrast,
            *_steps(gray),
            torch.stack(phases)[None].expand(count, 4, high, wide),
            torch.log1p(noise)[:, None, None, None].expand(count, 1, high, wide),
        ]
        return torch.cat(planes, dim=1).contiguous(memory_format=torch.channels_last)

    def forward(self, gray: Tensor, noise: Tensor) -> Tensor:
        return self.out(self.features(self.planes(gray, noise))).float()

    @staticmethod
    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        return sum(F.cross_entropy(logits[:, 3 * i : 3 * i + 3], classes[:, i], ignore_index=UNKNOWN) for i in (0, 1))


class Screen(nn.Module):
    """A small network for large pictures; it works at an eighth of their resolution.

    forward takes gray and noise, and returns the logits of the cells, as described in `depixel.detection.learned`.
    """

    STEPS = 1_800
    KIND = "seven convolutions"
    ABOUT = """\
A small network that finds squares of 8 x 8 pixels with steps between two blocks of a pixelated area. In large pictures,
`depixel restore --auto` runs the [detector](detector.md) only around these squares."""
    WIDTHS = (24, 32)
    DEPTH = 4

    def __init__(self):
        super().__init__()
        first, width = self.WIDTHS
        self.stem = nn.Conv2d(4, first, 8, stride=4, padding=2)
        self.down = nn.Conv2d(first, width, 3, stride=2, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(self.DEPTH))
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, gray: Tensor, noise: Tensor) -> Tensor:
        across, down = _steps(gray)
        noise = torch.log1p(noise)[:, None, None, None].expand_as(gray)
        planes = torch.cat([(gray - 128) / 64, across, down, noise], dim=1)
        x = F.relu(self.down(F.relu(self.stem(planes))))
        for layer in self.body:
            x = x + F.relu(layer(x))
        return self.out(x).float()

    @staticmethod
    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        there = F.max_pool2d((classes == BETWEEN).any(dim=1, keepdim=True).float(), CELL)
        return F.binary_cross_entropy_with_logits(logits, there)


def _steps(gray: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithmic sizes of the steps across and down, (B, 1, H, W) each, about -1 to 3."""
    across = F.pad((gray[..., 1:] - gray[..., :-1]).abs(), (1, 0))
    down = F.pad((gray[..., 1:, :] - gray[..., :-1, :]).abs(), (0, 0, 1, 0))
    return torch.log(across + 0.25) / 2, torch.log(down + 0.25) / 2


NETWORKS = {"detector": Detector, "screen": Screen}
