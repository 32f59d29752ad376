"""Kinds of files: the formats that depixel reads and writes, and the names of others for messages.

The first bytes of a file decide its kind, not its name.
"""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

from depixel.base.errors import DepixelError
from depixel.photos.decoding import UnreadableError


class Format(NamedTuple):
    """A format of pictures.

    Attributes:
        name: its name for people.
        suffixes: endings of the names of such files, in small letters.
        written: whether depixel writes it. All formats but JPEG and lossy WebP are written without loss.
        alpha: whether depixel writes it for pictures with alpha.
        deep: whether it holds 16 bits a channel.
        metadata: whether it holds EXIF, XMP and color profiles.
    """

    name: str
    suffixes: tuple[str, ...]
    written: bool = True
    alpha: bool = True
    deep: bool = False
    metadata: bool = True


FORMATS = {
    "PNG": Format("PNG", (".png", ".apng"), deep=True),
    "JPEG": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), alpha=False),
    "WEBP": Format("WebP", (".webp",)),
    "TIFF": Format("TIFF", (".tif", ".tiff"), deep=True),
    "BMP": Format("BMP", (".bmp", ".dib"), alpha=False, metadata=False),
    "PPM": Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), alpha=False, metadata=False),
    "TGA": Format("TGA", (".tga",), metadata=False),
    "AVIF": Format("AVIF", (".avif",), written=False),  # only with loss
    "JPEG2000": Format("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpx"), written=False),  # would lose its metadata
    "GIF": Format("GIF", (".gif",), written=False),  # a restored picture has more colors than a palette
    "HEIF": Format("HEIC", (".heic", ".heif", ".hif"), written=False),
    "JXL": Format("JPEG XL", (".jxl",), written=False),
}
"""The formats that depixel reads, by Pillow's names. HEIF and JXL need a plugin."""

SUFFIXES = {suffix: key for key, form in FORMATS.items() for suffix in form.suffixes}
"""The endings of the names of picture files, in small letters, with Pillow's name of the format."""

READ = "PNG, JPEG, WebP, TIFF, BMP, PPM, TGA, GIF, AVIF and JPEG 2000 are read; HEIC and JPEG XL with a plugin"


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk of a PNG with begin and end of its content, up to the end of the picture (IEND)."""
    place, kind = 8, b""
    while kind != b"IEND" and (kind := data[place + 4 : place + 8]):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        yield kind, place + 8, end
        place = end + 4


def is_written(form: str, alpha: bool) -> bool:
    """Whether depixel writes pictures, with alpha or without, in a format; `form`: Pillow's name of it."""
    return FORMATS[form].written and (FORMATS[form].alpha or not alpha)


def check_written(form: str, alpha: bool) -> None:
    """Raise `DepixelError` with advice unless `is_written`."""
    if not is_written(form, alpha):
        name = f"{FORMATS[form].name}{' with alpha' if FORMATS[form].written else ''}"
        raise DepixelError(f"{name} is read, but not written. Write the result as PNG, without loss: --format png")


class _Plugin(NamedTuple):
    """A package that adds a format to Pillow, and the function that registers it."""

    module: str
    package: str
    register: Callable[..., object]


_PLUGINS = {
    "HEIF": _Plugin("pillow_heif", "pillow-heif", lambda module: module.register_heif_opener()),
    "JXL": _Plugin("pillow_jxl", "pillow-jxl-plugin", lambda module: None),  # its import suffices
}

