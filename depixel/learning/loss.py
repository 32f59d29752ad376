"""What a training minimizes: the distance to the truth or to a teacher, and the surprise at the size of the error."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from depixel.dataset.samples import moved
from depixel.learning.task import Task
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.functions import log, root
from depixel.model.networks import Network, dropping
from depixel.model.predictor import restore
from depixel.model.windows import TRAINING_CONTEXT, window_side


class Shard(NamedTuple):
    """A part of a batch, by position: windows around the areas of some photos.

    Attributes:
        truth: (N, 1, H, W) float32, 0..255; all windows of a batch are of one size. areas: (N, 5) int64, within them.
        of: number of photos in the whole batch. name: what tells it from all others of the run.
        key: of the batch within the epoch, and of the shard within the batch.
    """

    truth: Tensor
    areas: Tensor
    of: int
    name: str
    key: tuple[int, int]


class Loss:
    """The loss of batches of photos; with a teacher, it keeps what the teacher said of the batches of an epoch.

    Args:
        task: what is to be learnt. network: what learns it, on the task's device.
    """

    def __init__(self, task: Task, network: Network):
        self.task, self.network = task, network
        self.teacher = task.teacher.network.to(task.device) if task.teacher else None
        self._pixels = task.pixelation.mean_pixels(task.size)
        self._said: dict[tuple[int, int], Tensor] = {}  # by the teacher, 2 bytes a pixel of the windows, by shard

    def shards(self, images: Tensor, areas: Tensor, batch: int, name: str) -> list[Shard]:
        """Cut a batch into `train.shards` parts, fewer where it has fewer photos; a GPU computes it whole.

        Args:
            images: (B, 1, H, W) float32, 0..255. areas: (B, 5) int64, on the CPU. batch: which of the epoch it is.
            name: what tells the batch from all others of the run.
        """
        device, count = self.task.device, len(areas)
        width, height = window_side(areas[:, 2:4].amax(dim=0).numpy(), TRAINING_CONTEXT).tolist()
        truth, within = cut_windows(images.to(device), moved(areas.numpy(), device), width, height)
        most = -(-count // self.task.settings.shards) if device == "cpu" else count
        parts = enumerate(zip(truth.split(most), within.split(most), strict=True))
        return [Shard(*part, count, f"{name} {number}", (batch, number)) for number, part in parts]

    def __call__(self, shard: Shard) -> Tensor:
        """Pixelate the photos of a shard, restore them and measure how far off that is.

        Returns:
            (3,): what they add to the mean loss of the batch; without a gradient, their squared error over all pixels
            of their areas, gray levels squared, and the number of these pixels.
        """
        settings, truth = self.task.settings, shard.truth
        blocks = Blocks(shard.areas, *truth.shape[2:])
        pixelated = blocks.pixelate(truth)
        with dropping(shard.name, truth.device) if settings.dropout else nullcontext():
            restored = restore(self.network, pixelated, blocks, self.task.precision)
        error = restored[:, :1] - truth  # 0 outside the areas
        squares = true_squares = error.square().sum(dim=(1, 2, 3))
        if self.teacher is not None:
            # the expected distance to the truth, were the teacher right on average: what nobody can know of the truth
            # adds to the distance, but has no direction (Hinton et al. 2015, "Distilling the knowledge")
            taught = self._taught(self.teacher, pixelated, blocks, shard.key)
            squares = ((restored[:, :1] - taught).square() + (taught - truth).square()).sum(dim=(1, 2, 3))
        pixels = blocks.unknown.sum(dim=(1, 2, 3))
        loss = root(squares / pixels + 1e-2).sum() / shard.of  # the mean over images of each one's RMSE
        if settings.uncertainty:
            shown = surprise(error.detach()[blocks.unknown], restored[:, 1:][blocks.unknown])
            # over the mean pixels of a batch, not its own: its areas are alike
            loss = loss + shown * pixels.sum() / (shard.of * self._pixels)
        return torch.stack((loss, true_squares.sum().detach(), pixels.sum().float()))

    def forget(self) -> None:
        """Let go of what the teacher said: other samples come."""
        self._said.clear()

    def _taught(self, teacher: nn.Module, pixelated: Tensor, blocks: Blocks, key: tuple[int, int]) -> Tensor:
        """(N, 1, H, W) float32: what the teacher says of a shard, which is asked the first time only."""
        if key not in self._said:
            with torch.inference_mode():
                self._said[key] = restore(teacher, pixelated, blocks, self.task.precision)[:, :1].half()
        return self._said[key].float()


def surprise(error: Tensor, expected: Tensor) -> Tensor:
    """The mean negative log-likelihood of errors under normal distributions (Nix & Weigend 1994).

    Least where the square of `expected` is the mean squared error of such pixels, whatever the distribution is.
    Rounding adds 1/12 to the squares of both.

    Args:
        error, expected: (P,) float32, gray levels.
    """
    variance = expected.square() + 1 / 12
    return (log(variance) + (error.square() + 1 / 12) / variance).mean() / 2
