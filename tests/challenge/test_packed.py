"""Packed files are read by their content, up to a limit."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import numpy as np
import pytest

from depixel.base.errors import DepixelError
from depixel.challenge import packed, test_sets
from tests.challenge.test_test_sets import IMAGES, MASKS, content, saved


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/a", data)
    return file.getvalue()


PACKERS = {
    "bz2": bz2.compress,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zip": zipped,
}


@pytest.mark.parametrize("name", PACKERS)
def test_what_is_packed_is_read_whatever_its_name(tmp_path, name):
    pack = PACKERS[name]
    predictions = [np.arange(40, dtype=np.uint8), np.zeros(7, np.uint8)]
    test_sets.write_submission(tmp_path / "s.bin", predictions)
    path = saved(tmp_path / "s.txt", pack((tmp_path / "s.bin").read_bytes()))
    for one, other in zip(test_sets.read_submission(path), predictions, strict=True):
        np.testing.assert_array_equal(one, other)
    assert test_sets.packer_of(path) == name.replace("lzma", "xz") and not test_sets.packer_of(tmp_path / "s.bin")
    path = saved(tmp_path / "t.pkl", pack(pickle.dumps(content(IMAGES, MASKS))))
    np.testing.assert_array_equal(test_sets.read_test_set(path).pixelated, np.concatenate(IMAGES))


@pytest.mark.parametrize("name", PACKERS)
def test_what_unpacks_to_too_much_is_refused(name):
    data = PACKERS[name](bytes(10_000_000))
    assert len(packed.unpacked(data, 10_000_000)) == 10_000_000
    with pytest.raises(DepixelError, match="more than 9999999 bytes when unpacked"):
        packed.unpacked(data, 9_999_999)


def test_a_zip_whose_file_has_no_name_is_told():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"content")
        archive.filelist[0].filename = ""  # in the list at the end
    with pytest.raises(DepixelError, match="damaged: it is packed by zip"):
        packed.unpacked(file.getvalue(), 100)


@pytest.mark.parametrize("name", PACKERS)
def test_what_is_packed_and_damaged_is_told(tmp_path, name):
    data = PACKERS[name](np.random.default_rng(0).bytes(5000))
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 16
    for broken in (data[:-40], bytes(flipped), data[:14]):
        try:
            read = packed.unpacked(broken, 10**6)
        except DepixelError as error:
            assert "damaged: it is packed by" in str(error)
            continue
        assert name == "lzma" and read != data  # it has no checksum
    path = saved(tmp_path / "s.bin", data[: len(data) // 2])
    with pytest.raises(DepixelError, match=r"s\.bin: damaged: it is packed by"):
        test_sets.read_submission(path)
    with pytest.raises(DepixelError, match="the file is empty when unpacked"):
        packed.unpacked(PACKERS[name](b""), 10)
