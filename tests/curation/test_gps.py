"""GPS positions are found and taken out, and nothing else changes."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from depixel.curation.gps import located, strip, without_position
from depixel.photos.archives import Entries
from depixel.photos.decoding import decode

POSITION = {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 36.0), 5: b"\0", 6: 34.5}
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><exif:GPSLatitude>52,31.2N</exif:GPSLatitude></x:xmpmeta>"


def photo(position=True, orientation=6):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera of a long name"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:11:25 12:00:00"
    if position:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(POSITION)
    file = io.BytesIO()
    Image.radial_gradient("L").resize((120, 100)).convert("RGB").save(file, "JPEG", exif=exif)
    return file.getvalue()


def gps(data):
    return dict(Image.open(io.BytesIO(data)).getexif().get_ifd(ExifTags.IFD.GPSInfo))


def with_segment(data, body, marker=b"\xff\xe1"):
    return data[:2] + marker + struct.pack(">H", len(body) + 2) + body + data[2:]


def test_the_position_goes_and_all_else_stays():
    data = photo()
    assert gps(data)[2] == POSITION[2]
    cleaned = without_position(data)
    assert gps(cleaned) == {} and len(cleaned) == len(data)
    before, after = (Image.open(io.BytesIO(content)).getexif() for content in (data, cleaned))
    assert after[ExifTags.Base.Make] == before[ExifTags.Base.Make] == "A camera of a long name"
    assert after.get_ifd(ExifTags.IFD.Exif) == before.get_ifd(ExifTags.IFD.Exif) != {}
    assert decode(cleaned).size == (100, 120)  # still turned upright
    assert decode(cleaned).tobytes() == decode(data).tobytes()
    scan = data.index(b"\xff\xdb")  # the tables and all that follows
    assert cleaned[scan:] == data[scan:]
    for value in (52, 31, 13, 24):  # as a rational, in either order of bytes
        assert all(struct.pack(f"{order}II", value, 1) not in cleaned for order in "<>")


@pytest.mark.parametrize("data", [photo(position=False), b"", b"\xff\xd8", b"\xff\xd8\xff\xe1", b"PNG", b"\0" * 99])
def test_what_has_none_is_the_same_object(data):
    assert without_position(data) is data


def test_a_position_in_xmp():
    plain = photo(position=False)
    assert without_position(with_segment(plain, XMP)) == plain
    harmless = with_segment(plain, XMP.replace(b"GPS", b"XYZ"))
    assert without_position(harmless) is harmless


def test_both_orders_of_bytes():
    data = photo()
    start = data.index(b"Exif\0\0") + 6
    for order in ("<", ">"):
        entry = struct.pack(f"{order}HHII", 2, 5, 1, 26 + 18)
        tiff = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
        tiff += struct.pack(f"{order}HHHIII", 1, 0x8825, 4, 1, 26, 0) + struct.pack(f"{order}H", 1) + entry
        tiff += struct.pack(f"{order}III", 0, 52, 1)
        made = with_segment(photo(position=False), b"Exif\0\0" + tiff)
        cleaned = without_position(made)
        assert len(cleaned) == len(made) and struct.pack(f"{order}II", 52, 1) not in cleaned
    assert start > 0


@pytest.mark.parametrize("cut", range(20, 200, 12))
def test_broken_exif_is_left_out_rather_than_published(cut):
    data = photo()
    length = int.from_bytes(data[4:6], "big")
    body = data[6 : 4 + length]
    broken = data[:2] + data[4 + length :]
    cleaned = without_position(with_segment(broken, body[:cut]))
    assert gps(cleaned) == {} and decode(cleaned).tobytes() == decode(broken).tobytes()


def test_folders_and_archives(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "b.jpg").write_bytes(photo(position=False))
    with zipfile.ZipFile(tmp_path / "k1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"z.jpg": photo(), "notes.txt": b"GPS", "c.jpg": photo(position=False)}.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 2, 2, 2, 2, 2)), content, zipfile.ZIP_DEFLATED)
    with tarfile.open(tmp_path / "k2.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("y.jpg")
        info.size, info.mtime = len(photo()), 12345
        archive.addfile(info, io.BytesIO(photo()))
    found = list(located(Entries(tmp_path)))
    assert [entry.path for entry in found] == ["a.jpg", "k1/z.jpg", "k2/y.jpg"]
    with zipfile.ZipFile(tmp_path / "k1.zip") as archive:
        before = [(m.filename, m.date_time, m.compress_type) for m in archive.infolist()]
    for entry in found:
        strip(Path(entry.source))
    assert list(located(Entries(tmp_path))) == []
    with zipfile.ZipFile(tmp_path / "k1.zip") as archive:
        assert [(m.filename, m.date_time, m.compress_type) for m in archive.infolist()] == before
        assert archive.read("notes.txt") == b"GPS" and gps(archive.read("z.jpg")) == {}
    with tarfile.open(tmp_path / "k2.tgz") as archive:
        assert [(member.name, member.mtime) for member in archive] == [("y.jpg", 12345)]


def test_photos_that_are_appended_lose_theirs_too():
    data = photo(position=False) + b"between" + photo()
    cleaned = without_position(data)
    assert len(cleaned) == len(data) and cleaned != data
    assert gps(cleaned[cleaned.index(b"between") + 7 :]) == {}
    assert without_position(cleaned) is cleaned
