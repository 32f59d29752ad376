"""The prepared photos on disk: arrays of square gray images and their hashes, and one index."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depixel.base.errors import DepixelError
from depixel.base.tables import read_table

ARRAYS = ("images.npy", "hashes.npy")
"""The names of the arrays."""

MADE_BY = "python stages/prepare.py"
"""The command that makes the prepared photos, for messages."""


class Photo(NamedTuple):
    """A row of the index: the photo in the same row of the arrays; all fields are text, as in the manifest."""

    contributor: str
    name: str
    sha256: str


def load_index(path: str | Path) -> list[Photo]:
    """Read the index: N rows, as in the arrays. Raises `DepixelError` if it is missing or not an index."""
    return list(read_index(path))


def read_index(path: str | Path) -> Iterator[Photo]:
    """As `load_index`, row by row."""
    return read_table(path, Photo, MADE_BY)


def load_images(path: str | Path, count: int) -> np.ndarray:
    """Open prepared images, memory-mapped and read-only.

    Args:
        path: that of images.npy.
        count: number of rows of the index.

    Returns:
        (count, S, S) uint8.

    Raises:
        DepixelError: the file is missing or not such an array.
    """
    images = open_array(path)
    side = images.shape[-1] if images.ndim else 0
    if images.dtype != np.uint8 or images.shape != (count, side, side):
        raise DepixelError(
            f"{path}: {images.dtype} of shape {images.shape}, but the index needs uint8 of shape ({count}, S, S). "
            f"Make it again with `{MADE_BY}`"
        )
    return images


def open_array(path: str | Path) -> np.ndarray:
    """Open an array of the prepared photos, memory-mapped and read-only. Raises `DepixelError` if it is no array."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DepixelError(f"{path}: no such file. Make it with `{MADE_BY}`") from None
    except (OSError, ValueError, EOFError) as error:
        raise DepixelError(f"{path}: not an array ({error}). Make it again with `{MADE_BY}`") from error
