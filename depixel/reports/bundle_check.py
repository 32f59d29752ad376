"""Checks an archive of `depixel.reports.bundle`: its hashes, and whether it agrees with a commit of this clone.

The archive comes from strangers. Nothing in it is extracted or run; names, sizes and the number of files are limited.
"""

import hashlib
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.reports.bundle import FORMAT, LISTING, MANIFEST, README
from depixel.versioning import file_at, has_commit, hashes_of, require_commit

MOST_FILES = 1000
"""Largest number of files in an archive."""
MOST_BYTES = 1_000_000_000
"""Bytes of all files of an archive together, at most."""

_COMPARED = 20_000_000  # bytes of the largest file that is compared line by line
_DIRECTORY = 1_000_000  # bytes of the largest list of files at the end of an archive
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,5}")
_SHOWN = 60  # characters of a line that a sentence repeats


class Finding(NamedTuple):
    """A sentence on the archive, and whether what it says is as it should be."""

    agrees: bool
    text: str


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["depixel bundle 1"]
    commit: Annotated[str, Field(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]
    experiment: Annotated[str, Field(max_length=200)]
    files: Annotated[list[_Entry], Field(max_length=MOST_FILES)]


def check(path: Path) -> list[Finding]:
    """Check an archive, and compare it with the clone in the current folder.

    Raises:
        DepixelError: the file cannot be read, or is not such an archive; or the current folder is in no git repository.
    """
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        digests = {name: _digest(path, archive, name) for name in archive.namelist() if name != MANIFEST}
        findings = [*_hashes(manifest, digests)]
        require_commit()
        if not has_commit(manifest.commit):
            how = f"`dvc exp pull origin {_plain(manifest.experiment)}`" if manifest.experiment else "`git fetch --all`"
            text = (
                f"The commit {manifest.commit} is not in this clone, so nothing is compared with it. Fetch it: {how}."
            )
            return [*findings, Finding(False, text)]
        findings.append(Finding(True, f"The commit {manifest.commit} is in this clone."))
        return [*findings, *_compared(path, archive, manifest.commit, digests)]


# -- the archive -----------------------------------------------------------------------------------------------------


class _Digest(NamedTuple):
    bytes: int
    sha256: str
    md5: str


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive and check the names and sizes that it states.

    Raises:
        DepixelError: it cannot be read, or is not one that `bundle` writes.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist())
            yield archive
    except FileNotFoundError as error:
        raise DepixelError(f"{path}: there is no such file") from error
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, EOFError) as error:
        raise DepixelError(f"{path}: the archive is damaged ({_plain(str(error))})") from error


def _check_directory(path: Path) -> None:
    """Refuse an archive whose list of files is too long to read; it stands at the end, before a record of 22 bytes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 42))
        end = file.read()
    if end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0":  # and no comment behind it
        raise DepixelError(f"{path}: is no archive that `depixel bundle` wrote")
    if size > MOST_BYTES + _DIRECTORY or struct.unpack("<I", end[-10:-6])[0] > _DIRECTORY or end[:4] == b"PK\6\7":
        raise DepixelError(f"{path}: is too large for a bundle")


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(names) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise DepixelError(f"{path}: is too large for a bundle")
    for entry in entries:
        if not _NAME.fullmatch(entry.filename) or entry.is_dir():
            raise DepixelError(f"{path}: no bundle holds a file that is called {_plain(entry.filename)!r}")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DepixelError(f"{path}: {entry.filename} is encrypted, or compressed in a way that no bundle uses")
    if len({name.lower() for name in names}) < len(names):
        raise DepixelError(f"{path}: holds two files of the same name")


def _manifest(path: Path, archive: zipfile.ZipFile) -> _Manifest:
    if MANIFEST not in archive.namelist():
        raise DepixelError(f"{path}: has no {MANIFEST}, so it is not an archive that `depixel bundle` wrote")
    try:
        return _Manifest.model_validate_json(_content(archive, MANIFEST))
    except ValidationError as error:
        raise DepixelError(f"{path}: its {MANIFEST} is not one of the format {FORMAT!r}") from error


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file, but no more than `_COMPARED` bytes."""
    with archive.open(name) as file:
        return file.read(_COMPARED)


