"""Reuse of earlier outputs, so that a stage computes only new work.

Beside its outputs a stage keeps a record: one hash of the code, packages and settings that made them, and the hash of
each output. It reuses the outputs only if all hashes match; otherwise it computes everything again. So it notices a
stale, foreign or damaged output. The record is an output too, so DVC moves it together with the data.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from depixel.base.code import PACKAGE, code_digest, sources_of
from depixel.base.environment import versions
from depixel.base.files import hash_of, write_json
from depixel.base.settings import Settings

RECORD = "made_by.json"
"""The name of a stage's record."""

New = TypeVar("New")
Old = TypeVar("Old")


def maker(module: str | Path, *settings: Settings, also: Iterable[str] = ()) -> str:
    """A hash of everything that determines the outputs of a module: code, package versions, settings.

    Comments and formatting do not count (`code.normalized`).

    Args:
        module: the file of the module, `__file__`.
        settings: the sections of params.yaml that it uses.
        also: anything else that determines the outputs, such as hashes of inputs.

    Returns:
        The sha256 in hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(versions()).encode())
    # the script last, wherever it is: a stage run by hand may import the package from another place
    sources = sorted(sources_of(module), key=lambda path: not path.is_relative_to(PACKAGE))
    digest.update(code_digest(sources).encode())
    for section in settings:
        digest.update(section.model_dump_json().encode())
    for text in also:
        digest.update(f"\n{text}".encode())
    return digest.hexdigest()


def write_record(record: Path, made_by: str, hashes: dict[str, str]) -> None:
    """Write the record of outputs.

    Args:
        record: the path of the record.
        made_by: the hash from `maker`.
        hashes: path -> sha256 of each output; paths are relative to the record's folder, with `/`.
    """
    write_json(record, {"made_by": made_by, "sha256": hashes})


def reusable(record: Path, made_by: str, names: Iterable[str] = ()) -> bool:
    """Whether all outputs in `record` are unchanged and were made by `made_by`.

    Args:
        record: the path of the record.
        made_by: the current hash from `maker`.
        names: outputs that the record must list; paths relative to the record's folder.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        hashes = content["sha256"] if content["made_by"] == made_by else {}
        known = bool(hashes) and set(names) <= hashes.keys()
        return known and all(hash_of(record.parent / name, "sha256") == digest for name, digest in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing, damaged, or not a record
        return False


def made_by(record: Path) -> str:
    """The hash from `maker` in a record; "" if there is no valid record."""
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["made_by"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class Hashing:
    """Wraps a binary file and hashes the bytes written to it."""

    def __init__(self, file: BinaryIO):
        self._file, self._digest = file, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes and add them to the hash; returns the number of bytes written."""
        self._digest.update(data)
        return self._file.write(data)

    def sha256(self) -> str:
        """The sha256 of all bytes written so far, in hexadecimal digits."""
        return self._digest.hexdigest()


def matched(
    new: Iterable[New], old: Iterable[Old], key: Callable[[New | Old], Any]
) -> Iterator[tuple[New, Old | None]]:
    """Pair each item of `new` with the item of `old` that has the same key, or with None.

    Both must be in ascending order of their keys. They are read once, in step, so neither has to fit in memory. Items
    with equal keys are paired in order: first with first, second with second.
    """
    old = iter(old)
    candidate = next(old, None)
    for item in new:
        here = key(item)
        while candidate is not None and key(candidate) < here:
            candidate = next(old, None)
        if candidate is not None and key(candidate) == here:
            yield item, candidate
            candidate = next(old, None)
        else:
            yield item, None
