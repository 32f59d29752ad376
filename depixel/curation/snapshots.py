"""Snapshots: named states of data/raw that anybody can pull, compare and train on.

A snapshot is the hash in data/raw.dvc. data/snapshots.csv lists the names. Git tracks this file, because git tags get
lost in forks and mirrors. A git revision works wherever a name does.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import yaml

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import (
    DVC_TEMPORARY,
    PRETRAINED,
    PRETRAINED_POINTER,
    RAW,
    RAW_POINTER,
    SNAPSHOTS,
    TEST_SET,
    TEST_SET_POINTER,
)
from depixel.base.spelling import suggestion
from depixel.base.tables import read_table, write_table
from depixel.curation.dvc_objects import FOLDER, check_room, inode, objects
from depixel.photos import tracked
from depixel.photos.rules import Verdict
from depixel.versioning import CommandError, dvc, file_at, git_or_none, require_commit

WORKSPACE = "workspace"
"""The name for the photos that are in data/raw now."""

_CONFLICT = ". docs/how-to/snapshots.md, section Conflicts, says how to continue"


class Snapshot(NamedTuple):
    """A row of the table of names, text.

    Attributes:
        name: name of the snapshot.
        md5: DVC's hash of the folder, which ends in .dir.
        contributors: number of contributors of valid files.
        photos, valid: number of all files, and of valid photos.
        date: day of publication, UTC, YYYY-MM-DD.
        note: what is new in it, on one line.
    """

    name: str
    md5: str
    contributors: str
    photos: str
    valid: str
    date: str
    note: str


def read_snapshots() -> list[Snapshot]:
    """The named snapshots, the oldest first. Raises `DepixelError` if the table is damaged."""
    if not SNAPSHOTS.is_file():
        return []
    if b"<<<<<<<" in SNAPSHOTS.read_bytes():
        raise DepixelError(f"{SNAPSHOTS.as_posix()}: two people added names{_CONFLICT}")
    rows = list(read_table(SNAPSHOTS, Snapshot, f"git checkout {SNAPSHOTS.as_posix()}"))
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DepixelError(
            f"{SNAPSHOTS.as_posix()}: two snapshots are called {twice[0]}. Rename one of them in this file; keep its "
            "hash"
        )
    return rows


def current() -> str:
    """The hash of the folder in data/raw.dvc.

    Raises:
        DepixelError: the file is missing, or does not name a folder.
    """
    try:
        return _hash_in(RAW_POINTER.read_bytes(), str(RAW_POINTER))
    except OSError as error:
        raise DepixelError(
            f"{RAW_POINTER}: cannot be read ({error.strerror}). Run from the project's folder. If {RAW} has photos, "
            f"`dvc add {RAW.as_posix()}` writes this file"
        ) from error


def resolve(name: str) -> str:
    """The hash of a snapshot.

    Args:
        name: name of a snapshot, or a git revision that has a data/raw.dvc.

    Raises:
        DepixelError: there is neither; the message lists the snapshots.
    """
    named = {snapshot.name: snapshot.md5 for snapshot in read_snapshots()}
    if name in named:
        return named[name]
    pointer = file_at(name, RAW_POINTER)
    if pointer is None:
        require_commit()
        known = ", ".join(named) or "none so far; `depixel snapshot publish NAME` makes one"
        raise DepixelError(
            f"{name}: neither a snapshot nor a git revision with a {RAW_POINTER.as_posix()}. Snapshots: {known}."
            f"{suggestion(name, named)} Another person's new snapshot comes with the commit that names it: `git pull`, "
            "or if it is on a branch, `git fetch` and `git switch BRANCH`"
        )
    return _hash_in(pointer, f"{RAW_POINTER.as_posix()} of {name}")


def _hash_in(content: bytes, name: str) -> str:
    try:
        md5 = str(yaml.safe_load(content)["outs"][0]["md5"])
        if re.fullmatch(FOLDER, md5):
            return md5
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        pass
    conflict = f": two people changed it{_CONFLICT}" if b"<<<<<<<" in content else ""
    raise DepixelError(f"{name}: does not name a folder of photos that DVC knows{conflict}")


@contextmanager
def opened(name: str) -> Iterator[Path]:
    """Yield a folder with the photos of a snapshot, for reading; for `WORKSPACE`, data/raw itself.

    Raises:
        DepixelError: there is no such snapshot, or it cannot be fetched, see `dvc_objects.objects`.
    """
    if name == WORKSPACE:
        yield RAW
        return
    files = objects(resolve(name))
    with tempfile.TemporaryDirectory(dir=DVC_TEMPORARY, prefix="snapshot-") as folder:
        for path, place in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(place, target)  # works if the cache is on this file system
            except OSError:
                shutil.copy(place, target)
        yield Path(folder)


def use(name: str, force: bool = False) -> None:
    """Check out a snapshot: change data/raw and data/raw.dvc to its state.

    Args:
        name: name of a snapshot, or a git revision.
        force: do so even if data/raw has files that no snapshot has; they are lost.

    Raises:
        DepixelError: there is no such snapshot, it cannot be fetched, or data/raw has changes that would be lost.
            Nothing is changed then.
    """
    tracked.check()
    md5 = resolve(name)
    if not force and RAW_POINTER.is_file() and not _is_named(now := current()) and now != md5:
        what = f"{RAW_POINTER.as_posix()} names photos that neither a snapshot nor the last commit has"
        raise DepixelError(_unpublished(what, name))
    damaged: set[tuple[int, int]] = set()
    files = objects(md5, damaged)
    for path in list(RAW.rglob("*")) if damaged else ():  # a hard link to a damaged object is damaged, too
        if path.is_file() and inode(path) in damaged:
            path.unlink()
    force = force or is_unchanged()  # else DVC also refuses if the old files are in a remote but not in the cache
    before = RAW_POINTER.read_bytes() if RAW_POINTER.is_file() else None
    _write_pointer(md5, files)
    try:
        _check_out(name, force)
    except DepixelError:
        if before is not None:
            RAW_POINTER.write_bytes(before)
        raise


def _check_out(name: str, force: bool) -> None:
    """Change data/raw to the state in data/raw.dvc, which is the snapshot `name`."""
    try:
        dvc("checkout", RAW_POINTER.as_posix(), *(["--force"] if force else []))
    except CommandError as error:
        if "unsaved" in error.said:
            raise DepixelError(_unpublished(f"{RAW.as_posix()} has files that no snapshot has", name)) from error
        raise DepixelError(f"{RAW.as_posix()} cannot be changed to {name}: {error.reason}") from error


def _is_named(md5: str) -> bool:
    """Whether a state of the photos is a snapshot or the state of the last commit."""
    with suppress(DepixelError):
        return md5 in (row.md5 for row in read_snapshots()) or md5 == resolve("HEAD")
    return False


def missing_inputs() -> list[str]:
    """DVC's pointers to the inputs of the pipeline that are not here, as `dvc pull` takes them."""
    inputs = {RAW: RAW_POINTER, TEST_SET: TEST_SET_POINTER, PRETRAINED: PRETRAINED_POINTER}
    return [pointer.as_posix() for folder, pointer in inputs.items() if not folder.is_dir() and pointer.is_file()]


