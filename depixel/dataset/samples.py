"""What a training sample is: which photo, turned how, pixelated where. Whole batches at a time.

Every choice follows from (seed, epoch, photo), so the order of the photos, the batch size or a resumed run never change
which samples a run sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depixel.base.tables import path_of
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.splits import load_splits
from depixel.model.blocks import Blocks
from depixel.model.pixelation import PixelationSettings, draw_areas, photo_ids, uniforms
from depixel.model.windows import TRAINING_CONTEXT, window_side


@dataclass(frozen=True)
class Photos:
    """Photos of one side of the split, at rest.

    Attributes:
        images: (N, S, S) uint8, all prepared photos; may be memory-mapped.
        rows: (M,) int64, which of the N photos belong to this side.
        ids: (M,) uint64, their ids (`pixelation.photo_ids`).
    """

    images: np.ndarray
    rows: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, prepared: str | Path, splits: str | Path, side: str) -> "Photos":
        """Load the photos of one side of the split.

        Args:
            prepared: the folder of prepared photos. splits: the table of splits. side: train, validation or test.

        Raises:
            DepixelError: something is missing, or the files do not belong together.
        """
        photos = load_index(Path(prepared) / "index.csv")
        rows = np.flatnonzero(load_splits(splits, photos) == side)
        return cls(
            images=load_images(Path(prepared) / "images.npy", len(photos)),
            rows=rows,
            ids=photo_ids([path_of(photos[row].contributor, photos[row].name) for row in rows]),
        )

    def first(self, count: int) -> "Photos":
        """Only the first `count` photos."""
        return Photos(self.images, self.rows[:count], self.ids[:count])

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
    flip: bool,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Photos drawn for training: flipped and transposed at random.

    Args:
        chosen: (B,) positions within `photos`. stream: names seed and epoch.
        flip: mirror and transpose at random, all 8 ways equally likely.
        device: where the images are made; CUDA is not waited for.

    Returns:
        As `fixed_batch`; the images are on `device`, the areas are not.
    """
    u = uniforms(photos.ids[chosen], stream, 8)
    images = moved(photos.images[photos.rows[chosen]], device).float()  # (B, S, S)
    if flip:
        flips = moved(u[:, 5:] < 0.5, device)[:, :, None, None]
        images = torch.where(flips[:, 0], images.flip(2), images)
        images = torch.where(flips[:, 1], images.flip(1), images)
        images = torch.where(flips[:, 2], images.transpose(1, 2), images)
    return images[:, None], torch.from_numpy(draw_areas(u[:, :5], images.shape[-1], settings))


def moved(array: np.ndarray, device: str) -> Tensor:
    """An array as a tensor on a device; CUDA is not waited for, it fetches from memory that stays where it is."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor.to(device)
