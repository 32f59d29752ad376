"""A training that several processes share. Here they are threads; tests/pipeline/test_processes.py starts real ones."""

import pytest

from depixel.learning.state import State
from tests.learning.conftest import differing, made, state, train
from tests.learning.test_choices import AUGMENTED
from tests.learning.together import SEEDED, together

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def seeded(monkeypatch):
    begin = State.__init__

    def alone(*arguments):
        with SEEDED:
            begin(*arguments)

    monkeypatch.setattr(State, "__init__", alone)


CHOICES = [
    {},
    {"dropout": 0.2, "uncertainty": True, "optimizer": "muon"},
    {"normalization": "batch", "ema": 0.7, "dropout": 0.2, "schedule": "plateau"},
    {"balance": "contributor", "balance_by": "loss", "gradient_clip": 0.01},
    {"augment": AUGMENTED, "balance": "kind", "loss": "ssim_mse"},
    {"network": "basic_cnn", "normalization": "group", "optimizer": "adamw", "weight_decay": 0.1},
    {"teacher": True, "epochs": 6},
    {"init": True, "freeze": (0, 5), "unfreeze_after": 1},
    {"overfit": 3, "patience": 1},
]


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: " ".join(choice) or "defaults")
def test_the_number_of_processes_changes_no_bit(tmp_path, teacher, choice, count):
    """10 photos in batches of 4 and shards of 1: the last batch has fewer shards than there are processes."""
    settings = {"shards": 4, "epochs": 3, **choice}
    if choice.get("teacher"):
        settings["teacher"] = teacher
    if choice.get("init"):
        settings["init"] = made(tmp_path / "known").predictor()
    one = made(tmp_path / "alone", **settings)
    table = train(one)

    def trained(several):
        run = made(tmp_path / "together", processes=several, **settings)
        return train(run), state(run), run

    results = together(count, trained)
    for found, weights, run in results:
        assert found == table and differing(weights, state(one)) == [] and run.fingerprint == one.fingerprint
    assert [len(run.predictions) for *_, run in results] == [len(one.predictions)] + [0] * (count - 1)
