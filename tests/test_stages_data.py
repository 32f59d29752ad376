"""The data stages, run as a person runs them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY

PARAMS = "prepare: {size: 32, train_size: 64}\nsplit: {by: contributor, seed: 0, validation: 0.3, test: 0.3}\n"


def run(stage: str, *options: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "stages" / f"{stage}.py"), *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", timeout=120)


def succeed(stage: str, *options: object, cwd: Path) -> str:
    done = run(stage, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(stage: str, *options: object, cwd: Path) -> str:
    done = run(stage, *options, cwd=cwd)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
    return done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def project(raw, tmp_path) -> Path:
    """A folder with photos in data/raw and a params.yaml."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    raw.rename(folder / "data" / "raw")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return folder


@pytest.mark.parametrize("stage", ["validate", "prepare", "split"])
def test_help_teaches(stage, tmp_path):
    text = succeed(stage, "--help", cwd=tmp_path)
    for word in ("Writes", "Example", f"python stages/{stage}.py"):
        assert word in text


def test_three_stages_from_photos_to_a_split(project):
    assert succeed("validate", cwd=project).startswith("61 of 62 files from 11 contributors are valid.")
    assert succeed("prepare", cwd=project) == "61 photos are prepared in data/prepared.\n"
    assert succeed("split", cwd=project).startswith("train: ")
    assert sorted(set(files(project)) - {"params.yaml"} - {f"data/raw/k{c:08}.zip" for c in range(10)}) == [
        "data/prepared/images.npy",
        "data/prepared/index.csv",
        "data/prepared/train_images.npy",
        "data/raw/loose/deep/photo.jpeg",
        "data/raw/loose/notes.txt",
        "data/split.csv",
        "data/validated/invalid.log",
        "data/validated/manifest.csv",
        "metrics/split.json",
        "metrics/validation.json",
    ]
    made = {
        name: (project / "data" / name).read_text(encoding="utf-8").splitlines()
        for name in ("validated/manifest.csv", "validated/invalid.log", "prepared/index.csv", "split.csv")
    }
    assert (
        made["validated/manifest.csv"][0] == "contributor,name,bytes,sha256,width,height,mode,orientation,code,reason"
    )
    assert made["validated/invalid.log"] == ["loose/notes.txt,1"]
    assert made["prepared/index.csv"][0] == "contributor,name,sha256"
    assert made["split.csv"][0] == "contributor,name,split"
    assert [len(lines) for lines in made.values()] == [63, 1, 62, 62]
    assert np.load(project / "data/prepared/images.npy").shape == (61, 32, 32)
    assert np.load(project / "data/prepared/train_images.npy").shape == (61, 64, 64)
    assert json.loads((project / "metrics/validation.json").read_bytes())["valid"] == 61
    sides = json.loads((project / "metrics/split.json").read_bytes())
    assert sum(count["photos"] for count in sides.values()) == 61


def test_the_number_of_workers_changes_no_byte(project):
    made = []
    for workers in (1, 2):
        succeed("validate", "--workers", workers, cwd=project)
        succeed("prepare", "--workers", workers, cwd=project)
        made.append(files(project))
    assert made[0] == made[1]


def test_messy_inputs_get_the_expected_verdicts(shared, tmp_path):
    messy = shared / "messy"
    expected = list(csv.DictReader((messy / "expected.csv").read_text(encoding="utf-8").splitlines()))
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    succeed("validate", "--raw", messy, cwd=home)
    assert sorted(files(tmp_path)) == [
        "a/b/data/validated/invalid.log",
        "a/b/data/validated/manifest.csv",
        "a/b/metrics/validation.json",
    ]
    manifest = (home / "data/validated/manifest.csv").read_text(encoding="utf-8")
    rows = {f"{row['contributor']}/{row['name']}": row for row in csv.DictReader(manifest.splitlines())}
    for line in expected:
        path = line["input"].replace(".zip!", "/").removesuffix("*")
        path = path.replace(".zip", "/") if path.count("/") == 0 else path
        row = rows[path + "IMG_01.jpg" * line["input"].endswith("*")]
        assert row["code"] == (line["code"] or "3"), line
        assert bool(row["reason"]) == (row["code"] != "0"), line
    assert rows["k00000003/IMG_03.jpg"]["reason"] == rows["k00000001/IMG_03.jpg"]["reason"]  # the others are read
    log = (home / "data/validated/invalid.log").read_text(encoding="utf-8").splitlines()
    assert "k00000004,3" in log and "k00000002/../../escape.jpg,3" in log
    assert len(log) == sum(row["code"] != "0" for row in rows.values())


def test_classic_copies(project, jpeg):
    (project / "valid").mkdir()
    succeed("validate", "--copy-to", "valid", cwd=project)
    copies = files(project / "valid")
    assert sorted(copies) == [f"{i:07}.jpg" for i in range(61)]
    assert copies["0000007.jpg"] == jpeg(101)
    assert copies["0000060.jpg"] == (project / "data/raw/loose/deep/photo.jpeg").read_bytes()
    before = files(project)
    assert "new or an empty folder" in fail("validate", "--copy-to", "valid", cwd=project)
    assert files(project) == before
    succeed("validate", "--copy-to", "other", "--name-format", "d", cwd=project)
    assert sorted(files(project / "other")) == sorted(f"{i}.jpg" for i in range(61))


def test_nothing_valid_changes_nothing(project):
    succeed("validate", cwd=project)
    for path in (project / "data/raw").glob("*.zip"):
        path.unlink()
    (project / "data/raw/loose/deep/photo.jpeg").unlink()
    before = files(project)
    assert "1 x the name does not end in .jpg" in fail("validate", cwd=project)
    assert files(project) == before


def test_mistakes_are_told_in_one_message(project, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "dvc pull" in fail("validate", cwd=empty)
    assert "params.yaml" in fail("prepare", cwd=empty)
    assert "stages/validate.py" in fail("prepare", cwd=project)
    assert "stages/prepare.py" in fail("split", cwd=project)
    succeed("validate", cwd=project)
    (project / "data/raw/loose/notes.txt").unlink()
    assert "not those that were validated" in fail("prepare", cwd=project)
    (project / "params.yaml").write_text("prepare: {side: 64}", encoding="utf-8")
    assert "unknown key prepare.side" in fail("prepare", cwd=project)
    assert files(empty) == {}


def test_an_empty_side_leaves_the_earlier_split(project):
    succeed("validate", cwd=project)
    succeed("prepare", cwd=project)
    succeed("split", cwd=project)
    before = files(project / "data")
    (project / "params.yaml").write_text("split: {test: 0.0001}", encoding="utf-8")
    assert "split.by: photo" in fail("split", cwd=project)
    assert files(project / "data") == before
