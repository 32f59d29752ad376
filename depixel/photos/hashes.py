"""Perceptual hashes of photos: 64 bits that change little when a photo is recompressed, resized or cropped a little.

A hash is a pHash (Zauner, 2010): each bit says whether one of the lowest frequencies of a small gray picture lies above
their median. A photo has several hashes: of the whole photo, of crops, and of the flipped photo. They are computed from
the prepared images, which are squares from the center of the photos.
"""

from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
import scipy.fftpack  # noqa: F401  imagehash needs it to hash: it is loaded once, before processes are forked
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.dataset.prepared import MADE_BY, open_array

SIDE = 8
"""The side of the square of bits of a hash; a hash has 8 x 8 bits."""

PIXELS = 32
"""The side of the picture that is hashed, in pixels. The hash uses the lowest quarter of its frequencies."""

CUT = 0.93
"""The share of the side that a crop keeps. It is close enough to all shares from 0.9 to 1."""

CUTS = [(0.0, 0.0, 1.0), *((x, y, CUT) for y in (0, 0.5, 1) for x in (0, 0.5, 1))]
"""The crops that are hashed: x and y (share of the free space) and side (share). The first is the whole photo."""

FLIPS = [(False, False), (True, False), (False, True), (True, True)]
"""The ways to flip a photo: (left-right, upside down)."""

HASHES = len(CUTS) + len(FLIPS) - 1
"""The number of hashes of a photo: those of its crops, then those of its flips."""

_ODD = np.stack([(np.arange(SIDE)[:, None] * down + np.arange(SIDE) * across) % 2 == 1 for across, down in FLIPS])
"""(len(FLIPS), SIDE, SIDE) bool: the frequencies whose sign each flip changes."""

_EXACT = 1e-4
"""The least distance of a frequency from the median, in units of the transform (up to 1e6). Where one is nearer, the
order of additions decides its bit, so imagehash computes that hash."""


def hashes(image: np.ndarray) -> np.ndarray:
    """The hashes of a prepared image, (S, S) uint8: (HASHES,) uint64, the same bits as by imagehash.phash."""
    pictures = _cut(image)
    cosines = _cosines()
    frequencies = cosines @ pictures @ cosines.T  # (len(CUTS), SIDE, SIDE)
    # a flip changes the signs of the odd frequencies
    whole = np.where(_ODD[1:], -frequencies[0], frequencies[0])
    frequencies = np.concatenate([frequencies, whole]).reshape(HASHES, SIDE * SIDE)
    away = frequencies - np.median(frequencies, axis=1, keepdims=True)
    codes = np.packbits(away > 0, axis=1).view(np.uint64)[:, 0]
    for number in np.flatnonzero((np.abs(away) < _EXACT).any(axis=1)):
        cut = number < len(CUTS)
        picture = pictures[number] if cut else _flipped(pictures[0], *FLIPS[1 + number - len(CUTS)])
        codes[number] = _hash(Image.fromarray(picture))
    return codes


def _cut(image: np.ndarray) -> np.ndarray:
    """(len(CUTS), PIXELS, PIXELS) uint8: each crop, resized. Crops of the same columns share the horizontal pass."""
    picture, size = Image.fromarray(image), len(image)
    found = []
    strips: dict[tuple[float, float], Image.Image] = {}
    for x, y, share in CUTS:
        side = share * size
        left, top = x * (size - side), y * (size - side)
        if (x, share) not in strips:
            columns = (left, 0, left + side, size)
            strips[x, share] = picture.resize((PIXELS, size), Image.Resampling.BOX, box=columns)
        rows = (0, top, PIXELS, top + side)
        found.append(np.asarray(strips[x, share].resize((PIXELS, PIXELS), Image.Resampling.BOX, box=rows)))
    return np.stack(found)


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """(SIDE, PIXELS) float64: the lowest frequencies of the discrete cosine transform, type 2."""
    frequency, place = np.arange(SIDE)[:, None], np.arange(PIXELS)
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * PIXELS)))


def _hash(picture: Image.Image) -> np.uint64:
    bits = imagehash.phash(picture, hash_size=SIDE, highfreq_factor=PIXELS // SIDE).hash
    return np.packbits(bits).view(np.uint64)[0]


def _flipped(image: np.ndarray, horizontal: bool, vertical: bool) -> np.ndarray:
    return image[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the 8 orientations of a square: flipped as FLIPS[turn % 4], then transposed if turn is 4 or more."""
    flipped = _flipped(image, *FLIPS[turn % 4])
    return flipped.T if turn >= len(FLIPS) else flipped


def turns(codes: np.ndarray) -> np.ndarray:
    """(N, HASHES) to (N, 8): the hashes of whole photos in each turn; transposing a photo transposes its bits."""
    flips = np.concatenate([codes[:, :1], codes[:, len(CUTS) :]], axis=1)
    bits = np.unpackbits(flips.view(np.uint8).reshape(*flips.shape, 8), axis=-1).reshape(*flips.shape, SIDE, SIDE)
    transposed = np.packbits(bits.swapaxes(-1, -2).reshape(*flips.shape, 64), axis=-1).view(np.uint64)[..., 0]
    return np.concatenate([flips, transposed], axis=1)


INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)
"""The inverse of each turn. A transposition swaps the two single flips."""


def load_hashes(path: str | Path, count: int) -> np.ndarray:
    """Open the hashes of prepared images, memory-mapped and read-only.

    Args:
        path: that of hashes.npy.
        count: number of prepared images.

    Returns:
        (count, HASHES) uint64.

    Raises:
        DepixelError: the file is missing or not such an array.
    """
    found = open_array(path)
    if found.dtype != np.uint64 or found.shape != (count, HASHES):
        raise DepixelError(
            f"{path}: {found.dtype} of shape {found.shape}, but must be uint64 of shape ({count}, {HASHES}). Make it "
            f"again with `{MADE_BY}`"
        )
    return found
