"""Reading picture files with their metadata.

Pillow decodes them, with the same safeguards as for photos (`depixel.photos.decoding`).
"""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, PngInfo

from depixel.base.errors import DepixelError
from depixel.photos.decoding import MOST_PIXELS, UnreadableError, opened, orientation, upright_pixels
from depixel.pictures import besides, jxl, kinds
from depixel.pictures.picture import Picture
from depixel.pictures.writing import chunk

MOST_BYTES = 8 * MOST_PIXELS + 10_000_000
"""Maximum size of a file in bytes: that of four channels of 16 bits, uncompressed."""

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}  # byte order in Pillow's raw modes
_TIFF_LAYOUT = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347}
_TIFF_PREVIEWS = {330, 513, 514}  # smaller pictures in the file
_DIRECTORIES = {34665, 34853, 40965}  # tags of directories (EXIF, GPS, ...), which Pillow writes only uncompressed
_RESOLUTION = {282, 283, 296}
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # beginning of an XMP segment in a JPEG, and
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"  #   of further segments
_TIFF_LOSSLESS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits")
_SUBFILE, _SUBDIRECTORIES, _DNG_VERSION = 254, 330, 50706  # tags
_RAW_COLORS, _RAW_CODES = (32803, 34892), (32767, 34713)  # photometric interpretations and compressions of raw files


def read(path: str | Path) -> Picture:
    """Read a picture file.

    Palettes become RGB or RGBA, and 1-bit pictures become gray; all other pixels stay as stored.

    Raises:
        DepixelError: the file is missing, damaged, animated, not a picture (the message names its kind), has more than
            50 megapixels, or has unsupported colors (CMYK) or numbers (float).
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # reading from a pipe may never end
            raise DepixelError(f"{path}: is not a regular file")
        if path.stat().st_size > MOST_BYTES:
            raise DepixelError(f"{path}: has more than {MOST_BYTES // 10**6} MB, the maximum for a picture")
        data = path.read_bytes()
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return decoded(data)
    except UnreadableError as error:
        raise DepixelError(f"{path}: {error}") from error


def decoded(data: bytes) -> Picture:
    """Decode the bytes of a file like `read`. Raises `UnreadableError`; its message names no file."""
    formats = kinds.formats_of(data)
    try:
        if formats == ("JXL",):
            _check_jxl(data)
        with opened(data, formats) as image:
            return _picture(image, data)
    except UnreadableError as error:
        if str(error) == "not an image":
            raise UnreadableError(_not_opened(data, formats)) from error
        raise UnreadableError(f"{error}{_HINTS.get(str(error), '')}") from error


_TOO_LARGE = f"more than {MOST_PIXELS // 10**6} million pixels"
_SEVERAL = (
    "is animated, or has several pages, but must be a single picture. Extract the one to restore, for example: "
    "ffmpeg -i FILE frame_%04d.png, or for the pages of a TIFF: tiffsplit FILE"
)
_HINTS = {_TOO_LARGE: "; cut out the part to restore, or make it smaller"}
_MAGIC = re.compile(
    rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|II\*\0|MM\0\*|BM.{4}\0{4}|GIF8|\xff\x4f\xff\x51|\0\0\0\x0cjP  ", re.DOTALL
)


def _not_opened(data: bytes, formats: tuple[str, ...]) -> str:
    """The reason why Pillow could not open the bytes in any of their possible formats."""
    if len(formats) == 1 or _MAGIC.match(data):
        return "the file is damaged: it begins like a picture, but cannot be opened"
    return kinds.unknown(data)


def _check_jxl(data: bytes) -> None:
    """Raise `UnreadableError` for a file that is too large or animated, which the plugin does not check."""
    head = jxl.head(data)
    if head.width * head.height > MOST_PIXELS:
        raise UnreadableError(_TOO_LARGE)
    if head.animated:
        raise UnreadableError(_SEVERAL)


def _picture(image: ImageFile.ImageFile, data: bytes) -> Picture:
    form = "JPEG" if image.format == "MPO" else str(image.format)  # an MPO is a JPEG with more pictures behind it
    if form == "PNG":
        _check_sums(data)
    elif form == "TIFF":
        _refuse_raw(image)
    if image.format not in ("MPO", "HEIF") and _goes_on(image):
        raise UnreadableError(_SEVERAL)
    deep_gray = form == "PNG" and data[24:26] == b"\x10\x04"  # 16 bits, gray with alpha
    deep_colors = not deep_gray and _deep_colors(image)
    upright = form == "JXL" and not getattr(image, "jpeg", None)  # its decoder turns it, but leaves EXIF unchanged
    turned = 1 if upright else orientation(image)  # before loading, because a loaded TIFF forgets it
    if deep_gray:
        with opened(_as_bytes(data)) as other:
            pixels = np.asarray(other).view(">u2").astype(np.uint16)
    elif deep_colors:
        with opened(data) as other:
            pixels = _two_halves(image, other)
        if (clear := image.info.get("transparency")) is not None and pixels.shape[2] == 3:
            alpha = np.where((pixels == np.array(clear, np.uint16)).all(axis=2), 0, 65535).astype(np.uint16)
            pixels = np.dstack([pixels, alpha])
    else:
        pixels = _pixels(image)
    if form != "TIFF":  # Pillow turns TIFFs upright when it loads them
        pixels = upright_pixels(pixels, turned)
    return Picture(pixels, form, turned, _options(image, data, turned), besides.notes(image, data))


def _check_sums(png: bytes) -> None:
    """Raise `UnreadableError` if the checksum of a PNG's pixels is wrong; Pillow does not check it."""
    for kind, start, end in kinds.png_chunks(png):
        if kind == b"IDAT" and zlib.crc32(png[start - 4 : end]).to_bytes(4, "big") != png[end : end + 4]:
            raise UnreadableError("the file is damaged: the checksum of its pixels is wrong")


