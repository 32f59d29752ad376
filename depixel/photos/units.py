"""Units of work on photos that any machine can do if it sees the project's folder, and their results in files there.

A unit is an archive, or a run of its members. `NAME.todo` holds its items, `NAME.done` its results. NAME is a hash of
the code, the package versions, the settings, the items and the state of their files, so a finished unit is reused only
for exactly the same work.
Both files have a line with the sha256 of the rest, a line of JSON, and the bytes of its arrays: to read one runs no
code, and a damaged one counts as missing.
"""

import functools
import hashlib
import io
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

import depixel
from depixel.base.code import PACKAGE, code_digest, sources_of
from depixel.base.environment import versions
from depixel.base.errors import DepixelError
from depixel.base.files import told_of
from depixel.photos import processes
from depixel.photos.archives import ARCHIVES, Entry

MOST = 500
"""The maximum number of items of a unit."""


_spare: dict[Any, list[Any]] = {}  # to start a process takes a tenth of a unit's time


@dataclass(frozen=True)
class Task:
    """What all units of one call have in common.

    Attributes:
        work, crashed: as in `processes.each`; both are functions of modules of `depixel`, or partials of such.
        root: the folder that paths of photos are relative to; absolute, the same on all machines.
        folder: the folder of the units' files; absolute, the same on all machines.
        patience: the longest time in seconds that a few photos may take.
        made_by: what determines the results, see `identity`.
    """

    work: Callable[[Any], Any]
    crashed: Callable[[Any, str], Any]
    root: str
    folder: str
    patience: float
    made_by: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def _prefix(self) -> bytes:
        function, settings = _parts(self.work)
        return json.dumps([self.made_by, f"{function.__module__}.{function.__qualname__}", repr(settings)]).encode()

    def put(self, items: list[Any]) -> tuple[str, bool]:
        """Write the items of a unit, unless its results are there; return its name, and whether they are."""
        text = _packed(items)
        sources = dict.fromkeys(item[0].source for item in items if item and not item[0].version)
        states = json.dumps([_state(Path(self.root, source)) for source in sources]).encode()
        name = hashlib.sha256(self._prefix + states + text).hexdigest()[:32]
        done = self._path(name, "done")
        if (_read(done) or b"").startswith(b"["):  # a list, no error
            return name, True
        with told_of(done):
            done.unlink(missing_ok=True)
        _write(self._path(name, "todo"), text)
        return name, False

    def results(self, name: str) -> list[Any] | None:
        """The results of a unit, in order; None if they are not there.

        Raises:
            DepixelError: the work on the unit raised it. The next `put` then has the unit done again.
        """
        if (content := _read(self._path(name, "done"))) is None:
            return None
        found = _unpacked(content)
        if isinstance(found, str):
            raise DepixelError(found)
        return found

    def do(self, name: str) -> None:
        """Do a unit on this machine and write its results.

        Raises:
            DepixelError: this machine must not do it, because its code or packages differ, or cannot: it does not see
                the folder, or cannot write there. Errors of `work` stand in the results instead.
        """
        here = f"worker {socket.gethostname()} (process {os.getpid()})"
        if wrong := _difference(self.made_by, _identity_here(self.work)):
            raise DepixelError(
                f"{here} cannot work with this machine: {wrong}. On the worker, check out the same commit, install "
                "requirements.lock and requirements-beam.lock, and start it again"
            )
        if self._path(name, "done").exists():  # another worker was given the same unit
            return
        items = _read(self._path(name, "todo"))
        if items is None:
            raise DepixelError(f"{here} does not see {self.folder}. Mount the project's folder there by the same path")
        work = functools.partial(_within, self.root, self.work)
        results: list[Any] | str
        try:
            done = processes.each(work, _unpacked(items), 1, self.crashed, self.patience, self._spare())
            results = list(done)
        except processes.LateError as error:
            results = f"{_path_of(error.items[0])} or one of the {len(error.items) - 1} photos after it kept {here} "
            results += f"busy for more than {self.patience:g} s. Remove the photo, or allow more time"
        except DepixelError as error:
            results = str(error)
        _write(self._path(name, "done"), _packed(results))

    def done(self) -> int:
        """Number of units in the folder that have results."""
        return sum(name.endswith(".done") for name in os.listdir(self.folder))  # noqa: PTH208  there may be many

    def _spare(self) -> list[Any]:
        """The processes that earlier units of the same work left in this process. Those of other work end."""
        key = (self._prefix, self.root)
        for other in [other for other in _spare if other != key]:
            for process in _spare.pop(other, []):
                process.end()
        return _spare.setdefault(key, [])

    def _path(self, name: str, kind: str) -> Path:
        return Path(self.folder, f"{name}.{kind}")


