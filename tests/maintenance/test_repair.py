import subprocess

import pytest
from click.testing import CliRunner
from zc.lockfile import LockFile

from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.maintenance.repair import mend

LOCK = "schema: '2.0'\nstages:\n  split:\n    cmd: python stages/split.py\n    outs:\n    - path: data/split.csv\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text('{"read": {}}', encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    return tmp_path


def git(*command, cwd):
    names = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    subprocess.run(["git", *names, *command], cwd=cwd, check=True, capture_output=True)


def test_what_is_whole_stays(project):
    assert mend(project) == []
    assert (project / "dvc.lock").read_text(encoding="utf-8") == LOCK
    assert (project / ".dvc/tmp/rwlock").exists()


# where what is left is a whole lock file by chance, DVC itself finds the difference and runs the stage
@pytest.mark.parametrize("length", [0, 5, 12, 25, 30, 37, 70, 74])
@pytest.mark.parametrize("committed", [True, False])
def test_a_lock_that_was_cut_off(project, length, committed):
    if committed:
        git("init", "--quiet", cwd=project)
        git("add", "dvc.lock", cwd=project)
        git("commit", "--quiet", "--message=one", cwd=project)
    (project / "dvc.lock").write_text(LOCK[:length], encoding="utf-8")
    (said,) = mend(project)
    assert "dvc.lock was truncated" in said
    if committed:
        assert (project / "dvc.lock").read_text(encoding="utf-8") == LOCK
    else:
        assert not (project / "dvc.lock").exists()


@pytest.mark.parametrize("content", ["", '{"read": {"a": [', "[]"])
def test_a_list_of_busy_files_that_was_cut_off(project, content):
    (project / ".dvc/tmp/rwlock").write_text(content, encoding="utf-8")
    assert mend(project) == [".dvc/tmp/rwlock was truncated: removed it."]
    assert not (project / ".dvc/tmp/rwlock").exists()


def test_a_folder_without_dvc(tmp_path):
    with pytest.raises(DepixelError, match="Run from the project's folder"):
        mend(tmp_path)


def test_not_while_dvc_is_at_work(project):
    lock = LockFile(str(project / ".dvc/tmp/lock"))
    (project / "dvc.lock").write_text("", encoding="utf-8")
    with pytest.raises(DepixelError, match="a DVC command is running"):
        mend(project)
    lock.close()
    assert len(mend(project)) == 1


def test_the_command(project, monkeypatch):
    (project / "dvc.lock").write_text("", encoding="utf-8")
    monkeypatch.chdir(project)
    done = [CliRunner().invoke(main, ["mend"]) for _ in range(2)]
    assert [one.exit_code for one in done] == [0, 0]
    said = [one.stdout for one in done]
    assert said == [
        "dvc.lock was truncated: removed it.\n",
        "Nothing to mend: dvc.lock and .dvc/tmp/rwlock are intact.\n",
    ]
