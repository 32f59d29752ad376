"""Outputs appear whole or not at all: written beside their place, then renamed onto it."""

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
    """Yield a path beside `path` to write a file or a folder to; rename it onto `path` when the block succeeds.

    After an error nothing of the new output is left, and an earlier output is still there. What a process that was
    killed left beside it is removed by the next.

    Raises:
        DepixelError: the output cannot be written (no space, no permission), with the reason.
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
                raise  # not about this output
            with told_of(path):
                raise
        with told_of(path):
            if beside.is_dir() and path.is_dir():  # a rename onto a folder that has files in it is refused
                path.rename(old)
                try:
                    beside.rename(path)
                except OSError:
                    old.rename(path)
                    raise
            else:
                beside.replace(path)
    finally:
        with suppress(OSError):  # then the next one removes it
            _remove(beside)
            if path.exists():
                _remove(old)


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Turn an OSError into a `DepixelError` that says that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise DepixelError(
            f"{path}: cannot be written ({error.strerror or error}). What was there before still is"
        ) from error


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder in (path, *(child for child in path.rglob("*") if child.is_dir() and not child.is_symlink())):
        folder.chmod(0o700)  # or nothing in it can be removed
    shutil.rmtree(path)


def _within_or_above(path: Path, other: Path) -> bool:
    return path == other or path in other.parents or other in path.parents


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Write `content` as indented JSON; numbers as they are, keys in their order."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote. Raises `DepixelError` if it is not there, or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path}: cannot be read ({error}). Make it with `dvc repro`") from error


def hash_of(path: Path, kind: str) -> str:
    """The hash of a file: md5, sha256 or another of hashlib, in hexadecimal digits."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
