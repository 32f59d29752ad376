"""Atomic outputs: each is written under a temporary name beside its place, then renamed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from depixel.base.errors import DepixelError

_LONG = 240  # bytes of a name; file systems end at 255


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or a folder; rename it to `path` when the block succeeds.

    After an error, the new output is removed and an earlier output stays. If a process is killed, the next one that
    writes `path` removes the temporary files.

    Raises:
        DepixelError: the output cannot be written (no space, no permission); the text gives the reason.
    """
    path = Path(path)
    name = path.name if len(os.fsencode(path.name)) < _LONG else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    beside, old = (path.with_name(f".{name}.{end}") for end in ("new", "old"))
    with told_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not path.exists():  # killed between the two renames below
            old.rename(path)
        _remove(beside)
        _remove(old)
    try:
        try:
            yield beside
        except OSError as error:
            if error.filename is not None and not _within_or_above(beside, Path(str(error.filename))):
                raise  # an error with another file
            with told_of(path):
                raise
        with told_of(path):
            if beside.is_dir() and path.is_dir():  # a folder cannot be renamed onto one that has files
                path.rename(old)
                try:
                    beside.rename(path)
                except OSError:
                    old.rename(path)
                    raise
            else:
                beside.replace(path)
    finally:
        with suppress(OSError):  # the next process removes it
            _remove(beside)
            if path.exists():
                _remove(old)


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Turn an `OSError` within the block into a `DepixelError`: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise DepixelError(
            f"{path}: cannot be written ({error.strerror or error}). Any earlier output is unchanged"
        ) from error


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder in (path, *(child for child in path.rglob("*") if child.is_dir() and not child.is_symlink())):
        folder.chmod(0o700)  # files in a read-only folder cannot be removed
    shutil.rmtree(path)


def _within_or_above(path: Path, other: Path) -> bool:
    return path == other or path in other.parents or other in path.parents


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Write `content` as indented JSON, keys in their order.

    Raises:
        ValueError: a number is NaN or infinite.
        DepixelError: the file cannot be written.
    """
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote. Raises `DepixelError` if it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path}: cannot be read ({error}). Make it with `dvc repro`") from error


def hash_of(path: Path, kind: str) -> str:
    """The hash of a file in hexadecimal digits; `kind` is md5, sha256 or another name that hashlib knows."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
