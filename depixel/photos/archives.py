"""Reads photos from folders, buckets, ZIPs and tars by one interface in a fixed order, without unpacking to disk."""

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
from depixel.photos.bucket import Bucket, File, opened, place
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
        source: the path of the file or of the archive, or its URL.
        member: the index in a ZIP; the offset of the content in a tar; None for a file in a folder.
        problem: the reason why the file cannot be read; "" if none is known.
        version: the ETag of an object in a bucket; "" for files of this machine.
    """

    contributor: str
    name: str
    size: int
    source: str
    member: int | None = None
    problem: str = ""
    version: str = ""

    @property
    def path(self) -> str:
        """`contributor/name`; entries are sorted by it."""
        return path_of(self.contributor, self.name)


class Entries:
    """All files below a folder or in a bucket, with those in archives, in ascending order of `Entry.path`.

    An archive has a suffix of `ARCHIVES`; its content determines its kind. Archives and folders may be nested in
    folders. Archives within archives are not opened. Files that DVC does not track are left out, see `tracked.walk`. A
    file that cannot be read is an entry with a `problem`.

    `len` gives the number of entries. They can be iterated any number of times; each iteration reads folders and
    archives again. So memory holds only the names of archives, of contributors' folders and of files in neither, and
    the entries of one contributor.

    Args:
        root: the folder; or a bucket, also as s3://BUCKET/PREFIX.

    Attributes:
        root: the folder or the bucket.
        left_out: files and folders that DVC does not track, in order.

    Raises:
        DepixelError: `root` is not a folder or is empty, a `.dvcignore` cannot be read, or the bucket cannot be read.
    """

    def __init__(self, root: str | Path | Bucket):
        self.root = place(root)
        self._count = 0
        self._broken: list[Entry] = []  # archives that cannot be read; these entries have no name
        self._loose: list[File] = []
        self.left_out: list[tracked.Found] = []
        self._contributors: defaultdict[str, list[Callable[[], Iterable[Entry]]]] = defaultdict(list)
        folders: set[str] = set()
        packed: list[File] = []
        for file in _walk(self.root, left_out=self.left_out):
            folder, slash, _ = file.name.partition("/")
            if _is_archive(file.name) and _is_path(file.name):
                packed.append(file)
                continue
            self._count += 1
            if slash and _is_path(file.name):
                folders.add(folder)
            else:
                self._loose.append(file)
        if not (self._count or packed):
            raise DepixelError(self._nothing())
        called = _called([*folders, *(_stem(file.name) for file in packed)])
        for file in packed:
            contributor = called[_stem(file.name)]
            members = _members(contributor, file)
            self._count += len(members)
            self._broken += [entry for entry in members if not entry.name]
            self._contributors[contributor].append(partial(_members, contributor, file))
        for folder in folders:
            within = partial(_within, self.root, folder, called[folder])
            self._contributors[called[folder]].append(within)
        self._broken.sort(key=_order)
        self.left_out.sort()

    def _nothing(self) -> str:
        if isinstance(self.root, Bucket):
            return f"{self.root}: no objects there. Check the bucket and the prefix"
        left_out = f"\n{tracked.told(self.left_out)}" if self.left_out else ""
        return (
            f"{self.root}: no photos there. Fetch those of this project with `dvc pull`, put contributors' ZIPs or "
            f"folders of photos into {self.root}, or make a sample with `depixel sample {self.root}`.{left_out}"
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return merge(self._broken, _of_folder("", "", self._loose), self._of_contributors(), key=_order)

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
        DepixelError: its bucket cannot be read.
    """
    if entry.problem:
        raise UnreadableError(entry.problem)
    try:
        if entry.member is None:
            with opened(entry.source, entry.version) as file:
                return file.read(limit + 1)
        archive = _archive(entry.source, entry.version)
        if isinstance(archive, zipfile.ZipFile):
            with archive.open(archive.infolist()[entry.member]) as file:
                return file.read(limit + 1)
        archive.seek(entry.member)
        data = archive.read(min(entry.size, limit + 1))
        if len(data) < min(entry.size, limit + 1):
            raise EOFError("cut off")
        return data
    except (MemoryError, DepixelError):  # not a problem of the entry
        raise
    except Exception as error:  # zipfile raises nearly anything on a damaged archive
        _check_bucket(error)
        raise UnreadableError(f"cannot be read: {_one_line(error)}") from error


def _check_bucket(error: Exception) -> None:
    """Raise the error of a bucket that a library has wrapped into one of its own, as indexed_gzip does."""
    if isinstance(error.__cause__, DepixelError):
        raise error.__cause__


def _walk(root: Path | Bucket, folder: str = "", left_out: list[tracked.Found] | None = None) -> Iterator[File]:
    """The files below a folder or in a bucket, or in a folder there; those that DVC does not track go to `left_out`."""
    if isinstance(root, Bucket):
        yield from root.walk(folder)
        return
    for found in tracked.walk(root, root / folder if folder else None):
        if not found.left_out:
            yield File(str(found.path), found.path.relative_to(root).as_posix(), found.size)
        elif left_out is not None:
            left_out.append(found)


def _is_path(name: str) -> bool:
    """Whether a folder can hold a file by this name; the name of an object may be any text."""
    return not {"", ".", ".."} & set(name.split("/"))


