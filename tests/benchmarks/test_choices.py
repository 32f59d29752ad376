"""The trainings of all choices: which there are, what their comparison says, and that they go on after a kill."""

import csv
import json
import os

import numpy as np
import pytest

from benchmarks import choices
from benchmarks.choices import CHOICES, DEFAULTS, SEEDS, Summary, Trained
from depixel import params
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.dataset.augmentation import GEOMETRY, LEVELS
from depixel.dataset.balancing import BALANCES
from depixel.learning.distances import DISTANCES
from depixel.learning.initial import INITIAL_WEIGHTS
from depixel.learning.optimizers import OPTIMIZERS
from depixel.learning.schedules import SCHEDULES
from depixel.model.layers import ACTIVATIONS, NORMALIZATIONS
from tests.conftest import REPOSITORY, run

REGISTRIES = {
    "loss": DISTANCES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "activation": ACTIVATIONS,
    "normalization": NORMALIZATIONS,
    "initial_weights": INITIAL_WEIGHTS,
    "balance": BALANCES,
}


def test_every_registered_choice_is_trained():
    content = params.read(REPOSITORY / "params.yaml")
    there = {setting for settings in CHOICES for setting in settings.split()}
    for key, registry in REGISTRIES.items():
        default = content["train"][key]
        assert {f"train.{key}={name}" for name in registry if name != default} <= there
    changed = {setting.partition("=")[0] for setting in there}
    assert {f"augment.{name}" for name in ("flip", *GEOMETRY, *LEVELS)} <= changed
    assert {"train.ema", "train.dropout", "train.freeze", "train.unfreeze_after", "train.uncertainty"} <= changed


def test_every_choice_is_one_that_params_may_have_and_is_compared_with_another():
    content = params.read(REPOSITORY / "params.yaml")
    for settings, against in CHOICES.items():
        changed = choices.with_settings(content, settings, 1)
        assert changed["train"]["seed"] == 1 and against in CHOICES
        differs = [key for key in content["train"] if changed["train"][key] != content["train"][key] and key != "seed"]
        assert differs or changed["augment"] != content["augment"] or settings == DEFAULTS


def test_one_seed_of_all_comes_before_the_next():
    runs = choices.runs()
    assert [seed for _, seed in runs] == sorted(seed for _, seed in runs) and runs[0] == (DEFAULTS, SEEDS[0])
    assert len(set(runs)) == len(runs) == len(SEEDS) * len(CHOICES)


# The tables of the project


