"""Picture files: read with all that is in them, and written back with it.

PNG, JPEG, WebP and TIFF; gray or color, with or without alpha, 8 or 16 bits. Decoded by Pillow, as safely as photos
are (`depixel.photos.decoding`).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, PngInfo

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.photos.decoding import MOST_PIXELS, UnreadableError, opened, orientation, pixels_as_stored, upright_pixels
from depixel.photos.tiff import BrokenTiffError, Tiff

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""How the names of picture files end, in small letters, and Pillow's names of their formats."""

_MOST_BYTES = 8 * MOST_PIXELS + 10_000_000  # four channels of 16 bits, not compressed
_LARGE = 6_000_000  # bytes of pixels, from which a PNG is compressed less: a tenth larger, in a third of the time
_QUICK = 3
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}  # of the bytes, in Pillow's raw modes
_TIFF_LAYOUT = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347}
_TIFF_PREVIEWS = {330, 513, 514}  # smaller pictures in the file
_XMP, _PHOTOSHOP, _MAKER_NOTE = 700, 34377, 37500  # tags that may hold others
_DIRECTORIES = {34665, 34853, 40965}  # tags: of EXIF, GPS and their like; Pillow writes them only uncompressed
_RESOLUTION = {282, 283, 296}
_XMP_PREVIEW = b"GImg:image"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # how it begins in a JPEG, and
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"  #   how what did not fit into that segment does
_TIFF_LOSSLESS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits")


@dataclass(frozen=True)
class Picture:
    """A picture and what its file says beside the pixels.

    Attributes:
        pixels: upright; (H, W), (H, W, 2) gray with alpha, (H, W, 3) or (H, W, 4); uint8 or uint16.
        format: PNG, JPEG, WEBP or TIFF.
        orientation: EXIF's, 1..8: how the file has the pixels turned.
        options: what to hand to Pillow's `save`, metadata among it.
    """

    pixels: np.ndarray
    format: str
    orientation: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def showing(self, pixels: np.ndarray) -> "Picture":
        """The same with other pixels, of the same shape and dtype."""
        return replace(self, pixels=pixels)

    def hiding(self, pixels: np.ndarray) -> "Picture":
        """The same, and without what in the metadata may hold small pictures of the old pixels: thumbnails, previews,
        Photoshop's and cameras' own notes, XMP of more than one segment."""
        options = self.options.copy()
        if isinstance(options.get("exif"), bytes):
            options["exif"] = _without_previews(options["exif"])
        elif "exif" in options:
            options["exif"] = tags = deepcopy(options["exif"])
            tags.pop(_PHOTOSHOP, None)
            if _XMP_PREVIEW in bytes(tags.get(_XMP, b"")):
                del tags[_XMP]
            tags.get_ifd(Base.ExifOffset).pop(_MAKER_NOTE, None)
        if _XMP_PREVIEW in options.get("xmp", b""):
            del options["xmp"]
        options.pop("extra", None)  # Photoshop's, long XMP
        if "pnginfo" in options:
            options["pnginfo"] = kept = PngInfo()
            for kind, data, *_ in self.options["pnginfo"].chunks:
                if _XMP_PREVIEW not in data and not data.startswith(b"Raw profile type"):
                    kept.add(kind, data)
        if self.orientation > 1 and not options.get("exif"):  # it went with what was taken out
            tags = Image.Exif()
            tags[Base.Orientation] = self.orientation
            options["exif"] = tags.tobytes()
        return replace(self, pixels=pixels, options=options)

    def seen(self) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8: the pixels without alpha, their upper 8 bits."""
        pixels = self.pixels if self.pixels.dtype == np.uint8 else (self.pixels >> 8).astype(np.uint8)
        if pixels.ndim == 2:
            return pixels
        return np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :3])


def read(path: str | Path) -> Picture:
    """Read a picture file.

    Palettes become RGB or RGBA, one bit becomes gray; all else is as stored.

    Raises:
        DepixelError: it is not there, not a picture, damaged, of more than 50 megapixels, animated, or has colors
            (CMYK) or numbers (float) that are not restored.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # to read from a pipe may never end
            raise DepixelError(f"{path}: is no file")
        if path.stat().st_size > _MOST_BYTES:
            raise DepixelError(f"{path}: has more than {_MOST_BYTES // 10**6} MB, which no picture here needs")
        data = path.read_bytes()
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return decoded(data)
    except UnreadableError as error:
        raise DepixelError(f"{path}: {error}") from error


def decoded(data: bytes) -> Picture:
    """As `read`, from the bytes of a file. Raises `UnreadableError`, whose text names no file."""
    try:
        with opened(data) as image:
            return _picture(image, data)
    except UnreadableError as error:
        raise UnreadableError(f"{error}{_HINTS.get(str(error), '')}") from error


_HINTS = {
    "not an image": "; PNG, JPEG, WebP and TIFF are read",
    f"more than {MOST_PIXELS // 10**6} million pixels": "; cut out the part to restore, or make it smaller",
}


