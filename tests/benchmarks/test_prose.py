"""The promise that prose is free: benchmarks/prose.py keeps it, and sees where it is broken."""

import copy
import shutil

import pytest
import yaml

from benchmarks import prose
from depixel.base.code import normalized
from tests.conftest import REPOSITORY, clone, run

PROSE = ("python", "benchmarks/prose.py")
SOURCES = {
    "docstring": '"""Words."""\nX = 1\n',
    "of several lines": '"""Words.\n\nMore – of them.\n"""\n\nX = 1\n',
    "in single quotes": "'Words.'\nX = 1\n",
    "raw": 'r"""Words \\d."""\nX = 1\n',
    "none": "import os\nX = 1\n",
    "comments before": "#!/usr/bin/env python\n# Words\nX = 1\n",
    "empty": "",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_docstrings_change_and_code_does_not(kind):
    source = SOURCES[kind]
    changed = prose.reworded(source)
    assert prose.SENTENCE in changed and changed != source
    assert normalized(changed) == normalized(source)
    assert not kind.startswith("comments") or changed.startswith("#!/usr/bin/env python\n")


def test_every_module_of_the_project_can_be_reworded(tmp_path):
    for name in prose.SOURCES:
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    modules = prose.reword_all(tmp_path)
    assert {"depixel/__init__.py", "depixel/model/networks.py", "stages/train.py"} <= {*modules}
    for name in modules:
        assert (tmp_path / name).read_text(encoding="utf-8") != (REPOSITORY / name).read_text(encoding="utf-8"), name


LOCK = {
    "schema": "2.0",
    "stages": {
        "train": {
            "cmd": "python -m stages.train",
            "deps": [
                {"path": "data/split.csv", "hash": "md5", "md5": "1", "size": 5},
                {"path": "depixel/model", "hash": "md5", "md5": "2.dir", "size": 70, "nfiles": 9},
                {"path": "stages/train.py", "hash": "md5", "md5": "3", "size": 8},
            ],
            "params": {"params.yaml": {"train": {"epochs": 2}}},
            "outs": [{"path": "metrics/training.json", "hash": "md5", "md5": "4", "size": 6}],
        }
    },
}


def changed(edit) -> dict:
    lock = copy.deepcopy(LOCK)
    edit(lock["stages"]["train"])
    return lock


def test_hashes_of_sources_may_change():
    def edit(stage):
        stage["deps"][1].update(md5="5.dir", size=90)
        stage["deps"][2].update(md5="6", size=9)

    assert prose.differences(LOCK, changed(edit)) == []


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda stage: stage["outs"][0].update(md5="5"), "train: outs metrics/training.json"),
        (lambda stage: stage["deps"][0].update(md5="5"), "train: deps data/split.csv"),
        (lambda stage: stage["deps"][1].update(nfiles=10), "train: deps depixel/model"),
        (lambda stage: stage["deps"].pop(), "train: deps stages/train.py"),
        (lambda stage: stage["params"]["params.yaml"]["train"].update(epochs=3), "train: params"),
        (lambda stage: stage.update(cmd="python"), "train: cmd"),
    ],
)
def test_nothing_else_may(edit, said):
    (difference,) = prose.differences(LOCK, changed(edit))
    assert difference.startswith(f"{said}: ")


def test_other_stages_are_seen():
    assert len(prose.differences(LOCK, {"stages": {}})) == 6


def test_what_a_clone_may_show(tmp_path):
    for name in ("stages/train.py", "metrics/training.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1", encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK), encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/checkpoints/\n", encoding="utf-8")
    run("git", "init", "--quiet", cwd=tmp_path)
    run("git", "add", "--all", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message=start", cwd=tmp_path)
    (tmp_path / "stages/train.py").write_text("2", encoding="utf-8")
    assert prose.broken(tmp_path, LOCK, ["stages/train.py"]) == []
    (tmp_path / "metrics/training.json").write_text("2", encoding="utf-8")
    (tmp_path / "checkpoints/0123").mkdir(parents=True)
    assert prose.broken(tmp_path, LOCK, ["stages/train.py"]) == [
        "git:  M metrics/training.json",
        "train: the model was trained again",
    ]


@pytest.mark.soak
def test_prose_is_free(reproduced):
    said = run(*PROSE, cwd=reproduced).stdout
    assert "Prose is free" in said
    for stage in ("validate", "prepare", "split", "analyze", "train", "evaluate", "card", "export"):
        assert f"\n  {stage:10} " in said


@pytest.mark.soak
def test_a_lock_of_other_code_proves_nothing(reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    with (folder / "stages/card.py").open("a", encoding="utf-8") as file:
        file.write("\n# more\n")
    assert "Only a commit can be checked" in run(*PROSE, cwd=folder, code=1).stderr
    run("git", "commit", "--quiet", "--all", "--message=more", cwd=folder)
    said = run(*PROSE, cwd=folder, code=1).stderr
    assert "dvc.lock does not belong to the committed code: card" in said
