"""Areas and blocks of whole batches, in PyTorch: pixelate, project onto the block means, cut windows.

Training and prediction share this code. It has no loop over samples.
"""

import copy

import torch
from torch import Tensor

from depixel.model.windows import MIRROR_X, MIRROR_Y, TRANSPOSE


def cut_windows(images: Tensor, areas: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Cut a window around each area, because distant pixels cost time and carry little information.

    Args:
        images: (B, 1, H, W).
        areas: (B, 5) integers: x, y, width, height, block_size; none larger than a window.
        width, height: size of the windows, pixels. A window lies inside its image; if the image is smaller, its last
            row and column are repeated.

    Returns:
        (B, 1, height, width) windows, and (B, 5) the areas in coordinates of the windows.
    """
    left, columns = _window(areas[:, 0], areas[:, 2], width, images.shape[3])
    top, rows = _window(areas[:, 1], areas[:, 3], height, images.shape[2])
    sample = torch.arange(len(images), device=images.device)[:, None, None]
    shift = torch.stack([left, top, *[torch.zeros_like(left)] * 3], dim=1)
    return images[sample, 0, rows[:, :, None], columns[:, None, :]][:, None], areas - shift


def _window(start: Tensor, extent: Tensor, side: int, length: int) -> tuple[Tensor, Tensor]:
    """Along one axis: the start of each window (B,), and its coordinates in the image (B, side)."""
    first = (start + extent // 2 - side // 2).clamp(0, max(length - side, 0))
    return first, (first[:, None] + torch.arange(side, device=start.device)).clamp(max=length - 1)


def turn(images: Tensor, view: int) -> Tensor:
    """Turn images (B, 1, H, W) to one of their 8 views.

    Args:
        view: 0 to 7, a sum of `MIRROR_X` (left to right), `MIRROR_Y` (top to bottom) and, applied last, `TRANSPOSE`.
    """
    mirrored = [axis for axis, bit in ((3, MIRROR_X), (2, MIRROR_Y)) if view & bit]
    images = images.flip(mirrored) if mirrored else images
    return images.transpose(2, 3) if view & TRANSPOSE else images


def turn_back(images: Tensor, view: int) -> Tensor:
    """Undo `turn`."""
    images = images.transpose(2, 3) if view & TRANSPOSE else images
    return turn(images, view & ~TRANSPOSE)


class Blocks:
    """The areas of a batch of images, cut into blocks.

    A sum over blocks is two batched matrix products with same-block indicators, `rows @ image @ columns`. For 8-bit
    values it is exact in float32, because every sum is an integer below 2^24.

    Attributes:
        unknown: (B, 1, H, W) bool, True inside the area.
        count: (B, 1, H, W) float32, number of pixels in each pixel's block; 1 outside the area.
    """

    def __init__(self, areas: Tensor, height: int, width: int):
        """Cut the areas into blocks.

        Args:
            areas: (B, 5) integers: x, y, width, height, block_size. An area may reach over the image's border. Or
                (B, 7), with the number of columns and rows that the first blocks lack, 0 to block_size - 1.
            height, width: size of the images, pixels.
        """
        x, y, w, h, size = (areas[:, i, None] for i in range(5))  # (B, 1)
        lacks = (areas[:, 5, None], areas[:, 6, None]) if areas.shape[1] == 7 else (0, 0)
        self._join(_Axis(x, w, size, lacks[0], width), _Axis(y, h, size, lacks[1], height))

    def _join(self, x: "_Axis", y: "_Axis") -> None:
        self._x, self._y = x, y
        self.unknown = (y.inside[:, :, None] & x.inside[:, None, :])[:, None]
        count = y.count[:, :, None] * x.count[:, None, :]
        self.count = torch.where(self.unknown[:, 0], count, 1.0)[:, None]

    def turned(self, view: int) -> "Blocks":
        """The blocks of the images after `turn` to this view."""
        x = self._x.mirrored() if view & MIRROR_X else self._x
        y = self._y.mirrored() if view & MIRROR_Y else self._y
        blocks = copy.copy(self)
        blocks._join(*((y, x) if view & TRANSPOSE else (x, y)))
        return blocks

    def mirrored_where(self, along_x: Tensor, along_y: Tensor) -> "Blocks":
        """As `turned`, for a graph that gets its view only when it runs: two bool tensors () say whether to mirror."""
        blocks = copy.copy(self)
        blocks._join(self._x.mirrored_where(along_x), self._y.mirrored_where(along_y))
        return blocks

    @property
    def cells(self) -> tuple[Tensor, Tensor]:
        """The lattice of blocks, continued beyond the area: (B, W) and (B, H) int64.

        They give the lattice column of each pixel column and the lattice row of each pixel row. Both count from 0 at
        the image's upper left corner.
        """
        return self._x.cell, self._y.cell

    def sums(self, image: Tensor) -> Tensor:
        """Sum `image` (B, 1, H, W) over blocks: (B, 1, H, W) float32, each pixel has its block's sum; 0 outside."""
        with torch.autocast(image.device.type, enabled=False):
            return (self._y.same @ image[:, 0].float() @ self._x.same)[:, None]

    def pixelate(self, image: Tensor) -> Tensor:
        """A copy of `image` (B, 1, H, W), float32 integers 0..255, with each block set to its truncated mean."""
        return torch.where(self.unknown, torch.floor(self.sums(image) / self.count), image)

    def project(self, prediction: Tensor, pixelated: Tensor, onto: str = "interval") -> Tensor:
        """Shift each block so that its mean fits the pixelated image.

        A block of n pixels shown as v has a true mean in [v, v + (n-1)/n]. "interval" moves a mean outside it to the
        nearest end. This never raises the squared error, because the truth lies in this convex set. "center" moves the
        mean to v + (n-1)/(2n), which may raise the error of a single block.

        Args:
            prediction: (B, 1, H, W) float32, gray levels.
            pixelated: (B, 1, H, W) float32, gray levels; truncated block means in the area.
            onto: "interval" or "center".

        Returns:
            (B, 1, H, W) float32: the projected prediction in the area, `pixelated` elsewhere. Not clipped to 0..255.
        """
        mean = self.sums(prediction) / self.count
        slack = (self.count - 1) / self.count
        wanted = mean.clamp(pixelated, pixelated + slack) if onto == "interval" else pixelated + slack / 2
        return torch.where(self.unknown, prediction + (wanted - mean), pixelated)

    def smooth(self, pixelated: Tensor, steps: int) -> Tensor:
        """Interpolate the block means smoothly and keep them (pycnophylactic interpolation, Tobler 1979).

        Each step averages every pixel of the area with its neighbours (binomial 3 x 3), then restores the block means.
        Known pixels around the area enter the averages and stay unchanged.

        Args:
            pixelated: (B, 1, H, W) float32, gray levels.
            steps: number of steps.

        Returns:
            (B, 1, H, W) float32: the interpolation in the area, `pixelated` elsewhere.
        """
        image = self.project(pixelated, pixelated, "center")
        for _ in range(steps):
            padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
            across = padded[..., :-2] * 0.25 + padded[..., 1:-1] * 0.5 + padded[..., 2:] * 0.25
            blurred = across[..., :-2, :] * 0.25 + across[..., 1:-1, :] * 0.5 + across[..., 2:, :] * 0.25
            image = self.project(blurred, pixelated, "center")
        return image

    def features(self) -> Tensor:
        """The geometry as input planes for a network: (B, 7, H, W) float32; all but the first are 0 outside the area.

        known (1 outside the area); position within the block in x and y (-1..1 from edge to edge); block width and
        height (pixels / 16); closeness to the area's border in x and y (1 / distance in pixels, 1 for the outermost).
        """
        x, y = self._x, self._y
        height, width = y.inside.shape[1], x.inside.shape[1]
        across = [v[:, None, :].expand(-1, height, -1) for v in (x.position, x.count / 16, x.border)]
        down = [v[:, :, None].expand(-1, -1, width) for v in (y.position, y.count / 16, y.border)]
        inside = self.unknown[:, 0].float()
        planes = [plane * inside for pair in zip(across, down, strict=True) for plane in pair]
        return torch.stack([1 - inside, *planes], dim=1)


class _Axis:
    """One axis of a batch of areas: the coordinates that share a block."""

    def __init__(self, start: Tensor, extent: Tensor, size: Tensor, lack: Tensor | int, length: int):
        offset = torch.arange(length, device=start.device) - start  # (B, L)
        self.inside = (offset >= 0) & (offset < extent)
        block = torch.where(self.inside, torch.div(offset + lack, size, rounding_mode="floor"), -1)
        same = (block[:, :, None] == block[:, None, :]) & self.inside[:, :, None]
        self.same = same.float()  # (B, L, L)
        first = (block * size - lack).clamp(min=0)  # the first block may be cut off, like the last
        within = offset - first
        count = torch.where(self.inside, torch.minimum((block + 1) * size - lack, extent) - first, 1)
        self.count = count.float()  # (B, L)
        self.position = (2 * within + 1 - count) / count * self.inside
        self.border = self.inside / torch.minimum(offset + 1, extent - offset).clamp(min=1)
        after = offset - extent
        last = torch.div(extent - 1 + lack, size, rounding_mode="floor")
        cell = torch.div(torch.where(after < 0, offset + lack * self.inside, after), size, rounding_mode="floor")
        cell = torch.where(after < 0, cell, last + 1 + cell)
        self.cell = cell - cell[:, :1]  # (B, L)

    def mirrored(self) -> "_Axis":
        axis = copy.copy(self)
        for name in ("inside", "count", "border"):
            setattr(axis, name, getattr(self, name).flip(1))
        axis.position, axis.same = -self.position.flip(1), self.same.flip(1, 2)
        axis.cell = self.cell[:, -1:] - self.cell.flip(1)
        return axis

    def mirrored_where(self, condition: Tensor) -> "_Axis":
        axis, mirrored = copy.copy(self), self.mirrored()
        for name, here in vars(self).items():  # as floats: ONNX Runtime has no `where` for bools
            chosen = torch.where(condition, getattr(mirrored, name).float(), here.float())
            setattr(axis, name, chosen.to(here.dtype))
        return axis