def test_the_docs_compare_what_is_trained():
    with (REPOSITORY / "docs/choices.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.reader(file))
    assert tuple(written[0]) == Summary._fields
    assert written[1:] == [["" if value is None else str(value) for value in row] for row in choices.summary()]


def test_every_training_has_its_scores():
    found = choices.rows()
    assert found and len({(row.settings, row.seed) for row in found}) == len(found)
    for row in found:
        if row.rmse_mean is not None:
            photos = np.array(row.photos.split(), dtype=float) / 100
            assert photos.mean() == pytest.approx(row.rmse_mean, abs=0.01) and row.rmse_pooled > row.rmse_mean
        assert row.core_seconds > 0


def test_the_comparison_is_printed():
    printed = run("python", "benchmarks/choices.py", cwd=REPOSITORY).stdout
    assert f"{len(choices.rows())} of {len(choices.runs())} trainings are done." in printed


# Made-up trainings


EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The hash of an empty file, as the split of `data` is."""


def made(settings, seed, rmse, seconds=100):
    """A training with these RMSEs of photos; () diverged."""
    mean = float(np.mean(rmse)) if rmse else None
    text = " ".join(str(round(100 * one)) for one in rmse)
    return Trained(settings, seed, 1 if rmse else None, mean, mean, seconds, "c", EMPTY, "h", text)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Empty tables, in a folder of their own."""
    monkeypatch.setattr(choices, "TABLE", tmp_path / "trained.csv")
    monkeypatch.setattr(choices, "COMPARED", tmp_path / "compared.csv")
    return tmp_path


def test_a_comparison_by_hand(tables):
    choices.write_table(
        choices.TABLE,
        Trained,
        [
            made(DEFAULTS, 0, (10, 20, 30)),
            made("train.loss=mse", 0, (11, 21, 31), seconds=150),
            made("train.loss=mse", 1, (14, 24, 34), seconds=250),
            made("train.loss=mae", 0, ()),
            made(DEFAULTS, 1, (11, 21, 31)),
            made("train.loss=huber", 2, (1, 1, 1)),  # there is nothing yet to compare it with
            made("train.loss=gone", 0, (1, 1, 1)),  # no choice any more
        ],
    )
    found = {row.settings: row for row in choices.summary()}
    assert found.keys() == {*CHOICES, "another seed"}
    assert found[DEFAULTS] == Summary(DEFAULTS, DEFAULTS, 2, 3, 20.5, None, None, None, 100, 1.0)
    assert found["train.loss=mse"] == Summary("train.loss=mse", DEFAULTS, 2, 3, 22.5, 2.0, 2.0, 2.0, 200, 2.0)
    assert found["train.loss=mae"] == Summary("train.loss=mae", DEFAULTS, 1, 3, None, None, None, None, 100, 1.0)
    assert found["train.loss=huber"].seeds == 0 and found["train.loss=huber"].time is None
    assert found["another seed"] == Summary("another seed", DEFAULTS, 1, 1, 21.0, 1.0, 1.0, 1.0, 100, 1.0)


def test_the_interval_is_that_of_pairs_of_photos(tables):
    """The difficulty of a photo cancels."""
    random = np.random.default_rng(0)
    hard, more = random.uniform(5, 50, 100).round(2), random.normal(0.5, 1, 100).round(2)
    rows = [made(DEFAULTS, 0, tuple(hard)), made("train.loss=mse", 0, tuple(hard + more))]
    choices.write_table(choices.TABLE, Trained, rows)
    row = choices.summary()[1]
    expected = more.mean() + 1.96 * np.array([-1, 1]) * more.std() / 10
    assert (row.low, row.high) == pytest.approx(tuple(expected), abs=0.03)
    assert row.low < row.difference < row.high


# Trainings


def measured(monkeypatch, trained, *options):
    from click.testing import CliRunner

    if hasattr(os, "sched_setaffinity"):
        monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(choices, "trained", trained)
    return CliRunner().invoke(choices.main, ["measure", *options])


@pytest.fixture
def data(tables, monkeypatch):
    """A project with photos that are as good as prepared, as no training of these tests reads them."""
    (tables / "data/prepared").mkdir(parents=True)
    (tables / "data/split.csv").touch()
    (tables / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    monkeypatch.setattr(choices, "PROJECT", tables)
    return tables


def test_it_goes_on_after_a_kill_with_what_is_missing(data, monkeypatch):
    asked = []

    def trained(settings, seed, content):
        asked.append((settings, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return made(settings, seed, (len(asked), 5))

    assert measured(monkeypatch, trained).exit_code == 130
    assert [(row.settings, row.seed) for row in choices.rows()] == asked[:2] == choices.runs()[:2]
    assert (data / "compared.csv").is_file()
    done = measured(monkeypatch, trained)
    assert done.exit_code == 0 and done.output == ""  # quiet where there is no terminal
    assert asked[3:] == choices.runs()[2:] and len(choices.rows()) == len(choices.runs())
    assert choices.rows()[0].photos == "100 500"  # as it was
    assert {row.seeds for row in choices.summary()} == {1, len(SEEDS)}


def test_it_begins_no_training_after_its_hours(data, monkeypatch):
    done = measured(monkeypatch, lambda *_: pytest.fail("trained"), "--hours", "0")
    assert done.exit_code == 0 and (data / "compared.csv").is_file()


def test_trainings_on_other_photos_are_not_mixed_with_these(data, monkeypatch):
    choices.write_table(choices.TABLE, Trained, [made(DEFAULTS, 0, (1, 2))])
    before = choices.TABLE.read_bytes()
    (data / "data/split.csv").write_text("other photos", encoding="utf-8")
    done = measured(monkeypatch, lambda *_: pytest.fail("trained"))
    assert done.exit_code == 1 and "trained.csv: has 1 training on other photos" in done.output
    assert choices.TABLE.read_bytes() == before


def test_without_photos_it_says_what_makes_them(data, monkeypatch):
    (data / "data/split.csv").unlink()
    done = measured(monkeypatch, lambda *_: pytest.fail("trained"))
    assert done.exit_code == 1 and "data/split.csv: missing. Make it with `dvc repro split`" in done.output.replace(
        "\\", "/"
    )


def test_a_row_is_what_the_pipeline_trains_and_scores(reproduced, tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "PROJECT", reproduced)
    monkeypatch.setattr(choices, "WORK", tmp_path / "work")
    content = params.read(reproduced / "params.yaml")
    row = choices.trained(DEFAULTS, 0, choices.with_settings(content, DEFAULTS, content["train"]["seed"]))
    score = json.loads((reproduced / "metrics/evaluation.json").read_text(encoding="utf-8"))
    assert (row.rmse_mean, row.rmse_pooled) == (round(score["rmse_mean"], 4), round(score["rmse_pooled"], 4))
    assert (
        row.best_epoch == json.loads((reproduced / "metrics/training.json").read_text(encoding="utf-8"))["best_epoch"]
    )
    assert np.mean([float(one) for one in row.photos.split()]) / 100 == pytest.approx(row.rmse_mean, abs=0.01)
    assert not (tmp_path / "work").exists() and row.split == hash_of(reproduced / "data/split.csv", "md5")

    diverging = "train.optimizer=sgd train.learning_rate=1e30 train.gradient_clip=0"
    row = choices.trained(diverging, 1, choices.with_settings(content, diverging, 1))
    assert row.rmse_mean is row.best_epoch is None and row.photos == "" and row.core_seconds > 0
    broken = choices.with_settings(content, "train.teacher=nobody", 1)
    with pytest.raises(DepixelError, match=r"stages/train.py failed: .*models/pretrained has no such model"):
        choices.trained("train.teacher=nobody", 1, broken)
