"""TIFF structures: finds the values of the tags of a TIFF file, or of the Exif block of another file.

A structure begins with its byte order (II or MM), the number 42 and the offset of its first directory. A directory is
the number of its fields, the fields, and the offset of the next directory. A field has 12 bytes: tag, type, number of
values, and the values or, if they take more than 4 bytes, their offset (TIFF 6.0, section 2).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # by type
_FIELD = 12  # bytes


class BrokenTiffError(ValueError):
    """A TIFF structure is invalid, cut off, or points outside of itself."""


@dataclass(frozen=True)
class Field:
    """A field of a directory.

    Attributes:
        tag: the number that identifies the field.
        type: the type of the values, by its number in TIFF 6.0.
        count: number of values.
        place: offset of the last 4 bytes of the field, which hold the values or their offset.
    """

    tag: int
    type: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Size of all values in bytes. Raises `BrokenTiffError` if the type is unknown."""
        if self.type not in _BYTES:
            raise BrokenTiffError(f"a field of the unknown type {self.type}")
        return _BYTES[self.type] * self.count


class Tiff:
    """A TIFF structure in a seekable file. Offsets are bytes from the start of the file.

    Attributes:
        order: byte order in the notation of `struct`: "<" or ">".
        first: offset of the first directory.

    Raises:
        BrokenTiffError: the file does not begin like a TIFF structure.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        file.seek(0)
        order = {b"II": "<", b"MM": ">"}.get(file.read(2))
        if order is None:
            raise BrokenTiffError("it begins with neither II nor MM")
        self.order = order
        self.first = self.number(4)

    def number(self, place: int) -> int:
        """The 32-bit number at an offset. Raises `BrokenTiffError` beyond the end of the file."""
        return self._unpacked("I", place)[0]

    def fields(self, directory: int) -> Iterator[Field]:
        """Yield the fields of the directory at an offset, one by one.

        Raises:
            BrokenTiffError: the directory goes beyond the end of the file; raised after the fields before that.
        """
        for place in range(directory + 2, self.end_of(directory), _FIELD):
            tag, kind, count = self._unpacked("HHI", place)
            yield Field(tag, kind, count, place + 8)

    def end_of(self, directory: int) -> int:
        """The offset after the fields of a directory; the offset of the next directory is stored there (0: none)."""
        return directory + 2 + _FIELD * self._unpacked("H", directory)[0]

    def values_of(self, field: Field) -> int:
        """The offset of a field's values. Raises `BrokenTiffError` if their type is unknown or the file ends before."""
        return field.place if field.size <= 4 else self.number(field.place)

    def _unpacked(self, layout: str, place: int) -> tuple[int, ...]:
        self._file.seek(place)
        try:
            return struct.unpack(f"{self.order}{layout}", self._file.read(struct.calcsize(f"{self.order}{layout}")))
        except struct.error as error:
            raise BrokenTiffError(f"cut off at byte {place}") from error