def _refuse_raw(image: Image.Image) -> None:
    """Raise `UnreadableError` for a camera's raw file; Pillow would only read a preview."""
    tags = image.getexif()
    raw = "DNG" if _DNG_VERSION in tags else "NEF, ARW or another" if _is_raw(tags) else ""
    if raw:
        raise UnreadableError(f"is a camera's raw file ({raw}), which cannot be read; {kinds.RAW}")


def _is_raw(tags: Image.Exif) -> bool:
    preview = tags.get(_SUBFILE) == 1 and _SUBDIRECTORIES in tags and Base.Make in tags
    return (
        preview or tags.get(Base.PhotometricInterpretation) in _RAW_COLORS or tags.get(Base.Compression) in _RAW_CODES
    )


def _goes_on(image: Image.Image) -> bool:
    """Whether there is a second frame or page; counting all pages of a TIFF would take long."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _deep_colors(image: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits per color channel, of which Pillow would keep 8."""
    rawmodes = {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in image.tile}
    if not any(";16" in mode for mode in rawmodes) or image.mode.startswith("I"):
        return False
    if image.mode not in ("RGB", "RGBA") or any(mode[:3] != "RGB" or mode[3:4] == "a" for mode in rawmodes):
        raise UnreadableError(
            "has 16 bits in premultiplied colors or gray with alpha, which cannot be read; save it as RGBA, or as PNG"
        )
    return True


def _as_bytes(png: bytes) -> bytes:
    """A 16-bit PNG in gray with alpha, relabelled as 8-bit RGBA, which Pillow can decode.

    Both have four bytes per pixel, and PNG's filters depend on nothing else.
    """
    header = png[16:24] + b"\x08\x06" + png[26:29]
    return png[:8] + chunk(b"IHDR", header) + png[33:]


def _two_halves(image: Image.Image, other: ImageFile.ImageFile) -> np.ndarray:
    """Decode 16-bit colors: Pillow gives their upper 8 bits, and with the other byte order their lower 8."""
    swapped = []
    for tile in other.tile:
        mode, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        kind, order = mode.split(";16")
        mode = f"{kind};16{_OTHER_ORDER[order]}"
        swapped.append(tile._replace(args=(mode, *rest) if isinstance(tile.args, tuple) else mode))
    other.tile = swapped
    pixels = np.asarray(image).astype(np.uint16)
    pixels <<= 8
    pixels |= np.asarray(other)
    return pixels


