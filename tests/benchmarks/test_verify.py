import copy

import pytest
import yaml

from benchmarks.verify import compared, first_difference
from tests.conftest import REPOSITORY, run

STAGES = list(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


@pytest.fixture
def locks() -> tuple[dict, dict]:
    lock = yaml.safe_load((REPOSITORY / "dvc.lock").read_text(encoding="utf-8"))
    return lock, copy.deepcopy(lock)


def change(lock: dict, kind: str, path: str) -> None:
    """Give a file another hash wherever it is named as an input or an output."""
    for stage in lock["stages"].values():
        for entry in stage.get(kind, []):
            if entry["path"] == path:
                entry["md5"] = "0" * 32


def test_the_same_locks(locks):
    assert first_difference(*locks, STAGES) == ""


def test_what_came_out_otherwise_first(locks):
    for kind in ("outs", "deps"):
        for path in ("models/depixel.safetensors", "metrics/comparison.csv"):
            change(locks[1], kind, path)
    told = first_difference(*locks, STAGES)
    assert told == (
        "Stage train had the same inputs but different outputs: models/depixel.safetensors. Differences in evaluate, "
        "card, export may follow from that alone."
    )


@pytest.mark.parametrize("path", ["data/raw", "depixel/learning", "requirements.lock"])
def test_what_went_in_otherwise(locks, path):
    change(locks[1], "deps", path)
    change(locks[1], "outs", "predictions")
    told = first_difference(*locks, STAGES)
    assert f" had different inputs: {path}. The locks belong to different pipelines." in told


def test_other_settings(locks):
    locks[1]["stages"]["train"]["params"]["params.yaml"]["train"]["seed"] = 1
    assert first_difference(*locks, STAGES).startswith("Stage train had different inputs: params.yaml.")


def test_a_stage_that_one_lacks(locks):
    del locks[1]["stages"]["export"]
    assert first_difference(*locks, STAGES) == "Only one of the locks has stage export."


def test_a_lock_from_elsewhere(locks, tmp_path):
    change(locks[1], "outs", "data/split.csv")
    other = tmp_path / "their.lock"
    other.write_text(yaml.safe_dump(locks[1]), encoding="utf-8")
    assert compared(REPOSITORY, REPOSITORY / "dvc.lock") == ""
    assert compared(REPOSITORY, other).startswith(
        "Stage split had the same inputs but different outputs: data/split.csv."
    )


@pytest.mark.parametrize("content", ["a: [", "text", "stages: 3", "{}"])
def test_what_is_no_lock_is_told(tmp_path, content):
    other = tmp_path / "their.lock"
    other.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"their\.lock: (cannot be read as a|is not a) dvc\.lock"):
        compared(REPOSITORY, other)


def test_make_passes_it_on():
    asked = run("make", "--dry-run", "verify", "AGAINST=their.lock", cwd=REPOSITORY).stdout
    assert "python benchmarks/verify.py --against their.lock" in asked
