"""One training run: settings, loop, checkpoints, the per-epoch table.

A run is a function of its settings, the photos, the models it starts and learns from, and the code. Its position
(epoch, step) says which samples come next, so a run that was interrupted goes on from its last checkpoint exactly as if
it had not been.
"""

import copy
import hashlib
import inspect
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from depixel.base.code import code_digest, sources_of
from depixel.base.environment import hardware, versions
from depixel.base.errors import DepixelError
from depixel.base.settings import Settings
from depixel.dataset.samples import Photos, epoch_batches, fixed_batch, fixed_samples, moved, training_batch
from depixel.learning.checkpoints import Checkpoints
from depixel.learning.muon import MuonAdam
from depixel.model import networks
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.malloc import keep_freed_memory
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import ModelConfiguration, Precision, Predictor, best_device, best_precision, restore
from depixel.model.windows import TRAINING_CONTEXT, window_side

TAUGHT_EPOCHS = 4
"""Epochs in a row that show the same samples where there is a teacher: to ask a large one costs more than a step."""

READ_EVERY = 20
"""Steps from one look at the errors to the next: each look waits until a GPU has done all that it was given."""


class TrainSettings(Settings):
    """The section `train` of params.yaml."""

    network: networks.Name = "unet"
    width: int = Field(32, ge=1, le=1024, description="channels of the first level")
    init: Literal["random", "pretrained"] = Field("random", description="weights to start from")
    teacher: str = Field("", description="a pretrained model whose predictions are what is learnt; '' = none")
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: float = Field(20, gt=0, description="how often each photo is shown; may be a fraction")
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["muon", "adam", "sgd"] = "muon"
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "linear"
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run in which the learning rate rises")
    gradient_clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0 = none")
    uncertainty: bool = Field(False, description="also predict how far off each pixel is; changes no prediction")
    flip: bool = True
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation; 0 = never")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = Field(2, ge=1, description="CPU threads; another number gives slightly other weights")
    seed: int = 0
    overfit: int = Field(0, ge=0, description="train and validate on this many photos, always the same areas; 0 = off")
    loggers: tuple[Literal["dvclive", "tensorboard", "wandb"], ...] = Field((), description="to log to, beside logs/")


def computed_by(settings: TrainSettings) -> tuple[str, Precision]:
    """The device and the precision that a training with these settings computes with on this machine."""
    device = best_device() if settings.device == "auto" else settings.device
    return device, best_precision(device) if settings.precision == "auto" else settings.precision


def surprise(error: Tensor, expected: Tensor) -> Tensor:
    """The mean negative log-likelihood of errors under normal distributions (Nix & Weigend 1994).

    Least where the square of `expected` is the mean squared error of such pixels, whatever the distribution is.
    Rounding adds 1/12 to the squares of both.

    Args:
        error, expected: (P,) float32, gray levels.
    """
    variance = expected.square() + 1 / 12
    return (variance.log() + (error.square() + 1 / 12) / variance).mean() / 2


def _check_teacher(teacher: ModelConfiguration, pixelation: PixelationSettings, size: int) -> None:
    """Raise `DepixelError` if the teacher was trained for other samples than those that it is to be asked about."""
    if teacher.size != size:
        raise DepixelError(
            f"train.teacher was trained on photos of {teacher.size} pixels, and these have {size}: set prepare.size: "
            f"{teacher.size}, or take another teacher"
        )
    for key in ("width", "height", "block_size"):
        here, known = getattr(pixelation, key), getattr(teacher, key if key == "block_size" else f"area_{key}")
        if here[0] < known[0] or here[1] > known[1]:
            raise DepixelError(
                f"pixelation.{key} = {list(here)}, and train.teacher was trained for {list(known)}: keep within that, "
                "or take another teacher"
            )


class Epoch(NamedTuple):
    """A row of the training table; RMSEs in gray levels, on the validation photos with fixed areas.

    `gradient_norm` is the mean over the epoch's steps, before clipping.
    """

    epoch: int
    learning_rate: float
    gradient_norm: float
    train_rmse: float
    validation_rmse_pooled: float
    validation_rmse_mean: float


