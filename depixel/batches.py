"""What a training sample is: which photo, which crop of it, turned how, pixelated where. Whole batches at a time.

Every choice follows from (seed, epoch, photo), so the order of the photos, the batch size or a resumed run never change
which samples a run sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depixel.blocks import Blocks
from depixel.pixelation import PixelationSettings, draw_areas, photo_ids, uniforms
from depixel.prepared import load_images, load_index
from depixel.splits import load_splits
from depixel.tables import path_of
from depixel.windows import TRAINING_CONTEXT, window_side

NO_IMAGES = np.empty((0, 0, 0), np.uint8)


@dataclass(frozen=True)
class Photos:
    """Photos of one side of the split, at rest.

    Attributes:
        images: (N, S, S) uint8, all prepared photos; may be memory-mapped.
        train_images: (N, T, T) uint8, the same photos larger, for crops; (0, 0, 0) if there are none.
        rows: (M,) int64, which of the N photos belong to this side.
        ids: (M,) uint64, their ids (`pixelation.photo_ids`).
    """

    images: np.ndarray
    train_images: np.ndarray
    rows: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, prepared: str | Path, splits: str | Path, side: str, larger: bool = False) -> "Photos":
        """Load the photos of one side of the split.

        Args:
            prepared: the folder of prepared photos. splits: the table of splits. side: train, validation or test.
            larger: with the larger images, for crops.

        Raises:
            DepixelError: something is missing, or the files do not belong together.
        """
        photos = load_index(Path(prepared) / "index.csv")
        rows = np.flatnonzero(load_splits(splits, photos) == side)
        return cls(
            images=load_images(Path(prepared) / "images.npy", len(photos)),
            train_images=load_images(Path(prepared) / "train_images.npy", len(photos)) if larger else NO_IMAGES,
            rows=rows,
            ids=photo_ids([path_of(photos[row].contributor, photos[row].name) for row in rows]),
        )

    def first(self, count: int) -> "Photos":
        """Only the first `count` photos."""
        return Photos(self.images, self.train_images, self.rows[:count], self.ids[:count])

    def order(self, stream: str) -> np.ndarray:
        """(M,) a permutation of 0..M-1 that depends on the stream and the photos only."""
        return np.argsort(uniforms(self.ids, stream, 1)[:, 0], kind="stable")


def epoch_batches(
    photos: Photos, settings: PixelationSettings, stream: str, epoch: str, batch_size: int
) -> list[np.ndarray]:
    """In which batches an epoch shows its photos: at random, but areas of like size together, whose windows are small.

    Args:
        stream: that of `training_batch` or `fixed_batch`, whose areas these are. epoch: names seed and epoch.

    Returns:
        Positions within `photos`, each in one batch; the last of them may be a smaller one, at any place.
    """
    order = photos.order(f"order {epoch}")
    areas = draw_areas(uniforms(photos.ids[order], stream, 5), photos.images.shape[-1], settings)
    order = order[np.lexsort(window_side(areas[:, 2:4], TRAINING_CONTEXT).T)]  # stable: at random among the like
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    firsts = photos.ids[[batch[0] for batch in batches]]
    return [batches[i] for i in np.argsort(uniforms(firsts, f"batches {epoch}", 1)[:, 0], kind="stable")]


def fixed_batch(photos: Photos, chosen: np.ndarray, settings: PixelationSettings, stream: str) -> tuple[Tensor, Tensor]:
    """Photos as they are, with the areas that `stream` gives them.

    Returns:
        images (B, 1, S, S) float32 of whole values 0..255; areas (B, 5) int64 (x, y, width, height, block_size).
    """
    images = photos.images[photos.rows[chosen]]
    areas = draw_areas(uniforms(photos.ids[chosen], stream, 5), images.shape[-1], settings)
    return torch.from_numpy(images).float()[:, None], torch.from_numpy(areas)


@dataclass(frozen=True)
class Samples:
    """Pixelated photos with their truth.

    Attributes:
        images: (N, S, S) uint8, the photos. pixelated: (N, S, S) uint8. areas: (N, 5) int64 (x, y, width, height,
        block_size). targets: N flat uint8 arrays, the true pixels of the areas in row-major order.
    """

    images: np.ndarray
    pixelated: np.ndarray
    areas: np.ndarray
    targets: list[np.ndarray]


def fixed_samples(
    photos: Photos, settings: PixelationSettings, streams: Sequence[str], batch_size: int = 256
) -> Samples:
    """Every photo as it is, once for each stream, with the area that the stream gives it."""
    images, pixelated, areas, targets = [], [], [], []
    for stream in streams:
        for start in range(0, len(photos), batch_size):
            chosen = np.arange(start, min(start + batch_size, len(photos)))
            truth, area = fixed_batch(photos, chosen, settings, stream)
            blocks = Blocks(area, *truth.shape[2:])
            images.append(truth[:, 0].byte().numpy())
            pixelated.append(blocks.pixelate(truth)[:, 0].byte().numpy())
            areas.append(area.numpy())
            targets += [t[unknown].byte().numpy() for t, unknown in zip(truth, blocks.unknown, strict=True)]
    return Samples(np.concatenate(images), np.concatenate(pixelated), np.concatenate(areas), targets)


def training_batch(
    photos: Photos,
    chosen: np.ndarray,
    settings: PixelationSettings,
    stream: str,
    crop: float,
    flip: bool,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Photos drawn for training: cropped, flipped and transposed at random.

    Args:
        chosen: (B,) positions within `photos`. stream: names seed and epoch.
        crop: share of the samples that are a random square cut from the larger photo, its side uniform between S and
            T, resized to S; the others are the whole photo, as in a test set.
        flip: mirror and transpose at random, all 8 ways equally likely.
        device: where the images are made; CUDA is not waited for.

    Returns:
        As `fixed_batch`; the images are on `device`, the areas are not.
    """
    u = uniforms(photos.ids[chosen], stream, 12)
    rows = photos.rows[chosen]
    images = moved(photos.images[rows], device).float()  # (B, S, S)
    size = images.shape[-1]
    cropped = np.flatnonzero(u[:, 5] < crop) if len(photos.train_images) else np.empty(0, np.int64)
    if len(cropped):
        large = moved(photos.train_images[rows[cropped]], device).float()  # (B', T, T)
        side = size + u[cropped, 6] * (large.shape[-1] - size)
        left, top = u[cropped, 7:9].T * (large.shape[-1] - side)
        squares = (moved(values.astype(np.float32), device) for values in (left, top, side))
        images[moved(cropped, device)] = resized_crops(large, *squares, size)
    if flip:
        flips = moved(u[:, 9:12] < 0.5, device)[:, :, None, None]
        images = torch.where(flips[:, 0], images.flip(2), images)
        images = torch.where(flips[:, 1], images.flip(1), images)
        images = torch.where(flips[:, 2], images.transpose(1, 2), images)
    return images[:, None], torch.from_numpy(draw_areas(u[:, :5], size, settings))


def moved(array: np.ndarray, device: str) -> Tensor:
    """An array as a tensor on a device; CUDA is not waited for, it fetches from memory that stays where it is."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor.to(device)


def resized_crops(images: Tensor, left: Tensor, top: Tensor, side: Tensor, size: int) -> Tensor:
    """Cut a square from each image and resize it, antialiased as Pillow's bilinear filter: two batched matrix products.

    Args:
        images: (B, T, T) float32. left, top, side: (B,) float32, pixels. size: side of the result, pixels.

    Returns:
        (B, size, size) float32 of whole values 0..255.
    """
    length = images.shape[-1]
    resized = _resizing(top, side, size, length) @ images @ _resizing(left, side, size, length).transpose(1, 2)
    return resized.round().clamp(0, 255)


def _resizing(start: Tensor, side: Tensor, size: int, length: int) -> Tensor:
    """(B, size, length) the weights of the triangle filter, scaled by the reduction."""
    scale = side / size
    centers = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * scale[:, None]  # (B, size)
    distance = torch.arange(length, device=start.device) + 0.5 - centers[:, :, None]
    weights = (1 - distance.abs() / scale.clamp(min=1)[:, None, None]).clamp(min=0)
    return weights / weights.sum(dim=2, keepdim=True)
