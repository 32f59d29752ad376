"""Tiny runs, and what they are compared by."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from depixel.base.names import photo_ids
from depixel.dataset.augmentation import AugmentSettings
from depixel.dataset.samples import Photos
from depixel.learning.processes import ALONE
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from depixel.model.pixelation import PixelationSettings

PIXELATION = PixelationSettings(width=(4, 8), height=(4, 8), block_size=(3, 5))
TINY = {
    "width": 4,
    "epochs": 2,
    "batch_size": 4,
    "device": "cpu",
    "precision": "float32",
    "shards": 2,
    "learning_rate": 3e-3,
}


def photos(count, side="train"):
    """Smooth pictures of 24 x 24 pixels."""
    random = np.random.default_rng(len(side))
    coarse = [Image.fromarray(image) for image in random.integers(0, 256, (count, 5, 5), dtype=np.uint8)]
    images = np.stack([np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)) for image in coarse])
    ids = photo_ids([f"{side}/{i}.jpg" for i in range(count)])
    return Photos(images, np.arange(count), ids, np.array(["one", *["other"] * (count - 1)]))


def made(
    folder,
    train=None,
    validation=None,
    pixelation=PIXELATION,
    every=1000,
    teacher=None,
    init=None,
    augment=None,
    processes=ALONE,
    **settings,
):
    """A run of 10 photos to train on and 5 to validate, with a checkpoint every `every` seconds and at its end."""
    train, validation = train or photos(10), validation or photos(5, side="validation")
    settings = TINY | settings | ({"init": "pretrained"} if init else {})
    task = Task(
        TrainSettings(**settings), pixelation, train, validation, init, teacher, AugmentSettings(**augment or {})
    )
    return Run(task, folder, every, processes)


@pytest.fixture
def run(tmp_path):
    """Make a run: `run(settings...)`, see `made`."""
    return partial(made, tmp_path / "runs")


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A model that knows something, and of another kind than the run's."""
    known = made(tmp_path_factory.mktemp("teacher"), epochs=30, network="basic_cnn", width=8)
    list(known.epochs())
    return known.predictor()


def state(run):
    """All that a run's future depends on, and its result."""
    weights = {f"network {k}": v for k, v in run.network.state_dict().items()}
    weights |= {f"best {k}": v for k, v in run.best.items()}
    return {name: weight.clone() for name, weight in weights.items()}


def differing(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def train(run, until=None, on_checkpoint=lambda: None):
    """Train to the end, or end abruptly in this step, before its checkpoint."""

    def on_step(step):
        if step == until:
            raise KeyboardInterrupt

    try:
        return list(run.epochs(on_step, on_checkpoint))
    except KeyboardInterrupt:
        return None