class Run:
    """A training run over given photos.

    Args:
        settings, pixelation: the sections of params.yaml.
        training, validation: the photos of each side.
        checkpoints: the folder for the runs' checkpoints.
        checkpoint_every: seconds from one checkpoint to the next.
        check: called before each checkpoint; what it raises ends the run without one.
        init: the model to start from, of the same network and of its width or narrower; None for random weights.
        teacher: the model whose predictions are learnt, in place of the photos' pixels; None to learn from these.
            What it says of the samples is kept, 2 bytes a pixel of their windows.

    Attributes:
        step: how many steps are done. steps: how many there are.
        rmse: pooled RMSE of the epoch so far, gray levels, when it was last looked at; NaN before.
        table: a row for each epoch that is done.
        samples: the validation photos with their areas. predictions: of them, after the last epoch that was done here.
        stop: set to True, it makes `epochs` write a checkpoint and end; at any time, as from a signal handler.
    """

    def __init__(
        self,
        settings: TrainSettings,
        pixelation: PixelationSettings,
        training: Photos,
        validation: Photos,
        checkpoints: Path,
        checkpoint_every: float = 120,
        check: Callable[[], None] = lambda: None,
        init: Predictor | None = None,
        teacher: Predictor | None = None,
    ):
        if settings.overfit:
            training = validation = training.first(settings.overfit)
            teacher = None  # it has learnt them better than anyone can teach it
        if teacher:
            _check_teacher(teacher.configuration, pixelation, training.images.shape[-1])
        self.settings, self.pixelation, self.training, self.validation = settings, pixelation, training, validation
        self.device, self.precision = computed_by(settings)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise DepixelError("train.device = 'cuda': PyTorch finds no CUDA device here; use auto or cpu")
        if self.device == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first multiplication
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # takes time, and nothing reads it
            torch.backends.cudnn.benchmark = False
        torch.manual_seed(settings.seed)
        if self.device == "cpu":
            torch.set_num_threads(settings.threads)
            keep_freed_memory()
        self.network = self._built()
        self.network.to(self.device, memory_format=torch.channels_last)
        self.configuration = ModelConfiguration(
            network=settings.network,
            width=settings.width,
            uncertainty=settings.uncertainty,
            dropout=settings.dropout,
            size=training.images.shape[-1],
            area_width=pixelation.width,
            area_height=pixelation.height,
            block_size=pixelation.block_size,
            precision=self.precision,
            hardware=hardware(self.device),
            versions=versions(),
            sources=self._code()[:16],
            init=init.digest() if init else "",
            teacher=teacher.digest() if teacher else "",
        )
        self.pixels = pixelation.mean_pixels(training.images.shape[-1])
        self.samples = fixed_samples(validation, pixelation, [f"validation {settings.seed}"])
        self.steps_per_epoch = -(-len(training) // settings.batch_size)
        self.fingerprint = self._fingerprint()
        self.checkpoints = Checkpoints(checkpoints, self.fingerprint)
        self.checkpoint_every, self.check = checkpoint_every, check
        self._saved = time.monotonic()

        self.teacher = teacher and teacher.network.to(self.device)
        self.taught: dict[int, Tensor] = {}  # what the teacher says, by batch
        if init:
            networks.grow(self.network, init.network.state_dict())
        self.best = self._weights()
        self.optimizer = self._optimizer()
        self.steps = math.ceil(settings.epochs * self.steps_per_epoch)
        self.step = 0
        self.stop = False
        self.table: list[Epoch] = []
        self.predictions: list[np.ndarray] = []
        # of the epoch so far: squares, pixels, losses, gradient norms, steps; seldom read, as that waits for a GPU
        self.sums = torch.zeros(5, dtype=torch.float32 if self.device == "mps" else torch.float64, device=self.device)
        self.rmse = math.nan

    # -- the loop ----------------------------------------------------------------------------------------------------

    def epochs(self, on_step: Callable[[int], None] = lambda step: None) -> Iterator[Epoch]:
        """Train from where the run stands; yield the table's row after each epoch, the last of which may be cut short.

        Args:
            on_step: called after each step with the number of steps done; a GPU may be some steps behind.

        Raises:
            DepixelError: the loss is no longer a number, or a checkpoint cannot be written.
        """
        while not self.finished:
            epoch = self.step // self.steps_per_epoch
            steps = min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)
            shown = epoch // TAUGHT_EPOCHS if self.teacher else epoch
            batches = epoch_batches(
                self.training,
                self.pixelation,
                self._stream(shown),
                f"{self.settings.seed} {shown}",
                self.settings.batch_size,
            )
            if epoch % TAUGHT_EPOCHS == 0:
                self.taught.clear()
            for i in range(self.step % self.steps_per_epoch, steps):
                self._train_step(*self._samples(batches[i], shown), i)
                self.step += 1
                if self.step % READ_EVERY == 0:
                    self.rmse = self.train_rmse()
                on_step(self.step)
                if i + 1 < steps and self._checkpoint():
                    return
            row = self._finish_epoch(epoch)
            stopped = self._checkpoint()
            yield row
            if stopped:
                return

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.step == self.steps or self._out_of_patience()

    def restorer(self) -> Predictor:
        """The best model so far."""
        network = self._built()
        network.load_state_dict(self.best)
        return Predictor(network, self.configuration, self.device)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def _built(self) -> networks.Network:
        settings = self.settings
        return networks.build(settings.network, settings.width, settings.dropout, settings.uncertainty)

    def _stream(self, epoch: int) -> str:
        return f"validation {self.settings.seed}" if self.settings.overfit else f"train {self.settings.seed} {epoch}"

    def _samples(self, chosen: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        photos, pixelation, stream, settings = self.training, self.pixelation, self._stream(epoch), self.settings
        if settings.overfit:
            return fixed_batch(photos, chosen, pixelation, stream)
        return training_batch(photos, chosen, pixelation, stream, settings.flip, self.device)

    def _train_step(self, images: Tensor, areas: Tensor, batch: int) -> None:
        """One step of the optimizer; `sums` has its errors. `batch`: which of the epoch it is."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.network.train()
        sides = window_side(areas[:, 2:4].amax(dim=0).numpy(), TRAINING_CONTEXT).tolist()
        truth, within = cut_windows(images.to(self.device), moved(areas.numpy(), self.device), *sides)
        blocks = Blocks(within, *truth.shape[2:])
        pixelated = blocks.pixelate(truth)
        restored = restore(self.network, pixelated, blocks, self.precision)
        error = restored[:, :1] - truth  # 0 outside the areas
        squares = true_squares = error.square().sum(dim=(1, 2, 3))
        if self.teacher:
            # the expected distance to the truth, were the teacher right on average: what nobody can know of the truth
            # adds to the distance, but has no direction (Hinton et al. 2015, "Distilling the knowledge")
            taught = self._taught(pixelated, blocks, batch)
            squares = ((restored[:, :1] - taught).square() + (taught - truth).square()).sum(dim=(1, 2, 3))
        pixels = blocks.unknown.sum(dim=(1, 2, 3))
        loss = (squares / pixels + 1e-2).sqrt().mean()  # the mean over images of each one's RMSE
        if self.settings.uncertainty:
            shown = surprise(error.detach()[blocks.unknown], restored[:, 1:][blocks.unknown])
            # over the mean pixels of a batch, not its own: its areas are alike
            loss = loss + shown * pixels.sum() / (len(squares) * self.pixels)
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        spread = list(self.network.spread.parameters()) if self.settings.uncertainty else []
        apart = set(map(id, spread))  # or it would shorten the steps of the others
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in apart]
        longest = self.settings.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(others, longest)
        nn.utils.clip_grad_norm_(spread, longest)
        self.optimizer.step()
        done = (true_squares.sum(), pixels.sum().float(), loss, norm, torch.ones_like(norm))
        self.sums += torch.stack(done).detach()

    def _taught(self, pixelated: Tensor, blocks: Blocks, batch: int) -> Tensor:
        """(B, 1, H, W) float32: what the teacher says of a batch, which is asked the first time only."""
        if batch not in self.taught:
            with torch.inference_mode():
                self.taught[batch] = restore(self.teacher, pixelated, blocks, self.precision)[:, :1].half()
        return self.taught[batch].float()

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step: linear warm-up, then the schedule down to 0 at the end of the run."""
        warmup = self.settings.warmup * self.steps
        if step < warmup:
            return self.settings.learning_rate * (step + 1) / (warmup + 1)
        left = 1 - (step - warmup) / max(self.steps - warmup, 1)
        factor = {"cosine": 0.5 - 0.5 * math.cos(math.pi * left), "linear": left, "constant": 1.0}
        return self.settings.learning_rate * factor[self.settings.schedule]

    def _optimizer(self) -> torch.optim.Optimizer | MuonAdam:
        rate = self.settings.learning_rate
        if self.settings.optimizer == "muon":
            return MuonAdam(self.network, rate)
        if self.settings.optimizer == "adam":
            return torch.optim.Adam(self.network.parameters(), rate)
        return torch.optim.SGD(self.network.parameters(), rate, momentum=0.9)

    # -- epochs ------------------------------------------------------------------------------------------------------

    def train_rmse(self) -> float:
        """Pooled RMSE of the epoch so far, gray levels. Raises `DepixelError` if the training has diverged."""
        squares, pixels, *_ = sums = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            raise DepixelError(
                f"training diverged before step {self.step + 1}: the loss is no longer a number. What helps: a lower "
                f"train.learning_rate than {self.settings.learning_rate:g}, or train.gradient_clip: 1.0"
            )
        return math.sqrt(squares / pixels)

    def _finish_epoch(self, epoch: int) -> Epoch:
        train_rmse = self.train_rmse()
        *_, norms, steps = self.sums.tolist()
        # a copy: it may be laid out anew, and the optimizer holds the memory of the weights
        restorer = Predictor(copy.deepcopy(self.network), self.configuration, self.device)
        self.predictions = restorer.predict(
            self.samples.pixelated, self.samples.areas, batch_size=self.settings.batch_size
        )
        row = Epoch(
            epoch=epoch + 1,
            learning_rate=self.learning_rate(self.step - 1),
            gradient_norm=norms / steps,
            train_rmse=train_rmse,
            validation_rmse_pooled=rmse_pooled(self.predictions, self.samples.targets),
            validation_rmse_mean=rmse_mean(self.predictions, self.samples.targets),
        )
        if not self.table or row.validation_rmse_mean < self.best_epoch.validation_rmse_mean:
            self.best = self._weights()
        self.table.append(row)
        self.sums.zero_()
        return row

    @property
    def best_epoch(self) -> Epoch:
        """The epoch with the lowest mean RMSE on the validation photos: its weights are the model."""
        return min(self.table, key=lambda row: row.validation_rmse_mean)

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        return bool(patience and self.table) and len(self.table) - self.best_epoch.epoch >= patience

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _fingerprint(self) -> str:
        """A hash of what determines the run: settings, photos, code, device, the packages that compute.

        Not the machine: a checkpoint goes on elsewhere too, with the last digits of that machine's arithmetic.
        """
        digest = hashlib.sha256(self._code().encode())
        begin = (self.configuration.init, self.configuration.teacher)
        digest.update(f"{versions()} {self.device} {self.precision} {begin}".encode())
        for part in (self.settings, self.pixelation):
            digest.update(part.model_dump_json(exclude={"loggers"}).encode())  # which change nothing
        for photos in (self.training, self.validation):
            digest.update(photos.ids.tobytes())
            digest.update(str(photos.images.shape[1:]).encode())
            for row in photos.rows:  # one by one: they may not fit in memory
                digest.update(photos.images[row])
        return digest.hexdigest()

    def _code(self) -> str:
        """A hash of what the code of the training does, not of its prose."""
        # the network may be another's, registered from elsewhere
        return code_digest(dict.fromkeys([*sources_of(__file__), Path(inspect.getfile(type(self.network)))]))

    def _checkpoint(self) -> bool:
        """Save the run's state if it is time to; returns whether the run is to stop."""
        stop = self.stop  # it may be set while this runs
        if stop or self.finished or time.monotonic() - self._saved >= self.checkpoint_every:
            self.check()
            if self.sums[-1]:
                self.train_rmse()  # or a diverged training would be kept
            self._save()
            self._saved = time.monotonic()
        return stop

    def _save(self) -> None:
        self.checkpoints.save(
            {
                "step": self.step,
                "hardware": self.configuration.hardware,
                "table": json.dumps(self.table),
                "sums": self.sums,
                "network": self.network.state_dict(),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "random": [generator.get_rng_state() for generator in self._generators()],
            }
        )

    def resume(self) -> list[Path]:
        """Go on from the last checkpoint of this very run, if there is one: then `step` is not 0.

        Returns and raises: as `Checkpoints.load`: the paths of unusable checkpoints, which were removed.
        """
        state, unusable = self.checkpoints.load()
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.best, self.step = state["best"], state["step"]
            self.sums.copy_(state["sums"])
            self.table = [Epoch(*row) for row in json.loads(state["table"])]
            used, here = state["hardware"], self.configuration.hardware
            if not self.finished and here not in used:
                used += f"; later {here}"
            self.configuration = self.configuration.model_copy(update={"hardware": used})
            for generator, random in zip(self._generators(), state["random"], strict=True):
                generator.set_rng_state(random)
        return unusable

    def _generators(self) -> list:
        """The modules of torch that hold the random generators in use."""
        return [torch.random] if self.device == "cpu" else [torch.random, getattr(torch, self.device)]
