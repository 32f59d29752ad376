"""The doctor sees what git and DVC do not, and names what mends it."""

import os
import shutil

import pytest

from depixel.base import layout
from depixel.maintenance import doctor
from tests.conftest import clone, run


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A repository with two results, whose times are long past."""
    monkeypatch.chdir(tmp_path)
    layout.METRICS.mkdir()
    for name in ("a.json", "b.json"):
        (layout.METRICS / name).write_text("0.667", encoding="utf-8")
        os.utime(layout.METRICS / name, (1_000_000_000, 1_000_000_000))
    run("git", "init", "--quiet", cwd=tmp_path)
    run("git", "config", "core.trustctime", "false", cwd=tmp_path)
    run("git", "add", "metrics", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message=results", cwd=tmp_path)
    return tmp_path


def test_a_result_of_the_same_size_and_time_is_compared_by_content(committed):
    assert doctor._unseen_by_git() == []
    path = layout.METRICS / "a.json"
    path.write_text("0.668", encoding="utf-8")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert run("git", "status", "--porcelain", cwd=committed).stdout == ""
    assert doctor._unseen_by_git() == ["metrics/a.json"]
    path.touch()
    assert run("git", "status", "--porcelain", cwd=committed).stdout.strip() == "M metrics/a.json"
    assert doctor._unseen_by_git() == []  # git sees it now


MISSING = [{"changed deps": {"data/raw": "deleted"}}, {"changed outs": {"data/split.csv": "not in cache"}}]


@pytest.mark.parametrize(
    ("more", "only"),
    [
        ({"changed outs": {"models/depixel.json": "deleted"}}, True),
        ({"changed deps": {"depixel/photos": "deleted"}}, False),
        ({"changed deps": {"data/raw": "modified"}}, False),
        ({"changed deps": {"params.yaml": {"train.epochs": "modified"}}}, False),
        ("changed command", False),
    ],
)
def test_results_that_are_only_missing_are_pulled(more, only):
    assert doctor._are_only_missing([MISSING])
    assert doctor._are_only_missing([MISSING, [more]]) == only


def test_the_doctor_names_a_fifo_instead_of_hanging(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout.RAW.mkdir(parents=True)
    os.mkfifo(layout.RAW / "pipe.jpg")
    found = {finding.subject: finding for finding in doctor.examine()}
    for subject in ("photos", "results"):
        assert "data/raw/pipe.jpg: neither a file nor a folder" in found[subject].found and found[subject].mend


def test_a_cache_of_another_user_and_a_read_only_folder_are_named(tmp_path, monkeypatch):
    def refused():
        raise PermissionError(13, "Permission denied", ".dvc/cache/files/md5/ab/c")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "SUBJECTS", {"cache": refused, "project": doctor._project})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    layout.DVC.mkdir()
    cache, project = doctor.examine()
    assert ".dvc/cache/files/md5/ab/c: cannot be read" in cache.found and "cache.shared group" in cache.mend
    assert "read-only" in project.found and "git clone" in project.mend


@pytest.mark.parametrize(
    ("lock", "advice"),
    [(True, "pip install -r requirements.lock"), (False, 'pip install "depixel[pipeline]"')],
    ids=["in a clone", "elsewhere"],
)
def test_an_environment_without_the_pipeline_is_told_what_to_install(tmp_path, monkeypatch, lock, advice):
    monkeypatch.chdir(tmp_path)
    if lock:
        layout.ENVIRONMENT.touch()
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "torch" else object())
    assert doctor._environment() == ("the pipeline lacks packages: torch", advice)


def test_before_photos_are_pushed_into_the_repository_a_remote_is_to_be_chosen(reproduced, tmp_path, monkeypatch):
    here = clone(reproduced, tmp_path / "here")
    monkeypatch.chdir(here)
    shutil.rmtree(layout.STORE)
    run("dvc", "pull", "data/raw.dvc", code=None, cwd=here)
    found, mend = doctor._remote()
    assert "does not have the photos of data/raw.dvc; it is a folder of this repository" in found
    assert mend.startswith("choose where photos are kept: docs/how-to/remotes.md. Then `dvc push`")
    run("dvc", "remote", "add", "--default", "elsewhere", str(tmp_path / "elsewhere"), cwd=here)
    assert doctor._remote()[1] == "dvc push"
