"""Photos: decoded safely, turned upright, made square and gray."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import get_sampling

from depixel.base.errors import DepixelError

MOST_PIXELS = 50_000_000
MOST_SCANS = 100
"""Of a JPEG: cameras and programs write 1 to 10; each is decoded over all pixels, and costs a few bytes."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # no decoder that runs another program, as EPS does

_SCAN = re.compile(rb"\xff\xda\x00[\x06\x08\x0a\x0c][\x01-\x04]")  # its header; of 1 to 4 channels
_DECODER_BYTES = 12  # a pixel; the most that the decoders ask for at a time, untouched memory included
_EXIF_ORIENTATION = 274
UPRIGHT = {  # EXIF orientation -> how to turn the stored pixels upright; 1: not at all
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableError(DepixelError):
    """Something that cannot be read as a photo. Its text is the reason, one line; the file is named by who asked."""


@contextmanager
def opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """Open a photo from its bytes: only the header is read, `load()` reads the pixels.

    Raises:
        UnreadableError: not an image of `FORMATS`, more than `MOST_PIXELS`, whatever a decoder says in the block, or
            raised there.
        MemoryError: the memory is not enough to say.
    """
    pixels = MOST_PIXELS  # as far as is known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
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
        np.empty(pixels * _DECODER_BYTES, np.uint8)  # and libjpeg and libwebp the same for want of memory: raise that
        raise UnreadableError(f"broken image: {' '.join(str(error).split()) or type(error).__name__}") from error


def decode(data: bytes) -> Image.Image:
    """Decode a photo in full and turn it upright; in the mode it is stored in. Raises `UnreadableError`."""
    with opened(data) as image:
        image.load()
        turn = UPRIGHT.get(orientation(image))
        return image if turn is None else image.transpose(turn)


def scan(image: Image.Image) -> None:
    """Load all data of an opened photo to see whether it decodes, in about half the time of decoding it in full.

    The values that are loaded are those of the photo, or of a usual color JPEG its luminance at an eighth of the size:
    if they differ among themselves, so do the photo's.
    """
    if get_sampling(image) >= 0:
        image.draft("L", (1, 1))
    image.load()


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 (upright) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION)
        return int(value) if value in UPRIGHT else 1
    except MemoryError:
        raise
    except Exception:  # broken EXIF is no reason to lose the photo
        return 1


def square(image: Image.Image, size: int, reducing_gap: float | None = None) -> np.ndarray:
    """Make a photo square and gray, as the challenge does.

    Resized by Pillow (bilinear, antialiased): short side `size`, long side int(size * long / short); cut
    to its centre at round((n - size) / 2), then `grayscale`.

    Args:
        image: upright, RGB or L.
        size: pixels.
        reducing_gap: Pillow's: where the photo is more than twice this many times larger, whole pixels are averaged
            first. Several times as fast, but not the challenge's pixels to the last gray level. None: exact.

    Returns:
        (size, size) uint8.
    """
    shape = [int(size * n / min(image.size)) for n in image.size]
    resized = image.resize(shape, Image.Resampling.BILINEAR, reducing_gap=reducing_gap)
    left, top = (round((n - size) / 2) for n in shape)
    return grayscale(np.asarray(resized.crop((left, top, left + size, top + size))))


def grayscale(pixels: np.ndarray) -> np.ndarray:
    """Colorimetric grayscale (sRGB, Rec. 709 luminance), exact to the gray level.

    With C = value / 255: C_lin = C / 12.92 if C <= 0.04045 else ((C + 0.055) / 1.055)^2.4;
    Y_lin = 0.2126 R_lin + 0.7152 G_lin + 0.0722 B_lin; Y = 12.92 Y_lin if Y_lin <= 0.0031308 else
    1.055 Y_lin^(1/2.4) - 0.055; in float64, times 255, rounded half to even.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) uint8, which is gray already and returned as it is.

    Returns:
        (H, W) uint8.
    """
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (_LINEAR[pixels[..., i]] for i in range(3))
    linear = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return np.round(encoded(linear) * 255).astype(np.uint8)


def in_linear_light(values: np.ndarray) -> np.ndarray:
    """sRGB values, 0..1, as intensities of light, 0..1 (IEC 61966-2-1). Any float dtype and shape, which stay."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    """Intensities of light as sRGB values: undoes `in_linear_light`."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = in_linear_light(np.arange(256) / 255)  # (256,) float64: of each 8-bit value
