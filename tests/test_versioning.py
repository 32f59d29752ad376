import shutil
import sys
import time
from pathlib import Path

import pytest

from depixel import versioning
from depixel.base.errors import DepixelError
from depixel.versioning import CommandError, dvc, experiment_ref, file_at, git, git_or_none, start_dvc
from tests.conftest import run


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with a commit, the current folder: part.csv in it is two bytes that are no UTF-8."""
    run("git", "init", "--quiet", "--initial-branch=main", cwd=tmp_path)
    (tmp_path / "part.csv").write_bytes(b"\xff\xfe\r\n\n")
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: a, deps: [stages/one.py, depixel/base, data/raw]}}\n")
    for name in ("stages/one.py", "depixel/base/files.py", "data/raw.dvc", "params.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first\n")
    run("git", "add", "--all", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message=first", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(function, *arguments, **options) -> str:
    with pytest.raises(DepixelError) as raised:
        function(*arguments, **options)
    return str(raised.value)


def test_git_returns_text_and_raises_what_failed_why_and_what_to_type(repository):
    assert git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    (repository / "notes.txt").write_text("second\n")
    assert git("status", "--porcelain") == " M notes.txt"
    assert git("log", "--format=%s", cwd=repository / "stages") == "first"
    assert told(git, "diff", "nowhere", "--", "notes.txt") == (
        "`git diff nowhere -- notes.txt` failed: bad revision 'nowhere'. `git status` shows the state of the project"
    )


def test_outside_a_repository_git_says_where_to_run_it(tmp_path):
    said = told(git, "status", cwd=tmp_path)
    assert said.startswith("`git status` failed: not a git repository")
    assert "Run from the project's folder" in said and said.endswith("`git init`")


def test_a_question_is_answered_with_none_and_not_with_an_error(repository):
    commit = git("rev-parse", "HEAD")
    assert git_or_none("rev-parse", "--verify", "--quiet", "main") == commit
    assert git_or_none("rev-parse", "--verify", "--quiet", "nowhere") is None
    assert git_or_none("diff", "--name-only", "HEAD") == ""  # an answer, which is empty


def test_a_file_of_a_revision_comes_byte_by_byte(repository):
    assert file_at("HEAD", "part.csv") == b"\xff\xfe\r\n\n"
    assert file_at("main", "one.py", cwd=repository / "stages") == b"first\n"
    for revision, path in (("HEAD", "nowhere"), ("nowhere", "part.csv"), ("--batch", "part.csv"), ("HEAD", "stages")):
        assert file_at(revision, path) is None


def test_a_git_that_was_killed_is_no_answer(repository, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for ask in (git, git_or_none):
        assert "`git status` failed: signal 9 ended it." in told(ask, "status")
    assert "signal 9 ended it" in told(file_at, "HEAD", "part.csv")


def test_a_git_that_refuses_has_not_said_no(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for ask in (git, git_or_none):
        told_ = told(ask, "rev-parse", "--verify", "--quiet", "nowhere")
        assert "detected dubious ownership" in told_ and "It belongs to another user" in told_
        assert told_.endswith(f"`git config --global --add safe.directory {repository}`")
    for ask in (versioning.uncommitted, versioning.experiment_refs, versioning.has_commit, versioning.require_commit):
        assert "dubious ownership" in told(ask)
    assert "dubious ownership" in told(file_at, "HEAD", "part.csv")
    found, mend = versioning.problem()
    assert "dubious ownership" in found and "safe.directory" in mend
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    (repository / ".git/config").write_text("[core", encoding="utf-8")
    for ask in (git, git_or_none):
        assert "bad config" in told(ask, "rev-parse", "--verify", "--quiet", "nowhere")


def test_dvc_in_a_folder_of_another_user_says_what_git_says():
    said = "ERROR: unexpected error - /a b/.git/: repository path '/a b' is not owned by current user"
    assert str(CommandError("dvc exp run", 255, said)).endswith("`git config --global --add safe.directory '/a b'`")


def test_what_keeps_git_from_working_is_told(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    found, mend = versioning.problem()
    assert "does not know your name and address" in found and "git config --global user.name" in mend
    (tmp_path / "config").write_text("[user]\nname = a\nemail = a@localhost\n")
    assert versioning.problem() == ("", "")
    (tmp_path / "config").unlink()
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@localhost")
    assert versioning.problem() == ("", "")
    shutil.rmtree(repository / ".git")
    assert versioning.problem()[1] == "git init" and "`git init`" in told(versioning.require_commit)
    run("git", "init", "--quiet", cwd=repository)
    assert not versioning.has_commit() and file_at("HEAD", "part.csv") is None
    for said in (versioning.problem()[1], told(versioning.require_commit), told(versioning.resolve, "HEAD")):
        assert "git add --all && git commit" in said
    monkeypatch.setenv("PATH", "")
    assert versioning.problem()[0].startswith("git is not installed")


def test_what_is_uncommitted_is_told_by_paths_from_the_project_wherever_it_is(repository, tmp_path, monkeypatch):
    inner = repository / "teams/one"
    inner.mkdir(parents=True)
    for name in ("dvc.yaml", "stages", "depixel", "data"):
        (repository / name).rename(inner / name)
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--message=moved", cwd=repository)
    monkeypatch.chdir(inner)
    assert versioning.place() == (repository.resolve(), Path("teams/one"))
    (repository / "notes.txt").write_text("of another team")
    assert versioning.uncommitted() == []
    for name in ("depixel/base/files.py", "depixel/base/new.py", "data/test_set.dvc", "own notes.txt"):
        (inner / name).write_text("second\n")
    (inner / "data/raw.dvc").rename(inner / "data/rohé.dvc")
    run("git", "add", "data", cwd=inner)
    changed = ["data/raw.dvc", "data/rohé.dvc", "data/test_set.dvc", "depixel/base/files.py", "depixel/base/new.py"]
    assert sorted(versioning.uncommitted()) == changed
    assert versioning.inputs_changed("HEAD") == ["data/raw.dvc", "data/test_set.dvc", "depixel/base/files.py"]
    assert file_at("HEAD", "data/raw.dvc") == b"first\n"


def test_the_start_of_an_experiment_is_in_its_ref():
    assert versioning.baseline(experiment_ref("0123456789" * 4, "wide")) == "0123456789" * 4
    assert versioning.baseline("refs/heads/main") == ""


def test_hashes_are_read_from_a_lock():
    lock = b"stages: {a: {cmd: x, outs: [{path: b, md5: c}, {path: d}]}, e: {cmd: f}}"
    assert versioning.hashes_of(lock) == {"b": "c"}
    assert versioning.hashes_of(b"") == versioning.hashes_of(b"stages: [") == versioning.hashes_of(b"\xff") == {}


def test_a_missing_git_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (git, git_or_none):
        assert told(ask, "status").startswith("git is not installed or not on the PATH")


def test_dvc_raises_what_failed_why_and_what_to_type(tmp_path):
    assert dvc("--version").startswith("3.")
    assert told(dvc, "status", cwd=tmp_path).endswith("Run from the project's folder")
    with pytest.raises(CommandError) as raised:
        dvc("no-such-command", cwd=tmp_path)
    assert raised.value.reason and "\n" not in raised.value.reason and raised.value.reason in str(raised.value)
    assert "no-such-command" in raised.value.said


def test_reasons_are_short_and_say_what_comes_next(repository):
    said = "ERROR: one\nWARNING: other\nERROR: two  of  it\nERROR: one\nERROR: three\nERROR: four\n"
    failed = CommandError("dvc push", 255, said)
    assert failed.reason == "one; two of it; and 2 more" and failed.said == said
    advice = "`depixel doctor` shows what is wrong and how to repair it"
    assert str(failed) == f"`dvc push` failed: {failed.reason}. {advice}"
    assert CommandError("dvc push", 255, "some\nlast words\n").reason == "last words"
    assert CommandError("dvc push", 3, "").reason == "exit code 3"
    missing = CommandError("dvc push", 1, "/usr/bin/python: No module named dvc")
    assert str(missing).endswith("Install it: `pip install -r requirements.lock`")
    assert len(told(git, "diff", "nowhere", "--", *(f"file{i}" for i in range(1000)))) < 300


def test_what_runs_beside_writes_its_output_and_its_exit_code_is_seen(tmp_path):
    (tmp_path / "output").write_text("of before")
    process = start_dvc("status", cwd=tmp_path, output=tmp_path / "output")
    while (code := process.poll()) is None:
        time.sleep(0.05)
    assert code == 253 and "not inside of a DVC repository" in (tmp_path / "output").read_text()
    process = start_dvc("--version", cwd=tmp_path, output=tmp_path / "output")
    assert process.wait() == 0 and (tmp_path / "output").read_text().startswith("3.")


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are Unix's")
def test_what_runs_beside_does_not_get_ctrl_c(tmp_path):
    import os

    process = start_dvc("--version", cwd=tmp_path, output=tmp_path / "output")
    assert os.getsid(process.pid) == process.pid
    process.wait()


def test_an_experiment_goes_before_a_revision_and_the_youngest_first(repository):
    first = git("rev-parse", "HEAD")
    old, new = experiment_ref(first, "wide"), experiment_ref("0" * 40, "wide")
    run("git", "update-ref", old, "HEAD", cwd=repository)
    (repository / "notes.txt").write_text("second\n")
    later = "GIT_COMMITTER_DATE=2099-01-01T00:00:00Z"
    run("env", later, "git", "commit", "--quiet", "--all", "--message=second", cwd=repository)
    run("git", "update-ref", new, "HEAD", cwd=repository)
    run("git", "update-ref", "refs/exps/stash", "HEAD", cwd=repository)  # DVC's own, which is no experiment
    assert versioning.experiment_refs() == [new, old]
    assert versioning.resolve("wide") == new and versioning.resolve(old) == old
    assert versioning.resolve("main~1") == first
    for name in ("narrow", "--all", "wid"):
        assert told(versioning.resolve, name).startswith(f"{name}: neither an experiment nor a git revision")


def test_experiments_outside_a_repository_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "Run from the project's folder" in told(versioning.experiment_refs)


def test_inputs_are_code_versions_and_data_but_not_settings(repository):
    for name in ("stages/one.py", "depixel/base/files.py", "data/raw.dvc", "params.yaml", "notes.txt"):
        (repository / name).write_text("second\n")
    changed = ["data/raw.dvc", "depixel/base/files.py", "stages/one.py"]
    assert versioning.inputs_changed("HEAD") == changed
    run("git", "commit", "--quiet", "--all", "--message=second", cwd=repository)
    assert versioning.inputs_changed("HEAD") == [] and versioning.inputs_changed("HEAD~1", "HEAD") == changed
    assert "bad revision 'nowhere'" in told(versioning.inputs_changed, "nowhere")


def test_a_repository_that_git_cannot_read_is_told(repository):
    shutil.rmtree(repository / ".git/objects")
    assert told(git, "log").startswith("`git log` failed: ")
