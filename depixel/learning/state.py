"""The state of a training run: everything that a checkpoint needs to resume it."""

import json
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from depixel.base import arithmetic
from depixel.base.environment import hardware, versions
from depixel.base.errors import DepixelError
from depixel.learning import initial, optimizers
from depixel.learning.fingerprint import code_of
from depixel.learning.processes import ALONE, Processes
from depixel.learning.task import Task
from depixel.model import layers, networks
from depixel.model.malloc import keep_freed_memory
from depixel.model.predictor import ModelConfiguration, Predictor


class Epoch(NamedTuple):
    """A row of the training table.

    Attributes:
        epoch: number of the epoch, from 1.
        learning_rate: that of the epoch's last step.
        gradient_norm: norm of the gradient before clipping, mean over the epoch's steps.
        train_rmse: pooled RMSE of the training samples during the epoch, gray levels.
        validation_rmse_pooled, validation_rmse_mean: RMSEs of the validation photos with fixed areas, gray levels.
    """

    epoch: int
    learning_rate: float
    gradient_norm: float
    train_rmse: float
    validation_rmse_pooled: float
    validation_rmse_mean: float


class State:
    """The state of a run of `task`; it begins before the first step. All processes of a run have the same state.

    Attributes:
        processes: the processes that share the run.
        network: the network to train, on the task's device.
        optimizer: the optimizer of its parameters.
        average: the running average of its weights (`train.ema`); None if there is none.
        after_step: called after each step, in this order; empty unless a setting needs it.
        best: the weights of the best epoch.
        step: number of steps done.
        table: a row for each finished epoch.
        sums: (5,), sums over the epoch so far: squared errors, pixels, losses, norms of the gradient, steps. Read it
            rarely, because reading waits for the GPU.
        code: a hash of the training's code.
        configuration: the configuration that is written beside the weights.

    Raises:
        DepixelError: the device is missing, or portable arithmetic is impossible in this process.
    """

    def __init__(self, task: Task, processes: Processes = ALONE):
        self.task, self.processes = task, processes
        _prepare_torch(task)
        network = _built(task)
        initial.draw(network, task.settings.initial_weights)
        self.network = networks.on_device(network, task.device)
        self.code = code_of(type(self.network))
        self.configuration = ModelConfiguration(
            network=task.settings.network,
            width=task.settings.width,
            uncertainty=task.settings.uncertainty,
            activation=task.settings.activation,
            normalization=task.settings.normalization,
            dropout=task.settings.dropout,
            size=task.size,
            area_width=task.pixelation.width,
            area_height=task.pixelation.height,
            block_size=task.pixelation.block_size,
            arithmetic=task.settings.arithmetic,
            precision=task.precision,
            hardware="" if task.settings.arithmetic == "portable" else hardware(task.device),
            versions=versions(),
            sources=self.code[:16],
            init=task.init.digest() if task.init else "",
            teacher=task.teacher.digest() if task.teacher else "",
        )
        if task.init:
            networks.grow(self.network, task.init.network.state_dict())
        self.average: AveragedModel | None = None
        self.after_step: list[Callable[[], object]] = []
        if task.settings.normalization == "batch":
            self.after_step.append(lambda: layers.settle(self.network, processes.gathered))
        if task.settings.ema:
            self.average = average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(task.settings.ema))
            self.after_step.append(lambda: average.update_parameters(self.network))
        self.best = self.weights()
        self.optimizer = optimizers.build(task.settings.optimizer, self.network, task.settings.chosen_optimizer)
        self.step = 0
        self.table: list[Epoch] = []
        self.sums = torch.zeros(5, dtype=torch.float32 if task.device == "mps" else torch.float64, device=task.device)

    @property
    def finished(self) -> bool:
        """Whether the training is done: all steps are, or `train.patience` has stopped it early."""
        patience = self.task.settings.patience
        impatient = patience and self.table and len(self.table) - self.best_epoch.epoch >= patience
        return self.step == self.task.steps or bool(impatient)

    @property
    def best_epoch(self) -> Epoch:
        """The epoch with the lowest `validation_rmse_mean`; its weights become the model."""
        return min(self.table, key=lambda row: row.validation_rmse_mean)

    def train_rmse(self) -> float:
        """Pooled RMSE of the epoch so far, gray levels. Raises `DepixelError` if the training has diverged."""
        squares, pixels, *_ = sums = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            raise DepixelError(
                f"training diverged before step {self.step + 1}: the loss is NaN or infinite. Set in params.yaml a "
                f"lower train.learning_rate than {self.task.settings.learning_rate:g}, or train.gradient_clip: 1.0"
            )
        return math.sqrt(squares / pixels)

    @property
    def result(self) -> networks.Network:
        """The network that is scored and kept: the average if there is one, else the network that is trained."""
        return cast(networks.Network, self.average.module) if self.average else self.network

    def weights(self) -> dict[str, Tensor]:
        """A copy of the current weights of `result`."""
        return {name: value.clone() for name, value in self.result.state_dict().items()}

    def freeze(self, epoch: int) -> None:
        """Freeze the levels of `train.freeze` for this epoch (from 0); from `train.unfreeze_after` on, release them."""
        settings = self.task.settings
        if settings.freeze:
            free = bool(settings.unfreeze_after) and epoch >= settings.unfreeze_after
            levels = self.network.levels()
            for layer in (layer for level in settings.freeze for layer in levels[level]):
                layer.requires_grad_(free)

    def predictor(self) -> Predictor:
        """The best model so far."""
        network = _built(self.task)
        network.load_state_dict(self.best)
        return Predictor(network, self.configuration, self.task.device)

    def saved(self) -> dict[str, Any]:
        """The state as tensors and plain values, for a checkpoint."""
        return {
            "step": self.step,
            "hardware": self.configuration.hardware,
            "table": json.dumps(self.table),
            "sums": self.sums,
            "network": self.network.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            **({"average": self.average.state_dict()} if self.average else {}),
        }

    def take(self, saved: dict[str, Any]) -> None:
        """Restore a state that `saved` returned, of a run of the same task."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average:
            self.average.load_state_dict(saved["average"])
        self.best, self.step = saved["best"], saved["step"]
        self.sums.copy_(saved["sums"])
        self.table = [Epoch(*row) for row in json.loads(saved["table"])]
        used, here = saved["hardware"], self.configuration.hardware
        if here and not self.finished and here not in used:
            used += f"; later {here}"
        self.configuration = self.configuration.model_copy(update={"hardware": used})


def _built(task: Task) -> networks.Network:
    settings = task.settings
    return networks.build(
        settings.network,
        settings.width,
        settings.dropout,
        settings.uncertainty,
        settings.activation,
        settings.normalization,
    )


def _prepare_torch(task: Task) -> None:
    """Set up PyTorch for a run: seed, one thread, deterministic arithmetic.

    Raises:
        DepixelError: the device is missing, or portable arithmetic is impossible in this process.
    """
    if task.settings.arithmetic == "portable":
        arithmetic.check()
    if task.device == "cuda":
        if not torch.cuda.is_available():
            raise DepixelError("train.device = 'cuda': PyTorch finds no CUDA device here; use auto or cpu")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first multiplication
        torch.use_deterministic_algorithms(True, warn_only=True)
        # filling costs time, and no code reads uninitialized memory
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch has no stub
        torch.backends.cudnn.benchmark = False
    torch.manual_seed(task.settings.seed)
    if task.device == "cpu":
        torch.set_num_threads(1)  # for operations outside of shards
        keep_freed_memory()
