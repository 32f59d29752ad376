"""Cross-validation: what the folds say together, and that a real one goes on after a kill."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from depixel.experiments.crossvalidation import summary
from tests.conftest import run


def test_the_interval_respects_that_folds_share_photos():
    table = summary(pd.DataFrame({"ratio_mean": [0.68, 0.70, 0.71, 0.75], "rmse_mean": [20.0] * 4}, list("0123")))
    assert list(table.index) == ["0", "1", "2", "3", "mean", "standard_deviation", "mean_low", "mean_high"]
    deviation = ((0.03**2 + 0.01**2 + 0 + 0.04**2) / 3) ** 0.5
    half = 3.182446 * deviation * (1 / 4 + 1 / 2) ** 0.5  # Student's t, 3 degrees of freedom; a test side, two to train
    assert table["ratio_mean"][4:].tolist() == pytest.approx([0.71, deviation, 0.71 - half, 0.71 + half])
    assert table["rmse_mean"][4:].tolist() == [20, 0, 20, 20]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-S", "train.width=16,32"), "-S train.width: give one value"),
        (("-S", "train.wdith=16"), "unknown key train.wdith"),
        (("--name", "a b"), "'a b': a sweep's name has letters"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(folder, depixel, arguments, told):
    pytest.importorskip("optuna")
    assert told in depixel("crossvalidate", "3", *arguments, cwd=folder, code=1).stderr
    assert not (folder / "sweeps").exists()


def test_two_folds_are_too_few(folder, depixel):
    assert "x>=3" in depixel("crossvalidate", "2", cwd=folder, code=2).stderr


def test_an_empty_fold_is_told_before_anything_runs(reproduced, depixel):
    told = depixel("crossvalidate", "400", cwd=reproduced, code=1).stderr
    assert "no photo is for" in told and "fewer folds than split.folds: 400" in told
    assert not (reproduced / "sweeps").exists()


def test_a_cross_validation_goes_on_after_a_kill(place: Path, depixel):
    pytest.importorskip("optuna")
    command = [sys.executable, "-m", "depixel.cli", "crossvalidate", "3"]
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("cv3-fold=1: starts"):
                while not (place / "sweeps/cv3/cv3-fold=1.txt").exists():
                    time.sleep(0.02)
                process.kill()
    done = depixel("crossvalidate", "3", "--json", cwd=place)
    assert "cv3-fold=0" not in done.stderr and "cv3-fold=1: continues" in done.stderr
    rows = json.loads(done.stdout)
    assert list(rows) == ["0", "1", "2", "mean", "standard_deviation", "mean_low", "mean_high"]
    assert all(0 < rows[fold]["ratio_mean"] < 1 for fold in "012")
    assert run("git", "status", "--short", cwd=place).stdout == ""

    # ordinary experiments; each photo was tested once, and validated once
    shown = json.loads(run("dvc", "exp", "show", "--json", cwd=place).stdout)
    found = {e["revs"][0]["name"]: e["revs"][0] for row in shown for e in row["experiments"] or []}
    assert set(found) == {"cv3-fold=0", "cv3-fold=1", "cv3-fold=2"}
    sides = []
    for fold in (0, 1, 2):
        revision = found[f"cv3-fold={fold}"]
        assert revision["data"]["params"]["params.yaml"]["data"]["split"]["fold"] == fold
        scores = revision["data"]["metrics"]["metrics/evaluation.json"]["data"]
        assert scores["ratio_mean"] == pytest.approx(rows[str(fold)]["ratio_mean"])
        counts = json.loads(run("git", "show", f"{revision['rev']}:metrics/split.json", cwd=place).stdout)
        sides.append([counts[side]["photos"] for side in ("test", "validation")])
    photos = json.loads((place / "metrics/validation.json").read_text(encoding="utf-8"))["valid"]
    assert sum(test for test, _ in sides) == photos
    assert [validation for _, validation in sides] == [sides[1][0], sides[2][0], sides[0][0]]
    again = depixel("crossvalidate", "3", "--json", cwd=place)
    assert again.stdout == done.stdout and again.stderr == ""
