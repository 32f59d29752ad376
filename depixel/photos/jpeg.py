"""JPEG: the usual quantization tables, the end of an image, and a check for missing data."""

import re
from collections.abc import Iterator

import numpy as np

from depixel.photos.decoding import UnreadableError, opened

_PROGRESSIVE, _END, _SCAN = 0xC2, 0xD9, 0xDA  # markers
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # none of these occur within the data of a scan
_MORE = bytes(range(17, 241, 7)) * 4  # arbitrary data without markers

_STANDARD = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(8, 8)  # fmt: skip
"""The luminance table of the JPEG standard (ITU-T T.81, annex K). Nearly all programs scale it by a quality."""


def standard_table(quality: int) -> np.ndarray:
    """The luminance quantization table of libjpeg for a quality of 1 to 100: (8, 8) integers, 1..255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_STANDARD * percent + 50) // 100, 1, 255)


def end_of_image(data: bytes) -> int | None:
    """The offset of the marker that ends the first image in `data`; None if `data` is no JPEG or has no end."""
    return next((place for marker, place in _markers(data) if marker == _END), None)


def lacks_data(data: bytes) -> bool:
    """Whether data is missing in a JPEG that has a proper end; libjpeg fills missing pixels with gray and says nothing.

    The JPEG is decoded again with additional data before its end. This changes pixels only if some are missing. In a
    progressive JPEG, scans may be missing too. With arithmetic coding the result is False, because an encoder may leave
    out zeros at the end; only missing scans are detected.

    Raises:
        UnreadableError: the JPEG cannot be decoded.
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
        image.draft("YCbCr", image.size)  # avoids the conversion to RGB
        return np.asarray(image)


def _lacks_scans(data: bytes) -> bool:
    """Whether the scans of a progressive JPEG omit bits of some coefficients (ITU-T T.81, G.1.1.1)."""
    missing: set[tuple[int, int]] = set()  # (component, coefficient) pairs whose last bit no scan has held so far
    for marker, at in _markers(data):
        if marker == _PROGRESSIVE:
            missing = {
                (component, k) for component in data[at + 10 : at + 10 + 3 * data[at + 9] : 3] for k in range(64)
            }
        elif marker == _SCAN:
            header = data[at + 4 : at + 16]
            if len(header) < 12 or header[0] > 4:
                continue  # the header is cut off or broken
            components, (first, last, bits) = header[1 : 1 + 2 * header[0] : 2], header[1 + 2 * header[0] :][:3]
            if bits & 15 == 0:
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
    return bool(missing)


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers of the first image and their offsets, up to its end marker."""
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