def _picture(image: ImageFile.ImageFile, data: bytes) -> Picture:
    form = "JPEG" if image.format == "MPO" else image.format  # previews stand behind the JPEG, as phones write them
    if form is None or form not in SUFFIXES.values():
        raise UnreadableError(f"is a {form}; save it as PNG, JPEG, WebP or TIFF")
    if image.format != "MPO" and _goes_on(image):
        raise UnreadableError("has several frames or pages; a single picture is needed")
    deep_gray = form == "PNG" and data[24:26] == b"\x10\x04"  # 16 bits, gray with alpha
    deep_colors = not deep_gray and _deep_colors(image)
    turned = orientation(image)  # for which a PNG is loaded; a TIFF forgets it when it is
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
    if form != "TIFF":  # these Pillow has turned upright while it loaded them
        pixels = upright_pixels(pixels, turned)
    return Picture(pixels, form, turned, _options(image, data, turned))


def _goes_on(image: Image.Image) -> bool:
    """Whether there is a second frame or page; to count all of a TIFF takes long."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _deep_colors(image: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits a channel of which Pillow would keep 8."""
    rawmodes = {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in image.tile}
    if not any(";16" in mode for mode in rawmodes) or image.mode.startswith("I"):
        return False
    if image.mode not in ("RGB", "RGBA") or any(mode[:3] != "RGB" or mode[3:4] == "a" for mode in rawmodes):
        raise UnreadableError("has 16 bits in premultiplied colors or in gray with alpha; save it as RGBA, or as PNG")
    return True


def _as_bytes(png: bytes) -> bytes:
    """A PNG of 16 bits in gray with alpha, told to be RGBA of 8: as many bytes a pixel, and filters see no more."""
    header = png[16:24] + b"\x08\x06" + png[26:29]
    return png[:8] + _chunk(b"IHDR", header) + png[33:]


def _two_halves(image: Image.Image, other: ImageFile.ImageFile) -> np.ndarray:
    """Pillow decodes 16-bit colors to their upper 8 bits; told the other byte order, it gives the lower 8."""
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
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnreadableError(f"has the color mode {image.mode}; save it as RGB or gray with 8 or 16 bits")
    return np.asarray(image)


def _options(image: ImageFile.ImageFile, data: bytes, turned: int) -> dict[str, Any]:
    """What `save` must be told to write the picture as it was."""
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
    return kept | ({"lossless": True, "exact": True} if _lossless_webp(data) else {"quality": 95, "method": 4})


def _tiff_options(image: Image.Image, turned: int, kept: dict[str, Any]) -> dict[str, Any]:
    tags = image.getexif()
    for tag in (_TIFF_LAYOUT | _TIFF_PREVIEWS) & tags.keys():
        del tags[tag]
    if turned > 1:
        tags[Base.Orientation] = turned
    kept |= {"exif": tags} if len(tags) else {}
    if not _RESOLUTION & tags.keys():
        kept.pop("dpi", None)  # Pillow's own guess
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
    segments = [(0xED, data) for name, data in image.applist if name == "APP13"]  # Photoshop's, with IPTC
    of_xmp = [data for name, data in image.applist if name == "APP1" and data.startswith((_JPEG_XMP, _MORE_XMP))]
    if len(of_xmp) > 1:  # more than Pillow's `xmp` can take
        kept.pop("xmp", None)
        segments = [(0xE1, data) for data in of_xmp] + segments
    if segments:
        kept["extra"] = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    kept |= {"qtables": image.quantization, "progressive": bool(image.info.get("progressive"))}
    sampling = get_sampling(image)  # -1 of gray
    return kept | ({"subsampling": sampling} if sampling >= 0 else {})


