"""Decodes photos safely, turns them upright, and makes them square and gray.

The whole project uses this module for the EXIF orientation and for the sRGB curve.
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
"""The maximum number of pixels of an image that is decoded."""

MOST_SCANS = 100
"""The maximum number of scans of a JPEG. Cameras and programs write 1 to 10. A scan takes a few bytes in the file, but
the decoder passes over all pixels for each."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Pillow's names of the accepted formats. None of their decoders runs another program, as EPS does."""

_SCAN = re.compile(rb"\xff\xda\x00[\x06\x08\x0a\x0c][\x01-\x04]")  # header of a scan with 1 to 4 channels
_DECODER_BYTES = 12  # per pixel; the largest allocation of the decoders, including untouched memory
_EXIF_ORIENTATION = 274
_UPRIGHT = {  # EXIF orientation -> transposition that turns the stored pixels upright (CIPA DC-008, 4.6.5.1)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_INVERSE = {6: 8, 8: 6}  # the other orientations are their own inverses
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
    """A file cannot be read as a photo. The text is the reason, on one line; the caller adds the file's name."""


@contextmanager
def opened(data: bytes, formats: tuple[str, ...] = FORMATS) -> Iterator[ImageFile.ImageFile]:
    """Open a photo from its bytes and yield the image. Only the header is read; `load()` reads the pixels.

    Args:
        data: the bytes of the file.
        formats: Pillow's names of the formats to try, in this order.

    Raises:
        UnreadableError: the bytes are not an image of one of `formats`, the image has more than `MOST_PIXELS` pixels or
            `MOST_SCANS` scans, or a decoder fails within the block.
        MemoryError: there is not enough memory to decide this.
    """
    pixels = MOST_PIXELS  # until the size is known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats)
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError
            if image.format in ("JPEG", "MPO") and len(_SCAN.findall(data)) > MOST_SCANS:
                raise UnreadableError(f"a JPEG with more than {MOST_SCANS} scans, which takes too long to decode")
            yield image
    except (MemoryError, UnreadableError):
        raise
    except Image.DecompressionBombError:  # ours or Pillow's own limit
        raise UnreadableError(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise UnreadableError("not an image") from None
    except Exception as error:  # decoders raise nearly any error on a damaged file
        # libjpeg and libwebp raise the same for lack of memory; this allocation raises MemoryError in that case
        np.empty(pixels * _DECODER_BYTES, np.uint8)
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"the file is damaged, or its encoding is not supported ({said})") from error


def decode(data: bytes) -> Image.Image:
    """Decode a whole photo and turn it upright; the mode stays as stored. Raises `UnreadableError` as `opened`."""
    with opened(data) as image:
        image.load()
        return upright(image, orientation(image))


def scan(image: Image.Image) -> None:
    """Read all data of an opened photo to check that it decodes, in about half the time of a full decoding.

    It loads the photo's values into the image. For most color JPEGs it loads only the luminance at an eighth of the
    size; if these values are not all equal, neither are the photo's.
    """
    if get_sampling(image) >= 0:
        image.draft("L", (1, 1))
    image.load()


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a stored image, 1..8; 1 (upright) if there is none or it is invalid.

    Raises the errors of `exif_tag`.
    """
    value = exif_tag(image, _EXIF_ORIENTATION)
    return int(value) if value in _UPRIGHT else 1


def exif_tag(image: Image.Image, tag: int) -> Any:
    """The value of an EXIF tag; None if there is none. Broken EXIF counts as none, so that the photo is not lost.

    A PNG is loaded first, because its EXIF may follow its pixels; if these are damaged, the decoder's error is raised.
    Otherwise Pillow would load it within `getexif`. The error would then look like one of EXIF, and the next `load()`
    would give zeros.
    """
    if image.format == "PNG":
        image.load()
    try:
        return image.getexif().get(tag)
    except MemoryError:
        raise
    except Exception:  # broken tags make Pillow raise many kinds of errors
        return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a stored image upright, by its EXIF orientation, 1..8."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def as_stored(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an upright image back to its stored orientation, 1..8 in EXIF; the inverse of `upright`."""
    return upright(image, _INVERSE.get(orientation, orientation))


def upright_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As `upright`, for an array (H, W) or (H, W, C); returns a view."""
    return _OF_PIXELS[_UPRIGHT[orientation]](pixels) if orientation in _UPRIGHT else pixels


def pixels_as_stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As `as_stored`, for an array (H, W) or (H, W, C); returns a view."""
    return upright_pixels(pixels, _INVERSE.get(orientation, orientation))


def square(image: Image.Image, size: int, reducing_gap: float | None = None) -> np.ndarray:
    """Make a photo square and gray, as the challenge does.

    Pillow resizes it (bilinear, antialiased) to a short side of `size` and a long side of int(size * long / short). The
    center is cropped at round((n - size) / 2), and `grayscale` makes it gray.

    Args:
        image: upright, mode RGB or L.
        size: side of the result, pixels.
        reducing_gap: as in Pillow's `resize`: if the photo is more than twice this many times larger, Pillow averages
            whole pixels first. This is several times faster, but single pixels may differ from the challenge's. None:
            exact.

    Returns:
        (size, size) uint8.
    """
    shape = [int(size * n / min(image.size)) for n in image.size]
    resized = image.resize(shape, Image.Resampling.BILINEAR, reducing_gap=reducing_gap)
    left, top = (round((n - size) / 2) for n in shape)
    return grayscale(np.asarray(resized.crop((left, top, left + size, top + size))))


def grayscale(pixels: np.ndarray) -> np.ndarray:
    """Colorimetric grayscale (sRGB, Rec. 709 luminance), exact to the gray level.

    Y = 255 `from_linear`(0.2126 R + 0.7152 G + 0.0722 B), where R, G and B are `to_linear`(value / 255). It is computed
    in float64 and rounded half to even.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) uint8, which is already gray and returned unchanged.

    Returns:
        (H, W) uint8.
    """
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (_LINEAR[pixels[..., i]] for i in range(3))
    linear = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return np.round(from_linear(linear) * 255).astype(np.uint8)


def to_linear(values: np.ndarray) -> np.ndarray:
    """Convert stored sRGB values, 0..1, to linear light, 0..1, by the curve of IEC 61966-2-1.

    C / 12.92 if C <= 0.04045, else ((C + 0.055) / 1.055)^2.4; for any shape, in the precision of `values`.
    """
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(light: np.ndarray) -> np.ndarray:
    """Convert linear light, 0..1, to stored sRGB values, 0..1; the inverse of `to_linear`.

    12.92 Y if Y <= 0.0031308, else 1.055 Y^(1/2.4) - 0.055; for any shape, in the precision of `light`.
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = to_linear(np.arange(256) / 255)  # (256,) float64: the linear intensity of each 8-bit value