_IMAGE = "open it in a program that reads it, and save it as PNG"
RAW = "develop it with a raw converter, such as darktable or RawTherapee, and save it as TIFF or PNG"
_VIDEO = "video is not supported. Extract frames: ffmpeg -i video.mp4 frame_%04d.png"
_PACKED = "unpack it, and name the pictures in it"
_OTHERS = (
    (rb"%PDF-", "a PDF", "extract its pictures: pdfimages -png FILE.pdf picture"),
    (rb"8BP[SB]", "a Photoshop file (PSD)", "export it as PNG"),
    (rb"gimp xcf", "a GIMP file (XCF)", "export it as PNG"),
    (rb"(?s)II\*\0.{4}CR", "a camera's raw file (CR2)", RAW),
    (rb"IIU\0|IIR[OS]|MMOR", "a camera's raw file (RW2 or ORF)", RAW),
    (rb"FUJIFILMCCD-RAW", "a camera's raw file (RAF)", RAW),
    (rb"FOVb", "a camera's raw file (X3F)", RAW),
    (rb"(?s).{4}ftypcrx ", "a camera's raw file (CR3)", RAW),
    (rb"(?s)[\0-\x1f].{3}(ftyp|moov|mdat|wide|free|skip|pnot)", "a video (MP4 or MOV)", _VIDEO),
    (rb"\x1aE\xdf\xa3", "a video (MKV or WebM)", _VIDEO),
    (rb"(?s)RIFF.{4}AVI |OggS|FLV\x01|\0\0\x01[\xba\xb3]|0&\xb2u\x8ef\xcf\x11", "a video (AVI or another)", _VIDEO),
    (rb"(?s)RIFF.{4}WAVE|ID3|fLaC", "a sound file", "name a picture"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive, or a document that is one", _PACKED),
    (rb"\x1f\x8b|BZh|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|Rar!|\x28\xb5\x2f\xfd", "a packed file", _PACKED),
    (rb"(?s).{257}ustar", "a tar archive", _PACKED),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)", _IMAGE),
    (rb"\0\0[\x01\x02]\0[^\0]\0", "an icon (ICO)", _IMAGE),
    (rb"icns", "an icon (ICNS)", _IMAGE),
    (rb"DDS ", "a texture (DDS)", _IMAGE),
    (rb"v/1\x01", "an OpenEXR picture", _IMAGE),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR picture", _IMAGE),
    (rb"qoif", "a QOI picture", _IMAGE),
    (rb"\x0a[\0\x02\x03\x05]\x01[\x01\x02\x04\x08]", "a PCX picture", _IMAGE),
    (rb"SIMPLE  =", "a FITS picture", _IMAGE),
    (rb"(?s).{128}DICM", "a DICOM picture", _IMAGE),
    (rb"\x93NUMPY", "an array of NumPy", "save its pixels as PNG: PIL.Image.fromarray(array).save('picture.png')"),
    (rb"SQLite format 3\0", "a database (SQLite)", "name a picture"),
    (rb"\x7fELF|MZ", "a program", "name a picture"),
)
"""Other kinds of files: a pattern of the first bytes, the name of the kind, and advice."""

_TEXTS = (
    (rb"(?i)<!doctype html|<html", "a web page (HTML)", "save the picture itself"),
    (rb"(?i)<svg", "a drawing (SVG)", "export it as PNG"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: git lfs pull"),
    (rb"outs:\n- md5", "a pointer of DVC", "fetch the file itself: dvc pull"),
)
"""Kinds of text files: a pattern near the beginning, the name of the kind, and advice."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"mif2", b"msf1", b"heif")
_AVIF_BRANDS = (b"avif", b"avis")
_JXL = re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n")
_TGA = re.compile(rb"(?s).(\0[\x02\x03\x0a\x0b].{5}|\x01[\x01\x09].{5}).{8}[\x08\x0f\x10\x18\x20]")


def formats_of(data: bytes) -> tuple[str, ...]:
    """The possible formats of a file by its bytes, as Pillow's names; registers the plugin that they need.

    Raises:
        UnreadableError: the file is empty or of another kind; the message names the kind and gives advice.
    """
    if not data:
        raise UnreadableError("is empty")
    head = data[:300]
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(int.from_bytes(head[:4], "big"), 300), 4))}
    if head[4:8] == b"ftyp" and not brands & {b"crx "}:
        if brands.intersection(_AVIF_BRANDS):
            return ("AVIF",)
        if brands.intersection(_HEIF_BRANDS):
            return _plugged("HEIF")
    if _JXL.match(head):
        return _plugged("JXL")
    for pattern, what, todo in _OTHERS:
        if re.match(pattern, head):
            raise UnreadableError(f"is {what}, which cannot be read; {todo}")
    with_mark = [key for key in FORMATS if key not in ("TGA", "AVIF", *_PLUGINS)]
    return (*with_mark, "TGA") if _TGA.match(head) else tuple(with_mark)  # only TGA has no magic number


def _plugged(form: str) -> tuple[str, ...]:
    plugin = _PLUGINS[form]
    try:
        plugin.register(import_module(plugin.module))
    except ImportError:
        raise UnreadableError(f"is {FORMATS[form].name}, which needs a plugin: pip install {plugin.package}") from None
    return (form,)


def unknown(data: bytes) -> str:
    """A message about bytes that are of no known format or kind."""
    head = data[:1000]
    for pattern, what, todo in _TEXTS:
        if re.search(pattern, head):
            return f"is {what}, which cannot be read; {todo}"
    return f"is text, not a picture; {READ}" if _is_text(head) else f"is not a picture; {READ}"


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the cut at 1000 bytes split a character
            return False
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