def cut(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Cut items into units: runs from one archive or one folder, with at most `MOST` items.

    The items are tuples that begin with an `Entry`. An item None needs no file; such items are in units of their own.
    """
    for _, run in groupby(items, _place):
        while unit := list(islice(run, MOST)):
            yield unit


def _place(item: tuple[Entry, Any] | None) -> str:
    if item is None:
        return ""
    source = item[0].source
    return source if source.lower().endswith(ARCHIVES) else os.path.dirname(source) or "."  # noqa: PTH120  many


def _state(path: Path) -> list[int]:
    """Size and time of a file, which change with its content."""
    try:
        status = path.stat()
    except OSError:  # the work tells
        return []
    return [status.st_size, status.st_mtime_ns]


def _path_of(item: Any) -> str:
    return str(item[0].path) if item else "a known photo"


def _within(root: str, work: Callable[[Any], Any], item: Any) -> Any:
    os.chdir(root)
    return work(item)


# Who may work


def identity(work: Callable[[Any], Any]) -> dict[str, str]:
    """What determines the results of `work` on this machine: packages by version, files of `depixel` by hash.

    Raises:
        DepixelError: a package is missing, or a file was edited after this process had read it.
    """
    module = sys.modules[_parts(work)[0].__module__]
    return dict(_identity(str(module.__file__)))


@functools.lru_cache
def _identity(module: str) -> tuple[tuple[str, str], ...]:
    try:
        packages = versions()
    except metadata.PackageNotFoundError as error:
        raise DepixelError(f"the package {error.name} is not installed") from error
    files = {}
    for path in sources_of(module):
        if path.stat().st_mtime_ns > depixel.IMPORTED:
            raise DepixelError(f"{path} was edited after this process had started")
        files[f"depixel/{path.relative_to(PACKAGE).as_posix()}"] = code_digest([path])
    return tuple((packages | files).items())


def _identity_here(work: Callable[[Any], Any]) -> dict[str, str] | str:
    try:
        return identity(work)
    except DepixelError as error:
        return str(error)


def _difference(wanted: dict[str, str], found: dict[str, str] | str) -> str:
    if isinstance(found, str):
        return found
    differing = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    packages = [
        f"{name} {found.get(name, 'missing')} (here {wanted.get(name)})" for name in differing if "/" not in name
    ]
    files = [name for name in differing if "/" in name]
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return "; ".join([*packages, *([f"other code in {', '.join(files[:3])}{more}"] if files else [])])


def _parts(work: Callable[[Any], Any]) -> tuple[Any, tuple[Any, ...]]:
    """A function, and the arguments that it is partial with."""
    return (work.func, work.args) if isinstance(work, functools.partial) else (work, ())


# Files


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{uuid4().hex}.new")  # two workers may write the same results
    with told_of(path):
        try:
            beside.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """The content of a file; None if it is missing or damaged."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return content if hashlib.sha256(content).hexdigest().encode() == digest else None


def _packed(value: Any) -> bytes:
    """Arrays, tuples (also named ones) and what JSON has, as a line of JSON and the bytes of the arrays."""
    arrays: list[bytes] = []
    text = json.dumps(_encoded(value, arrays))
    return b"".join([text.encode(), b"\n", *arrays])


def _encoded(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value.tobytes())
        return {"kind": "array", "type": value.dtype.str, "shape": value.shape}
    if isinstance(value, tuple):
        kind = type(value)
        name = "" if kind is tuple else f"{kind.__module__}:{kind.__qualname__}"
        return {"kind": "tuple", "name": name, "values": [_encoded(one, arrays) for one in value]}
    return [_encoded(one, arrays) for one in value] if isinstance(value, list) else value


def _unpacked(content: bytes) -> Any:
    """The value of `_packed`; its arrays cannot be written to."""
    text, _, arrays = content.partition(b"\n")
    return _decoded(json.loads(text), io.BytesIO(arrays))


def _decoded(value: Any, arrays: io.BytesIO) -> Any:
    if isinstance(value, list):
        return [_decoded(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if value["kind"] == "array":
        kind, shape = np.dtype(value["type"]), value["shape"]
        return np.frombuffer(arrays.read(kind.itemsize * math.prod(shape)), kind).reshape(shape)
    values = [_decoded(one, arrays) for one in value["values"]]
    return _named(value["name"])(*values) if value["name"] else tuple(values)


@functools.lru_cache
def _named(name: str) -> Callable[..., Any]:
    module, _, kind = name.partition(":")
    found = getattr(sys.modules[module], kind) if module.startswith("depixel.photos.") else None
    if not (isinstance(found, type) and issubclass(found, tuple)):
        raise ValueError(f"{name} is no tuple of depixel.photos")
    return found