def _pixels(image: Image.Image) -> np.ndarray:
    transparent = "transparency" in image.info
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        if transparent:
            alpha = np.where(pixels == image.info["transparency"], 0, 65535).astype(np.uint16)
            pixels = np.stack([pixels, alpha], axis=2)
        return pixels
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA") or (transparent and image.mode == "RGB"):
        image = image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    elif image.mode == "L" and transparent:
        image = image.convert("LA")
    if image.mode == "I" and image.format == "PPM":
        return np.asarray(image).astype(np.uint16)  # PPM has at most 16 bits
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnreadableError(f"has the color mode {image.mode}; save it as RGB or gray with 8 or 16 bits")
    return np.asarray(image)


def _options(image: ImageFile.ImageFile, data: bytes, turned: int) -> dict[str, Any]:
    """The options with which `save` writes the picture like its file."""
    info = image.info
    kept = {key: info[key] for key in ("icc_profile", "dpi", "comment") if info.get(key)}
    if image.format == "TIFF":
        return _tiff_options(image, turned, kept)
    kept |= {"exif": info["exif"]} if info.get("exif") else {}
    if isinstance(image, PngImageFile):
        return kept | {"pnginfo": _png_chunks(image, data)}
    kept |= {"xmp": info["xmp"]} if info.get("xmp") else {}
    if isinstance(image, JpegImageFile):
        return _jpeg_options(image, kept)
    if image.format == "TGA":
        return {key: info[key] for key in ("id_section", "orientation", "compression") if info.get(key)}
    if image.format == "WEBP":
        kept |= {"lossless": True, "exact": True} if _lossless_webp(data) else {"quality": 95, "method": 4}
    return kept


def _tiff_options(image: Image.Image, turned: int, kept: dict[str, Any]) -> dict[str, Any]:
    tags = image.getexif()
    for tag in (_TIFF_LAYOUT | _TIFF_PREVIEWS) & tags.keys():
        del tags[tag]
    if turned > 1:
        tags[Base.Orientation] = turned
    kept |= {"exif": tags} if len(tags) else {}
    if not _RESOLUTION & tags.keys():
        kept.pop("dpi", None)  # only a default of Pillow
    used = "raw" if _DIRECTORIES & tags.keys() else image.info.get("compression")
    kept["compression"] = used if used in (*_TIFF_LOSSLESS, "raw") else "tiff_adobe_deflate"
    return kept


def _png_chunks(image: PngImageFile, data: bytes) -> PngInfo:
    info, chunks = image.info, PngInfo()
    for name, text in image.text.items():
        chunks.add_itxt(name, text) if name.startswith("XML:") else chunks.add_text(name, text)
    if "gamma" in info:
        chunks.add(b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000)))
    if "chromaticity" in info:
        chunks.add(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in info["chromaticity"])))
    if "srgb" in info:
        chunks.add(b"sRGB", bytes([info["srgb"]]))
    if len(space := _png_chunk(data, b"cICP")) == 4:
        chunks.add(b"cICP", space)
    return chunks


def _jpeg_options(image: JpegImageFile, kept: dict[str, Any]) -> dict[str, Any]:
    segments = [(0xED, data) for name, data in image.applist if name == "APP13"]  # Photoshop's data, with IPTC
    of_xmp = [data for name, data in image.applist if name == "APP1" and data.startswith((_JPEG_XMP, _MORE_XMP))]
    if len(of_xmp) > 1:  # Pillow's `xmp` takes only one segment
        kept.pop("xmp", None)
        segments = [(0xE1, data) for data in of_xmp] + segments
    if segments:
        kept["extra"] = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    kept |= {"qtables": image.quantization, "progressive": bool(image.info.get("progressive"))}
    sampling = get_sampling(image)  # -1 for gray
    return kept | ({"subsampling": sampling} if sampling >= 0 else {})


def _png_chunk(data: bytes, kind: bytes) -> bytes:
    """The content of the first chunk of a kind before the pixels; empty if there is none."""
    for found, start, end in kinds.png_chunks(data):
        if found in (kind, b"IDAT"):
            return data[start:end] if found == kind else b""
    return b""


def _lossless_webp(data: bytes) -> bool:
    """Whether a WebP file is lossless: its first chunk of pixels is a VP8L."""
    place = 12
    while kind := data[place : place + 4]:
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return False
