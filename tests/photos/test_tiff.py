"""TIFF structures are read in both orders of bytes, and broken ones say so."""

import io
import struct

import pytest
from PIL import Image

from depixel.photos.tiff import BrokenTiffError, Field, Tiff


def structure(order: str) -> bytes:
    """One directory of two fields: a number in place, and two fractions elsewhere; no directory after it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    fields = struct.pack(f"{order}HHHIHH", 2, 274, 3, 1, 6, 0) + struct.pack(f"{order}HHII", 2, 5, 2, 38)
    return head + fields + struct.pack(f"{order}I", 0) + struct.pack(f"{order}IIII", 52, 1, 31, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_fields_and_their_values_are_found(order):
    data = structure(order)
    tiff = Tiff(io.BytesIO(data))
    assert (tiff.order, tiff.first) == (order, 8)
    assert list(tiff.fields(8)) == [Field(274, 3, 1, 18), Field(2, 5, 2, 30)]
    near, far = tiff.fields(8)
    assert (near.size, tiff.values_of(near)) == (2, 18)
    assert (far.size, tiff.values_of(far)) == (16, 38) and data[38:].startswith(struct.pack(f"{order}I", 52))
    assert tiff.end_of(8) == 34 and tiff.number(34) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_cut_off_is_broken_and_what_comes_before_is_read(order):
    data = structure(order)
    for end in range(8):
        with pytest.raises(BrokenTiffError):
            Tiff(io.BytesIO(data[:end]))
    fields = Tiff(io.BytesIO(data[:29])).fields(8)
    assert next(fields).tag == 274
    with pytest.raises(BrokenTiffError, match="cut off at byte 22"):
        next(fields)


def test_another_file_and_an_unknown_type_are_broken():
    with pytest.raises(BrokenTiffError, match="neither II nor MM"):
        Tiff(io.BytesIO(b"\x89PNG\r\n\x1a\n"))
    with pytest.raises(BrokenTiffError, match="unknown type 99"):
        _ = Field(2, 99, 1, 0).size


def test_a_tiff_by_pillow(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("rb") as file:
        tiff = Tiff(file)
        sizes = {field.tag: field for field in tiff.fields(tiff.first) if field.tag in (256, 257)}
        found = []
        for field in sizes.values():
            file.seek(tiff.values_of(field))
            found.append(int.from_bytes(file.read(field.size), "little" if tiff.order == "<" else "big"))
    assert found == [30, 20]
