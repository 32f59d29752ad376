"""Training examples for the networks of `detector_networks.py`: photos with pixelated areas, saved as JPEG.

The photos are those of every second contributor; `benchmarks/detection.py` measures on the others.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from torch import Tensor

from depixel.base.console import progress
from depixel.base.files import replacing
from depixel.detection.jpeg import BASIS, standard_table
from depixel.model.blocks import Blocks
from depixel.photos import processes
from depixel.photos.archives import Entry
from recipes.detector_networks import BETWEEN, PHOTO, UNKNOWN, WITHIN
from recipes.photos import entries_of, loaded

SIDES = (64, 128)
VALUES = 0.45, 0.45, 0.1  # shares of examples whose blocks show their rounded mean, truncated mean, or middle pixel
NAMES = ("small", "own", "large")
"""Kinds of prepared photos: resized to 64 pixels, cut to 128 pixels at the original scale, resized to 128 pixels."""


class Areas(NamedTuple):
    """Areas of a batch, (B,) each: the fields of `ResolvedArea` in pixels, and whether the example has the area."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    size: Tensor
    offset_x: Tensor
    offset_y: Tensor
    there: Tensor


class Examples:
    """An endless iterator of batches. All examples of a batch are made at once, on the network's device.

    Args:
        folder: folder of the photos, written by `collect_all`.
        device: the torch device.
        seed: seed of all random choices.
        batch: number of examples of 64 x 64 pixels in a batch; of 128 x 128 a quarter as many.
    """

    def __init__(self, folder: Path, device: str, seed: int, batch: int):
        photos = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES]
        grown = [np.pad(of, [(0, 0), *[(0, SIDES[1] - n) for n in of.shape[1:]]]) for of in photos]
        self.photos = torch.from_numpy(np.concatenate(grown)).to(device)
        self.numbers = np.array([len(of) for of in photos])
        self.device, self.size = device, batch
        self.rng = np.random.default_rng(seed)
        self.noise = torch.Generator(device).manual_seed(seed)
        self.tables = torch.from_numpy(np.stack([standard_table(max(quality, 1)) for quality in range(101)]))
        self.tables = self.tables.float().to(device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            large = self.rng.random() < 0.25
            yield self.batch(SIDES[large], self.size // 4 if large else self.size)

    def batch(self, side: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Make a batch.

        Returns:
            gray (B, 1, side, side) float32, whole numbers 0..255; noise (B,) float32, gray levels, 0 if unknown; and
            the classes of the steps, (B, 2, side, side) int64.
        """
        gray = self.cuts(side, count)
        gray, classes = pixelated(gray, self.areas(side, count), *self.to(self.rng.choice(3, count, p=VALUES)))
        quality, told = self.qualities(count)
        quality, told, lossless = self.to(quality, told & (quality > 0), quality == 0)
        tables = self.tables[quality]
        noise = (tables.square().mean((1, 2)) / 12).sqrt() * told
        gray = torch.where(lossless[:, None, None], gray, compressed(gray, tables))
        return gray[:, None], noise, classes

    def to(self, *values: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(of)).to(self.device, non_blocking=True) for of in values]

    def cuts(self, side: int, count: int) -> Tensor:
        """Cut parts of photos (B, side, side): resized as in the challenge, at the original scale, or in between."""
        rng, most = self.rng, SIDES[1]
        kind = rng.random(count) if side == SIDES[0] else rng.uniform(0.4, 1, count)
        kind = np.searchsorted([0.4, 0.7], kind, side="right")  # of NAMES
        number = (rng.random(count) * self.numbers[kind]).astype(int)
        first = np.append(0, np.cumsum(self.numbers))[kind]
        length = np.where(kind == 2, rng.integers(side, most + 1, count), side)
        starts = rng.random((2, count))
        starts = np.where(
            kind == 1,
            (starts * ((most - side) // 8 + 1)).astype(int) * 8,  # aligned with the JPEG's blocks
            np.where(kind == 2, (starts * (most - length + 1)).astype(int), 0),
        )
        mirrored = (kind != 1) & (rng.random(count) < 0.5)
        enlarged = rng.random(count) < 0.08  # smooth, with noise, like large photos
        part = np.where(enlarged, (side / rng.uniform(1.3, 4, count)).astype(int), side)
        begins = (rng.random((2, count)) * (side - part + 1)).astype(int)
        noise = np.where(enlarged & (rng.random(count) < 0.7), rng.uniform(0.3, 4, count), 0).astype(np.float32)

        rows, columns, length, box = self.to(*starts, length, (kind == 2) & (rng.random(count) < 0.3))
        index, mirrored, top, left, part, noise = self.to(first + number, mirrored, *begins, part, noise)
        gray = self.photos[index].float()
        gray = resized(gray, *(resampling(start, length, side, most, box) for start in (rows, columns)))
        gray = torch.where(mirrored[:, None, None], gray.flip(2), gray)
        gray = resized(gray, *(resampling(start, part, side, side, torch.zeros_like(box)) for start in (top, left)))
        drawn = torch.randn(gray.shape, generator=self.noise, device=self.device)
        return (gray + noise[:, None, None] * drawn).round_().clip_(0, 255)

    def areas(self, side: int, count: int) -> list[Areas]:
        """Draw two areas for each example; it has none, one or both of them.

        Sizes are as in the project's trainings, and larger. One grid in eight does not begin at the area's corner.
        """
        rng = self.rng
        both = []
        for _ in range(2):
            kind = rng.random(count)
            least = np.where(kind < 0.9, 6, 16)
            large = np.exp(rng.uniform(np.log(least), np.log(side + 1), (2, count))).astype(int)
            width, height = np.minimum(np.where(kind < 0.6, rng.integers(4, 33, (2, count)), large), side)
            sizes = np.exp(rng.uniform(np.log(3), np.log(32 * side / 64 + 1), count)).astype(int)
            size = np.where(rng.random(count) < 0.6, rng.integers(4, 17, count), sizes)
            x, y = ((rng.random(count) * (side - n + 1)).astype(int) for n in (width, height))
            offsets = (rng.random((2, count)) * size).astype(int) * (rng.random(count) < 0.12)
            both.append([x, y, width, height, size, *offsets])
        many = rng.choice(3, count, p=[0.15, 0.65, 0.2])
        (x0, y0, w0, h0), (x1, y1, w1, h1) = (of[:4] for of in both)
        apart = (x0 > x1 + w1) | (x1 > x0 + w0) | (y0 > y1 + h1) | (y1 > y0 + h0)
        return [Areas(*self.to(*of, there)) for of, there in zip(both, (many >= 1, (many == 2) & apart), strict=True)]

    def qualities(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw JPEG qualities, 0 for lossless, and whether the network knows them.

        Nearly half are high, because the network learns most from these.
        """
        kind, rng = self.rng.random(count), self.rng
        quality = rng.integers(np.where(kind < 0.55, 84, 58), 99)
        return np.where(kind > 0.1, quality, 0), rng.random(count) < 0.93


def resampling(start: Tensor, length: Tensor, side: int, most: int, box: Tensor) -> Tensor:
    """The matrices (B, side, most) that resize `length` of `most` pixels, from `start` on, to `side` pixels.

    They work like Pillow's BOX where `box` is True, otherwise like its BICUBIC.
    """
    start, length, box = (of[:, None, None] for of in (start, length, box))
    pixels = torch.arange(most, device=start.device)
    scale = length / side
    centers = start + (torch.arange(side, device=start.device)[:, None] + 0.5) * scale
    off = (pixels + 0.5 - centers) / scale.clip(min=1)
    x = off.abs()
    inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    cubic = torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))
    weights = torch.where(box, ((off > -0.5) & (off <= 0.5)).float(), cubic)
    weights = weights * ((pixels >= start) & (pixels < start + length))
    return weights / weights.sum(dim=2, keepdim=True)


def resized(gray: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize pictures by `resampling` matrices for rows and columns: (B, side, side), rounded and clipped."""
    return (rows @ gray @ columns.mT).round_().clip_(0, 255)


def pixelated(gray: Tensor, areas: list[Areas], value: Tensor) -> tuple[Tensor, Tensor]:
    """Pixelate areas of pictures (B, H, W); return them with the classes (B, 2, H, W) of their steps.

    value: (B,): blocks show their rounded mean (0), their truncated mean (1), or their middle pixel (2).
    """
    classes = torch.full((len(gray), 2, *gray.shape[1:]), PHOTO, device=gray.device)
    value, example = value[:, None, None], torch.arange(len(gray), device=gray.device)[:, None, None]
    for area in areas:
        blocks = Blocks(torch.stack(area[:7], dim=1), *gray.shape[1:])
        means = (blocks.sums(gray[:, None]) / blocks.count)[:, 0]
        columns, x = _lines(area.x, area.width, area.size, area.offset_x, gray.shape[2])
        rows, y = _lines(area.y, area.height, area.size, area.offset_y, gray.shape[1])
        middles = gray[example, y[:, :, None], x[:, None]]
        shown = torch.where(value == 2, middles, (means + torch.where(value == 0, 0.5, 0.0)).floor())
        within = blocks.unknown[:, 0] & area.there[:, None, None]
        gray = torch.where(within, shown, gray)
        high, wide = within.any(dim=2), within.any(dim=1)
        for of, line in enumerate((high[:, :, None] & columns[:, None], wide[:, None] & rows[:, :, None])):
            classes[:, of] = torch.where(line, BETWEEN, torch.where(within, WITHIN, classes[:, of]))
    classes[:, 0, :, 0] = classes[:, 1, 0] = UNKNOWN
    return gray, classes


def _lines(start: Tensor, length: Tensor, size: Tensor, offset: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Along one axis, (B, most): whether a block begins or the area ends at a pixel, and the middle of its block."""
    start, size, offset = (of[:, None] for of in (start, size, offset))
    end = start + length[:, None]
    pixels = torch.arange(most, device=start.device)
    begins = torch.maximum(start, (pixels - start + offset) // size * size - offset + start)
    lines = (begins == pixels) & (pixels < end) | (pixels == end)
    return lines, torch.minimum(begins + size // 2, end - 1)


def compressed(gray: Tensor, tables: Tensor) -> Tensor:
    """Compress pictures (B, H, W) as JPEG does, with quantization steps (B, 8, 8)."""
    basis = torch.from_numpy(BASIS).float().to(gray.device, non_blocking=True)
    count, high, wide = gray.shape
    blocks = gray.view(count, high // 8, 8, wide // 8, 8).transpose(2, 3) - 128
    steps = 8 * tables[:, None, None]  # libjpeg computes eighths of a coefficient, and rounds halves away from 0
    eighths = (8 * (basis @ blocks @ basis.T)).round_()
    blocks = basis.T @ (eighths.sign() * ((eighths.abs() + steps / 2) / steps).floor_() * steps / 8) @ basis
    return (blocks + 128).transpose(2, 3).reshape(gray.shape).round_().clip_(0, 255)


def collect(entry: Entry) -> list[np.ndarray | None]:
    """The prepared versions of a photo, in the order of `NAMES`; None if it cannot be read or is too small."""
    small, large, own = (loaded(entry, size) for size in (*SIDES, 0))
    if own is not None:
        y, x = ((n - SIDES[1]) // 2 // 8 * 8 for n in own.shape)
        own = own[y : y + SIDES[1], x : x + SIDES[1]] if min(own.shape) >= SIDES[1] else None
    return [small, own, large]


def collect_all(photos: Path, folder: Path) -> None:
    """Write small.npy, own.npy and large.npy, (N, side, side) uint8, unless they exist.

    Raises:
        click.ClickException: the folder has those of other photos.
    """
    origin = folder / "photos.txt"
    if origin.is_file():
        if origin.read_text(encoding="utf-8") != str(photos.resolve()):
            raise click.ClickException(
                f"{folder}: has the photos of {origin.read_text(encoding='utf-8')}. Delete it, or choose another"
            )
        return
    entries = entries_of(photos, 0)
    rows = list(progress(processes.each(collect, entries), total=len(entries)))
    for name, images in zip(NAMES, zip(*rows, strict=True), strict=True):
        with replacing(folder / f"{name}.npy") as beside, beside.open("wb") as file:
            np.save(file, np.stack([image for image in images if image is not None]))
    origin.write_text(str(photos.resolve()), encoding="utf-8")
