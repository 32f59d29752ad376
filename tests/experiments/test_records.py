import shutil

import pandas as pd
import pytest

from depixel.base.errors import DepixelError
from depixel.experiments import records
from depixel.versioning import experiment_ref
from tests.conftest import run


def table(count: int) -> pd.DataFrame:
    """HEAD, the worst, and `count` experiments."""
    rows = [{"name": f"wide-{i}", "validation_rmse": float(i), "train.width": i} for i in range(count)]
    rows.append({"name": "HEAD", "validation_rmse": 99.0, "train.width": 99})
    scores = dict.fromkeys(records.SCORES, 1.0)
    return pd.DataFrame([{**scores, **row} for row in rows])[["name", *records.SCORES, "train.width"]]


def test_the_ten_best_are_listed_with_the_last_commit_and_the_rest_is_counted(depixel, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "all_experiments", lambda: (table(37), []))
    lines = depixel("experiments", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == [*(f"wide-{i}" for i in range(10)), "HEAD"]
    assert lines[-2:] == ["and 27 more; --all shows them", "settings: those that differ from most rows."]
    assert len(depixel("experiments", "--all", cwd=tmp_path).stdout.splitlines()) == 1 + 38 + 1
    assert depixel("experiments", "--csv", cwd=tmp_path).stdout.count("wide-") == 37
    monkeypatch.setattr(records, "all_experiments", lambda: (table(9), []))
    assert "more" not in depixel("experiments", cwd=tmp_path).stdout


def test_settings_that_are_empty_or_usual_are_not_listed():
    shown = table(3).assign(
        **{"augment.flip": ["False", None, "", None], "augment.rotate": None, "note": ["why", "long " * 30, "", None]}
    )
    told = records.compact(shown, {})
    assert [row.strip() for row in told["settings"]] == ["flip=False", "width=1", "width=2", "width=99"]
    assert all(len(note) <= 48 for note in told["note"])


def test_settings_are_compared_with_the_last_commit_and_the_rarest_come_first():
    shown = table(3).assign(
        **{"train.width": 16, "train.epochs": ["20", "20", "20", "10"], "split.by": ["", "x", "x", "y"]}
    )
    shown.loc[0, "train.width"] = 32
    base = {"train.width": "16", "train.epochs": "10", "split.by": "y"}
    told = records.compact(shown, base, named=["wide-2"])
    assert list(told["name"]) == ["wide-2", "wide-0", "wide-1", "HEAD"]
    assert [row.strip() for row in told["settings"]] == ["by=x epochs=20", "width=32 epochs=20", "by=x epochs=20", ""]


def test_rows_of_other_photos_are_marked():
    assert "photos" not in records.compact(table(2).assign(data="v1"), {})
    told = records.compact(table(2).assign(data=["v1", "v2", "v1"]), {})
    assert [photos.strip() for photos in told["photos"]] == ["v1", "v2", "v1"]


def test_an_experiment_without_results_is_named_and_the_others_are_listed(folder, depixel):
    head = run("git", "rev-parse", "HEAD", cwd=folder).stdout.strip()
    run("git", "update-ref", experiment_ref(head, "failed"), "HEAD", cwd=folder)
    done = depixel("experiments", cwd=folder)
    assert (
        done.stderr
        == "Not listed: failed: has no metrics/comparison.csv, so it has no results. `dvc repro` writes them\n"
    )
    assert done.stdout.startswith("There is no experiment with results yet")


def test_the_commit_of_an_experiment_may_be_missing_as_in_a_shallow_clone(folder, monkeypatch):
    (folder / "metrics").mkdir()
    (folder / "metrics/training.json").write_text('{"best_epoch": 1, "validation_rmse": 2}', encoding="utf-8")
    ratios = [score for score in records.SCORES if score.startswith("ratio")]
    (folder / "metrics/comparison.csv").write_text(f"model,{','.join(ratios)}\nmodel{',1' * len(ratios)}\n")
    run("git", "add", "--force", "metrics", cwd=folder)
    run("git", "commit", "--quiet", "--message=results", cwd=folder)
    run("git", "update-ref", experiment_ref("5" * 40, "far"), "HEAD", cwd=folder)
    monkeypatch.chdir(folder)
    described, lacking = records.all_experiments()
    assert list(described["name"]) == ["HEAD", "far"] and not lacking
    assert described["commit"][1] == "5" * 10 + "?"
    (folder / "data/snapshots.csv").write_text("<<<<<<< HEAD\n")
    with pytest.raises(DepixelError, match="two people added names"):  # and not: there are no experiments
        records.all_experiments()
    (folder / "data/snapshots.csv").unlink()
    shutil.rmtree(folder / ".git/objects")
    with pytest.raises(DepixelError):
        records.all_experiments()
