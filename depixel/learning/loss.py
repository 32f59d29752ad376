"""The loss of a training: the distance to the truth or to a teacher, and the likelihood of predicted errors."""

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from depixel.dataset.samples import moved
from depixel.learning.distances import DISTANCES, Restored
from depixel.learning.task import Task
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.functions import log
from depixel.model.layers import named
from depixel.model.networks import Network
from depixel.model.predictor import restore
from depixel.model.windows import TRAINING_CONTEXT, window_side


class Shard(NamedTuple):
    """A part of a batch: windows around the areas of some photos.

    Attributes:
        truth: (N, 1, H, W) float32, 0..255; all windows of a batch have the same size.
        areas: (N, 5) int64, the areas within the windows.
        of: number of photos in the whole batch.
        name: unique among all shards of the run.
        key: number of the batch within the epoch, and of the shard within the batch.
        weights: (N,) float32, how much each photo counts; None: all count the same.
    """

    truth: Tensor
    areas: Tensor
    of: int
    name: str
    key: tuple[int, int]
    weights: Tensor | None = None


class Loss:
    """The loss of batches of photos. With a teacher, it caches the teacher's predictions until `forget`.

    Args:
        task: the task of the run.
        network: the network to train, on the task's device.
        alone: whether a single process computes all shards.
    """

    def __init__(self, task: Task, network: Network, alone: bool = True):
        self.task, self.network = task, network
        self._parts = task.settings.shards if task.device == "cpu" or not alone else 1
        self.teacher = task.teacher.network.to(task.device) if task.teacher else None
        self._named = bool(task.settings.dropout) or task.settings.normalization == "batch"
        self._distance = DISTANCES[task.settings.loss]
        self._pixels = task.pixelation.mean_pixels(task.size)
        self._said: dict[tuple[int, int], Tensor] = {}  # teacher's predictions by shard; 2 bytes per pixel of a window

    def shards(
        self, images: Tensor, areas: Tensor, batch: int, name: str, weights: np.ndarray | None = None
    ) -> list[Shard]:
        """Cut a batch into `train.shards` parts (fewer if it has fewer photos); for a single GPU, into one.

        Args:
            images: (B, 1, H, W) float32, 0..255.
            areas: (B, 5) int64, on the CPU.
            batch: number of the batch within the epoch, from 0.
            name: unique among all batches of the run.
            weights: (B,), how much each photo counts, 1 on average over all photos; None: all count the same.
        """
        device, count = self.task.device, len(areas)
        width, height = window_side(areas[:, 2:4].amax(dim=0).numpy(), TRAINING_CONTEXT).tolist()
        truth, within = cut_windows(images.to(device), moved(areas.numpy(), device), width, height)
        most = -(-count // self._parts)
        parts = enumerate(zip(truth.split(most), within.split(most), strict=True))
        shards = [Shard(*part, count, f"{name} {number}", (batch, number)) for number, part in parts]
        if weights is None:
            return shards
        weighed = torch.from_numpy(weights).float().to(device).split(most)
        return [shard._replace(weights=part) for shard, part in zip(shards, weighed, strict=True)]

    def __call__(self, shard: Shard) -> Tensor:
        """Pixelate the photos of a shard, restore them and measure the error.

        The loss is the mean of `train.loss` over the images of the batch; with `train.uncertainty`, plus `surprise`.

        Returns:
            (3,): the shard's contribution to the mean loss of the batch; and without a gradient, the sum of squared
            errors over all pixels of the areas, in gray levels squared, and the number of these pixels.
        """
        settings, truth = self.task.settings, shard.truth
        blocks = Blocks(shard.areas, *truth.shape[2:])
        pixelated = blocks.pixelate(truth)
        with named(shard.name, truth.device) if self._named else nullcontext():
            restored = restore(self.network, pixelated, blocks, self.task.precision)
        prediction, wanted = restored[:, :1], truth
        error = prediction - truth  # 0 outside the areas
        squares = true_squares = error.square().sum(dim=(1, 2, 3))
        if self.teacher is not None:
            # the expected squared distance to the truth, if the teacher predicts its mean: the unpredictable part of
            # the truth adds to the distance, but not to the gradient's direction (Hinton et al. 2015, "Distilling the
            # knowledge")
            wanted = self._taught(self.teacher, pixelated, blocks, shard.key)
            squares = ((prediction - wanted).square() + (wanted - truth).square()).sum(dim=(1, 2, 3))
        pixels = blocks.unknown.sum(dim=(1, 2, 3))
        distances = self._distance(Restored(prediction, wanted, squares, pixels, self._pixels))
        if shard.weights is not None:
            distances = distances * shard.weights
        loss = distances.sum() / shard.of
        if settings.uncertainty:
            shown = surprise(error.detach()[blocks.unknown], restored[:, 1:][blocks.unknown])
            # divided by the expected pixels of a batch, not its own: areas within a batch have similar sizes
            loss = loss + shown * pixels.sum() / (shard.of * self._pixels)
        return torch.stack((loss, true_squares.sum().detach(), pixels.sum().float()))

    def forget(self) -> None:
        """Delete the cached predictions of the teacher, before other samples come."""
        self._said.clear()

    def _taught(self, teacher: nn.Module, pixelated: Tensor, blocks: Blocks, key: tuple[int, int]) -> Tensor:
        """The teacher's prediction of a shard, (N, 1, H, W) float32; computed the first time only."""
        if key not in self._said:
            with torch.inference_mode():
                self._said[key] = restore(teacher, pixelated, blocks, self.task.precision)[:, :1].half()
        return self._said[key].float()


def surprise(error: Tensor, expected: Tensor) -> Tensor:
    """The mean negative log-likelihood of errors under normal distributions (Nix & Weigend 1994).

    It is lowest if the square of `expected` is the mean squared error of such pixels, for any distribution of the
    errors. Rounding adds 1/12 to both squares.

    Args:
        error: (P,) float32, the actual errors, gray levels.
        expected: (P,) float32, the predicted standard deviations, gray levels.

    Returns:
        A scalar, without the constant log(2 pi) / 2.
    """
    variance = expected.square() + 1 / 12
    return (log(variance) + (error.square() + 1 / 12) / variance).mean() / 2
