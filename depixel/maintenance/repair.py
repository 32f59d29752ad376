"""Repair of DVC's own files after a kill or a power cut, because DVC 3.67 writes them in place."""

import json
import shutil
from pathlib import Path

import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid
from zc.lockfile import LockError, LockFile

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.versioning import file_at

RWLOCK = layout.DVC_TEMPORARY / "rwlock"
"""DVC's list of files that its processes are reading and writing."""


def mend(project: Path) -> list[str]:
    """Repair `dvc.lock` and `.dvc/tmp/rwlock` if they are truncated.

    dvc.lock is restored from the last commit, or removed if no commit has one. `dvc repro` then runs the stages whose
    results it does not list.

    Returns:
        A sentence about each repaired file.

    Raises:
        DepixelError: the folder is not a DVC project, or a DVC command is running in it.
    """
    if not (project / layout.DVC).is_dir():
        raise DepixelError(f"{project.resolve()}: not a DVC project. Run from the project's folder")
    (project / layout.DVC_TEMPORARY).mkdir(exist_ok=True)
    try:
        dvc = LockFile(str(project / layout.DVC_TEMPORARY / "lock"))
    except LockError as error:
        raise DepixelError("a DVC command is running in this project. Wait until it ends, then try again") from error
    try:
        return _mend(project)
    finally:
        dvc.close()


def broken(project: Path) -> list[str]:
    """The truncated files among `dvc.lock` and `.dvc/tmp/rwlock`, as paths in the project."""
    whole = {layout.LOCKED_RESULTS: _is_lock, RWLOCK: _is_json}
    return [
        path.as_posix() for path, check in whole.items() if (project / path).is_file() and not check(project / path)
    ]


def _mend(project: Path) -> list[str]:
    done, found = [], broken(project)
    if layout.LOCKED_RESULTS.as_posix() in found:
        lock = project / layout.LOCKED_RESULTS
        committed = _committed(project)
        if committed is None:
            lock.unlink()
        else:
            with replacing(lock) as beside:
                beside.write_bytes(committed)
        now = "removed it" if committed is None else "restored it from the last commit"
        done.append(f"dvc.lock was truncated: {now}.")
    if RWLOCK.as_posix() in found:
        (project / RWLOCK).unlink()
        done.append(f"{RWLOCK.as_posix()} was truncated: removed it.")
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


def _committed(project: Path) -> bytes | None:
    """dvc.lock of the last commit; None if there is none, or if git is not installed (DVC works without it)."""
    if not shutil.which("git"):
        return None
    return file_at("HEAD", layout.LOCKED_RESULTS, cwd=project)
