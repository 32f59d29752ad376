"""Baselines: restorations without learning, which a network must beat. They have the interface of the networks.

All use the block means; all but `identity` also use known pixels around the area. `bilinear`, `bicubic` and `lanczos`
use their means over the lattice of blocks, continued beyond the area. `interpolation` and `kriging` use the pixels.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy import linalg
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.model.blocks import Blocks
from depixel.scoring.covariance import covariance


class Identity(nn.Module):
    """Returns the pixelated pixels unchanged; ratios are relative to its RMSE."""

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The restored images, (B, 1, H, W) float32, gray levels, not yet projected."""
        return pixelated


class Interpolation(nn.Module):
    """Smooth interpolation that keeps the block means and continues the known pixels (`Blocks.smooth`)."""

    STEPS = 64

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The restored images, (B, 1, H, W) float32, gray levels, not yet projected."""
        return blocks.smooth(pixelated, self.STEPS)


def triangle(x: Tensor) -> Tensor:
    """The kernel of linear interpolation, 1 - |x|; x in cells, any shape."""
    return (1 - x.abs()).clamp(min=0)


def cubic(x: Tensor) -> Tensor:
    """The kernel of cubic convolution (Keys 1981) with a = -1/2; x in cells, any shape."""
    x = x.abs()
    return torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2) * (x < 2)


def lanczos(x: Tensor) -> Tensor:
    """The Lanczos kernel with 3 lobes, sinc(x) sinc(x / 3) (Duchon 1979); x in cells, any shape."""
    return torch.sinc(x) * torch.sinc(x / 3) * (x.abs() < 3)


class Resampling(nn.Module):
    """Separable interpolation between the centers of the lattice's cells, which have the mean of their pixels.

    Cells that are cut off are narrower. Between two centers, the kernel is stretched to their distance.

    Args:
        kernel: the interpolation kernel, from distances in cells to weights.
    """

    def __init__(self, kernel: Callable[[Tensor], Tensor]):
        super().__init__()
        self.kernel = kernel

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The restored images, (B, 1, H, W) float32, gray levels, not yet projected."""
        image = blocks.project(pixelated, pixelated, "center")[:, 0]
        with torch.autocast(pixelated.device.type, enabled=False):
            across, down = map(self._weights, blocks.cells)
            return (down @ image @ across.mT)[:, None]

    def _weights(self, cell: Tensor) -> Tensor:
        """(B, L, L) float32: along an axis, the weights of all pixels for each pixel; `cell` (B, L), cell of each."""
        member = F.one_hot(cell).float()  # (B, L, cells)
        size = member.sum(dim=1)  # (B, cells); 0 for cells that only other images of the batch have
        here = torch.arange(cell.shape[1], device=cell.device) + 0.5
        center = (here @ member) / size.clamp(min=1)
        offset = here - center.gather(1, cell)  # (B, L)
        last = cell[:, -1:]
        towards = (cell + offset.sign().long()).clamp(min=torch.zeros_like(last), max=last)  # the next cell
        gap = (center.gather(1, towards) - center.gather(1, cell)).abs()
        position = cell + torch.where(gap > 0, offset / gap.clamp(min=1), 0)
        weights = self.kernel(position[:, :, None] - torch.arange(member.shape[2], device=cell.device))
        weights = weights * (size > 0)[:, None]
        return weights / weights.sum(dim=2, keepdim=True) @ (member / size.clamp(min=1)[:, None]).mT


