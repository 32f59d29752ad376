"""What a file is, by its content."""

import io
import struct
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.pictures import formats, kinds


def box(kind: bytes, content: bytes = bytes(16)) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"")
    return file.getvalue()


def raw(*tags: tuple[int, int | str]) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    for tag, value in tags:
        exif[tag] = value
    Image.new("RGB", (9, 9)).save(file, "TIFF", exif=exif)
    return file.getvalue()


OTHERS = {
    "empty": (b"", "is empty"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "is a PDF"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is a drawing (SVG)"),
    "HTML": (b"\n<!DOCTYPE html><html>", "is a web page (HTML)"),
    "text": ("Grüße".encode() * 300, "is text"),
    "UTF-16": ("text".encode("utf-16"), "is text"),
    "PSD": (b"8BPS\0\1" + bytes(30), "is a Photoshop file"),
    "XCF": (b"gimp xcf v011\0", "is a GIMP file"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "raw file (CR2)"),
    "CR3": (box(b"ftyp", b"crx \0\0\0\1crx isom"), "raw file (CR3)"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "raw file (RAF)"),
    "DNG": (raw((50706, b"\1\4\0\0"), (271, "Maker")), "raw file (DNG)"),
    "NEF": (raw((254, 1), (271, "NIKON"), (330, 8)), "raw file (NEF"),
    "MP4": (box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"), "video is not supported. Extract frames: ffmpeg -i"),
    "MOV": (box(b"wide", b"") + box(b"mdat"), "video is not supported. Extract frames: ffmpeg -i"),
    "MKV": (b"\x1aE\xdf\xa3\x01", "video is not supported"),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST", "video is not supported"),
    "zip": (packed(), "is a ZIP archive"),
    "ICO": (b"\0\0\1\0\1\0\x10\x10" + bytes(40), "is an icon (ICO)"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "zeros": (bytes(5000), "is not a picture"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_picture_is_named_for_what_it_is(tmp_path, kind):
    data, said = OTHERS[kind]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DepixelError) as caught:
        formats.read(tmp_path / "a.png")
    assert str(caught.value).startswith(f"{tmp_path / 'a.png'}: is ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "module", "said"),
    [
        (box(b"ftyp", b"heic\0\0\0\0mif1heic"), "pillow_heif", "is HEIC, .*pip install pillow-heif"),
        (box(b"ftyp", b"mif1\0\0\0\0mif1heix"), "pillow_heif", "is HEIC, .*pip install pillow-heif"),
        (b"\xff\x0a\xfa\x1f", "pillow_jxl", "is JPEG XL, .*pip install pillow-jxl-plugin"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pillow_jxl", "is JPEG XL, .*pip install pillow-jxl-plugin"),
    ],
)
def test_what_a_plugin_reads_names_the_plugin_that_is_missing(monkeypatch, data, module, said):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DepixelError, match=said):
        formats.decoded(data)


def test_a_plugin_that_is_there_is_registered(monkeypatch):
    registered = []
    plugin = ModuleType("pillow_heif")
    plugin.register_heif_opener = lambda: registered.append("HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    assert kinds.formats_of(box(b"ftyp", b"heic\0\0\0\0mif1heic")) == ("HEIF",) and registered == ["HEIF"]


@pytest.mark.parametrize(("module", "form"), [("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")])
def test_with_their_plugins_heic_and_jpeg_xl_are_read(module, form):
    plugin = pytest.importorskip(module, reason="the extra `formats` is not installed")
    getattr(plugin, "register_heif_opener", lambda: None)()
    file, tags = io.BytesIO(), Image.Exif()
    tags[271] = "Maker"
    shown = Image.effect_noise((40, 30), 50).convert("RGB")
    shown.save(file, form, quality=-1 if form == "HEIF" else 100, exif=tags.tobytes(), lossless=True, chroma=444)
    picture = formats.decoded(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(file)))
    with pytest.raises(DepixelError, match="--format png"):
        formats.encoded(picture)
    assert formats.decoded(formats.encoded(formats.as_format(picture, "PNG"))).pixels.shape == (30, 40, 3)


def test_names_do_not_matter(tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.tga", "BMP")
    assert formats.read(tmp_path / "a.tga").format == "BMP"