def _without_previews(exif: bytes) -> bytes:
    """An Exif block whose second directory, that of the thumbnail, is cut off; its thumbnail, the camera's note, XMP
    and Photoshop's part, which may hold previews, are zeros."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    found, block = bytearray(exif), exif[start:]
    try:
        tiff = Tiff(io.BytesIO(block))

        def values(directory: int) -> dict[int, tuple[int, int]]:
            """Count and value of each tag."""
            return {one.tag: (one.count, tiff.number(one.place)) for one in tiff.fields(directory)}

        def clear(at: int, size: int) -> None:
            if not at or at + size > len(block):
                raise BrokenTiffError("values behind the end")
            found[start + at : start + at + size] = bytes(size)

        first, after = values(tiff.first), tiff.end_of(tiff.first)
        own = values(first[Base.ExifOffset][1]) if Base.ExifOffset in first else {}
        for size, at in (own.get(_MAKER_NOTE, (0, 0)), first.get(_XMP, (0, 0)), first.get(_PHOTOSHOP, (0, 0))):
            if size > 4:  # else it stands in the entry
                clear(at, size)
        if second := tiff.number(after):
            preview = values(second)
            clear(preview.get(513, (0, 0))[1], preview.get(514, (0, 0))[1])  # of a JPEG, as nearly all are
            found[start + after : start + after + 4] = bytes(4)
    except BrokenTiffError:
        return b""  # broken, or of a kind that nobody can say what is in it
    return bytes(found)


def _png_chunk(data: bytes, kind: bytes) -> bytes:
    """The content of the first chunk of a kind that stands before the pixels; empty if there is none."""
    place = 8
    while (found := data[place + 4 : place + 8]) not in (b"", b"IDAT"):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if found == kind:
            return data[place + 8 : end]
        place = end + 4
    return b""


def _lossless_webp(data: bytes) -> bool:
    """Whether the first chunk of pixels is a VP8L."""
    place = 12
    while kind := data[place : place + 4]:
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return False


def write(path: str | Path, picture: Picture) -> None:
    """Write a picture as it was read: same format, metadata and orientation. Appears whole or not at all.

    PNG, TIFF and lossless WebP keep every pixel. A JPEG is encoded anew with the same tables, a lossy WebP with
    quality 95.

    Raises:
        DepixelError: it cannot be written, or not with its metadata.
    """
    with replacing(path) as beside, beside.open("w+b") as file:
        _write(file, picture)


def encoded(picture: Picture) -> bytes:
    """The bytes of the file that `write` writes."""
    file = io.BytesIO()
    _write(file, picture)
    return file.getvalue()


def _write(file: BinaryIO, picture: Picture) -> None:
    stored = np.ascontiguousarray(pixels_as_stored(picture.pixels, picture.orientation))
    if picture.format == "PNG" and stored.nbytes > _LARGE:
        picture = replace(picture, options=picture.options | {"compress_level": _QUICK})
    deep_colors = stored.dtype == np.uint16 and stored.ndim == 3
    if deep_colors and picture.format == "PNG":
        _write_deep_png(file, stored, picture.options)
    elif deep_colors:
        _write_deep_tiff(file, stored, picture.options)
    else:
        _save(file, Image.fromarray(stored), picture.format, picture.options)


def _save(file: BinaryIO, image: Image.Image, form: str, options: dict[str, Any]) -> None:
    try:
        image.save(file, form, **options)
    except (ValueError, OSError, struct.error, SystemError, RuntimeError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise
        if not options.get("progressive"):
            raise DepixelError(f"cannot be written as {form} with its metadata ({error})") from error
        file.seek(0)  # for a progressive JPEG of much detail Pillow's buffer is too small
        file.truncate()
        _save(file, image, form, options | {"progressive": False})


def _write_deep_png(file: BinaryIO, pixels: np.ndarray, options: dict[str, Any]) -> None:
    """16-bit channels, which Pillow does not write: it writes all the chunks but those of the pixels."""
    height, width, channels = pixels.shape
    around = io.BytesIO()
    Image.new({2: "LA", 3: "RGB", 4: "RGBA"}[channels], (1, 1)).save(around, "PNG", **options)
    data, position = around.getvalue(), 8
    file.write(data[:8])
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IHDR":
            file.write(_chunk(kind, struct.pack(">IIB", width, height, 16) + data[position + 17 : position + 21]))
        elif kind == b"IDAT":
            for piece in _filtered(pixels, options.get("compress_level", 6)):
                file.write(_chunk(kind, piece))
        else:
            file.write(data[position:end])
        position = end


def _filtered(pixels: np.ndarray, level: int) -> Iterator[bytes]:
    """The compressed rows of a PNG, in pieces, each row as the difference to the one above (filter 2, Up)."""
    coder, above = zlib.compressobj(level), np.zeros((1, pixels[0].size * 2), np.uint8)
    for top in range(0, len(pixels), 256):
        rows = pixels[top : top + 256].astype(">u2").reshape(-1, pixels[0].size).view(np.uint8)
        steps = np.diff(rows, axis=0, prepend=above)  # modulo 256
        above = rows[-1:]
        if piece := coder.compress(np.pad(steps, ((0, 0), (1, 0)), constant_values=2).tobytes()):
            yield piece
    yield coder.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _write_deep_tiff(file: BinaryIO, pixels: np.ndarray, options: dict[str, Any]) -> None:
    """16-bit colors, which Pillow does not write: their bytes as 8-bit colors of twice the width, then told rightly."""
    height, width, channels = pixels.shape
    as_bytes = pixels.astype("<u2").view(np.uint8).reshape(height, 2 * width, channels)
    if options.get("compression") != "raw":
        options = options | {"compression": "tiff_adobe_deflate"}
    _save(file, Image.fromarray(as_bytes), "TIFF", options)
    tiff = Tiff(file)
    for entry in list(tiff.fields(tiff.first)):
        if entry.tag == 256:  # ImageWidth, a short or a long
            content = struct.pack(f"{tiff.order}{'HH' if entry.type == 3 else 'I'}", width, *[0] * (entry.type == 3))
        elif entry.tag == 258:  # BitsPerSample, three or four shorts elsewhere
            content = struct.pack(f"{tiff.order}{channels}H", *[16] * channels)
        else:
            continue
        file.seek(tiff.values_of(entry))
        file.write(content)
