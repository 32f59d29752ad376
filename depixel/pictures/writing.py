"""Writing picture files in the format of the picture, with its metadata."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.photos.decoding import pixels_as_stored
from depixel.photos.tiff import Tiff
from depixel.pictures import kinds
from depixel.pictures.picture import Picture

_LARGE = 6_000_000  # bytes of pixels; larger PNGs are compressed less: a tenth larger, in a third of the time
_QUICK = 3


def write(path: str | Path, picture: Picture) -> None:
    """Write a picture as it was read: same format, metadata and orientation; completely or not at all.

    A JPEG is encoded again with the same quantization tables, a lossy WebP with quality 95. All other formats are
    lossless.

    Raises:
        DepixelError: the file or its metadata cannot be written, or depixel cannot write its format.
    """
    with replacing(path) as beside, beside.open("w+b") as file:
        _write(file, picture)


def encoded(picture: Picture) -> bytes:
    """The bytes of the file that `write` writes."""
    file = io.BytesIO()
    _write(file, picture)
    return file.getvalue()


def _write(file: BinaryIO, picture: Picture) -> None:
    kinds.check_written(picture.format, picture.has_alpha)
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
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk
            raise
        if not options.get("progressive"):
            raise DepixelError(f"cannot be written as {form} with its metadata ({error})") from error
        file.seek(0)  # Pillow's buffer can be too small for a progressive JPEG with much detail
        file.truncate()
        _save(file, image, form, options | {"progressive": False})


def _write_deep_png(file: BinaryIO, pixels: np.ndarray, options: dict[str, Any]) -> None:
    """Write a PNG with 16-bit colors, which Pillow cannot: it writes only the chunks around the pixels."""
    height, width, channels = pixels.shape
    around = io.BytesIO()
    Image.new({2: "LA", 3: "RGB", 4: "RGBA"}[channels], (1, 1)).save(around, "PNG", **options)
    data, position = around.getvalue(), 8
    file.write(data[:8])
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IHDR":
            file.write(chunk(kind, struct.pack(">IIB", width, height, 16) + data[position + 17 : position + 21]))
        elif kind == b"IDAT":
            for piece in _filtered(pixels, options.get("compress_level", 6)):
                file.write(chunk(kind, piece))
        else:
            file.write(data[position:end])
        position = end


def _filtered(pixels: np.ndarray, level: int) -> Iterator[bytes]:
    """Yield the compressed rows of a PNG in pieces, each row as the difference to the one above (filter 2, Up)."""
    coder, above = zlib.compressobj(level), np.zeros((1, pixels[0].size * 2), np.uint8)
    for top in range(0, len(pixels), 256):
        rows = pixels[top : top + 256].astype(">u2").reshape(-1, pixels[0].size).view(np.uint8)
        steps = np.diff(rows, axis=0, prepend=above)  # modulo 256
        above = rows[-1:]
        if piece := coder.compress(np.pad(steps, ((0, 0), (1, 0)), constant_values=2).tobytes()):
            yield piece
    yield coder.flush()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Encode a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _write_deep_tiff(file: BinaryIO, pixels: np.ndarray, options: dict[str, Any]) -> None:
    """Write a TIFF with 16-bit colors, which Pillow cannot.

    Pillow writes the bytes as 8-bit colors of twice the width; then the tags of width and bits are corrected.
    """
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
