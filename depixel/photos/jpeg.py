"""JPEG: the quantization tables that nearly all programs write, where an image ends, and whether data is missing."""

import re
from collections.abc import Iterator

import numpy as np

from depixel.photos.decoding import UnreadableError, opened

_PROGRESSIVE, _END, _SCAN = 0xC2, 0xD9, 0xDA  # markers
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # none of these are within the data of a scan
_MORE = bytes(range(17, 241, 7)) * 4  # data of no meaning, without markers

_STANDARD = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(8, 8)  # fmt: skip
"""The table of luminance of the JPEG standard (ITU-T T.81, annex K), which nearly all programs scale by a quality."""


def standard_table(quality: int) -> np.ndarray:
    """(8, 8) quantization steps of the luminance at a quality of 1 to 100, as libjpeg has them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_STANDARD * percent + 50) // 100, 1, 255)


def end_of_image(data: bytes) -> int | None:
    """The offset of the marker that ends the first image in `data`; None if that is no JPEG or has no end."""
    return next((place for marker, place in _markers(data) if marker == _END), None)


def lacks_data(data: bytes) -> bool:
    """Whether a JPEG was cut off and ended properly all the same: libjpeg pads what is missing with gray, silently.

    Found by decoding it once more with other data before its end, which changes pixels only if some are missing; in a
    progressive JPEG, scans may be missing, too. Nothing is said of arithmetic coding, where an encoder may leave out
    zeros at the end. Raises `UnreadableError`.
    """
    if _lacks_scans(data):
        return True
    end = end_of_image(data)
    if end is None or any(marker in _ARITHMETIC for marker, _ in _markers(data)):
        return False
    pixels = _stored(data)
    try:
        return not np.array_equal(pixels, _stored(data[:end] + _MORE + data[end:]))
    except UnreadableError:
        return True


def _stored(data: bytes) -> np.ndarray:
    with opened(data) as image:
        image.draft("YCbCr", image.size)  # saves the conversion
        return np.asarray(image)


def _lacks_scans(data: bytes) -> bool:
    """Whether the scans of a progressive JPEG leave out bits of some coefficients (ITU-T T.81, G.1.1.1)."""
    missing: set[tuple[int, int]] = set()  # component and coefficient, until a scan holds its last bit
    for marker, at in _markers(data):
        if marker == _PROGRESSIVE:
            missing = {
                (component, k) for component in data[at + 10 : at + 10 + 3 * data[at + 9] : 3] for k in range(64)
            }
        elif marker == _SCAN:
            header = data[at + 4 : at + 16]
            if len(header) < 12 or header[0] > 4:
                continue  # cut off within it, or broken
            components, (first, last, bits) = header[1 : 1 + 2 * header[0] : 2], header[1 + 2 * header[0] :][:3]
            if bits & 15 == 0:
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
    return bool(missing)


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers of the first image and their offsets, up to the one of its end."""
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while found := _MARKER.match(data, place):
        marker, at = data[found.end() - 1], found.end() - 2
        yield marker, at
        if marker == _END:
            return
        place = found.end() if marker in _ALONE else found.end() + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            after = _MARKER.search(data, place)
            place = after.start() if after else len(data)
