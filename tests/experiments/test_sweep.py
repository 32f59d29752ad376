"""Sweeps, through real DVC, of a project whose training is a formula: what is tested here is not the network."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from click.testing import Result

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.experiments import records
from depixel.experiments.plan import Interval, Plan
from depixel.experiments.sweep import _Sweep
from tests.conftest import run

pytest.importorskip("optuna", reason="Optuna is not installed: `pip install optuna`")


def notes(folder: Path) -> Counter:
    """How often each epoch of each experiment was trained."""
    path = folder.parent / "notes"
    return Counter(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ())


def found(done: Result) -> dict[str, float]:
    """Validation RMSE of the experiments that a sweep finished, from its JSON."""
    return {row["name"]: row["validation_rmse"] for row in json.loads(done.stdout)["finished"]}


LINES = [f"train.width={width}" for width in (39, 38, 13, 41, 42)] + ["train.width=400 train.dropout=0.3  # hopeless"]
SWEEP = ["sweep", "list", "--list", "variants", "--jobs", "2"]
FINISHED = {"list-width=39": 3.5, "list-width=41": 3.5, "list-width=38": 4.5, "list-width=42": 4.5}


def begin(folder: Path) -> subprocess.Popen:
    """Begin the sweep; returns when a training has noted its next epoch."""
    before = notes(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "depixel.cli", *SWEEP], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    while notes(folder) == before:
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_stopped_and_killed_it_goes_on_and_leaves_experiments(folder, depixel, monkeypatch):
    monkeypatch.setenv("SECONDS", "0.3")
    (folder / "variants").write_text("\n".join(LINES), encoding="utf-8")
    process = begin(folder)
    process.send_signal(signal.SIGTERM)
    assert "Run the same command again" in process.communicate()[1] and process.returncode == 130
    before = notes(folder)
    time.sleep(0.7)
    assert notes(folder) == before  # nothing trains on

    process = begin(folder)
    process.kill()  # what it had started goes on without it, but for one, as if the power had been cut there
    process.wait()
    clone = max((folder / "sweeps/list").glob("*/checkpoints"), key=lambda path: path.stat().st_mtime).parent
    for orphan in psutil.process_iter(["cwd"]):
        if orphan.info["cwd"] == str(clone):
            orphan.kill()
    with (folder / "sweeps/list/study.log").open("ab") as file:
        file.write(b'{"op_code": 4, "wor')  # as if it had been cut off while it wrote

    done = depixel(*SWEEP, cwd=folder, code=1)
    assert f"{clone.name}: continues" in done.stderr
    header, *rows = (line.split() for line in done.stdout.splitlines()[:5])
    assert header == ["name", "validation_rmse", "best_epoch", "ratio_mean", "ratio_pooled", "width"]
    assert [float(row[1]) for row in rows] == sorted(FINISHED.values())
    assert {row[0]: float(row[1]) for row in rows} == FINISHED
    assert rows[0][3:9] == ["0.035", "[0.025,", "0.045]"] * 2
    assert "list-width=400-dropout=0.3: pruned after epoch" in done.stdout
    assert "list-width=13: failed: training diverged (sweeps/list/list-width=13.txt)" in done.stdout
    # each epoch once: interrupted trainings went on from their checkpoints
    trained = notes(folder)
    assert {f"{name} {epoch}": trained[f"{name} {epoch}"] for name in FINISHED for epoch in (1, 2, 3, 4)} == {
        f"{name} {epoch}": 1 for name in FINISHED for epoch in (1, 2, 3, 4)
    }
    assert trained["list-width=400-dropout=0.3 4"] == 0
    left = {path.name for path in (folder / "sweeps/list").iterdir()}
    assert left == {"lock", "study.log", "list-width=13", "list-width=13.txt"}
    assert run("git", "status", "--short", cwd=folder).stdout == "?? variants\n"

    # ordinary experiments, with their settings, metrics and logs
    shown = json.loads(run("dvc", "exp", "show", "--json", cwd=folder).stdout)
    data = {e["revs"][0]["name"]: e["revs"][0]["data"] for row in shown for e in row["experiments"] or []}
    scores = {name: r["metrics"]["metrics/training.json"]["data"]["validation_rmse"] for name, r in data.items()}
    assert scores == FINISHED
    for name, revision in data.items():
        assert name == f"list-width={revision['params']['params.yaml']['data']['train']['width']}"
        assert (folder / "logs" / name / "training.csv").is_file()

    again = depixel(*SWEEP, cwd=folder, code=1)  # only what had failed
    assert again.stdout == done.stdout and notes(folder) == trained
    assert again.stderr.splitlines() == ["list-width=13: continues", "list-width=13: failed: training diverged"]
    told = depixel(*SWEEP, "-S", "train.epochs=5", cwd=folder, code=1).stderr
    assert "list-width=39: ran with train.width=39, but now has train.epochs=5" in told
    with (folder / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert "params.yaml: changed since the last commit" in depixel(*SWEEP, cwd=folder, code=1).stderr


def test_a_search_can_be_prolonged_and_its_experiments_recorded(folder, depixel, monkeypatch):
    command = ("sweep", "rate", "--json", "--no-prune", "-S", "train.epochs=1")
    space = ("-S", "train.dropout=interval(0.1,0.6)", "-S", "train.width=40,41")
    first = found(depixel(*command, *space, "--trials", "2", cwd=folder))
    assert len(first) == 2 and all(10 <= rmse <= 51 for rmse in first.values())
    commit = run("git", "rev-parse", "HEAD", cwd=folder).stdout
    (folder / "notes.txt").write_text("a commit that changes nothing of what the experiments depend on")
    run("git", "add", "notes.txt", cwd=folder)
    run("git", "commit", "-qm", "notes", cwd=folder)
    both = found(depixel(*command, *space, "--trials", "3", cwd=folder))
    assert len(both) == 3 and first.items() < both.items()
    assert sum(notes(folder).values()) == 3
    for name, rmse in both.items():
        values = dict(part.split("=") for part in name.removeprefix("rate-").split("-"))
        assert rmse == pytest.approx(int(values["width"]) - 40 + 100 * abs(float(values["dropout"]) - 0.2) + 10)
        assert len(values["dropout"]) <= len("0.123")
    told = depixel(*command, "-S", "train.dropout=interval(0.1,0.7)", "--trials", "4", cwd=folder, code=1).stderr
    assert "this sweep began with the space" in told and "Choose another name" in told

    # the table of those that matter
    monkeypatch.chdir(folder)
    best, *others = sorted(both, key=both.get)
    records.record([best], "the best")
    records.record(others, "")
    table = records.readable(records.read_table())
    assert list(table)[:5] == ["name", "validation_rmse", "best_epoch", "ratio_mean", "ratio_pooled"]
    assert "dropout" in table and "schedule" not in table and list(table["note"]) == ["the best", "", ""]
    assert list(table["name"]) == [best, *others]
    md5 = yaml.safe_load((folder / "data/raw.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    row = pd.read_csv(layout.EXPERIMENTS).set_index("name").loc[best]
    assert (row["validation_rmse"], row["commit"], row["data"]) == (both[best], commit[:10], md5[:10])
    assert row["ratio_mean_high"] == pytest.approx(both[best] / 100 + 0.01) and row["train.epochs"] == 1
    records.record([best], "still  the\nbest")
    assert list(pd.read_csv(layout.EXPERIMENTS)["note"].dropna()) == ["still the best"]
    before = layout.EXPERIMENTS.read_bytes()
    with pytest.raises(DepixelError, match="nothing: neither an experiment nor a git revision"):
        records.record([others[0], "nothing"], "")
    run("dvc", "exp", "remove", best, cwd=folder)
    run("dvc", "exp", "rename", others[0], best, cwd=folder)
    with pytest.raises(DepixelError, match="has another experiment of this name"):
        records.record([best], "")
    assert layout.EXPERIMENTS.read_bytes() == before

    with (folder / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# another\n")
    run("git", "commit", "-qam", "settings", cwd=folder)
    told = depixel(*command, *space, "--trials", "4", cwd=folder, code=1).stderr
    assert f"began at commit {commit[:7]}, and params.yaml changed since then. Choose another" in told


@pytest.mark.slow
def test_photos_that_are_not_added_or_committed_are_refused_and_none_is_trained_without(folder, depixel):
    command = ("sweep", "wide", "-S", "train.width=39,41")
    (folder / "data/raw/new.jpg").write_bytes(b"new")
    told = depixel(*command, cwd=folder, code=1).stderr
    assert "data/raw: changed since `dvc add`" in told and "`dvc add data/raw`" in told
    run("dvc", "add", "--quiet", "data/raw", cwd=folder)
    assert "data/raw.dvc: changed since the last commit" in depixel(*command, cwd=folder, code=1).stderr
    run("git", "commit", "--quiet", "--all", "--message=photos", cwd=folder)
    (folder / "data/test_set").mkdir()
    (folder / "data/test_set/a.pkl").write_bytes(b"a")
    run("dvc", "add", "--quiet", "data/test_set", cwd=folder)
    assert "data/test_set.dvc: changed since" in depixel(*command, cwd=folder, code=1).stderr
    assert not notes(folder)


def test_a_search_ends_where_all_fail(folder, depixel):
    command = ("sweep", "bad", "-S", "train.width=13", "-S", "train.dropout=0.1,0.2")
    for _ in range(2):
        told = depixel(*command, "--trials", "3", cwd=folder, code=1).stdout
        assert "failed: training diverged" in told


def test_a_search_says_which_settings_mattered(inside):
    import optuna

    plan = Plan("search", ["train.dropout=interval(0,0.5)", "train.seed=interval(1,50)", "train.epochs=2"], trials=20)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = {key: v.distribution() for key, v in plan.space.items() if isinstance(v, Interval)}
    sweep = _Sweep(plan, Path("unused"), "", study, True, print)
    for count in range(20):
        assert bool(sweep._mattered()) == (count >= 8)
        trial = study.ask(space)
        study.tell(trial, 20 + 10 * trial.params["train.dropout"])
    mattered = sweep._mattered()
    elsewhere = Plan("search", ["train.dropout=interval(0,0.5)", "split.seed=interval(1,50)"], trials=20)
    assert _Sweep(elsewhere, Path("unused"), "", study, True, print)._mattered() == {}
    assert list(mattered) == ["train.dropout", "train.seed"] and mattered["train.dropout"] > 0.8
