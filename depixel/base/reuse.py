"""What an earlier run of a stage left, so that only what is new has to be worked on.

Beside its outputs a stage keeps a record: a hash of what made them (code, packages, settings) and the hash of each. The
outputs are used again only if both are as recorded; otherwise all is made from nothing. So a cache cannot be stale,
foreign or damaged without being noticed, and as the record is an output too, it travels with the data.
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

New = TypeVar("New")
Old = TypeVar("Old")


def maker(module: str | Path, *settings: Settings, also: Iterable[str] = ()) -> str:
    """A hash of what decides the outputs of a module: what its code does, versions of packages, settings.

    Prose and layout of the code do not count (`code.normalized`).

    Args:
        module: the file of the module, `__file__`. also: what else decides them, such as hashes of inputs.
    """
    digest = hashlib.sha256(json.dumps(versions()).encode())
    # a stage that is run by hand may take the package from elsewhere: its script comes last, wherever it is
    sources = sorted(sources_of(module), key=lambda path: not path.is_relative_to(PACKAGE))
    digest.update(code_digest(sources).encode())
    for section in settings:
        digest.update(section.model_dump_json().encode())
    for text in also:
        digest.update(f"\n{text}".encode())
    return digest.hexdigest()


def write_record(record: Path, made_by: str, hashes: dict[str, str]) -> None:
    """Write the record of outputs: their sha256 by path from the record's folder, with `/`."""
    write_json(record, {"made_by": made_by, "sha256": hashes})


def reusable(record: Path, made_by: str, names: Iterable[str] = ()) -> bool:
    """Whether the outputs that `record` lists, these `names` among them, are whole, and are what `made_by` made.

    Args:
        names: paths from the folder of the record.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        hashes = content["sha256"] if content["made_by"] == made_by else {}
        known = bool(hashes) and set(names) <= hashes.keys()
        return known and all(hash_of(record.parent / name, "sha256") == digest for name, digest in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or something else
        return False


def made_by(record: Path) -> str:
    """What a record says its outputs were made by; nothing where there is none."""
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["made_by"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class Hashing:
    """A binary file to write to that knows the hash of what was written."""

    def __init__(self, file: BinaryIO):
        self._file, self._digest = file, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes and add them to the hash; returns how many were written."""
        self._digest.update(data)
        return self._file.write(data)

    def sha256(self) -> str:
        """The hash of all that was written, in hexadecimal digits."""
        return self._digest.hexdigest()


def matched(
    new: Iterable[New], old: Iterable[Old], key: Callable[[New | Old], Any]
) -> Iterator[tuple[New, Old | None]]:
    """Pair each of `new` with the one of `old` that has the same key; None where there is none.

    Both ascend by their keys, which can be compared, and are read once, in step, so neither has to fit in memory. Of
    several with the same key the first are paired, then the second.
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
