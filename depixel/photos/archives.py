"""Where photos come from: folders, ZIP and tar archives, read by one interface in one order, never unpacked to disk."""

import os
import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from heapq import merge
from pathlib import Path
from typing import BinaryIO, NamedTuple

from indexed_gzip import IndexedGzipFile

from depixel.base.errors import DepixelError
from depixel.base.tables import path_of
from depixel.photos.decoding import UnreadableError

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others inflate more than they are asked for
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control, line ends, not in UTF-8
_ENCRYPTED = 0x1
_GZIPPED = (".tar.gz", ".tgz")
ARCHIVES = (".zip", ".tar", *_GZIPPED)
"""How the names of archives end, in lower case."""

_PLACES = 256  # from which a .tar.gz can be read; each takes 32 kB of memory
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X")
_MOST_HEADER = 1_000_000  # bytes of a name or of other fields in a tar
_MOST_INFLATED = 20  # times its size; photos are compressed already, so what inflates to more is no archive of photos


class Entry(NamedTuple):
    """One file, in a folder or in an archive.

    Attributes:
        contributor: the name of the archive without its ending, or of the first folder; "" for a file in neither.
        name: the path within the archive, the first folder or the root, with `/`; "" for an archive that cannot be
            read. Control characters in both names are escaped.
        size: bytes, as the folder or the archive declares them.
        source: the path of the file or of the archive.
        member: the index in a ZIP; the offset of the content in a tar; None for a file in a folder.
        problem: why the file cannot be read; "" if no reason is known.
    """

    contributor: str
    name: str
    size: int
    source: str
    member: int | None = None
    problem: str = ""

    @property
    def path(self) -> str:
        """`contributor/name`, by which entries are sorted."""
        return path_of(self.contributor, self.name)


class Entries:
    """Every file below a folder, those in archives included, in ascending order of `Entry.path`.

    Archives are .zip, .tar, .tar.gz and .tgz files. Archives and folders may be nested in folders; archives in archives
    are not opened. Links to files are followed, links to folders are not. A file that cannot be read is an entry with
    its problem.

    `len` gives the number of entries; they can be iterated as often as needed. Each iteration reads folders and
    archives anew: memory holds only the names of archives, of contributors' folders and of the files that are in
    neither, and the entries of one contributor.

    Args:
        root: the folder.

    Raises:
        DepixelError: `root` is not a folder, or nothing is in it.
    """

    def __init__(self, root: str | Path):
        self._root = Path(root)
        self._count = 0
        self._odd: list[Entry] = []  # what cannot be read, and what has no name
        self._loose: list[str] = []
        self._contributors: defaultdict[str, list[Callable[[], Iterable[Entry]]]] = defaultdict(list)
        folders: set[str] = set()
        for path, size, problem in _files(self._root):
            self._count += 1
            first, *rest = path.relative_to(self._root).parts
            if problem:
                contributor, name = (first, "/".join(rest)) if rest else ("", first)
                self._odd.append(Entry(_printable(contributor), _printable(name), size, str(path), None, problem))
            elif _is_archive(path):
                members = _members(path, size)
                self._count += len(members) - 1
                self._odd += [entry for entry in members if not entry.name]
                self._contributors[_contributor(path)].append(partial(_members, path, size))
            elif rest:
                folders.add(first)
            else:
                self._loose.append(first)
        if not self._count:
            raise DepixelError(
                f"{root}: no photos there. Get those of this project with `dvc pull`, put contributors' ZIPs or "
                f"folders of photos into {root}, or make a sample with `depixel sample {root}`"
            )
        for folder in folders:
            self._contributors[_printable(folder)].append(partial(_within, self._root / folder))
        self._odd.sort(key=_order)
        self._loose.sort()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return merge(self._odd, _of_folder(self._root, "", self._loose), self._of_contributors(), key=_order)

    def _of_contributors(self) -> Iterator[Entry]:
        for contributor in sorted(self._contributors, key=lambda name: f"{name}/"):  # the order of the paths
            found = merge(*(entries() for entries in self._contributors[contributor]), key=_order)
            yield from (entry for entry in found if entry.name)


def read(entry: Entry, limit: int) -> bytes:
    """Read an entry: all of it if it has at most `limit` bytes, otherwise its first limit + 1 bytes.

    The archive that was read last stays open in this process, see `close`.

    Raises:
        UnreadableError: the entry is damaged, encrypted or gone, or its name leads out of the archive.
    """
    if entry.problem:
        raise UnreadableError(entry.problem)
    try:
        if entry.member is None:
            with Path(entry.source).open("rb") as file:
                return file.read(limit + 1)
        archive = _archive(entry.source)
        if isinstance(archive, zipfile.ZipFile):
            with archive.open(archive.infolist()[entry.member]) as file:
                return file.read(limit + 1)
        archive.seek(entry.member)
        data = archive.read(min(entry.size, limit + 1))
        if len(data) < min(entry.size, limit + 1):
            raise EOFError("cut off")
        return data
    except MemoryError:  # says nothing about the entry
        raise
    except Exception as error:  # zipfile raises nearly anything on a damaged archive
        raise UnreadableError(f"cannot be read: {_one_line(error)}") from error


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


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def _contributor(archive: Path) -> str:
    """The name without what makes it an archive."""
    end = next(end for end in ARCHIVES if archive.name.lower().endswith(end))
    return _printable(archive.name[: -len(end)])


