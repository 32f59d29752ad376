import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from depixel.reports.card import snapshot
from stages.card import main as stage
from tests.conftest import run


def test_it_says_what_a_person_wants_to_know(reproduced):
    text = (reproduced / "models/depixel.md").read_text(encoding="utf-8")
    for heading in ("Scores", "Training", "Software", "How to reproduce it", "Limitations"):
        assert re.search(f"^## .*{heading}", text, re.M), heading
    lock = yaml.safe_load((reproduced / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    (photos,) = (dep["md5"] for dep in lock["validate"]["deps"] if dep["path"] == "data/raw")
    (weights,) = (out["md5"] for out in lock["train"]["outs"] if out["path"].endswith(".safetensors"))
    assert photos in text and weights in text
    assert "seed 0" in text and "| best epoch |" in text and "batch_size: 16" in text and "torch 2" in text
    assert not re.search(r"None|\{|\}|nan|unknown", text)


def test_it_names_the_commit_that_recorded_the_model(reproduced):
    text = (reproduced / "models/depixel.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^git log .*?(?=  )", text, re.M)
    assert run(*command.split(), cwd=reproduced).stdout.endswith(" results\n")


def test_photos_that_are_not_those_of_the_lock_are_not_named(workplace, reproduced, monkeypatch):
    monkeypatch.chdir(workplace)
    manifest, lock = Path("data/validated/manifest.csv"), reproduced / "dvc.lock"
    assert snapshot(lock, manifest, "data/raw").endswith(".dir")
    assert snapshot(Path("dvc.lock"), manifest, "data/raw") == ""  # not run by DVC
    with manifest.open("a", encoding="utf-8") as file:
        file.write("another,photo.jpg,1,,,,,,0,\n")
    assert snapshot(lock, manifest, "data/raw") == ""


def test_what_is_missing_is_told(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    (workplace / "metrics/training.json").unlink()
    assert "metrics/training.json: cannot be read" in refusal()
    (workplace / "metrics/training.json").write_text("{}", encoding="utf-8")
    (workplace / "metrics/comparison.csv").unlink()
    assert "dvc repro" in refusal()


def refusal() -> str:
    """What the stage says on the standard error when it fails."""
    done = CliRunner().invoke(stage, [])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    return done.stderr
