"""Where photos come from: folders and ZIP archives, in one order, through one interface, never unpacked to disk."""

import math
import os
import re
import signal
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from depixel.errors import DepixelError
from depixel.photos import UnreadableError
from depixel.tables import path_of

CHUNK = 16  # files a process works on at a time
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others inflate more than they are asked for
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control, line ends, not in UTF-8
_ENCRYPTED = 0x1

Item = TypeVar("Item")
Result = TypeVar("Result")


class Entry(NamedTuple):
    """One file, in a folder or in an archive.

    Attributes:
        contributor: the archive's stem, or the first folder, or "" for a file that is in none.
        name: the path within the archive, the first folder or the root, with `/`; "" for an archive that cannot be
            read. Control characters in both are escaped.
        size: bytes, as declared.
        source: the path of the file or of the archive.
        member: the index in the archive, None for a file.
        problem: why it cannot be read, "" if nothing is known against it.
    """

    contributor: str
    name: str
    size: int
    source: str
    member: int | None = None
    problem: str = ""

    @property
    def path(self) -> str:
        """What the entry is sorted by."""
        return path_of(self.contributor, self.name)


def entries(root: str | Path) -> list[Entry]:
    """List every file below `root`, those in ZIP archives included, in ascending order of `Entry.path`.

    Archives and folders may be nested in folders, not archives in archives. Links to files are followed, links to
    folders are not. What cannot be read is listed with its problem.

    Raises:
        DepixelError: `root` is not a folder, or nothing is in it.
    """
    root = Path(root)
    found = []
    for path, size, problem in _files(root):
        if path.suffix.lower() == ".zip" and not problem:
            found += _members(path, size)
        else:
            first, *rest = map(_printable, path.relative_to(root).parts)
            contributor, name = (first, "/".join(rest)) if rest else ("", first)
            found.append(Entry(contributor, name, size, str(path), None, problem))
    if not found:
        raise DepixelError(
            f"{root}: no photos there. Get those of this project with `dvc pull`, put contributors' ZIPs or folders of "
            f"photos into {root}, or make a sample with `depixel sample {root}`"
        )
    return sorted(found, key=lambda entry: (entry.path, entry.source, entry.member or 0))


def read(entry: Entry, limit: int) -> bytes:
    """Read an entry: all of it if it has at most `limit` bytes, otherwise its first limit + 1.

    The archive that was read last stays open until `each` ends.

    Raises:
        UnreadableError: it is damaged, encrypted, gone, or its name leaves the archive.
    """
    if entry.problem:
        raise UnreadableError(entry.problem)
    try:
        if entry.member is None:
            with Path(entry.source).open("rb") as file:
                return file.read(limit + 1)
        archive = _archive(entry.source)
        with archive.open(archive.infolist()[entry.member]) as file:
            return file.read(limit + 1)
    except Exception as error:  # zipfile raises nearly anything on a damaged archive
        raise UnreadableError(f"cannot be read: {_one_line(error)}") from error


def each(work: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None) -> Iterator[Result]:
    """Yield work(item) for every item, in order, computed by `workers` processes (None: one for each core).

    Only a few chunks of items are worked on ahead, so memory does not grow with their number.

    Raises:
        DepixelError: a process died, and whatever `work` raises.
    """
    workers = min(workers or _cores(), math.ceil(len(items) / CHUNK), 61)  # 61: what Windows allows
    if workers <= 1:
        try:
            yield from map(work, items)
        finally:
            _archive.cache_clear()
        return
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_the_parent) as pool:
        ahead: deque = deque()
        try:
            for start in range(0, len(items), CHUNK):
                ahead.append(pool.submit(_all, work, items[start : start + CHUNK]))
                if len(ahead) > 3 * workers:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        except BrokenProcessPool as error:
            raise DepixelError(
                "a process that read photos died, perhaps for want of memory; try --workers 1"
            ) from error


def _all(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _files(root: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield the files below `root` in any order, each with its bytes and why it cannot be read ("" if it can)."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            for path in folder.iterdir():
                if path.is_file():
                    yield path, path.stat().st_size, ""
                elif not path.is_dir():
                    yield path, 0, "neither a file nor a folder" if path.exists() else "a link to nothing"
                elif path.is_symlink():
                    yield path, 0, "a link to a folder, which is not followed"
                else:
                    folders.append(path)
        except OSError as error:
            if folder != root:
                yield folder, 0, f"cannot be read: {_one_line(error)}"


def _members(archive: Path, size: int) -> list[Entry]:
    contributor = _printable(archive.stem)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
    except Exception as error:  # as above
        return [Entry(contributor, "", size, str(archive), None, f"no ZIP: {_one_line(error)}")]
    found = []
    for index, member in enumerate(members):
        name = member.filename.replace("\\", "/")  # as some tools on Windows write it
        if not name.endswith("/"):
            entry = Entry(contributor, _printable(name), member.file_size, str(archive), index, _problem(member, name))
            found.append(entry)
    return found


def _problem(member: zipfile.ZipInfo, name: str) -> str:
    if not name or name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        return "not a name within the archive"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type not in _METHODS:
        return f"compressed by method {member.compress_type}; stored and deflated files are read"
    return ""


@lru_cache(maxsize=1)
def _archive(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda character: character[0].encode("unicode_escape").decode("ascii"), text)


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _printable(" ".join(text.split())) or type(error).__name__
