"""What `make repro` runs: in a tiny DVC project, in a terminal, under the real Makefile."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY, run
from tests.tools.terminal import in_terminal
from tools import pipeline
from tools.pipeline import Stages

PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))

SLOW = """
import signal, sys, time
if "careful" in sys.argv:
    def stop(*_):
        print("Stopped after step 3; `make repro` resumes from there.", file=sys.stderr)
        sys.exit(75)
    signal.signal(signal.SIGTERM, stop)
print("makes", sys.argv[2], flush=True)
time.sleep(float(sys.argv[1]))
open(sys.argv[2], "w").close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of two stages, `quick` and `slow`, with the real Makefile and an environment that is there already."""
    (tmp_path / "slow.py").write_text(SLOW)
    write_stages(tmp_path, "python slow.py 60 out2")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw.dvc").write_text("outs: []\n")
    (tmp_path / "metrics").mkdir()
    columns = "model,rmse_pooled,rmse_mean,ratio_pooled,ratio_pooled_low,ratio_pooled_high"
    columns += ",ratio_mean,ratio_mean_low,ratio_mean_high"
    (tmp_path / "metrics/comparison.csv").write_text(f"{columns}\nidentity,33.16,28.27,1,1,1,1,1,1\n")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / ".venv/run").touch()
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    return tmp_path


def write_stages(folder: Path, slow: str) -> None:
    stages = {
        "quick": {"desc": "the first", "cmd": "python slow.py 0 out1", "outs": ["out1"]},
        "slow": {"desc": "the second", "cmd": slow, "deps": ["out1"], "outs": ["out2"]},
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))


def make(folder: Path, press_at: str = "") -> tuple[str, int]:
    return in_terminal(["make", "repro"], folder, press_at, PYTHONPATH=str(REPOSITORY), DVC_NO_ANALYTICS="1")


@pytest.mark.slow
def test_a_run_counts_its_stages_and_ends_with_the_scores(folder):
    write_stages(folder, "python slow.py 0 out2")
    shown, code = make(folder)
    assert code == 0, shown
    assert shown.index("stage 1 of 2: quick, the first") < shown.index("stage 2 of 2: slow, the second")
    assert "identity" in shown and "Submission file" in shown
    again, code = make(folder)
    assert code == 0 and "stage 2 of 2: slow: nothing changed" in again and "Submission file" in again


@pytest.mark.slow
@pytest.mark.parametrize(("how", "said"), [("", "Stopped in stage 2 of 2."), ("careful", "Stopped after step 3;")])
def test_ctrl_c_says_in_one_line_how_to_go_on(folder, how, said):
    write_stages(folder, f"python slow.py 60 out2 {how}")
    shown, code = make(folder, "makes out2")
    assert told(shown) == [f"{said} `make repro` resumes from there."]
    assert code == -signal.SIGINT


@pytest.mark.slow
def test_ctrl_c_between_two_stages_says_so_too(folder):
    shown, code = make(folder, "stage 2 of 2")
    assert told(shown.replace("> python slow.py 60 out2", ""))[-1:] == [
        "Stopped in stage 2 of 2. `make repro` resumes from there."
    ]
    assert "ERROR" not in shown and "make:" not in shown and code == -signal.SIGINT


def told(shown: str) -> list[str]:
    """The lines after Ctrl-C, without colors."""
    lines = re.sub(r"\033\[\d*\w", "", shown.split("^C")[-1]).splitlines()
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.slow
def test_the_stages_that_were_done_before_ctrl_c_are_kept(folder):
    make(folder, "makes out2")
    write_stages(folder, "python slow.py 0 out2")
    shown, code = make(folder)
    assert code == 0 and "stage 1 of 2: quick: nothing changed" in shown


@pytest.mark.slow
def test_what_dvc_would_hang_at_is_named_first(folder):
    (folder / "data/raw").mkdir()
    os.mkfifo(folder / "data/raw/pipe.jpg")
    done = run("make", "repro", cwd=folder, code=2)
    assert "data/raw/pipe.jpg: neither a file nor a folder" in done.stderr


def test_a_failing_stage_is_told_and_fails(folder):
    write_stages(folder, "python slow.py 0 /nowhere/out2")
    shown, code = make(folder)
    assert code == 2 and "failed to reproduce 'slow'" in shown and "Submission" not in shown


# Times


def record(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("dvc.stage.run", logging.INFO, "", 0, text, arguments, None)


def watching(seconds: dict[str, float] | None) -> Stages:
    stages = Stages()
    stages.described = {name: stage["desc"] for name, stage in PIPELINE["stages"].items()}
    stages.seconds = seconds
    return stages


def test_the_time_left_is_of_the_stages_that_are_left(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stages = watching(pipeline.SECONDS)
    first = record("Running stage '%s':", "settings")
    assert stages.filter(first)
    assert first.getMessage().startswith("stage 1 of 9: settings, check all settings")
    assert first.getMessage().endswith(f"(0 s so far, about {pipeline.duration(sum(pipeline.SECONDS.values()))} left)")
    clock[0] = 5.0
    stages.filter(record("Stage '%s' didn't change, skipping", "validate"))
    last = record("Running stage '%s':", "export")
    for name in ("prepare", "split", "analyze", "train", "evaluate", "card"):
        stages.filter(record("Stage '%s' didn't change, skipping", name))
    stages.filter(last)
    assert last.getMessage().endswith(f"(5 s so far, about {pipeline.SECONDS['export']:.0f} s left)")
    assert stages.times == {"settings": 5.0}


def test_where_the_times_are_not_known_none_is_promised():
    stages = watching(None)
    line = record("Running stage '%s':", "settings")
    stages.filter(line)
    assert "left" not in line.getMessage()


def test_times_are_of_stages_that_there_are():
    assert set(pipeline.SECONDS) <= set(PIPELINE["stages"])


def test_the_times_are_of_the_committed_photos_and_training():
    """If this fails, measure anew: `rm -r checkpoints; make repro` prints the seconds of each stage."""
    train = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))["train"]
    assert {key: train[key] for key in pipeline.MEASURED_TRAIN} == pipeline.MEASURED_TRAIN
    raw = yaml.safe_load((REPOSITORY / "data/raw.dvc").read_text(encoding="utf-8"))
    assert raw["outs"][0]["md5"] == pipeline.MEASURED_PHOTOS


def test_other_settings_have_no_known_time(tmp_path, monkeypatch):
    for name in ("params.yaml", "data/raw.dvc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.install.has_gpu", lambda: False)
    assert list(pipeline.expected()) == list(pipeline.SECONDS)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    for other in (text.replace("width: 16 ", "width: 48 "), "train: [", ""):
        (tmp_path / "params.yaml").write_text(other, encoding="utf-8")
        assert pipeline.expected() is None


# The Makefile


def test_make_alone_lists_all_targets():
    shown = run("make", cwd=REPOSITORY).stdout
    targets = next(
        line.split()[1:] for line in (REPOSITORY / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")
    )
    assert [line.split()[1] for line in shown.splitlines()] == targets


@pytest.mark.skipif(not shutil.which("localedef"), reason="no localedef to make a locale with")
def test_make_lists_all_targets_in_turkish_too(tmp_path):
    """Its alphabet has no q, w and x: a range of letters misses them."""
    made = subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", str(tmp_path / "tr_TR.UTF-8")], check=False)
    if not (tmp_path / "tr_TR.UTF-8").exists():
        pytest.skip(f"localedef makes no Turkish locale ({made.returncode})")
    turkish = {"LOCPATH": str(tmp_path), "LC_ALL": "tr_TR.UTF-8"}
    told = [
        subprocess.run(
            ["make"], cwd=REPOSITORY, env=os.environ | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, turkish)
    ]
    assert told[1] == told[0] and "make wheel" in told[1]


def test_every_benchmark_that_make_bench_runs_is_there():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"python ((?:benchmarks|recipes)/\w+\.py)", text)
    assert named and [name for name in named if not (REPOSITORY / name).is_file()] == []


@pytest.mark.parametrize(("made", "told"), [("3.9", True), ("{}.{}".format(*sys.version_info[:2]), False), ("", False)])
def test_results_of_another_python_are_told(tmp_path, monkeypatch, made, told):
    monkeypatch.chdir(tmp_path)
    assert not pipeline.other_python()
    (tmp_path / "models").mkdir()
    row = f"| environment | python {made}, numpy 2.4 |" if made else "no card of a pipeline"
    (tmp_path / "models/depixel.md").write_text(f"# depixel\n\n{row}\n", encoding="utf-8")
    said = pipeline.other_python()
    assert bool(said) == told and (not told or said.startswith("The results in this folder were made by Python 3.9."))
