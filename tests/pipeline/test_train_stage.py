"""The training stage, stopped in every way and run again, as a person or a machine that is taken away does it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import stages.train
from depixel.base.tables import write_table
from depixel.dataset.prepared import Photo
from depixel.dataset.splits import Assigned
from tests.conftest import REPOSITORY, tiny_model

PARAMS = {
    "pixelation": {"width": [4, 8], "height": [4, 8], "block_size": [3, 5]},
    "train": {"width": 4, "epochs": 40, "batch_size": 4, "dropout": 0.1, "device": "cpu", "shards": 2},
}
STEPS = 120  # 10 photos are 3 steps an epoch
RESULTS = ("models/depixel.safetensors", "models/depixel.json", "metrics/training.csv", "metrics/training.json")


def settings(folder: Path, **train) -> None:
    content = {**PARAMS, "train": PARAMS["train"] | train}
    (folder / "params.yaml").write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with 15 prepared photos, split, and settings for a training of seconds."""
    folder = tmp_path_factory.mktemp("training")
    random = np.random.default_rng(0)
    coarse = [Image.fromarray(image) for image in random.integers(0, 256, (15, 5, 5), dtype=np.uint8)]
    (folder / "data/prepared").mkdir(parents=True)
    images = np.stack([np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)) for image in coarse])
    np.save(folder / "data/prepared/images.npy", images)
    names = [f"{i}.jpg" for i in range(15)]
    write_table(folder / "data/prepared/index.csv", Photo, [Photo("me", name, "-") for name in names])
    sides = ["train"] * 10 + ["validation"] * 5
    write_table(
        folder / "data/split.csv",
        Assigned,
        [Assigned("me", name, "-", side) for name, side in zip(names, sides, strict=True)],
    )
    settings(folder)
    return folder


