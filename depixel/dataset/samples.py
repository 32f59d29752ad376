"""Training samples: photos, turned at random and pixelated in a random area; whole batches at a time.

Each random choice depends only on seed, epoch and photo. So the order of the photos, the batch size and a resumed run
never change the samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depixel.base.names import drawn, photo_ids
from depixel.base.tables import path_of
from depixel.dataset.augmentation import Augmentation
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.splits import load_splits
from depixel.model.blocks import Blocks
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms
from depixel.model.windows import TRAINING_CONTEXT, window_side

SCORED = 10_000
"""Maximum number of photos of a side that are scored, at up to 128 pixels a side: more would change no conclusion."""


@dataclass(frozen=True)
class Photos:
    """The photos of one side of the split.

    Attributes:
        images: (N, S, S) uint8, all prepared photos; may be memory-mapped.
        rows: (M,) int64, the rows of this side's photos in `images`.
        ids: (M,) uint64, the ids of these photos (`names.photo_ids`).
        contributors: (M,), the contributors of these photos; "" if they are not known.
    """

    images: np.ndarray
    rows: np.ndarray
    ids: np.ndarray
    contributors: np.ndarray = field(default_factory=lambda: np.empty(0, str))

    def __post_init__(self) -> None:
        if len(self.contributors) != len(self.rows):
            object.__setattr__(self, "contributors", np.full(len(self.rows), ""))

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, prepared: str | Path, splits: str | Path, side: str) -> "Photos":
        """Load the photos of one side of the split.

        Args:
            prepared: the folder of prepared photos.
            splits: the table of splits.
            side: "train", "validation" or "test".

        Raises:
            DepixelError: a file is missing, or the files do not belong together.
        """
        photos = load_index(Path(prepared) / "index.csv")
        rows = np.flatnonzero(load_splits(splits, photos) == side)
        return cls(
            images=load_images(Path(prepared) / "images.npy", len(photos)),
            rows=rows,
            ids=photo_ids([path_of(photos[row].contributor, photos[row].name) for row in rows]),
            contributors=np.array([photos[row].contributor for row in rows], str),
        )

    def first(self, count: int) -> "Photos":
        """The first `count` photos."""
        return Photos(self.images, self.rows[:count], self.ids[:count], self.contributors[:count])

    def scored(self) -> "Photos":
        """All of them, or `SCORED` that are `drawn`; fewer of larger photos, so that they take no more memory."""
        most = int(SCORED * min(1, (128 / self.images.shape[-1]) ** 2))
        chosen = drawn(self.ids, most)
        return Photos(self.images, self.rows[chosen], self.ids[chosen], self.contributors[chosen])

    def order(self, stream: str) -> np.ndarray:
        """(M,) int64: a permutation of 0..M-1 that depends only on the stream and the photos."""
        return np.argsort(uniforms(self.ids, stream, 1)[:, 0], kind="stable")


def epoch_batches(
    photos: Photos, settings: PixelationSettings, stream: str, epoch: str, batch_size: int
) -> list[np.ndarray]:
    """Sort the photos of an epoch into random batches of areas of similar size, so that the windows stay small.

    Args:
        photos: the photos of the epoch.
        settings: the ranges of the areas.
        stream: the stream of the areas, as for `training_batch` or `fixed_batch`.
        epoch: a text that names seed and epoch.
        batch_size: number of photos in a batch.

    Returns:
        Arrays of positions within `photos`; each photo is in exactly one batch. One batch, at any place, may be
        smaller.
    """
    order = photos.order(f"order {epoch}")
    areas = draw_areas(uniforms(photos.ids[order], stream, 5), photos.images.shape[-1], settings)
    order = order[np.lexsort(window_side(areas[:, 2:4], TRAINING_CONTEXT).T)]  # stable: equal windows stay shuffled
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    firsts = photos.ids[[batch[0] for batch in batches]]
    return [batches[i] for i in np.argsort(uniforms(firsts, f"batches {epoch}", 1)[:, 0], kind="stable")]


def fixed_batch(photos: Photos, chosen: np.ndarray, settings: PixelationSettings, stream: str) -> tuple[Tensor, Tensor]:
    """Photos without turning, with the areas that `stream` draws for them.

    Args:
        photos: the photos.
        chosen: (B,) positions within `photos`.
        settings: the ranges of the areas.
        stream: a text that names purpose and seed.

    Returns:
        images (B, 1, S, S) float32 of integers 0..255; areas (B, 5) int64 (x, y, width, height, block_size).

    Raises:
        DepixelError: the smallest area does not fit into the photos.
    """
    images = photos.images[photos.rows[chosen]]
    areas = draw_areas(uniforms(photos.ids[chosen], stream, 5), images.shape[-1], settings)
    return torch.from_numpy(images).float()[:, None], torch.from_numpy(areas)


@dataclass(frozen=True)
class Samples:
    """Pixelated photos with their true pixels.

    Attributes:
        images: (N, S, S) uint8, the original photos.
        pixelated: (N, S, S) uint8, the pixelated ones.
        areas: (N, 5) int64: x, y, width, height, block_size.
        targets: N flat uint8 arrays, the true pixels of the areas in row-major order.
    """

    images: np.ndarray
    pixelated: np.ndarray
    areas: np.ndarray
    targets: list[np.ndarray]


def fixed_samples(
    photos: Photos, settings: PixelationSettings, streams: Sequence[str], batch_size: int = 256
) -> Samples:
    """All photos without turning, once for each stream, with the area that the stream draws.

    Args:
        photos: M photos.
        settings: the ranges of the areas.
        streams: K texts, each naming purpose and seed.
        batch_size: number of photos that are pixelated together; it changes no sample.

    Returns:
        K M samples, stream after stream.
    """
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
    augmentation: Augmentation | None = None,
) -> tuple[Tensor, Tensor]:
    """A batch for training: photos mirrored, transposed and changed at random, with random areas.

    Args:
        photos: the photos.
        chosen: (B,) positions within `photos`.
        settings: the ranges of the areas.
        stream: a text that names seed and epoch.
        flip: whether to mirror and transpose, all 8 ways with the same probability.
        device: the PyTorch device of the images; on CUDA the call does not wait for the copy.
        augmentation: the other changes of the photos; None: none.

    Returns:
        As `fixed_batch`; the images are on `device`, the areas are on the CPU.
    """
    u = uniforms(photos.ids[chosen], stream, 8)
    images = moved(photos.images[photos.rows[chosen]], device).float()  # (B, S, S)
    if flip:
        flips = moved(u[:, 5:] < 0.5, device)[:, :, None, None]
        images = torch.where(flips[:, 0], images.flip(2), images)
        images = torch.where(flips[:, 1], images.flip(1), images)
        images = torch.where(flips[:, 2], images.transpose(1, 2), images)
    areas = draw_areas(u[:, :5], images.shape[-1], settings)
    if augmentation:
        images = augmentation(images, areas, photos.ids[chosen], stream)
    return images[:, None], torch.from_numpy(areas)


def moved(array: np.ndarray, device: str) -> Tensor:
    """An array as a tensor on a device. CUDA copies it from pinned memory, and the call does not wait for that."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor.to(device)
