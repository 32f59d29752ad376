"""Faults of the machine, made with real limits: full disks, read-only folders. Each is told and loses nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import clone, run, run_stage
from tests.processes import no_privileges, small_files

STAGES = ("validate", "prepare", "split", "train", "evaluate", "card", "export")


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that a run leaves for the next or for people: checkpoints, logs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("checkpoints", "logs")
    }


def forget(folder: Path) -> None:
    """Damage all records, so that every stage works although its results are there."""
    for record in folder.rglob("*made_by.json"):
        record.write_text("{}", encoding="utf-8")


@pytest.mark.parametrize("name", STAGES)
def test_a_full_disk_is_told_and_loses_nothing(workplace, name):
    if name == "export":
        run_stage("export", workplace, code=0)
    forget(workplace)
    before = contents(workplace)
    told = run_stage(name, workplace, code=1, before=small_files)
    assert "cannot be written (File too large)" in told
    assert contents(workplace) == before
    run_stage(name, workplace, code=0)
    assert contents(workplace).keys() == before.keys()


@pytest.mark.parametrize("name", STAGES)
def test_read_only_outputs_are_told_and_lose_nothing(workplace, name):
    run_stage("export", workplace, code=0)
    forget(workplace)
    before = contents(workplace)
    folders = [workplace, *(path for path in workplace.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        told = run_stage(name, workplace, code=1, before=no_privileges)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert "cannot be written (Permission denied)" in told
    assert contents(workplace) == before
    run_stage(name, workplace, code=0)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own: mount(kilobytes) makes it, or makes it larger; returns its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes: int) -> Path:
        again = "remount," * folder.is_mount()
        options = f"{again}size={kilobytes}k"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
        if mounted.returncode:
            pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_pipeline_goes_on_when_there_is_space_again(reproduced, small_disk, monkeypatch):
    """Each time the disk is full, whatever wrote to it then, another quarter of a megabyte is added."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # Python itself may leave half a .pyc, and fails by it next time
    wanted = contents(reproduced)
    folder = clone(reproduced, small_disk(200_000) / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    shutil.rmtree(folder / "data/store")
    used = shutil.disk_usage(folder).used
    failures = []
    while True:
        small_disk(used // 1024 + 256 * (1 + len(failures)))
        done = run("dvc", "repro", cwd=folder, code=None)
        if done.returncode == 0:
            break
        failures.append(done.stdout + done.stderr)
        assert "No space left on device" in failures[-1] or "cannot be written" in failures[-1]
    assert failures
    assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()
    found = contents(folder)
    for name in found.keys() & wanted.keys():
        if not name.startswith((".", "data/store")):
            assert found[name] == wanted[name], name
    assert not [name for name in found if Path(name).suffix in (".new", ".old")]


def test_a_read_only_folder_is_replaced_again_and_again(workplace):
    """The folder itself is in the way of nobody who may write beside it."""
    for _ in range(2):
        (workplace / "data/validated").chmod(0o555)
        run_stage("validate", workplace, code=0, before=no_privileges)
        assert not [*(workplace / "data").glob(".*.new"), *(workplace / "data").glob(".*.old")]