def _order(entry: Entry) -> tuple[str, str, int]:
    return entry.path, entry.source, entry.member or 0


def _within(folder: Path) -> Iterator[Entry]:
    """The files in a contributor's folder, in order."""
    found = (path for path, _, problem in _files(folder) if not problem and not _is_archive(path))
    return _of_folder(folder, _printable(folder.name), sorted(path.relative_to(folder).as_posix() for path in found))


def _of_folder(folder: Path, contributor: str, names: list[str]) -> Iterator[Entry]:
    for name in sorted(names, key=_printable):
        path = folder / name
        try:
            yield Entry(contributor, _printable(name), path.stat().st_size, str(path))
        except OSError as error:  # gone meanwhile
            yield Entry(contributor, _printable(name), 0, str(path), None, f"cannot be read: {_one_line(error)}")


def _members(archive: Path, size: int) -> list[Entry]:
    """The files in an archive, in order; where it cannot be read, one entry without a name."""
    contributor = _contributor(archive)
    members = _zipped if archive.suffix.lower() == ".zip" else _tarred
    try:
        found = [
            Entry(contributor, _printable(name), length, str(archive), member, problem)
            for name, length, member, problem in members(archive, size)
        ]
    except MemoryError:
        raise
    except Exception as error:  # as above
        kind = "ZIP" if members is _zipped else "tar"
        return [Entry(contributor, "", size, str(archive), None, f"no {kind}: {_one_line(error)}")]
    return sorted(found, key=_order)


def _zipped(archive: Path, size: int) -> Iterator[tuple[str, int, int, str]]:
    """Name, bytes, index and problem of each file in a ZIP."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    for index, member in enumerate(members):
        name = member.filename.replace("\\", "/")  # as some tools on Windows write it
        if not name.endswith("/"):
            yield name, member.file_size, index, _problem(member, name)


def _tarred(archive: Path, size: int) -> Iterator[tuple[str, int, int | None, str]]:
    """Name, bytes, place and problem of each file in a tar; at the end of a damaged one, what is wrong with it."""
    most = _MOST_INFLATED * size + 10_000_000
    with _opened_tar(str(archive)) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as opened:
        damage = ""
        try:
            for member in opened:
                if member.offset_data + member.size > most:
                    raise ValueError(f"inflates to more than {_MOST_INFLATED} times its size")
                opened.members.clear()  # type: ignore[attr-defined]  # or it keeps all; no stub names it
                if member.isdir():
                    continue
                problem = "" if _is_within(member.name) else _ELSEWHERE
                if not member.isreg() or member.issparse():
                    problem = "a link or a special file, which is not followed"
                yield member.name, member.size, member.offset_data, problem
            file.seek(opened.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
                damage = "a damaged header"
        except (tarfile.TarError, ValueError) as error:
            damage = str(error)
        if damage:
            yield "", size, None, f"damaged: what comes after the files that were found is lost ({damage})"


def _opened_tar(path: str) -> BinaryIO:
    if not path.lower().endswith(_GZIPPED):
        return Path(path).open("rb")
    return IndexedGzipFile(path, spacing=max(1 << 18, Path(path).stat().st_size // _PLACES))


class _Member(tarfile.TarInfo):
    """A header that neither asks for much memory nor leads back to itself, as tarfile lets one do."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _HEADERS and self.size > _MOST_HEADER):
            raise ValueError("a damaged header")
        return super()._proc_member(archive)  # type: ignore[misc]  # no stub names it


def _problem(member: zipfile.ZipInfo, name: str) -> str:
    if not _is_within(name):
        return _ELSEWHERE
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type not in _METHODS:
        return f"compressed by method {member.compress_type}; stored and deflated files are read"
    return ""


_ELSEWHERE = "not a name within the archive"


def _is_within(name: str) -> bool:
    return bool(name) and not (name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"))


@lru_cache(maxsize=1)
def _archive(path: str) -> zipfile.ZipFile | BinaryIO:
    return zipfile.ZipFile(path) if path.lower().endswith(".zip") else _opened_tar(path)


def close() -> None:
    """Close the archive that was read last. Call it before that file is replaced: Windows replaces no open file."""
    _archive.cache_clear()


if hasattr(os, "register_at_fork"):  # a file that the parent has opened has one position for all processes
    os.register_at_fork(after_in_child=_archive.cache_clear)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda character: character[0].encode("unicode_escape").decode("ascii"), text)


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _printable(" ".join(text.split())) or type(error).__name__