def is_unchanged() -> bool:
    """Whether data/raw matches data/raw.dvc."""
    with suppress(CommandError, ValueError):
        status = json.loads(dvc("status", "--json", RAW_POINTER.as_posix()))
        return not re.search('"(modified|new|deleted)"', json.dumps(status))
    return False


def _unpublished(what: str, name: str) -> str:
    return (
        f"{what}. To keep them: `depixel snapshot publish NAME`. To delete them: `depixel snapshot use {name} --force`"
    )


def _write_pointer(md5: str, files: dict[str, Path]) -> None:
    """Write data/raw.dvc as `dvc add` does."""
    size = sum(path.stat().st_size for path in files.values())
    out = {"md5": md5, "size": size, "nfiles": len(files), "hash": "md5", "path": RAW.name}
    with replacing(RAW_POINTER) as beside:
        beside.write_text(yaml.safe_dump({"outs": [out]}, sort_keys=False), encoding="utf-8", newline="\n")


def check_name(name: str) -> list[Snapshot]:
    """Check a name for a new snapshot, and return the snapshots so far, the oldest first.

    Raises:
        DepixelError: the name has other characters, is taken, or is that of a git revision.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name == WORKSPACE:
        raise DepixelError(f"{name!r}: a name has letters, digits, dots, _ and -, and is not {WORKSPACE}")
    known = read_snapshots()
    if name in (snapshot.name for snapshot in known):
        raise DepixelError(
            f"{name}: is already the name of a snapshot, and names cannot be reused. `depixel snapshots` lists them"
        )
    if commit := _commit_of(name):
        raise DepixelError(
            f"{name}: is already a git branch, tag or commit ({commit}), so it would have two meanings. Choose another "
            "name"
        )
    return known


def _commit_of(revision: str) -> str:
    """The first digits of the commit of a git revision; "" if there is none."""
    return (git_or_none("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}") or "")[:10]


def publish(name: str, note: str, verdicts: Iterable[Verdict]) -> Snapshot:
    """Publish the photos in data/raw as a new snapshot: push them to the remote, then write the name.

    Because the name is written last, the same call continues after an interrupted push.

    Args:
        name: name of the new snapshot.
        note: what is new in it.
        verdicts: the verdicts on the files in data/raw.

    Returns:
        The new row of the table.

    Raises:
        DepixelError: the name cannot be used (see `check_name`), the store within the repository would become too
            large, or DVC cannot add or push the photos.
    """
    tracked.check()
    known = check_name(name)
    verdicts = list(verdicts)
    before = RAW_POINTER.read_bytes() if RAW_POINTER.is_file() else None
    if before and b"<<<<<<<" in before:
        _hash_in(before, str(RAW_POINTER))
    dvc("add", RAW.as_posix())
    md5 = current()
    try:
        check_room(objects(md5))
    except DepixelError:
        if before is not None:
            RAW_POINTER.write_bytes(before)
        else:
            RAW_POINTER.unlink(missing_ok=True)
        raise
    _push()
    snapshot = Snapshot(
        name,
        md5,
        contributors=str(len({v.contributor for v in verdicts if not v.code})),
        photos=str(len(verdicts)),
        valid=str(sum(not v.code for v in verdicts)),
        date=datetime.now(timezone.utc).date().isoformat(),
        note=" ".join(note.split()),
    )
    write_table(SNAPSHOTS, Snapshot, [*known, snapshot])
    return snapshot


def _push() -> None:
    """Push the photos of data/raw.dvc to the default remote."""
    try:
        dvc("push", RAW_POINTER.as_posix())
    except CommandError as error:
        raise DepixelError(
            f"the photos are added here, but not pushed: {error.reason}. Repair that, then run the same command to "
            "continue"
        ) from error