def _digest(path: Path, archive: zipfile.ZipFile, name: str) -> _Digest:
    """The hashes of a file, as far as it can be read."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with archive.open(name) as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            if size > archive.getinfo(name).file_size:
                raise DepixelError(f"{path}: {name} is larger than the archive says")
            sha256.update(piece)
            md5.update(piece)
    return _Digest(size, sha256.hexdigest(), md5.hexdigest())


def _hashes(manifest: _Manifest, digests: dict[str, _Digest]) -> Iterator[Finding]:
    """Whether the files of an archive are those of its manifest."""
    listed = {entry.path: entry for entry in manifest.files}
    wrong = [f"{name} is in {MANIFEST}, but not in the archive." for name in listed if name not in digests]
    wrong += [f"{name} is in the archive, but not in {MANIFEST}." for name in digests if name not in listed]
    wrong += [
        f"{name} has another SHA-256 than {MANIFEST} states: it was changed later."
        for name, digest in digests.items()
        if name in listed and (listed[name].sha256, listed[name].bytes) != (digest.sha256, digest.bytes)
    ]
    wrong += [
        f"{name.as_posix()} is missing, so the archive does not show the results of a run."
        for name in (layout.LOCKED_RESULTS, layout.EVALUATION, layout.PARAMS)
        if name.as_posix() not in digests
    ]
    yield from (Finding(False, text) for text in wrong)
    if not wrong:
        yield Finding(True, f"All {len(digests)} files have the size and the SHA-256 that {MANIFEST} states.")


# -- the clone -------------------------------------------------------------------------------------------------------


def _compared(path: Path, archive: zipfile.ZipFile, commit: str, digests: dict[str, _Digest]) -> Iterator[Finding]:
    """Whether the files of an archive are those of a commit, which git holds, or DVC by the hashes in dvc.lock."""
    locked = hashes_of(file_at(commit, layout.LOCKED_RESULTS) or b"")
    held = locked | _of_predictions(archive, digests, locked)
    by_git, by_dvc, made, wrong = [], [], [], []
    for name, digest in digests.items():
        committed = file_at(commit, name)
        if committed is not None:
            theirs = _content(archive, name)
            if committed == theirs and digest.bytes == len(theirs):
                by_git.append(name)
            else:
                wrong.append(f"{name} differs from the commit: {_difference(committed, theirs)}")
        elif name in held or name == LISTING:
            expected = held.get(name) or locked.get(layout.PREDICTIONS.as_posix(), "none").removesuffix(".dir")
            if digest.md5 == expected:
                by_dvc.append(name)
            else:
                wrong.append(
                    f"{name} differs from the commit: its MD5 is {digest.md5}, and that in {layout.LOCKED_RESULTS} of "
                    f"the commit is {expected}."
                )
        elif name in (README, layout.REPORT.as_posix()):
            made.append(name)
        else:
            wrong.append(f"{name} is not a file of the commit.")
    if by_git:
        yield Finding(True, f"{_counted(by_git)} with the commit, byte for byte: {', '.join(by_git)}.")
    if by_dvc:
        text = f"{_counted(by_dvc)} with the hash in {layout.LOCKED_RESULTS} of the commit: {', '.join(by_dvc)}."
        yield Finding(True, text)
    if made:
        yield Finding(True, f"Not compared, because no commit holds them: {', '.join(made)}.")
    yield from (Finding(False, text) for text in wrong)


def _counted(names: list[str]) -> str:
    return "1 file agrees" if len(names) == 1 else f"{len(names)} files agree"


def _of_predictions(archive: zipfile.ZipFile, digests: dict[str, _Digest], locked: dict[str, str]) -> dict[str, str]:
    """The MD5 of each file in predictions/, by path: from the list in the archive, if that is the one of dvc.lock."""
    folder = layout.PREDICTIONS.as_posix()
    if LISTING not in digests or f"{digests[LISTING].md5}.dir" != locked.get(folder):
        return {}
    try:
        return {f"{folder}/{entry['relpath']}": entry["md5"] for entry in json.loads(_content(archive, LISTING))}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _difference(committed: bytes, theirs: bytes) -> str:
    """The first line in which two texts differ, as a clause."""
    if b"\0" in committed[:8000] or b"\0" in theirs[:8000]:
        return "it is another file."
    ours, others = (text.decode("utf-8", "replace").splitlines() for text in (committed, theirs))
    for number, (mine, other) in enumerate(zip(ours, others, strict=False), 1):
        if mine != other:
            return f"line {number} is {_quoted(other)} in the archive and {_quoted(mine)} in the commit."
    if len(ours) == len(others):
        return "the line breaks are others."
    return f"it has {len(others)} lines in the archive and {len(ours)} in the commit."


def _quoted(line: str) -> str:
    text = _plain(line.strip())
    return f"`{text[:_SHOWN]}...`" if len(text) > _SHOWN else f"`{text}`"


def _plain(text: str) -> str:
    """Without what could move the cursor of a terminal or color it."""
    return "".join(c if c.isprintable() else "?" for c in text)
