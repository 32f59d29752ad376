"""What a training minimizes: the distance to the truth or to a teacher, and the surprise at the size of the error."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from depixel.dataset.samples import moved
from depixel.learning.task import Task
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.networks import Network
from depixel.model.predictor import restore
from depixel.model.windows import TRAINING_CONTEXT, window_side


class Measured(NamedTuple):
    """What is known of a batch, each a scalar: the loss; the squared error, gray levels squared, over all pixels of its
    areas; the number of these pixels."""

    loss: Tensor
    squares: Tensor
    pixels: Tensor


class Loss:
    """The loss of a batch of photos; with a teacher, it keeps what the teacher said of the batches of an epoch.

    Args:
        task: what is to be learnt. network: what learns it, on the task's device.
    """

    def __init__(self, task: Task, network: Network):
        self.task, self.network = task, network
        self.teacher = task.teacher.network.to(task.device) if task.teacher else None
        self._pixels = task.pixelation.mean_pixels(task.size)
        self._said: dict[int, Tensor] = {}  # by the teacher, 2 bytes a pixel of the windows, by batch

    def __call__(self, images: Tensor, areas: Tensor, batch: int) -> Measured:
        """Pixelate photos, restore them and measure how far off that is.

        Args:
            images: (B, 1, H, W) float32, 0..255. areas: (B, 5) int64, on the CPU. batch: which of the epoch it is.
        """
        device = self.task.device
        width, height = window_side(areas[:, 2:4].amax(dim=0).numpy(), TRAINING_CONTEXT).tolist()
        truth, within = cut_windows(images.to(device), moved(areas.numpy(), device), width, height)
        blocks = Blocks(within, *truth.shape[2:])
        pixelated = blocks.pixelate(truth)
        restored = restore(self.network, pixelated, blocks, self.task.precision)
        error = restored[:, :1] - truth  # 0 outside the areas
        squares = true_squares = error.square().sum(dim=(1, 2, 3))
        if self.teacher is not None:
            # the expected distance to the truth, were the teacher right on average: what nobody can know of the truth
            # adds to the distance, but has no direction (Hinton et al. 2015, "Distilling the knowledge")
            taught = self._taught(self.teacher, pixelated, blocks, batch)
            squares = ((restored[:, :1] - taught).square() + (taught - truth).square()).sum(dim=(1, 2, 3))
        pixels = blocks.unknown.sum(dim=(1, 2, 3))
        loss = (squares / pixels + 1e-2).sqrt().mean()  # the mean over images of each one's RMSE
        if self.task.settings.uncertainty:
            shown = surprise(error.detach()[blocks.unknown], restored[:, 1:][blocks.unknown])
            # over the mean pixels of a batch, not its own: its areas are alike
            loss = loss + shown * pixels.sum() / (len(squares) * self._pixels)
        return Measured(loss, true_squares.sum(), pixels.sum().float())

    def forget(self) -> None:
        """Let go of what the teacher said: other samples come."""
        self._said.clear()

    def _taught(self, teacher: nn.Module, pixelated: Tensor, blocks: Blocks, batch: int) -> Tensor:
        """(B, 1, H, W) float32: what the teacher says of a batch, which is asked the first time only."""
        if batch not in self._said:
            with torch.inference_mode():
                self._said[batch] = restore(teacher, pixelated, blocks, self.task.precision)[:, :1].half()
        return self._said[batch].float()


def surprise(error: Tensor, expected: Tensor) -> Tensor:
    """The mean negative log-likelihood of errors under normal distributions (Nix & Weigend 1994).

    Least where the square of `expected` is the mean squared error of such pixels, whatever the distribution is.
    Rounding adds 1/12 to the squares of both.

    Args:
        error, expected: (P,) float32, gray levels.
    """
    variance = expected.square() + 1 / 12
    return (variance.log() + (error.square() + 1 / 12) / variance).mean() / 2
