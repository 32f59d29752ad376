"""The photos of the detector: every second contributor is for training, the others are for benchmarks."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError, decode, grayscale, square
from depixel.photos.rules import LEAST_SIDE, MOST_BYTES


def entries_of(photos: Path, odd: int) -> list[Entry]:
    """The JPEGs of every second contributor; odd: 0 starts with the first contributor, 1 with the second."""
    entries = [entry for entry in archives.Entries(photos) if entry.name.lower().endswith((".jpg", ".jpeg"))]
    chosen = set(sorted({entry.contributor for entry in entries})[odd::2])
    return [entry for entry in entries if entry.contributor in chosen]


def loaded(entry: Entry, size: int, color: bool = False) -> np.ndarray | None:
    """Load a photo in gray or RGB, uint8, resized to a square of `size` pixels; size 0: unchanged.

    Returns None if it cannot be read, is too small, or has another color mode.
    """
    try:
        image = decode(archives.read(entry, MOST_BYTES))
    except UnreadableError:
        return None
    if image.mode not in ("RGB", "L") or min(image.size) < LEAST_SIDE:
        return None
    if color:
        image = image.convert("RGB")
        return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR) if size else image)
    return square(image, size) if size else grayscale(np.asarray(image))
