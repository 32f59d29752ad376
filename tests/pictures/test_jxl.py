"""The head of a JPEG XL file, by files of libjxl and by hand."""

import sys
from types import ModuleType

import pytest

from depixel.base.errors import DepixelError
from depixel.photos.decoding import UnreadableError
from depixel.pictures import formats
from depixel.pictures.jxl import head


def bits(*numbers: tuple[int, int]) -> bytes:
    """A bare file that begins with these numbers, each with its count of bits."""
    found, at = 0, 0
    for number, count in numbers:
        found |= number << at
        at += count
    return b"\xff\x0a" + found.to_bytes(40, "little")


@pytest.mark.parametrize(
    ("begins", "size"),
    [
        ("ff0ac805160d00138802", (140, 186)),
        ("ff0a4f06001388020051", (64, 64)),
        ("ff0a03c00013880200e0", (8, 16)),
        ("ff0a7a3e1c0013880200", (3000, 2000)),
        ("ff0a308000c400138802", (513, 7)),
        ("ff0ac8d2010013880200", (160, 90)),
    ],
)
def test_the_size_is_that_of_the_picture(begins, size):
    data = bytes.fromhex(begins)
    box = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl \0\0\0\0"
    for file in (data, box + b"jxlc" + data, box + b"jxlp\0\0\0\0" + data):
        assert head(file) == (*size, False)


SMALL = ((1, 1), (7, 5), (1, 3))  # 64 x 64
ANIMATION = (*SMALL, (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (1, 1))
LARGE = ((0, 1), (2, 2), (19_999, 18), (1, 3), (1, 1))


def test_animations_and_large_pictures_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", ModuleType("pillow_jxl"))
    assert head(bits(*ANIMATION)) == (64, 64, True) and head(bits(*LARGE)) == (20_000, 20_000, False)
    assert not head(bits(*ANIMATION[:-1], (0, 1))).animated
    with pytest.raises(DepixelError, match="is animated"):
        formats.decoded(bits(*ANIMATION))
    with pytest.raises(DepixelError, match="more than 50 million pixels"):
        formats.decoded(bits(*LARGE))


def boxes(*parts: tuple[bytes, bytes]) -> bytes:
    """A container of these boxes: kind and content."""
    both = [(b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl \0\0\0\0jxl "), *parts]
    return b"".join((len(content) + 8).to_bytes(4, "big") + kind + content for kind, content in both)


def test_only_boxes_say_where_the_picture_is():
    large = b"\xff\x0a" + bytes([0b1111_1000, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) + bytes(40)
    decoy = b"\0\0\0\0jxlc\xff\x0a" + bytes(40)
    whole = head(large)
    assert head(boxes((b"Exif", decoy), (b"jxlc", large))) == whole
    assert head(boxes((b"jxlp", bytes(4) + large[:3]), (b"Exif", decoy), (b"jxlp", bytes(4) + large[3:]))) == whole
    with pytest.raises(UnreadableError, match="has no picture"):
        head(boxes((b"Exif", decoy)))
