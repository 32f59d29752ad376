"""The folder of one experiment of a sweep: a clone of the project that shares the project's cache.

The whole git repository is cloned; the project can be a subfolder of it, `within`.
"""

import csv
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from depixel.base import layout
from depixel.base.files import replacing
from depixel.versioning import dvc, git, git_or_none, place

KEPT = (layout.CHECKPOINTS, layout.LOGS)
"""The folders that a new clone takes over from an interrupted one."""


def make_clone(folder: Path, commit: str) -> None:
    """Clone the repository of the current folder at `commit`, without copying its objects, cache and photos.

    An interrupted clone in `folder` is replaced; its `KEPT` folders stay.

    Raises:
        DepixelError: git or DVC fails.
    """
    from dvc.config import Config
    from dvc.repo import Repo

    with Repo() as repo:
        cache = repo.cache.local_cache_dir
    root, within = place()
    with replacing(folder) as beside:
        git("clone", "--quiet", "--shared", "--no-checkout", str(root), str(beside))
        git("checkout", "--quiet", "--detach", commit, cwd=beside)
        if (local := layout.DVC / "config.local").is_file():
            shutil.copy(local, beside / within / layout.DVC)
        with Config(str(beside / within / layout.DVC)).edit("local") as config:
            config.setdefault("cache", {})["dir"] = cache
        for name in KEPT:
            if (folder / within / name).is_dir():
                shutil.move(folder / within / name, beside / within / name)
    dvc("checkout", "--quiet", "--allow-missing", cwd=folder / within)


def has(ref: str, clone: Path | None = None) -> bool:
    """Whether a clone has an experiment; by default, whether the project in the current folder has it."""
    return git_or_none("rev-parse", "--verify", "--quiet", ref, cwd=clone) is not None


def bring(ref: str, name: str, clone: Path) -> None:
    """Copy an experiment and its logs from a project in a clone to the project in the current folder.

    Raises:
        DepixelError: git cannot fetch it.
    """
    if not has(ref):
        git("fetch", "--quiet", "--no-tags", git("rev-parse", "--show-toplevel", cwd=clone), f"{ref}:{ref}")
    if (clone / layout.LOGS / name).is_dir():
        with replacing(layout.LOGS / name) as beside:
            shutil.copytree(clone / layout.LOGS / name, beside)


def validation(clone: Path, name: str) -> list[tuple[int, float]]:
    """Epoch and validation RMSE of each row of an experiment's training log; empty before there is one."""
    try:
        with (clone / layout.LOGS / name / "training.csv").open(encoding="utf-8", newline="") as file:
            return [(int(row["epoch"]), float(row["validation_rmse_mean"])) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def error_in(output: Path) -> str:
    """The line of an experiment's output that states the error."""
    lines = [" ".join(line.split()) for line in output.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith(("Error: ", "ERROR: "))]
    return (errors or lines[-1:] or ["it said nothing"])[0]


def end_all_in(clone: Path) -> None:
    """Terminate the processes that run in a clone, such as those of a killed sweep."""
    end(process for process in psutil.process_iter() if _works_in(process, clone))


def end(processes: Iterable[psutil.Process]) -> None:
    """Terminate processes with all their children, and wait for their end. A training saves its state first."""
    family: dict[int, psutil.Process] = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            family |= {p.pid: p for p in (process, *process.children(recursive=True))}
    for process in family.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(list(family.values()))


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False