def begin(folder: Path, *options: str, stage: Path = REPOSITORY / "stages/train.py", **popen) -> subprocess.Popen:
    command = [sys.executable, "-u", str(stage), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen(command, cwd=folder, **pipes, **popen)


def end(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for the end of it; returns what it said."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, output + errors
    assert "Traceback" not in errors, errors
    return output + errors


def train(folder: Path, *options: str, code: int = 0, **popen) -> str:
    return end(begin(folder, *options, **popen), code)


@pytest.fixture
def train_here(tmp_path, monkeypatch, one_thread):
    """Train in this process, in `tmp_path`: `train_here(code=0)`; returns what it said."""
    monkeypatch.chdir(tmp_path)

    def run(code: int = 0) -> str:
        done = CliRunner().invoke(stages.train.main, [])
        assert done.exit_code == code and (code or done.exception is None), done.output
        return done.output

    return run


def wait_for(process: subprocess.Popen, epoch: int) -> None:
    for line in process.stdout:
        if line.startswith(f"epoch {epoch:3}:"):
            break


def train_until(folder: Path, epoch: int, number: int, code: int, *options: str) -> str:
    """Train and send the signal `number` after this epoch."""
    process = begin(folder, *options)
    wait_for(process, epoch)
    process.send_signal(number)
    return end(process, code)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def checkpoint(folder: Path) -> Path:
    (path,) = folder.glob("checkpoints/*/last.pt")
    return path


def stopped_after(output: str) -> int:
    told = rf"Stopped after step (\d+) of {STEPS} \(epoch \d+ of 40\)\. .* in checkpoints/[0-9a-f]{{12}}; `dvc repro`"
    return int(re.search(told, output)[1])


def went_on_after(output: str) -> int:
    told = rf"checkpoints/[0-9a-f]{{12}}: resumes after step (\d+) of {STEPS} \(epoch \d+ of 40\)"
    return int(re.search(told, output)[1])


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory) -> Path:
    """The folder after a run that nothing stopped."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("uninterrupted") / "copy")
    assert "resumes" not in train(folder)
    return folder


@pytest.fixture(scope="module")
def stopped(prepared, tmp_path_factory) -> Path:
    """The folder after a run that was asked to end in its fourth epoch."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("stopped") / "copy")
    assert stopped_after(train_until(folder, 3, signal.SIGTERM, 75)) >= 9
    assert checkpoint(folder).is_file() and not (folder / "models").exists()
    return folder


def test_stopped_by_signals_the_result_is_the_same(stopped, uninterrupted, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "copy")
    settings(folder, seed=1, epochs=1)
    assert "resumes" not in train(folder)  # and it leaves the checkpoint of the first run alone
    settings(folder)
    again = stopped_after(train_until(folder, 8, signal.SIGINT, 130))
    assert again >= 24
    assert went_on_after(train(folder)) == again
    assert results(folder) == results(uninterrupted)


def test_killed_at_any_moment_the_result_is_the_same(stopped, uninterrupted, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "copy")
    for epoch in (5, 9):
        train_until(folder, epoch, signal.SIGKILL, -signal.SIGKILL, "--checkpoint-every", "0")
    path = checkpoint(folder)  # once more, while it was being written
    path.with_name(".last.pt.new").write_bytes(path.read_bytes()[:10000])
    path.write_bytes(path.read_bytes()[:20000])
    output = train(folder)
    assert f"{path.relative_to(folder).as_posix()}: cut off, damaged or of another run; removed." in output
    assert went_on_after(output) >= 9 * 3 - 2
    assert results(folder) == results(uninterrupted)
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.pt", "previous.pt"]


def test_a_finished_run_is_trained_again_only_for_sources_that_count(uninterrupted, tmp_path):
    folder = shutil.copytree(uninterrupted, tmp_path / "copy")
    for name in ("depixel", "stages"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    log = (folder / "logs/training.json").read_bytes()
    for name in ("models", "metrics"):  # as if it had been killed before it wrote them
        shutil.rmtree(folder / name)

    def train_edited(*names: str, with_="X = 1") -> str:
        for name in names:
            path = folder / name
            path.write_text(path.read_text(encoding="utf-8") + f"\n{with_}\n", encoding="utf-8")
        return train(folder, stage=folder / "stages/train.py", env={**os.environ, "PYTHONPATH": str(folder)})

    output = train_edited("depixel/cli.py", "depixel/base/stage.py", "stages/train.py")
    assert f"{checkpoint(folder).parent.relative_to(folder).as_posix()}: this run is already finished" in output
    assert "epoch   1:" not in output
    assert results(folder) == results(uninterrupted)
    assert (folder / "logs/training.json").read_bytes() == log

    output = train_edited("depixel/cli.py", "depixel/base/stage.py")
    assert "models/depixel.safetensors: up to date" in output  # its record says so
    output = train_edited("depixel/model/pixelation.py", "stages/train.py", with_="# prose")
    assert "models/depixel.safetensors: up to date" in output

    (folder / "models/depixel.made_by.json").unlink()
    checkpoint(folder).write_bytes(b"")
    output = train_edited("depixel/cli.py")
    assert "last.pt: cut off" in output and "starts from the beginning" in output and "epoch   1:" in output
    output = train_edited("depixel/model/pixelation.py")
    assert "already finished" not in output and "epoch   1:" in output


def test_an_edit_while_it_runs_is_noticed_at_the_next_checkpoint(prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    process = begin(folder, "--checkpoint-every", "0")
    wait_for(process, epoch=2)
    settings(folder, seed=1)
    output = end(process, code=1)
    assert "params.yaml, section train: changed while this stage ran" in output
    assert "epoch  40:" not in output and not (folder / "models").exists()


def test_a_full_disk_leaves_the_checkpoint_before(stopped, tmp_path):
    resource = pytest.importorskip("resource")
    folder = shutil.copytree(stopped, tmp_path / "copy")
    path = checkpoint(folder)
    before = path.read_bytes()
    limits = (len(before) // 2,) * 2
    process = begin(
        folder, "--checkpoint-every", "0", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    )
    told = end(process, code=1)
    assert f"{path.relative_to(folder).as_posix()}: cannot be written (File too large)" in told
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_it_starts_from_a_pretrained_model(prepared, tmp_path, train_here):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    settings(tmp_path, init="pretrained", epochs=1)
    assert "models/pretrained has no model with network" in (said := train_here(code=1)) and "`dvc pull`" in said
    tiny_model().save(tmp_path / "models/pretrained/tiny.safetensors")
    train_here()
    configuration = json.loads((tmp_path / "models/depixel.json").read_text(encoding="utf-8"))
    assert configuration["init"] == tiny_model().digest()


def test_it_learns_from_a_pretrained_model(prepared, tmp_path, train_here):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    settings(tmp_path, teacher="tiny", epochs=1)
    told = "train.teacher = 'tiny': models/pretrained has no such model. It"
    assert f"{told} is empty: `dvc pull`" in train_here(code=1)
    tiny_model().save(tmp_path / "models/pretrained/other.safetensors")
    assert f"{told} has other" in train_here(code=1)
    tiny_model().save(tmp_path / "models/pretrained/tiny.safetensors")
    assert "train.teacher was trained on photos of 64 x 64 pixels, but these have 24 x 24" in train_here(code=1)
    described = tmp_path / "models/pretrained/tiny.json"
    fitting = json.loads(described.read_text(encoding="utf-8")) | {"size": 24, "block_size": [3, 5]}
    described.write_text(json.dumps(fitting), encoding="utf-8")
    assert "teacher tiny" in train_here()
    configuration = json.loads((tmp_path / "models/depixel.json").read_text(encoding="utf-8"))
    assert configuration["teacher"] == tiny_model().digest()
