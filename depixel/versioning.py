"""git and DVC as commands: what the library asks of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from depixel.base.errors import DepixelError

DATA = ("data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc")
"""What stands in git for the photos, the test set and the models that the stages start from."""


def run_dvc(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command of DVC, which is not to ask anything; what it says is in the result."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "dvc", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd
    )


def run_git(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command of git; what it says, in bytes, is in the result. Raises `DepixelError` where git is missing."""
    command = shutil.which("git")
    if command is None:
        raise DepixelError("git is not installed, or not on the PATH")
    return subprocess.run([command, *arguments], capture_output=True, cwd=cwd)  # noqa: S603


def experiment_ref(commit: str, name: str) -> str:
    """The git ref of DVC's experiment `name` that starts from `commit`, a full hash."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def experiment_refs() -> list[str]:
    """The refs of all of DVC's experiments in the current folder's repository, the youngest first."""
    levels = experiment_ref("0" * 40, "name").count("/")
    listed = run_git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps")
    return [ref for ref in listed.stdout.decode(errors="replace").split() if ref.count("/") == levels]


def resolve(name: str) -> str:
    """The ref of an experiment, the youngest of this name; or the hash of the commit of a revision.

    Raises:
        DepixelError: it is neither.
    """
    if found := [ref for ref in experiment_refs() if ref == name or ref.endswith(f"/{name}")]:
        return found[0]
    revision = run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if revision.returncode:
        raise DepixelError(
            f"{name}: neither an experiment nor a git revision of this project. These are listed by `dvc exp list "
            "--all-commits` and `git branch --all`"
        )
    return revision.stdout.decode().strip()


def reason(done: subprocess.CompletedProcess) -> str:
    """Why a command of DVC failed, on one line."""
    lines = [" ".join(line.split()) for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    errors = list(dict.fromkeys(errors)) or lines[-1:]
    more = [f"and {len(errors) - 2} more"] if len(errors) > 2 else []
    return "; ".join([*errors[:2], *more]) or f"exit code {done.returncode}"


def inputs_changed(*revisions: str) -> list[str]:
    """The files that results depend on, params.yaml apart, and that differ between two revisions in the current folder;
    or between one and the working tree: code and versions as dvc.yaml names them, and `DATA`."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    named = {path for stage in stages for path in stage.get("deps", [])}
    code = {path for path in named if path.endswith((".py", ".lock")) or path.split("/")[0] == "depixel"}
    changed = run_git("diff", "--name-only", *revisions, "--", "dvc.yaml", *sorted(code), *DATA)
    if changed.returncode:
        raise DepixelError(f"git diff {' '.join(revisions)}: {changed.stderr.decode(errors='replace').strip()}")
    return changed.stdout.decode(errors="replace").splitlines()
