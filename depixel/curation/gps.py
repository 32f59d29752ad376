"""GPS positions in photos: find them, and remove them without changing anything else.

A JPEG has segments before its pixels (ITU-T T.81, B.1.1). A position is in the Exif segment, in a directory of a TIFF
structure (CIPA DC-008, 4.6.6), or in the XMP segment, as text.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.photos import archives
from depixel.photos.archives import Entries, Entry
from depixel.photos.decoding import UnreadableError
from depixel.photos.tiff import BrokenTiffError, Tiff

MOST_BYTES = 1 << 28
"""Maximum size in bytes of a file that is searched, far more than a photo has."""

_APP1, _SCAN = 0xE1, 0xDA
_NEXT_PHOTO = b"\xff\xd8\xff"  # the marker FF D8 never occurs within the pixels of a photo
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/"
_GPS_DIRECTORY = 0x8825  # tag: the offset of the directory


def without_position(data: bytes) -> bytes:
    """Remove the GPS position from a photo, and from photos appended to it.

    In the Exif segment, the fields of the GPS directory and their values become zeros, so that everything else stays
    at its place. An XMP segment that mentions GPS is removed, and so is an Exif segment with a broken GPS directory.

    Args:
        data: the bytes of any file.

    Returns:
        The bytes of the photo without position; `data` itself if it has none, or if it is no JPEG.
    """
    kept, end, changed = [data[:2]], 2, False
    for start, end, marker in _segments(data):
        segment = data[start:end]
        body = segment[4:]
        if marker == _APP1 and body.startswith(_EXIF):
            cleaned = _without_directory(body[len(_EXIF) :])
            if cleaned != body[len(_EXIF) :]:
                changed = True
                segment = segment[: 4 + len(_EXIF)] + cleaned if cleaned else b""
        elif marker == _APP1 and body.startswith(_XMP) and b"GPS" in body:
            changed, segment = True, b""
        kept.append(segment)
    rest = data[end:]
    if end > 2 and (at := rest.find(_NEXT_PHOTO)) >= 0:  # phones append previews and moving pictures
        cleaned = without_position(rest[at:])
        changed |= cleaned != rest[at:]
        rest = rest[:at] + cleaned
    return b"".join([*kept, rest]) if changed else data


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and marker of each segment before the first scan of a JPEG; nothing for other files."""
    position = 2
    while data[:2] == b"\xff\xd8" and position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xFF:  # fill bytes may precede a marker
            position += 1
            continue
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if marker == _SCAN or length < 2 or end > len(data):
            return
        yield position, end, marker
        position = end


def _without_directory(data: bytes) -> bytes:
    """A TIFF structure with zeros in place of its GPS directory; empty bytes if that directory is broken."""
    found, position = bytearray(data), False
    try:
        tiff = Tiff(io.BytesIO(data))
        for field in tiff.fields(tiff.first):
            if field.tag == _GPS_DIRECTORY:
                position = True
                directory = tiff.number(field.place)
                for part in tiff.fields(directory):
                    values, size = tiff.values_of(part), part.size
                    if values + size > len(data):
                        raise BrokenTiffError("values behind the end")
                    found[values : values + size] = bytes(size)
                end = tiff.end_of(directory)
                found[directory:end] = bytes(end - directory)
    except BrokenTiffError:
        return b"" if position else data
    return bytes(found)


def located(entries: Entries) -> Iterator[Entry]:
    """Yield the entries with a GPS position, in order; skip entries that cannot be read."""
    for entry in entries:
        try:
            data = archives.read(entry, MOST_BYTES)
        except UnreadableError:
            continue
        if without_position(data) != data:
            yield entry


def strip(path: Path) -> None:
    """Remove the positions from a photo, or from all photos in an archive. Members keep their names, times and order.

    Raises:
        DepixelError: a member cannot be read, or the file cannot be written. The file is then unchanged.
    """
    archives.close()
    kind = archives.kind_of(path) if path.name.lower().endswith(archives.ARCHIVES) else None
    try:
        with replacing(path) as beside:
            if kind is None:
                beside.write_bytes(without_position(path.read_bytes()))
            elif kind == "ZIP":
                _strip_zip(path, beside)
            else:
                _strip_tar(path, beside, "w" if kind == "tar" else "w:gz")
    except (zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise DepixelError(
            f"{path.as_posix()}: positions cannot be removed ({error}). Remove the damaged or encrypted files from "
            "the archive, or the archive from the photos"
        ) from error


def _strip_zip(path: Path, beside: Path) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(beside, "w") as new:
        new.comment = old.comment
        for member in old.infolist():
            _check_size(member.file_size)
            new.writestr(member, without_position(old.read(member)), member.compress_type)


def _strip_tar(path: Path, beside: Path, mode: Literal["w", "w:gz"]) -> None:
    with tarfile.open(path) as old, tarfile.open(beside, mode) as new:
        for member in old:
            content = old.extractfile(member) if member.isreg() else None
            if content is not None:
                _check_size(member.size)
            data = without_position(content.read()) if content is not None else b""
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def _check_size(size: int) -> None:
    """Raise `RuntimeError` for a member that is too large, as zipfile does for an encrypted one."""
    if size > MOST_BYTES:
        raise RuntimeError(f"a member has {size} bytes, more than the maximum of {MOST_BYTES}")
