"""A tiny project whose training is a formula, and the command in this process: what is tested is not the network."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from depixel.cli import main
from tests.conftest import REPOSITORY, run

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


@pytest.fixture(scope="session")
def formula(tmp_path_factory) -> Path:
    """The project, committed: to be copied, not changed."""
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
def folder(formula, tmp_path, monkeypatch) -> Path:
    """A copy of the project. Its trainings note each epoch in the file `notes` beside it."""
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return shutil.copytree(formula, tmp_path / "project", symlinks=True)


@pytest.fixture
def inside(formula, monkeypatch) -> None:
    monkeypatch.chdir(formula)


@pytest.fixture
def depixel(monkeypatch) -> Callable[..., Result]:
    """Run `depixel` in this process, which has imported PyTorch already: `depixel(*arguments, cwd=folder, code=0)`."""

    def call(*arguments: str, cwd: Path, code: int = 0) -> Result:
        monkeypatch.chdir(cwd)
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@localhost",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@localhost",
            "COLUMNS": "250",
        }
        done = CliRunner(env=environment).invoke(main, arguments, prog_name="depixel")
        assert done.exit_code == code and isinstance(done.exception, SystemExit | None), f"{arguments}: {done.output}"
        return done

    return call