class Kriging(nn.Module):
    """Kriging (Matheron 1969): the most likely pixels under a Gaussian process with an exponential covariance.

    The observations are the block means and the known pixels up to `RING` pixels from the area. Their weights depend
    only on the positions of blocks and known pixels, so samples with the same positions are solved together. The mean
    of the process is an unknown plane, so linear ramps are restored exactly. The linear systems are small, so one BLAS
    thread is fastest; `Predictor` sets that limit.
    """

    RING = 2  # pixels; more do not lower the error

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The restored images, (B, 1, H, W) float32, gray levels, not yet projected."""
        images = blocks.project(pixelated, pixelated, "center")[:, 0].double().cpu().numpy()
        unknown = blocks.unknown[:, 0].cpu().numpy()
        x, y = (cell.cpu().numpy() for cell in blocks.cells)
        geometries = np.concatenate([x, y, unknown.any(axis=1), unknown.any(axis=2)], axis=1)
        _, examples, kinds = np.unique(geometries, axis=0, return_index=True, return_inverse=True)
        for kind, i in enumerate(examples):
            same = kinds.reshape(-1) == kind
            images[same] = self._restored(images[same], unknown[i], x[i], y[i])
        return torch.from_numpy(images).float()[:, None].to(pixelated.device)

    def _restored(self, images: np.ndarray, unknown: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Images (B, H, W) with their areas filled; all share the geometry unknown (H, W), x (W,) and y (H,)."""
        rows, columns = (np.flatnonzero(unknown.any(axis=axis)) for axis in (1, 0))
        near = np.zeros_like(unknown)
        near[tuple(slice(max(i[0] - self.RING, 0), i[-1] + 1 + self.RING) for i in (rows, columns))] = True
        known, area = np.argwhere(near & ~unknown), np.argwhere(unknown)  # (K, 2) and (M, 2): row, column
        begins = [np.flatnonzero(np.diff(cell[i], prepend=-1)) for cell, i in ((y, rows), (x, columns))]
        edges = [np.append(i[begin], i[-1] + 1) for begin, i in zip(begins, (rows, columns), strict=True)]
        sizes = np.outer(*map(np.diff, edges)).reshape(-1)  # (N,) pixels of each block

        farthest = max(unknown.shape)
        apart = np.arange(-farthest, farthest + 1)
        table = covariance(apart[:, None], apart)
        summed = np.pad(table.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))

        def with_points(points: np.ndarray, others: np.ndarray) -> np.ndarray:
            here, there = (i @ [len(apart), 1] for i in (points, others))  # flat offsets from the table's center
            return table.take(here[:, None] - there + table.size // 2)

        def with_blocks(points: np.ndarray) -> np.ndarray:
            """(P, N) covariances of pixels with block means, from the summed-area table."""
            down, across = (ends - points[:, i, None] + farthest for i, ends in enumerate(edges))
            corners = summed[down[:, :, None], across[:, None, :]]
            return np.diff(np.diff(corners, axis=1), axis=2).reshape(len(points), len(sizes)) / sizes

        def means(values: np.ndarray) -> np.ndarray:
            """(M, ...) values of the area's pixels to (N, ...) means of its blocks."""
            values = values.reshape(len(rows), len(columns), -1)
            for axis, begin in enumerate(begins):
                values = np.add.reduceat(values, begin, axis=axis)
            return values.reshape(len(sizes), -1) / sizes[:, None]

        def plane(points: np.ndarray) -> np.ndarray:
            return np.column_stack([np.ones(len(points)), (points - area.mean(axis=0)) / farthest])

        known_blocks, area_blocks = with_blocks(known), with_blocks(area)
        observed = np.block([[with_points(known, known), known_blocks], [known_blocks.T, means(area_blocks)]])
        drift = np.concatenate([plane(known), means(plane(area))])
        values = np.concatenate([images[:, ~unknown & near].T, means(images[:, unknown].T)])  # (K + N, B)
        factor = linalg.cho_factor(observed, lower=True)
        of_drift, of_values = linalg.cho_solve(factor, drift), linalg.cho_solve(factor, values)
        slopes = np.linalg.lstsq(drift.T @ of_drift, drift.T @ of_values, rcond=1e-9)[0]
        weights = of_values - of_drift @ slopes
        between = np.concatenate([with_points(area, known), area_blocks], axis=1)
        images = images.copy()
        images[:, unknown] = (between @ weights + plane(area) @ slopes).T
        return images


BASELINES: dict[str, Callable[[], nn.Module]] = {
    "identity": Identity,
    "bilinear": partial(Resampling, triangle),
    "bicubic": partial(Resampling, cubic),
    "lanczos": partial(Resampling, lanczos),
    "interpolation": Interpolation,
    "kriging": Kriging,
}
"""Name -> function that makes the baseline."""
