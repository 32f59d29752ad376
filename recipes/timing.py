"""How long a step of a training takes: it says how many epochs fit into a given time."""

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
BATCHES = 24  # of all sizes of windows


def seconds(work: Callable[[], object], times: int = STEPS) -> float:
    """The median of several runs, after one that is not counted."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def train_step(photos: Photos, validation: Photos, settings: TrainSettings) -> float:
    """Mean seconds of one whole training step, drawing included, of batches as an epoch has them."""
    pixelation = PixelationSettings()
    run = Run(Task(settings, pixelation, photos, validation), Path("unused"))
    batches = epoch_batches(photos, pixelation, "train 0 0", "0 0", settings.batch_size)[:BATCHES]

    def step(chosen: np.ndarray) -> None:
        batch = training_batch(photos, chosen, pixelation, "train 0 0", settings.flip, run.task.device)
        shards = run.loss.shards(*batch, 0, "timed")
        clip = settings.gradient_clip
        for done in fit(run.network, run.optimizer, [shards], run.loss, run.learning_rate, clip=clip):
            done.measured.tolist()  # waits until a GPU has done it

    return mean(seconds(lambda batch=batch: step(batch), 3) for batch in batches)
