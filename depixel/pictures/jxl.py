"""The header of a JPEG XL file: its size, and whether it is animated (ISO/IEC 18181-1, D.2 and D.3).

This is needed because the plugin decodes a file when it opens it, and then only the first frame.
"""

from typing import NamedTuple

from depixel.photos.decoding import UnreadableError

_HEAD = 40  # bytes of the codestream that are read
_SIZES = (9, 13, 18, 30)  # numbers of bits of a side
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of width to height


class Head(NamedTuple):
    """Width and height in pixels, as stored, and whether there may be more frames."""

    width: int
    height: int
    animated: bool


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream in a container; it may be split over boxes (ISO/IEC 18181-2, 9)."""
    place, found = 0, b""
    while len(found) < _HEAD and len(data) >= place + 8:
        length, kind, content = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8], place + 8
        if length == 1:  # a 64-bit length follows the kind
            length, content = int.from_bytes(data[content : content + 8], "big"), place + 16
        end = place + length if length else len(data)
        if end < content:
            break
        if kind in (b"jxlc", b"jxlp"):
            begin = content + 4 * (kind == b"jxlp")  # a part begins with its number
            found += data[begin : min(end, begin + _HEAD)]
        place = end
    if not found:
        raise UnreadableError("the file is damaged: it has no picture")
    return found[:_HEAD]


class _Bits:
    """Reader of numbers, lowest bits first, with zeros behind the end."""

    def __init__(self, data: bytes):
        self._number, self._at = int.from_bytes(data, "little"), 0

    def take(self, count: int) -> int:
        found = self._number >> self._at & (1 << count) - 1
        self._at += count
        return found


def head(data: bytes) -> Head:
    """Read the header of a JPEG XL file, bare or in a container. A broken file gives arbitrary numbers.

    Raises:
        UnreadableError: the container has no codestream.
    """
    stream = data[:_HEAD] if data.startswith(b"\xff\x0a") else _codestream(data)
    bits = _Bits(stream[2:])
    width, height = _size(bits)
    animated = False
    if not bits.take(1) and bits.take(1):  # not all_default, and extra_fields
        bits.take(3)  # orientation
        if bits.take(1):
            _size(bits)  # intrinsic size
        if not bits.take(1):  # no preview; previews are rare
            animated = bool(bits.take(1))
    return Head(width, height, animated)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return _side(bits, small), height
    over, under = _RATIOS[ratio - 1]
    return height * over // under, height


def _side(bits: _Bits, small: int) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.take(_SIZES[bits.take(2)]) + 1
