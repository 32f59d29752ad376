"""Numbers that stand for photos by their names, and samples drawn by them."""

import hashlib
from collections.abc import Iterable

import numpy as np


def photo_ids(names: Iterable[str]) -> np.ndarray:
    """(N,) uint64: a number for each photo, the first 8 bytes of the sha256 of its name."""
    digests = (hashlib.sha256(name.encode("utf-8")).digest()[:8] for name in names)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def drawn(ids: np.ndarray, most: int) -> np.ndarray:
    """Draw a sample of photos by their names, so that photos that come or go change little of it.

    Args:
        ids: (N,) uint64, see `photo_ids`.
        most: the maximum number of photos.

    Returns:
        Positions within `ids`, ascending: all if there are no more than `most`, else those of the smallest ids.
    """
    return np.arange(len(ids)) if len(ids) <= most else np.sort(np.argsort(ids, kind="stable")[:most])
