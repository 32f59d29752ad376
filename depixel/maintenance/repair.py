"""Repair of DVC's own files after a kill or a power cut: DVC 3.67 writes them in place."""

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
"""The list of files that DVC's processes are reading and writing."""


def mend(project: Path) -> list[str]:
    """Mend `dvc.lock` and `.dvc/tmp/rwlock` if they were cut off.

    dvc.lock becomes that of the last commit, or is removed if no commit has one: `dvc repro` then runs the stages whose
    results it no longer knows.

    Returns:
        A sentence about each file that was mended.

    Raises:
        DepixelError: there is no DVC project here, or DVC is at work in it.
    """
    if not (project / layout.DVC).is_dir():
        raise DepixelError(f"{project.resolve()}: no DVC project. Run from the project's folder")
    (project / layout.DVC_TEMPORARY).mkdir(exist_ok=True)
    try:
        dvc = LockFile(str(project / layout.DVC_TEMPORARY / "lock"))
    except LockError as error:
        raise DepixelError("DVC is at work in this project; there is nothing to mend while it is") from error
    try:
        return _mend(project)
    finally:
        dvc.close()


def broken(project: Path) -> list[str]:
    """Those of `dvc.lock` and `.dvc/tmp/rwlock` that are there and cut off, as paths in the project."""
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
        now = "removed" if committed is None else "it is that of the last commit again"
        done.append(f"dvc.lock was cut off: {now}.")
    if RWLOCK.as_posix() in found:
        (project / RWLOCK).unlink()
        done.append(f"{RWLOCK.as_posix()} was cut off: removed.")
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
    """dvc.lock of the last commit; None if there is none, or no git to ask: DVC works without it, too."""
    if not shutil.which("git"):
        return None
    return file_at("HEAD", layout.LOCKED_RESULTS, cwd=project)
