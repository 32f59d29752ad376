"""Reads photos from folders, ZIP and tar archives by one interface in a fixed order, without unpacking to disk."""

import os
import posixpath
import re
import tarfile
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from heapq import merge
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from indexed_gzip import IndexedGzipFile

from depixel.base.errors import DepixelError
from depixel.base.tables import path_of
from depixel.photos import tracked
from depixel.photos.decoding import UnreadableError
from depixel.photos.tracked import printable

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python's other methods inflate more than was requested
_ENCRYPTED = 0x1
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""The suffixes of archives, in lower case."""

Kind: TypeAlias = Literal["ZIP", "tar", "tar.gz"]
"""The kinds of archives that this module reads."""

_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"<": "a web page, so its download went wrong",
}  # first bytes of files that people mistake for archives of photos

_PLACES = 256  # seek points of a .tar.gz; each takes 32 kB of memory
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X")
_MOST_HEADER = 1_000_000  # bytes of a name or of other fields in a tar
_MOST_INFLATED = 20  # times its size; photos are already compressed, so an archive of photos inflates to less


class Entry(NamedTuple):
    """One file, in a folder or in an archive.

    Attributes:
        contributor: the name of the archive without its suffix, or of the first folder; "" for a file in neither.
            Names that differ only by case or Unicode form are one contributor.
        name: the path within the archive, the first folder or the root, with `/`; "" for an archive that cannot be
            read. Control characters in both names are escaped.
        size: bytes, as declared by the folder or the archive.
        source: the path of the file or of the archive.
        member: the index in a ZIP; the offset of the content in a tar; None for a file in a folder.
        problem: the reason why the file cannot be read; "" if none is known.
    """

    contributor: str
    name: str
    size: int
    source: str
    member: int | None = None
    problem: str = ""

    @property
    def path(self) -> str:
        """`contributor/name`; entries are sorted by it."""
        return path_of(self.contributor, self.name)


class Entries:
    """All files below a folder, with those in archives, in ascending order of `Entry.path`.

    An archive has a suffix of `ARCHIVES`; its content determines its kind. Archives and folders may be nested in
    folders. Archives within archives are not opened. Files that DVC does not track are left out, see `tracked.walk`. A
    file that cannot be read is an entry with a `problem`.

    `len` gives the number of entries. They can be iterated any number of times; each iteration reads folders and
    archives again. So memory holds only the names of archives, of contributors' folders and of files in neither, and
    the entries of one contributor.

    Args:
        root: the folder.

    Attributes:
        root: the folder.
        left_out: files and folders that DVC does not track, in order.

    Raises:
        DepixelError: `root` is not a folder or is empty, or a `.dvcignore` cannot be read.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._count = 0
        self._broken: list[Entry] = []  # archives that cannot be read; these entries have no name
        self._loose: list[str] = []
        self.left_out: list[tracked.Found] = []
        self._contributors: defaultdict[str, list[Callable[[], Iterable[Entry]]]] = defaultdict(list)
        folders: set[str] = set()
        packed: list[tuple[Path, int]] = []
        for found in tracked.walk(self.root):
            first, *rest = found.path.relative_to(self.root).parts
            if found.left_out:
                self.left_out.append(found)
            elif _is_archive(found.path):
                packed.append((found.path, found.size))
            elif rest:
                folders.add(first)
                self._count += 1
            else:
                self._loose.append(first)
                self._count += 1
        if not (self._count or packed):
            raise DepixelError(self._nothing())
        called = _called([*folders, *(_stem(path) for path, _ in packed)])
        for path, size in packed:
            contributor = called[_stem(path)]
            members = _members(contributor, path, size)
            self._count += len(members)
            self._broken += [entry for entry in members if not entry.name]
            self._contributors[contributor].append(partial(_members, contributor, path, size))
        for folder in folders:
            within = partial(_within, self.root, self.root / folder, called[folder])
            self._contributors[called[folder]].append(within)
        self._broken.sort(key=_order)
        self._loose.sort()
        self.left_out.sort()

    def _nothing(self) -> str:
        left_out = f"\n{tracked.told(self.left_out)}" if self.left_out else ""
        return (
            f"{self.root}: no photos there. Fetch those of this project with `dvc pull`, put contributors' ZIPs or "
            f"folders of photos into {self.root}, or make a sample with `depixel sample {self.root}`.{left_out}"
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return merge(self._broken, _of_folder(self.root, "", self._loose), self._of_contributors(), key=_order)

    def _of_contributors(self) -> Iterator[Entry]:
        for contributor in sorted(self._contributors, key=lambda name: f"{name}/"):  # the order of the paths
            found = merge(*(entries() for entries in self._contributors[contributor]), key=_order)
            yield from (entry for entry in found if entry.name)


def _called(names: Iterable[str]) -> dict[str, str]:
    """Name of an archive or folder -> name of its contributor.

    macOS may copy a folder with another Unicode form, Windows with another case. Such names are one contributor, so
    that all their photos are on one side of the split.
    """
    alike: defaultdict[str, set[str]] = defaultdict(set)
    called = {name: printable(unicodedata.normalize("NFC", name)) for name in names}
    for name in called.values():
        alike[_caseless(name)].add(name)
    return {name: min(alike[_caseless(shown)]) for name, shown in called.items()}


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def read(entry: Entry, limit: int) -> bytes:
    """Read an entry: all of it if it has at most `limit` bytes, otherwise its first limit + 1 bytes.

    The last archive stays open in this process, see `close`.

    Raises:
        UnreadableError: the entry is damaged, encrypted or gone, or its name points outside the archive.
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
    except MemoryError:  # not a problem of the entry
        raise
    except Exception as error:  # zipfile raises nearly anything on a damaged archive
        raise UnreadableError(f"cannot be read: {_one_line(error)}") from error


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def _stem(archive: Path) -> str:
    """The name without its suffix; the whole name if nothing else would be left."""
    end = next(end for end in ARCHIVES if archive.name.lower().endswith(end))
    return archive.name[: -len(end)] or archive.name


def kind_of(archive: Path) -> Kind:
    """The kind of an archive, from its first bytes; from its name if these are ambiguous or cannot be read."""
    head = _head(archive)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "ZIP"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    return "ZIP" if archive.name.lower().endswith(".zip") and not _is_tar(head) else "tar"


def _head(archive: Path) -> bytes:
    try:
        with archive.open("rb") as file:
            return file.read(tarfile.BLOCKSIZE)
    except OSError:  # the next attempt to open it reports the reason
        return b""


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")  # verifies the header's checksum
        return True
    except tarfile.HeaderError:
        return False


def _order(entry: Entry) -> tuple[str, str, int]:
    return entry.path, entry.source, entry.member or 0


def _within(root: Path, folder: Path, contributor: str) -> Iterator[Entry]:
    """The files in a contributor's folder, in order."""
    found = (one.path for one in tracked.walk(root, folder) if not one.left_out and not _is_archive(one.path))
    return _of_folder(folder, contributor, [path.relative_to(folder).as_posix() for path in found])


def _of_folder(folder: Path, contributor: str, names: list[str]) -> Iterator[Entry]:
    for name in sorted(names, key=printable):
        path = folder / name
        try:
            yield Entry(contributor, printable(name), path.stat().st_size, str(path))
        except OSError as error:  # gone meanwhile
            yield Entry(contributor, printable(name), 0, str(path), None, f"cannot be read: {_one_line(error)}")


def _members(contributor: str, archive: Path, size: int) -> list[Entry]:
    """The files in an archive, in order; one entry without a name if it cannot be read."""
    kind = kind_of(archive)
    try:
        members = list((_zipped if kind == "ZIP" else _tarred)(archive, size))
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise nearly any error
        other = next((what for start, what in _OTHERS.items() if _head(archive).startswith(start)), "")
        reason = f"it is {other}; only .zip, .tar and .tar.gz are read" if other else _one_line(error)
        return [Entry(contributor, "", size, str(archive), None, f"not a {kind.removesuffix('.gz')}: {reason}")]
    named = [(number, name) for number, (name, _, _, problem) in enumerate(members) if problem != _ELSEWHERE]
    last = {posixpath.normpath(name): number for number, name in named}  # unpacking keeps the last file of a name
    found = []
    for number, (name, length, member, problem) in enumerate(members):
        if name and last.get(posixpath.normpath(name), number) != number:
            problem = problem or "a later file in this archive has the same name and replaces it"
        found.append(Entry(contributor, printable(name), length, str(archive), member, problem))
    return sorted(found, key=_order)


def _zipped(archive: Path, size: int) -> Iterator[tuple[str, int, int, str]]:
    """Name, bytes, index and problem of each file in a ZIP."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    for index, member in enumerate(members):
        name = member.filename.replace("\\", "/")  # some tools on Windows write backslashes
        if not name.endswith("/"):
            yield name, member.file_size, index, _problem(member, name)


def _tarred(archive: Path, size: int) -> Iterator[tuple[str, int, int | None, str]]:
    """Name, bytes, offset and problem of each file in a tar; if it is damaged, a last item without a name says so."""
    most = _MOST_INFLATED * size + 10_000_000
    with _opened_tar(str(archive)) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as opened:
        damage = ""
        try:
            for member in opened:
                if member.offset_data + member.size > most:
                    raise ValueError(f"inflates to more than {_MOST_INFLATED} times its size")
                opened.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all; missing in the stubs
                if member.isdir():
                    continue
                problem = "" if _is_within(member.name) else _ELSEWHERE
                if not member.isreg() or member.issparse():
                    problem = "a link or a special file, which is not read"
                yield member.name, member.size, member.offset_data, problem
            file.seek(opened.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile treats a damaged header as the end
                damage = "a damaged header"
        except (tarfile.TarError, ValueError) as error:
            damage = str(error)
        if damage:
            yield "", size, None, f"damaged: all files after the damage are lost ({damage})"


def _opened_tar(path: str) -> BinaryIO:
    if kind_of(Path(path)) != "tar.gz":
        return Path(path).open("rb")
    return IndexedGzipFile(path, spacing=max(1 << 18, Path(path).stat().st_size // _PLACES))


class _Member(tarfile.TarInfo):
    """A header that is checked: tarfile itself accepts headers that need much memory or point back to themselves."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _HEADERS and self.size > _MOST_HEADER):
            raise ValueError("a damaged header")
        return super()._proc_member(archive)  # type: ignore[misc]  # missing in the stubs


def _problem(member: zipfile.ZipInfo, name: str) -> str:
    if not _is_within(name):
        return _ELSEWHERE
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type not in _METHODS:
        return f"compressed by method {member.compress_type}; only stored and deflated files are read"
    return ""


_ELSEWHERE = "not a name within the archive"


def _is_within(name: str) -> bool:
    return bool(name) and not (name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"))


@lru_cache(maxsize=1)
def _archive(path: str) -> zipfile.ZipFile | BinaryIO:
    return zipfile.ZipFile(path) if kind_of(Path(path)) == "ZIP" else _opened_tar(path)


def close() -> None:
    """Close the last archive. Call this before you replace its file, because Windows cannot replace an open file."""
    _archive.cache_clear()


if hasattr(os, "register_at_fork"):  # a file opened by the parent has one position for all processes
    os.register_at_fork(after_in_child=_archive.cache_clear)


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split())) or type(error).__name__