def _is_archive(path: str) -> bool:
    return path.lower().endswith(ARCHIVES)


def _stem(archive: str) -> str:
    """The name without its suffix; the whole name if nothing else would be left."""
    name = posixpath.basename(archive)
    end = next(end for end in ARCHIVES if name.lower().endswith(end))
    return name[: -len(end)] or name


def kind_of(archive: str | Path, version: str = "") -> Kind:
    """The kind of an archive, from its first bytes; from its name if these are ambiguous or cannot be read."""
    head = _head(str(archive), version)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "ZIP"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    return "ZIP" if str(archive).lower().endswith(".zip") and not _is_tar(head) else "tar"


def _head(archive: str, version: str) -> bytes:
    try:
        with opened(archive, version) as file:
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


def _within(root: Path | Bucket, folder: str, contributor: str) -> Iterator[Entry]:
    """The files in a contributor's folder, in order."""
    found = (file for file in _walk(root, folder) if _is_path(file.name) and not _is_archive(file.name))
    return _of_folder(folder, contributor, found)


def _of_folder(folder: str, contributor: str, files: Iterable[File]) -> Iterator[Entry]:
    start = f"{folder}/" if folder else ""
    for file in sorted(files, key=lambda file: printable(file.name)):
        name = printable(file.name.removeprefix(start))
        size, problem = file.size, "" if _is_path(file.name) else "not the path of a file in a folder"
        try:
            size = size if file.version else Path(file.source).stat().st_size
        except OSError as error:  # gone meanwhile
            size, problem = 0, f"cannot be read: {_one_line(error)}"
        yield Entry(contributor, name, size, file.source, None, problem, file.version)


def _members(contributor: str, archive: File) -> list[Entry]:
    """The files in an archive, in order; one entry without a name if it cannot be read."""
    path, _, size, version = archive
    kind = kind_of(path, version)
    try:
        members = list((_zipped if kind == "ZIP" else _tarred)(path, size, version))
    except (MemoryError, DepixelError):
        raise
    except Exception as error:  # damaged archives raise nearly any error
        _check_bucket(error)
        head = _head(path, version)
        other = next((what for start, what in _OTHERS.items() if head.startswith(start)), "")
        reason = f"it is {other}; only .zip, .tar and .tar.gz are read" if other else _one_line(error)
        return [Entry(contributor, "", size, path, None, f"not a {kind.removesuffix('.gz')}: {reason}", version)]
    named = [(number, name) for number, (name, _, _, problem) in enumerate(members) if problem != _ELSEWHERE]
    last = {posixpath.normpath(name): number for number, name in named}  # unpacking keeps the last file of a name
    found = []
    for number, (name, length, member, problem) in enumerate(members):
        if name and last.get(posixpath.normpath(name), number) != number:
            problem = problem or "a later file in this archive has the same name and replaces it"
        found.append(Entry(contributor, printable(name), length, path, member, problem, version))
    return sorted(found, key=_order)


def _zipped(archive: str, size: int, version: str) -> Iterator[tuple[str, int, int, str]]:
    """Name, bytes, index and problem of each file in a ZIP."""
    with opened(archive, version) as file, zipfile.ZipFile(file) as unpacked:
        members = unpacked.infolist()
    for index, member in enumerate(members):
        name = member.filename.replace("\\", "/")  # some tools on Windows write backslashes
        if not name.endswith("/"):
            yield name, member.file_size, index, _problem(member, name)


def _tarred(archive: str, size: int, version: str) -> Iterator[tuple[str, int, int | None, str]]:
    """Name, bytes, offset and problem of each file in a tar; if it is damaged, a last item without a name says so."""
    most = _MOST_INFLATED * size + 10_000_000
    with _opened_tar(archive, version) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as unpacked:
        damage = ""
        try:
            for member in unpacked:
                if member.offset_data + member.size > most:
                    raise ValueError(f"inflates to more than {_MOST_INFLATED} times its size")
                unpacked.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all; missing in the stubs
                if member.isdir():
                    continue
                problem = "" if _is_within(member.name) else _ELSEWHERE
                if not member.isreg() or member.issparse():
                    problem = "a link or a special file, which is not read"
                yield member.name, member.size, member.offset_data, problem
            file.seek(unpacked.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile treats a damaged header as the end
                damage = "a damaged header"
        except (tarfile.TarError, ValueError) as error:
            damage = str(error)
        if damage:
            yield "", size, None, f"damaged: all files after the damage are lost ({damage})"


def _opened_tar(path: str, version: str) -> BinaryIO:
    file = opened(path, version)
    if kind_of(path, version) != "tar.gz":
        return file
    size = file.seek(0, os.SEEK_END)
    return IndexedGzipFile(fileobj=file, spacing=max(1 << 18, size // _PLACES))


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
def _archive(path: str, version: str) -> zipfile.ZipFile | BinaryIO:
    return zipfile.ZipFile(opened(path, version)) if kind_of(path, version) == "ZIP" else _opened_tar(path, version)


def close() -> None:
    """Close the last archive. Call this before you replace its file, because Windows cannot replace an open file."""
    _archive.cache_clear()


if hasattr(os, "register_at_fork"):  # a file opened by the parent has one position for all processes
    os.register_at_fork(after_in_child=_archive.cache_clear)


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split())) or type(error).__name__
