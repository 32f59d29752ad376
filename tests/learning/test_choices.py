"""Every choice of a setting goes through the same: it trains, resumes to the bit, and its model can be loaded."""

from functools import partial

import numpy as np
import pytest
import torch

from depixel.dataset.augmentation import GEOMETRY, LEVELS, AugmentSettings
from depixel.dataset.balancing import BALANCES
from depixel.learning.distances import DISTANCES
from depixel.learning.initial import INITIAL_WEIGHTS
from depixel.learning.optimizers import OPTIMIZERS
from depixel.learning.schedules import SCHEDULES
from depixel.model.layers import ACTIVATIONS, NORMALIZATIONS
from depixel.model.predictor import Predictor
from tests.learning.conftest import differing, made, state, train

pytestmark = pytest.mark.usefixtures("one_thread")

AUGMENTED = {
    "flip": False,
    "rotate": (-30, 30),
    "zoom": (0.8, 1.25),
    "crop": (0.7, 1),
    "shift": (-8, 8),
    "blur": (0, 1),
    "gamma": (0.8, 1.25),
    "contrast": (0.8, 1.25),
    "brightness": (-25, 25),
    "noise": (0, 5),
    "jpeg": (50, 95),
}
REGISTRIES = {
    "loss": DISTANCES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "activation": ACTIVATIONS,
    "normalization": NORMALIZATIONS,
    "initial_weights": INITIAL_WEIGHTS,
    "balance": BALANCES,
}
CHOICES = [{key: name} for key, registry in REGISTRIES.items() for name in registry] + [
    *({"augment": {name: AUGMENTED[name]}} for name in (*GEOMETRY, *LEVELS)),
    *({"balance": name, "balance_by": "loss"} for name in BALANCES if name != "none"),
    {"ema": 0.7},
    {"momentum": 0.5, "weight_decay": 0.1},
    {"optimizer": "rmsprop", "momentum": 0.5, "weight_decay": 0.1},
    {"normalization": "batch", "ema": 0.7, "dropout": 0.2, "schedule": "plateau"},
    {"network": "basic_cnn", "normalization": "batch", "activation": "tanh"},
    {"augment": AUGMENTED},
    {"augment": AUGMENTED, "balance": "kind", "normalization": "batch", "ema": 0.7, "loss": "ssim_mse"},
    {"init": "pretrained", "freeze": (0, 5)},
    {"init": "pretrained", "freeze": (0, 1, 2, 3), "unfreeze_after": 1, "ema": 0.7},
    {"init": "pretrained", "freeze": (1,), "unfreeze_after": 2, "normalization": "batch", "optimizer": "adam"},
]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Models to start from, by their normalization."""
    folder = tmp_path_factory.mktemp("known")

    def trained(normalization):
        one = made(folder, normalization=normalization, epochs=1)
        train(one)
        return one.predictor()

    return {name: trained(name) for name in NORMALIZATIONS}


def shown(choice):
    return " ".join(f"{key}={value}" for key, value in choice.items())[:60]


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(
    "choice", CHOICES, ids=lambda choice: " ".join(f"{key}={value}" for key, value in choice.items())[:60]
)
def test_a_choice_trains_resumes_and_loads(tmp_path, known, choice, shards):
    settings = {"epochs": 3, "shards": shards, **choice}
    if choice.get("init"):
        settings["init"] = known[choice.get("normalization", "none")]
    make = partial(made, every=0, **settings)
    whole = make(tmp_path / "whole")
    before = state(whole)
    table = train(whole)
    assert len(table) == 3 and np.isfinite(table).all()
    assert "network out.weight" in differing(state(whole), before)

    for stop in (3, 7):  # between two epochs, and within one
        runs = tmp_path / f"stopped after {stop}"
        train(make(runs), until=stop + 1)
        torch.manual_seed(99)
        resumed = make(runs)
        assert resumed.resume() == [] and resumed.step == stop
        train(resumed)
        assert resumed.table == whole.table and differing(state(resumed), state(whole)) == []

    whole.predictor().save(tmp_path / "model.safetensors")
    loaded, samples = Predictor.load(tmp_path / "model.safetensors", "cpu"), whole.samples
    assert loaded.configuration == whole.configuration
    assert differing(dict(loaded.network.state_dict()), {k: v.half().float() for k, v in whole.best.items()}) == []
    predicted = loaded.predict(samples.pixelated, samples.areas)
    there = whole.predictor().predict(samples.pixelated, samples.areas)
    assert np.abs(np.concatenate(predicted).astype(float) - np.concatenate(there)).max() <= 2


OTHERS = {"ema": [0, 0.9], "momentum": [None, 0.5], "weight_decay": [0.1, 0.5], "balance_by": ["sampling", "loss"]}


@pytest.mark.parametrize("key", [*REGISTRIES, *OTHERS])
def test_every_choice_gives_another_model(run, key):
    results = []
    for name in OTHERS.get(key, REGISTRIES.get(key)):
        if name != "plateau":  # like "constant", until there is one
            one = run(**{"weight_decay": 0.1, "balance": "contributor", key: name})
            train(one)
            results.append(one.best["out.weight"])
    assert all(not torch.equal(results[i], results[j]) for i in range(len(results)) for j in range(i))


def test_every_augmentation_has_a_setting():
    assert set(AUGMENTED) == {"flip", *GEOMETRY, *LEVELS} == set(AugmentSettings.model_fields)


@pytest.mark.parametrize("name", AUGMENTED)
def test_every_augmentation_changes_the_photos(run, name):
    """And none changes what is drawn of another."""
    seen = []
    for augment in ({"flip": False}, {"flip": False} | {name: AUGMENTED[name]} if name != "flip" else {"flip": True}):
        one = run(augment=augment)
        (first, *_), *_ = one.batches(0, 0, 1)
        seen.append(first)
    plain, changed = seen
    assert torch.equal(plain.areas, changed.areas) and not torch.equal(plain.truth, changed.truth)
    assert torch.equal(changed.truth, changed.truth.clamp(0, 255).round())
