"""Every command in git as people have it: a subfolder, a submodule, a worktree, a shallow clone, no commit."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from depixel.versioning import experiment_ref
from tests.conftest import copy, run

WORKING = ("plain", "subfolder", "submodule", "worktree", "shallow", "detached")
"""Situations in which every command works."""

OWNER = "git config --global --add safe.directory"
NO_GIT = "git is not installed or not on the PATH. Install it"
COMMIT = "git add --all && git commit -m start"
INIT = "git init"


def situated(project: Path, kind: str, folder: Path) -> Path:
    """The project `project`, which is changed, as git's `kind` of place, in `folder`; returns the project's folder."""

    def git(*arguments: str, cwd: Path = project) -> None:
        run("git", "-c", "protocol.file.allow=always", *arguments, cwd=cwd)

    if kind == "detached":
        git("checkout", "--quiet", "--detach")
    elif kind == "subfolder":
        inner = folder / "teams/all of it/depixel"
        inner.parent.mkdir(parents=True)
        project.rename(inner)
        git("init", "--quiet", "--initial-branch=main", cwd=folder)
        (folder / "other.txt").write_text("of another team")
        shutil.rmtree(inner / ".git")
        git("add", "--all", cwd=folder)
        git("commit", "--quiet", "--message=all", cwd=folder)
        (folder / "other.txt").write_text("changed by another team")
        return inner
    elif kind == "submodule":
        inner = folder / "outer/depixel"
        inner.parent.mkdir()
        project.rename(inner)
        git("init", "--quiet", cwd=inner.parent)
        git("submodule", "--quiet", "add", "./depixel", "depixel", cwd=inner.parent)
        git("submodule", "absorbgitdirs", cwd=inner.parent)
        assert (inner / ".git").is_file()
        return inner
    elif kind == "worktree":
        git("worktree", "add", "--quiet", str(folder / "worktree"))
        return _with_data(project, folder / "worktree")
    elif kind == "shallow":
        git("clone", "--quiet", "--depth=1", project.as_uri(), str(folder / "shallow"))
        fetch = ("git", "fetch", "--quiet", "--depth=1", "origin", "refs/exps/*:refs/exps/*")
        run(*fetch, cwd=folder / "shallow", code=None)  # 1 if there are none
        return _with_data(project, folder / "shallow")
    elif kind in ("no repository", "no commit"):
        shutil.rmtree(project / ".git")
        if kind == "no commit":
            git("init", "--quiet", "--initial-branch=main")
    return project


def _with_data(project: Path, other: Path) -> Path:
    """Bring the project's cache to another checkout of it, with what it holds of that commit."""
    copy(project / ".dvc/cache", other / ".dvc/cache")
    run("dvc", "checkout", "--quiet", cwd=other)
    return other


def experiment(project: Path, name: str) -> None:
    """Make an experiment of the last commit: the same with `train.seed` 1, as if both seeds gave the same model."""
    settings = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    settings["train"]["seed"] = 1
    (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    head = run("git", "rev-parse", "HEAD", cwd=project).stdout.strip()
    run("git", "commit", "--quiet", "--all", "--message=experiment", cwd=project)
    run("git", "update-ref", experiment_ref(head, name), "HEAD", cwd=project)
    run("git", "reset", "--quiet", "--hard", head, cwd=project)


@pytest.mark.soak
@pytest.mark.parametrize("kind", WORKING)
def test_every_command_works_wherever_the_project_is(place, tmp_path, kind):
    if kind != "subfolder":  # there the repository is a new one
        experiment(place, "other")
    here = situated(place, kind, tmp_path)
    if kind == "subfolder":
        experiment(here, "other")
    commit = run("git", "rev-parse", "HEAD", cwd=here).stdout[:7]

    def depixel(*arguments: str) -> str:
        return run("depixel", *arguments, cwd=here).stdout

    assert [row["name"] for row in json.loads(depixel("experiments", "--json"))] == ["HEAD", "other"]
    assert "No significant difference" in depixel("compare", "HEAD", "other")
    done = run("depixel", "record", "other", cwd=here)
    assert "other" in done.stdout and not done.stderr and (here / "metrics/recorded/other.csv.gz").is_file()
    assert depixel("diff", "HEAD").startswith("0 files differ")
    depixel("report")
    page = (here / "report.html").read_text(encoding="utf-8")
    assert commit in page and "teams/all" not in page
    assert "* v1" in depixel("snapshots").replace("  ", " ")
    depixel("snapshot", "use", "v2")
    assert "files differ" in depixel("diff", "v1")
    depixel("snapshot", "use", "HEAD")
    assert "Nothing to mend" in depixel("mend")
    findings = {finding["subject"]: finding for finding in doctor(here)}
    assert not any(findings[subject]["mend"] for subject in ("project", "photos", "remote", "cache", "results"))
    assert "up to date" in run("dvc", "repro", cwd=here).stdout
    run("dvc", "exp", "run", "--name", "views", "-S", "predict.views=1", "evaluate", cwd=here)
    assert "B - A" in depixel("compare", "other", "views") and "views" in depixel("experiments")
    run("git", "checkout", "--quiet", ".", cwd=here)
    run("dvc", "checkout", "--quiet", cwd=here)
    (here / "data/raw/one").mkdir()
    shutil.copy(next((here / "data/raw").rglob("*.zip")), here / "data/raw/one")
    assert (
        "data/raw: changed since `dvc add`"
        in run("depixel", "sweep", "s", "-S", "train.seed=1,2", cwd=here, code=1).stderr
    )


def doctor(here: Path) -> list[dict[str, str]]:
    return json.loads(run("depixel", "doctor", "--json", cwd=here, code=None).stdout)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "mend", "works"),
    [
        ("another owner", OWNER, []),
        ("no git", NO_GIT, []),
        ("no commit", COMMIT, ["snapshot publish v3", "report"]),
        ("no repository", INIT, ["report"]),
    ],
)
def test_where_git_cannot_answer_commands_say_why_and_what_to_type(place, tmp_path, monkeypatch, kind, mend, works):
    experiment(place, "other")
    here = situated(place, kind, tmp_path)
    if kind == "another owner":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    if kind == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    before = (here / "metrics/experiments.csv").read_bytes()
    for command in (
        "experiments",
        "compare HEAD other",
        "record other",
        "sweep seeds -S train.seed=1,2",
        "diff HEAD",
        "snapshot use HEAD",
        "snapshot publish v3",
        "report",
    ):
        done = run("depixel", *command.split(), cwd=here, code=None)
        assert done.returncode == (command not in works), f"{command}: {done.stdout}{done.stderr}"
        if command not in works:
            assert mend in done.stderr and done.stderr.count("Error: ") == 1, f"{command}: {done.stderr}"
    assert (here / "metrics/experiments.csv").read_bytes() == before
    findings = {finding["subject"]: finding for finding in doctor(here)}
    assert mend in findings["project"]["found"] + findings["project"]["mend"]


@pytest.mark.soak
@pytest.mark.parametrize("kind", WORKING)
def test_a_sweep_runs_wherever_the_project_is(folder, depixel, tmp_path, kind):
    here = situated(folder, kind, tmp_path)
    done = depixel("sweep", "wide", "--json", "-S", "train.width=39,41", cwd=here)
    found = {row["name"]: row["validation_rmse"] for row in json.loads(done.stdout)["finished"]}
    assert found == {"wide-width=39": 3.5, "wide-width=41": 3.5}
    assert "wide-width=39" in depixel("experiments", cwd=here).stdout
    assert (here / "logs/wide-width=39/training.csv").is_file()
