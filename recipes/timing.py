"""The time of a training step, from which the number of epochs in a given time follows."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import numpy as np

from depixel.dataset.samples import Photos, epoch_batches, training_batch
from depixel.learning.loop import fit
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from depixel.model.pixelation import PixelationSettings

STEPS = 12
BATCHES = 24  # enough for all sizes of windows


def seconds(work: Callable[[], object], times: int = STEPS) -> float:
    """The median seconds of several runs, after a run for warm-up."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def train_step(photos: Photos, validation: Photos, settings: TrainSettings) -> float:
    """The mean seconds of a whole training step, including drawing, over the batches of an epoch."""
    pixelation = PixelationSettings()
    run = Run(Task(settings, pixelation, photos, validation), Path("unused"))
    batches = epoch_batches(photos, pixelation, "train 0 0", "0 0", settings.batch_size)[:BATCHES]

    def step(chosen: np.ndarray) -> None:
        batch = training_batch(photos, chosen, pixelation, "train 0 0", settings.flip, run.task.device)
        shards = run.loss.shards(*batch, 0, "timed")
        clip = settings.gradient_clip
        for done in fit(run.network, run.optimizer, [shards], run.loss, run.learning_rate, clip=clip):
            done.measured.tolist()  # waits for the GPU

    return mean(seconds(lambda batch=batch: step(batch), 3) for batch in batches)
