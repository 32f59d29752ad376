"""Directories of a TIFF structure (TIFF 6.0, section 2): of TIFF files, and of the Exif segment in others."""

import struct
from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """An entry of a directory.

    Attributes:
        tag: what it says. kind: number of its TIFF type. values: how many there are.
        place: where its value stands, or if that has more than 4 bytes, where the value's place stands.
    """

    tag: int
    kind: int
    values: int
    place: int


def header(tiff: bytes) -> tuple[str, int]:
    """The byte order, "<" or ">" as `struct` has it, and where the first directory begins.

    Raises:
        KeyError: no TIFF. struct.error: it ends too early.
    """
    order = {b"II": "<", b"MM": ">"}[tiff[:2]]
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    return order, first


def entries(tiff: bytes, order: str, directory: int) -> Iterator[Entry]:
    """The entries of the directory that begins at this place.

    Raises:
        struct.error: it ends too early, as soon as an entry is missing.
    """
    for place in range(directory + 2, end(tiff, order, directory), 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, place)
        yield Entry(tag, kind, values, place + 8)


def end(tiff: bytes, order: str, directory: int) -> int:
    """Where the entries of a directory end, and the place of the next directory stands.

    Raises:
        struct.error: it ends too early.
    """
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    return directory + 2 + 12 * int(count)
