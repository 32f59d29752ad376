"""The photos of the detector: those of every second contributor teach it, those of the others measure it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError, decode, grayscale, square
from depixel.photos.rules import LEAST_SIDE, MOST_BYTES


def entries_of(photos: Path, odd: int) -> list[Entry]:
    """The JPEGs of every second contributor: from the first one, or the second (1)."""
    entries = [entry for entry in archives.Entries(photos) if entry.name.lower().endswith((".jpg", ".jpeg"))]
    chosen = set(sorted({entry.contributor for entry in entries})[odd::2])
    return [entry for entry in entries if entry.contributor in chosen]


def loaded(entry: Entry, size: int, color: bool = False) -> np.ndarray | None:
    """The photo in gray or RGB, at `size` or (0) as it is; None if it is none."""
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
