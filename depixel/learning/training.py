"""One training run: the loop over epochs, its validation and its checkpoints.

The task (`depixel.learning.task`) and the code determine the result of a run. Its position (epoch, step) determines the
next samples. So an interrupted run resumes from its last checkpoint and gives the same result.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from depixel.dataset.augmentation import Augmentation
from depixel.dataset.balancing import drawn
from depixel.dataset.samples import Samples, epoch_batches, fixed_batch, fixed_samples, training_batch
from depixel.learning.checkpoints import Checkpoints
from depixel.learning.fingerprint import fingerprint
from depixel.learning.loop import fit
from depixel.learning.loss import Loss, Shard
from depixel.learning.processes import ALONE, Processes
from depixel.learning.schedules import learning_rate
from depixel.learning.state import Epoch, State
from depixel.learning.task import Task
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.model.predictor import Predictor

TAUGHT_EPOCHS = 4
"""The number of successive epochs with the same samples if there is a teacher, whose predictions are then reused. One
prediction of a large teacher costs more than a step."""

READ_EVERY = 20
"""The number of steps between two readings of the error. Each reading waits for the GPU."""


class Run(State):
    """A training run: its state, and the loop that trains it.

    Args:
        task: the task of the run.
        checkpoints: the folder of all runs' checkpoints.
        checkpoint_every: seconds between two checkpoints.
        processes: the processes that share the run. Each has the same task, and they call the same methods. Only the
            first one scores, and reads and writes checkpoints.

    Attributes:
        rmse: pooled RMSE of the epoch so far, gray levels, at its last reading; NaN before.
        samples: the validation photos with their areas.
        predictions: the predicted pixels of `samples` after the last epoch of this process; empty but in the first one.
        stop: whether `end` was called.
        stopped: whether `epochs` ended early, at a checkpoint, because `end` was called in any process.
        fingerprint: the hash that identifies the run.

    Raises:
        DepixelError: the device is missing, portable arithmetic is impossible in this process, or the areas do not fit
            into the photos.
    """

    def __init__(self, task: Task, checkpoints: Path, checkpoint_every: float = 120, processes: Processes = ALONE):
        super().__init__(task, processes)
        self.loss = Loss(task, self.network, alone=len(processes.hosts) == 1)
        self.augmentation = Augmentation(task.augment)
        self.samples = fixed_samples(task.validation, task.pixelation, [task.validation_stream])
        described = self.code, self.configuration.init, self.configuration.teacher
        self.fingerprint = processes.first(lambda: fingerprint(task, *described))
        self.checkpoints = Checkpoints(checkpoints, self.fingerprint)
        self.checkpoint_every, self._saved = checkpoint_every, time.monotonic()
        self.predictions: list[np.ndarray] = []
        self.rmse = math.nan
        self.stop = self.stopped = False

    def epochs(
        self, on_step: Callable[[int], None] = lambda step: None, on_checkpoint: Callable[[], None] = lambda: None
    ) -> Iterator[Epoch]:
        """Train from the current position; yield the table's row after each epoch. The last epoch may be shorter.

        Args:
            on_step: called after each step with the number of steps done; a GPU may be some steps behind.
            on_checkpoint: called before each checkpoint; an exception ends the run without a checkpoint.

        Raises:
            DepixelError: the loss is NaN or infinite, or a checkpoint cannot be written.
        """
        spread = list(self.network.spread.parameters()) if self.network.spread else []
        apart = set(map(id, spread))  # clipped separately: their gradient must not shorten the others' steps
        parts = [parameter for parameter in self.network.parameters() if id(parameter) not in apart], spread
        clip = self.task.settings.gradient_clip
        while not self.finished:
            epoch = self.step // self.task.steps_per_epoch
            end = min((epoch + 1) * self.task.steps_per_epoch, self.task.steps)
            batches = self.batches(epoch, self.step, end)
            rate = self.learning_rate
            self.freeze(epoch)
            for step in fit(
                self.network, self.optimizer, batches, self.loss, rate, self.step, clip, parts, self.processes
            ):
                loss, squares, pixels = step.measured
                self.sums += torch.stack((squares, pixels, loss, step.norm, torch.ones_like(loss)))
                self.step = step.done
                for follow in self.after_step:
                    follow()
                if self.step % READ_EVERY == 0:
                    self.rmse = self.train_rmse()
                on_step(self.step)
                if self.step < end and self._checkpoint(on_checkpoint):
                    return
            row = self._finish_epoch(epoch)
            stopped = self._checkpoint(on_checkpoint)
            yield row
            if stopped:
                return

    def batches(self, epoch: int, first: int, end: int) -> Iterator[list[Shard]]:
        """Draw the batches of an epoch (from 0) for the steps from `first` up to, but without, `end`."""
        task, settings = self.task, self.task.settings
        if epoch % TAUGHT_EPOCHS == 0:
            self.loss.forget()
        shown = epoch // TAUGHT_EPOCHS if task.teacher else epoch
        stream = task.training_stream(shown)
        photos, named = task.training, f"{settings.seed} {shown}"
        weights = task.weights if settings.balance_by == "loss" else None
        if task.weights is not None and settings.balance_by == "sampling":
            photos = drawn(photos, task.weights, f"balance {named}")
        chosen = epoch_batches(photos, task.pixelation, stream, named, settings.batch_size)
        for number in range(first - epoch * task.steps_per_epoch, end - epoch * task.steps_per_epoch):
            if settings.overfit:
                images, areas = fixed_batch(photos, chosen[number], task.pixelation, stream)
            else:
                images, areas = training_batch(
                    photos, chosen[number], task.pixelation, stream, task.flip, task.device, self.augmentation
                )
            weight = None if weights is None else weights[chosen[number]]
            yield self.loss.shards(images, areas, number, f"{settings.seed} {epoch} {number}", weight)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        settings, scores = self.task.settings, [row.validation_rmse_mean for row in self.table]
        return learning_rate(step, self.task.steps, settings.learning_rate, settings.warmup, settings.schedule, scores)

    def _finish_epoch(self, epoch: int) -> Epoch:
        """Score the validation photos, keep the weights if they are the best, and add a row to the table."""
        train_rmse = self.train_rmse()
        *_, norms, steps = self.sums.tolist()
        pooled, mean = self.processes.first(self._score)
        row = Epoch(
            epoch=epoch + 1,
            learning_rate=self.learning_rate(self.step - 1),
            gradient_norm=norms / steps,
            train_rmse=train_rmse,
            validation_rmse_pooled=pooled,
            validation_rmse_mean=mean,
        )
        if not self.table or row.validation_rmse_mean < self.best_epoch.validation_rmse_mean:
            self.best = self.weights()
        self.table.append(row)
        self.sums.zero_()
        return row

    def _score(self) -> tuple[float, float]:
        """Predict the validation photos; returns the pooled and the mean RMSE."""
        # a copy: the predictor may change the memory layout, and the optimizer points to the weights' memory
        predictor = Predictor(copy.deepcopy(self.result), self.configuration, self.task.device)
        self.predictions = predictor.predict(
            self.samples.pixelated, self.samples.areas, batch_size=min(self.task.settings.batch_size, 32)
        )
        targets = self.samples.targets
        return rmse_pooled(self.predictions, targets), rmse_mean(self.predictions, targets)

    def predictor(self) -> Predictor:
        """The best model so far. If it predicts its error, `calibrated` on the validation photos."""
        best = super().predictor()
        return calibrated(best, self.samples) if best.configuration.uncertainty else best

    def _checkpoint(self, on_checkpoint: Callable[[], None]) -> bool:
        """Save the state if a checkpoint is due; returns whether the run must stop."""
        stop = self.stop or self.processes.orphaned  # read once, because a signal may set it at any time
        due = time.monotonic() - self._saved >= self.checkpoint_every
        wish = self.processes.most(2 * stop + due)
        if wish or self.finished:
            if self.sums[-1]:
                self.train_rmse()  # raises if the training has diverged, so that no such state is saved
            self.processes.first(lambda: self._save(on_checkpoint))
            self._saved = time.monotonic()
        self.stopped = wish >= 2
        return self.stopped

    def _save(self, on_checkpoint: Callable[[], None]) -> None:
        on_checkpoint()
        self.checkpoints.save(self.saved())

    def end(self) -> None:
        """Make `epochs` write a checkpoint and end; safe to call from a signal handler."""
        self.stop = True

    @property
    def position(self) -> str:
        """The last finished step, as text for people."""
        epoch = -(-self.step // self.task.steps_per_epoch)
        return f"step {self.step} of {self.task.steps} (epoch {epoch} of {self.task.settings.epochs:g})"

    def resume(self) -> list[Path]:
        """Resume from the last checkpoint of this run, if there is one; then `step` is not 0.

        Returns:
            The paths of invalid checkpoints, which were removed.

        Raises:
            DepixelError: a checkpoint cannot be read or removed.
        """
        unusable: list[Path] = []

        def load() -> dict[str, Any] | None:
            saved, found = self.checkpoints.load()
            unusable.extend(found)
            return saved

        saved = self.processes.first(load)
        if saved is not None:
            self.take(saved)
        return unusable


def calibrated(predictor: Predictor, samples: Samples) -> Predictor:
    """The same model with its expected errors scaled to the observed ones (temperature scaling: Guo et al. 2017).

    The scale is the ratio of the observed to the expected RMSE over all pixels of the samples, with four decimals.

    Args:
        predictor: a model that predicts its error.
        samples: samples that it was not trained on.
    """
    unscaled = predictor.configuration.model_copy(update={"error_scale": 1.0})
    predictor = Predictor(predictor.network, unscaled, predictor.device)
    predictions, expected = predictor.predict_with_errors(samples.pixelated, samples.areas)
    off = np.concatenate(predictions).astype(np.int64) - np.concatenate(samples.targets)
    observed, foreseen = int(np.square(off).sum()), float(np.square(np.concatenate(expected, dtype=np.float64)).sum())
    scale = max(round(math.sqrt(observed / foreseen), 4), 0.01)
    return Predictor(predictor.network, unscaled.model_copy(update={"error_scale": scale}), predictor.device)
