"""The same bytes on every processor, with any number of cores, beside any load."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks import verify
from depixel import pixelate
from depixel.base import arithmetic
from depixel.base.environment import processor
from tests.conftest import REPOSITORY, clone, copy, run
from tests.pipeline import emulated
from tests.processes import one_core

pytestmark = pytest.mark.soak

QEMU = shutil.which("qemu-x86_64")
PARTS = ("train", "evaluate", "restore")
KINDS = REPOSITORY / "tests/pipeline/processors.csv"
"""Kinds of processors on which a run of the pipeline was seen to give the committed dvc.lock."""


# Emulated processors


@pytest.fixture(scope="module")
def computed(reproduced, tmp_path_factory):
    """Run parts of `emulated` as a processor, "" for the machine's own; returns the folder of what it wrote."""
    if not QEMU:
        pytest.skip("qemu-x86_64 is not installed: on Debian, `apt install qemu-user`")

    def made(kind: str, wanted: str, *parts: str, checkpoints: Path | None = None, **train: float) -> Path:
        folder = tmp_path_factory.mktemp(f"{kind or 'here'}_{wanted}")
        for name in ("data/prepared", "data/split.csv", "params.yaml"):
            source = reproduced / name
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        if checkpoints:
            shutil.copytree(checkpoints, folder / "checkpoints")
        settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        settings["train"] |= {"epochs": 3, "dropout": 0.1, "uncertainty": True, "arithmetic": wanted}
        settings["train"] |= {"precision": "float32"} | train
        settings["predict"] |= {"views": 2}
        (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(pixelate(noise, [emulated.AREA])).save(folder / "picture.png")
        command = [*([QEMU, "-cpu", kind] if kind else []), sys.executable, emulated.__file__, *parts]
        environment = {name: value for name, value in os.environ.items() if name not in arithmetic.VARIABLES}
        environment |= {"PYTHONPATH": str(REPOSITORY), arithmetic.VARIABLE: wanted}
        if kind:
            environment["EMULATED"] = "yes"
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder

    return made


def results(folder: Path) -> dict[str, bytes]:
    written = [*folder.glob("models/*"), *folder.glob("metrics/*"), *folder.glob("*.npy")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


def differing(one: Path, other: Path) -> list[str]:
    ours, theirs = results(one), results(other)
    assert "models/depixel.safetensors" in ours
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def test_emulated_processors_and_this_one_give_the_same_bytes(computed):
    """One of them goes on from a checkpoint of this one."""
    here = computed("", "portable", *PARTS)
    begun = computed("", "portable", "begin")
    intel = computed("Haswell", "portable", *PARTS)
    amd = computed("EPYC-Milan", "portable", *PARTS, checkpoints=begun / "checkpoints")
    assert {"weights.npy", "metrics/comparison.csv", "metrics/calibration.csv"} < results(here).keys()
    assert differing(here, intel) == [] and differing(here, amd) == []


def test_nor_does_a_wider_network_differ(computed):
    """As wide as the sample's: oneDNN has other code for 8 channels and more."""
    here, amd = (computed(kind, "portable", "train", width=16, epochs=2, overfit=4) for kind in ("", "EPYC-Milan"))
    assert "weights.npy" in results(here) and differing(here, amd) == []


def test_every_choice_is_the_same_on_every_processor(computed):
    here, *others = (
        np.load(computed(kind, "portable", "choices") / "choices.npz") for kind in ("", "Haswell", "EPYC-Milan")
    )
    assert len(here) > 30
    for other in others:
        assert [name for name in here if not np.array_equal(here[name], other[name])] == []


def test_native_arithmetic_differs_between_them(computed):
    """So the test before can see a difference."""
    one, other = (computed(kind, "native", "train") for kind in ("Haswell", "EPYC-Milan"))
    assert "models/depixel.safetensors" in differing(one, other)


# Conditions on one machine


@pytest.fixture(scope="module")
def fetched(reproduced, tmp_path_factory) -> Path:
    """A clone with photos and models, in which nothing has run."""
    folder = clone(reproduced, tmp_path_factory.mktemp("fetched") / "clone")
    run("dvc", "pull", "--quiet", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    return folder


def one_core_and_a_mask() -> None:
    one_core()
    os.umask(0o027)


@pytest.mark.parametrize(
    ("environment", "before"),
    [
        ({}, one_core_and_a_mask),
        ({"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}, None),
        ({"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "4"}, None),
    ],
    ids=["one core", "another place", "other threads"],
)
def test_conditions_change_no_lock(fetched, reproduced, tmp_path, monkeypatch, environment, before):
    folder = copy(fetched, tmp_path / "clone")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run("dvc", "repro", "--force", cwd=folder, before=before, fresh=True)
    assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


def test_load_changes_no_lock(fetched, reproduced, tmp_path):
    """Two runs at the same time, beside a process that is busy."""
    folders = [copy(fetched, tmp_path / name) for name in ("one", "two")]
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        runs = [subprocess.Popen(["dvc", "repro", "--quiet", "--force"], cwd=folder) for folder in folders]
        assert [one.wait() for one in runs] == [0, 0]
    finally:
        busy.kill()
        busy.wait()
    for folder in folders:
        assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


# The committed lock


def test_the_committed_lock_repeats_here(tmp_path):
    """On a kind of processor on which that was not seen yet, a difference is told and fails nothing."""
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=REPOSITORY).returncode:
        pytest.skip("the lock is of a commit, and there are changes that are not committed")
    folder = tmp_path / "clone"
    verify.reproduce(folder)
    told = verify.compared(folder, REPOSITORY / "dvc.lock")
    with KINDS.open(encoding="utf-8", newline="") as file:
        known = {row["processor"] for row in csv.DictReader(file)}
    if told and processor() not in known:
        pytest.skip(f"on {processor()}, which is not in {KINDS.name}, the lock does not repeat. {told}")
    assert not told
