"""Photos are decoded safely, turned upright, made square and gray.

Two pieces of knowledge stand here for the whole project: what the EXIF orientation means, and the curve of sRGB.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import get_sampling

from depixel.base.errors import DepixelError

MOST_PIXELS = 50_000_000
"""Pixels of the largest image that is decoded."""

MOST_SCANS = 100
"""Number of scans that a JPEG may have. Cameras and programs write 1 to 10; each is decoded over all pixels, and costs
a file only a few bytes."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Pillow's names of the formats in which a photo may be. None of their decoders runs another program, as that of EPS
does."""

_SCAN = re.compile(rb"\xff\xda\x00[\x06\x08\x0a\x0c][\x01-\x04]")  # its header; of 1 to 4 channels
_DECODER_BYTES = 12  # a pixel; the most that the decoders ask for at a time, untouched memory included
_EXIF_ORIENTATION = 274
_UPRIGHT = {  # EXIF orientation: how to turn the stored pixels upright (CIPA DC-008, 4.6.5.1); 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_INVERSE = {6: 8, 8: 6}  # the other turns undo themselves
_OF_PIXELS: dict[Image.Transpose, Callable[[np.ndarray], np.ndarray]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda a: a[:, ::-1],
    Image.Transpose.ROTATE_180: lambda a: a[::-1, ::-1],
    Image.Transpose.FLIP_TOP_BOTTOM: lambda a: a[::-1],
    Image.Transpose.TRANSPOSE: lambda a: a.swapaxes(0, 1),
    Image.Transpose.ROTATE_270: lambda a: np.rot90(a, -1),
    Image.Transpose.TRANSVERSE: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    Image.Transpose.ROTATE_90: lambda a: np.rot90(a),
}


class UnreadableError(DepixelError):
    """A file cannot be read as a photo. The text is the reason, on one line; the caller adds the name of the file."""


@contextmanager
def opened(data: bytes, formats: tuple[str, ...] = FORMATS) -> Iterator[ImageFile.ImageFile]:
    """Open a photo from its bytes and yield the image. Only the header is read; `load()` reads the pixels.

    Args:
        data: the bytes of the file.
        formats: Pillow's names of the formats that are tried, in this order.

    Raises:
        UnreadableError: the bytes are not an image of one of `formats`, the image has more than `MOST_PIXELS`, or a
            decoder fails within the block.
        MemoryError: there is not enough memory to find out.
    """
    pixels = MOST_PIXELS  # as far as is known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats)
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError
            if image.format in ("JPEG", "MPO") and len(_SCAN.findall(data)) > MOST_SCANS:
                raise UnreadableError(f"a JPEG of more than {MOST_SCANS} scans, which takes too long to decode")
            yield image
    except (MemoryError, UnreadableError):
        raise
    except Image.DecompressionBombError:  # Pillow has a limit of its own
        raise UnreadableError(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise UnreadableError("not an image") from None
    except Exception as error:  # decoders raise nearly anything on a broken file
        np.empty(pixels * _DECODER_BYTES, np.uint8)  # and libjpeg and libwebp the same for lack of memory: raise that
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"the file is damaged, or encoded in a way that cannot be read ({said})") from error


def decode(data: bytes) -> Image.Image:
    """Decode a photo in full and turn it upright. Its mode stays the stored one. Raises `UnreadableError`."""
    with opened(data) as image:
        image.load()
        return upright(image, orientation(image))


def scan(image: Image.Image) -> None:
    """Read all data of an opened photo to find out whether it decodes, in about half the time of a full decoding.

    It loads the values of the photo; of a usual color JPEG, it loads the luminance at an eighth of the size. If these
    values differ among themselves, so do the photo's.
    """
    if get_sampling(image) >= 0:
        image.draft("L", (1, 1))
    image.load()


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image as it is stored, 1..8; 1 (upright) if there is none or it makes no sense.

    Raises what `exif_tag` raises.
    """
    value = exif_tag(image, _EXIF_ORIENTATION)
    return int(value) if value in _UPRIGHT else 1


def exif_tag(image: Image.Image, tag: int) -> Any:
    """The value of an EXIF tag; None if there is none, or if EXIF is broken, which is no reason to lose the photo.

    Loads a PNG first, because its EXIF may stand behind its pixels, and raises what the decoder raises if these are
    damaged. Left to itself, Pillow loads it here, too: the error would be taken for one of EXIF, and the next `load()`
    would give zeros.
    """
    if image.format == "PNG":
        image.load()
    try:
        return image.getexif().get(tag)
    except MemoryError:
        raise
    except Exception:  # whatever broken tags make Pillow raise
        return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an image that is stored with this EXIF orientation, 1..8, upright."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def as_stored(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an upright image the way that this EXIF orientation, 1..8, has it stored."""
    return upright(image, _INVERSE.get(orientation, orientation))


def upright_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As `upright`, for an array (H, W) or (H, W, C); returns a view of it."""
    return _OF_PIXELS[_UPRIGHT[orientation]](pixels) if orientation in _UPRIGHT else pixels


def pixels_as_stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As `as_stored`, for an array (H, W) or (H, W, C); returns a view of it."""
    return upright_pixels(pixels, _INVERSE.get(orientation, orientation))


def square(image: Image.Image, size: int, reducing_gap: float | None = None) -> np.ndarray:
    """Make a photo square and gray, as the challenge does.

    Pillow resizes it (bilinear, antialiased) to a short side of `size` and a long side of int(size * long / short).
    Then it is cut to its centre, at round((n - size) / 2), and made gray by `grayscale`.

    Args:
        image: upright, mode RGB or L.
        size: side of the result, pixels.
        reducing_gap: that of Pillow's `resize`. If the photo is more than twice this many times larger, whole pixels
            are averaged first. This is several times as fast, but gives not the challenge's pixels to the last gray
            level. None: exact.

    Returns:
        (size, size) uint8.
    """
    shape = [int(size * n / min(image.size)) for n in image.size]
    resized = image.resize(shape, Image.Resampling.BILINEAR, reducing_gap=reducing_gap)
    left, top = (round((n - size) / 2) for n in shape)
    return grayscale(np.asarray(resized.crop((left, top, left + size, top + size))))


def grayscale(pixels: np.ndarray) -> np.ndarray:
    """Colorimetric grayscale (sRGB, Rec. 709 luminance), exact to the gray level.

    Y = 255 `from_linear`(0.2126 R + 0.7152 G + 0.0722 B), where R, G and B are `to_linear`(value / 255); computed in
    float64, rounded half to even.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) uint8, which is gray already and returned as it is.

    Returns:
        (H, W) uint8.
    """
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (_LINEAR[pixels[..., i]] for i in range(3))
    linear = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return np.round(from_linear(linear) * 255).astype(np.uint8)


def to_linear(values: np.ndarray) -> np.ndarray:
    """Stored sRGB values, 0..1, as linear light, 0..1: the curve of IEC 61966-2-1.

    C / 12.92 if C <= 0.04045, else ((C + 0.055) / 1.055)^2.4; of any shape, in the precision of `values`.
    """
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(light: np.ndarray) -> np.ndarray:
    """Linear light, 0..1, as stored sRGB values, 0..1: undoes `to_linear`.

    12.92 Y if Y <= 0.0031308, else 1.055 Y^(1/2.4) - 0.055; of any shape, in the precision of `light`.
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = to_linear(np.arange(256) / 255)  # (256,) float64: the linear intensity of each 8-bit value
