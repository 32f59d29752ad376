"""Sweeps, through real DVC, of a project whose training is a formula: what is tested here is not the network."""

import json
import shutil
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

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.experiments import records
from depixel.experiments.plan import Interval, Plan, parse
from depixel.experiments.sweep import _Sweep
from tests.conftest import REPOSITORY, run

pytest.importorskip("optuna", reason="Optuna is not installed: `pip install optuna`")

TRAIN = r'''
"""Validation RMSE: |width - 40| + 100 |dropout - 0.2| + 10 / epoch. Notes each epoch, saves its state at SIGTERM."""
import csv, json, os, signal, sys, time
from pathlib import Path
import yaml

settings, name = yaml.safe_load(open("params.yaml"))["train"], os.environ["DVC_EXP_NAME"]
state, log, rows, stop = Path("checkpoints/state.json"), Path("logs", name, "training.csv"), [], []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
if settings["width"] == 13:
    sys.exit("Error: training diverged")
if state.is_file():
    rows = json.loads(state.read_text())
for folder in (state.parent, log.parent, Path("metrics")):
    folder.mkdir(parents=True, exist_ok=True)
for epoch in range(len(rows) + 1, settings["epochs"] + 1):
    time.sleep(float(os.environ.get("SECONDS", 0)))
    rows.append([epoch, abs(settings["width"] - 40) + 100 * abs(settings["dropout"] - 0.2) + 10 / epoch])
    state.with_suffix(".new").write_text(json.dumps(rows))
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{name} {epoch}\n")
    state.with_suffix(".new").replace(state)
    with log.with_suffix(".new").open("w", newline="") as file:
        csv.writer(file).writerows([["epoch", "validation_rmse_mean"], *rows])
    log.with_suffix(".new").replace(log)
    if stop:
        sys.exit(143)
best = min(rows, key=lambda row: row[1])
Path("metrics/training.json").write_text(json.dumps({"best_epoch": best[0], "validation_rmse": best[1]}))
score = best[1] / 100
ends = ",".join(f"ratio_{r}{e}" for r in ("pooled", "mean") for e in ("", "_low", "_high"))
scores = f",{score},{score - 0.01},{score + 0.01}" * 2
Path("metrics/comparison.csv").write_text(f"model,rmse_pooled,rmse_mean,{ends}\nmodel,1,1{scores}\n")
'''
DVC = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train]
    outs: [{metrics/comparison.csv: {cache: false}}]
    metrics: [{metrics/training.json: {cache: false}}]
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "project"
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/photo.jpg").write_bytes(b"photo")
    settings = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    settings["train"].update(epochs=4, dropout=0.2, width=40)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "dvc.yaml").write_text(DVC, encoding="utf-8")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / ".gitignore").write_text("/checkpoints/\n/logs/\n/sweeps/\n", encoding="utf-8")
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    run("dvc", "config", "core.analytics", "false", cwd=folder)
    run("dvc", "add", "--quiet", "data/raw", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message=start", cwd=folder)
    return folder


@pytest.fixture
def folder(original, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return shutil.copytree(original, tmp_path / "project", symlinks=True)


def notes(folder: Path) -> Counter:
    """How often each epoch of each experiment was trained."""
    path = folder.parent / "notes"
    return Counter(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ())


def found(done: subprocess.CompletedProcess) -> dict[str, float]:
    """Validation RMSE of the experiments that a sweep finished, from its JSON."""
    return {row["name"]: row["validation_rmse"] for row in json.loads(done.stdout)["finished"]}


LINES = [f"train.width={width}" for width in (39, 38, 13, 41, 42)] + ["train.width=400 train.dropout=0.3  # hopeless"]
SWEEP = [sys.executable, "-m", "depixel.cli", "sweep", "list", "--list", "variants", "--jobs", "2"]
FINISHED = {"list-width=39": 3.5, "list-width=41": 3.5, "list-width=38": 4.5, "list-width=42": 4.5}


def begin(folder: Path) -> subprocess.Popen:
    """Begin the sweep; returns when a training has noted its next epoch."""
    before = notes(folder)
    process = subprocess.Popen(SWEEP, cwd=folder, stderr=subprocess.PIPE, text=True)
    while notes(folder) == before:
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_stopped_and_killed_it_goes_on_and_leaves_experiments(folder, monkeypatch):
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

    done = run(*SWEEP, cwd=folder, code=1)
    assert f"{clone.name}: goes on" in done.stderr
    header, *rows = (line.split() for line in done.stdout.splitlines()[:5])
    assert header == ["name", "ratio_mean", "ratio_pooled", "validation_rmse", "best_epoch", "width"]
    assert [float(row[7]) for row in rows] == sorted(FINISHED.values())
    assert {row[0]: float(row[7]) for row in rows} == FINISHED
    assert rows[0][1:7] == ["0.035", "[0.025,", "0.045]"] * 2
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

    again = run(*SWEEP, cwd=folder, code=1)  # only what had failed
    assert again.stdout == done.stdout and notes(folder) == trained
    assert again.stderr.splitlines() == ["list-width=13: goes on", "list-width=13: failed: training diverged"]
    told = run(*SWEEP, "-S", "train.epochs=5", cwd=folder, code=1).stderr
    assert "list-width=39: ran with train.width=39, and is now asked for with train.epochs=5" in told
    with (folder / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert "params.yaml: changed since the last commit" in run(*SWEEP, cwd=folder, code=1).stderr


def test_a_search_can_be_prolonged_and_its_experiments_recorded(folder, monkeypatch):
    command = (sys.executable, "-m", "depixel.cli", "sweep", "rate", "--json", "--no-prune", "-S", "train.epochs=1")
    space = ("-S", "train.dropout=interval(0.1,0.6)", "-S", "train.width=40,41")
    first = found(run(*command, *space, "--trials", "2", cwd=folder))
    assert len(first) == 2 and all(10 <= rmse <= 51 for rmse in first.values())
    commit = run("git", "rev-parse", "HEAD", cwd=folder).stdout
    (folder / "notes.txt").write_text("a commit that changes nothing of what the experiments depend on")
    run("git", "add", "notes.txt", cwd=folder)
    run("git", "commit", "-qm", "notes", cwd=folder)
    both = found(run(*command, *space, "--trials", "3", cwd=folder))
    assert len(both) == 3 and first.items() < both.items()
    assert sum(notes(folder).values()) == 3
    for name, rmse in both.items():
        values = dict(part.split("=") for part in name.removeprefix("rate-").split("-"))
        assert rmse == pytest.approx(int(values["width"]) - 40 + 100 * abs(float(values["dropout"]) - 0.2) + 10)
        assert len(values["dropout"]) <= len("0.123")
    told = run(*command, "-S", "train.dropout=interval(0.1,0.7)", "--trials", "4", cwd=folder, code=1).stderr
    assert "this sweep was begun with space" in told and "Choose another name" in told

    # the table of those that matter
    monkeypatch.chdir(folder)
    best, *others = sorted(both, key=both.get)
    records.record([best], "the best")
    records.record(others, "")
    table = records.readable(records.read_table(), by="ratio_mean")
    assert list(table)[:5] == ["name", "ratio_mean", "ratio_pooled", "validation_rmse", "best_epoch"]
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
    told = run(*command, *space, "--trials", "4", cwd=folder, code=1).stderr
    assert f"was begun at commit {commit[:7]}, and params.yaml changed since then. Choose another" in told


def test_a_search_ends_where_all_fail(folder):
    command = (
        sys.executable,
        "-m",
        "depixel.cli",
        "sweep",
        "bad",
        "-S",
        "train.width=13",
        "-S",
        "train.dropout=0.1,0.2",
    )
    for _ in range(2):
        told = run(*command, "--trials", "3", cwd=folder, code=1).stdout
        assert "failed: training diverged" in told


@pytest.fixture
def inside(original, monkeypatch) -> None:
    monkeypatch.chdir(original)


def test_settings_are_read_as_dvc_reads_them():
    read = ["a.b=1", "a.c=1,x", "a.d=range(1,8,3)", "a.e=[1,2],[3,4]", "a.f=interval(1e-4,1)", "a.g=interval(1,5)"]
    assert parse(read) == {
        "a.b": ["1"],
        "a.c": ["1", "x"],
        "a.d": ["1", "4", "7"],
        "a.e": ["[1,2]", "[3,4]"],
        "a.f": Interval(1e-4, 1, whole=False),
        "a.g": Interval(1, 5, whole=True),
    }
    assert Interval(1e-4, 1, whole=False).distribution().log and not Interval(1, 5, whole=True).distribution().log


def test_a_grid_is_all_combinations_and_names_tell_what_varies(inside):
    plan = Plan("grid", ["train.epochs=2", "train.width=16,32", "pixelation.width=[4,8],[4,32]"])
    assert plan.grid[0] == ("train.epochs=2", "train.width=16", "pixelation.width=[4,8]") and len(plan.grid) == 4
    assert [plan.called(settings) for settings in plan.grid][:2] == [
        "grid-train.width=16-pixelation.width=4_8",
        "grid-train.width=16-pixelation.width=4_32",
    ]
    plan = Plan("list", ["train.seed=1,2"], ["train.width=16", "train.dropout=0.5"])
    assert [plan.called(settings) for settings in plan.grid] == [
        "list-seed=1-width=16",
        "list-seed=2-width=16",
        "list-seed=1-dropout=0.5",
        "list-seed=2-dropout=0.5",
    ]
    assert plan.epochs == 4
    assert Plan("grid", ["train.epochs=10,20"]).epochs == 10
    plan = Plan("search", ["train.learning_rate=interval(1e-5,1e-2)"], trials=3)
    assert plan.settings({"train.learning_rate": 0.000123456}) == ("train.learning_rate=0.000123",)


@pytest.mark.parametrize(
    ("settings", "alike", "prunable"),
    [
        ("train.width=8,16", True, True),
        ("train.epochs=10,20", True, False),
        ("train.overfit=8,16", False, False),
        ("pixelation.block_size=[4,8],[4,16]", False, False),
        ("split.seed=1,2", False, False),
    ],
)
def test_only_what_is_validated_alike_is_compared(inside, settings, alike, prunable):
    plan = Plan("name", [settings, "train.dropout=0,0.1"])
    assert (plan.alike, plan.prunable) == (alike, prunable)
    plan = Plan("name", ["train.dropout=0,0.1", settings.split(",")[0] if "[" not in settings else "train.seed=1"])
    assert plan.alike and plan.prunable  # the same for all


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


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        (["train.widht=1,2"], {}, "unknown key train.widht"),
        (["train.width=16,0"], {}, "params.yaml with train.width=0: train.width = 0"),
        (["train.learning_rate=interval(-1,1)"], {"trials": 3}, "train.learning_rate = -1"),
        (["train.width=16"], {}, "nothing varies"),
        (["train.width"], {}, "-S train.width: cannot be read"),
        (["+train.width=1,2"], {}, "section.key=value"),
        (["width=1,2"], {}, "such as train.width"),
        (["train.width=interval(8,64)"], {}, "--trials N"),
        (["train.width=interval(64,8)"], {"trials": 3}, "the lower end comes first"),
        (["train.width=8,16"], {"trials": 3, "variants": ["train.seed=1"]}, "a list runs whole"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(inside, settings, options, told):
    with pytest.raises(DepixelError) as error:
        Plan("name", settings, **options)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["", "a/b", "../a", "-a", "a..b", "a.lock"])
def test_a_name_must_be_one_of_git(inside, name):
    with pytest.raises(DepixelError, match="a name has letters"):
        Plan(name, ["train.width=8,16"])
