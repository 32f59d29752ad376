"""Mending DVC's own files after a kill or a power cut: DVC 3.67 does not write them beside and rename."""

import json
import shutil
import subprocess
from pathlib import Path

import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid
from zc.lockfile import LockError, LockFile

from depixel.base.errors import DepixelError
from depixel.base.files import replacing


def mend(project: Path) -> list[str]:
    """Mend `dvc.lock` and `.dvc/tmp/rwlock` if they were cut off; returns a sentence about each that was.

    dvc.lock becomes that of the last commit, or goes where there is none: `dvc repro` then runs the stages whose
    results it no longer knows.

    Raises:
        DepixelError: there is no DVC project here, or DVC is at work in it.
    """
    if not (project / ".dvc").is_dir():
        raise DepixelError(f"{project.resolve()}: no DVC project. Run from the project's folder")
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    try:
        dvc = LockFile(str(project / ".dvc/tmp/lock"))
    except LockError as error:
        raise DepixelError("DVC is at work in this project; there is nothing to mend while it is") from error
    try:
        return _mend(project)
    finally:
        dvc.close()


def broken(project: Path) -> list[str]:
    """Which of `dvc.lock` and `.dvc/tmp/rwlock` are there and cut off."""
    whole = {"dvc.lock": _is_lock, ".dvc/tmp/rwlock": _is_json}
    return [name for name, check in whole.items() if (project / name).is_file() and not check(project / name)]


def _mend(project: Path) -> list[str]:
    done, found = [], broken(project)
    if "dvc.lock" in found:
        lock = project / "dvc.lock"
        committed = _committed(lock)
        if committed is None:
            lock.unlink()
        else:
            with replacing(lock) as beside:
                beside.write_bytes(committed)
        now = "removed" if committed is None else "it is that of the last commit again"
        done.append(f"dvc.lock was cut off: {now}.")
    if ".dvc/tmp/rwlock" in found:
        (project / ".dvc/tmp/rwlock").unlink()
        done.append(".dvc/tmp/rwlock was cut off: removed.")
    return done


def _is_lock(path: Path) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(path.read_text(encoding="utf-8")))
        return True
    except (yaml.YAMLError, UnicodeDecodeError, Invalid):
        return False


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def _committed(path: Path) -> bytes | None:
    git = shutil.which("git")
    if git is None:
        return None
    shown = subprocess.run([git, "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True)  # noqa: S603
    return shown.stdout if shown.returncode == 0 else None
