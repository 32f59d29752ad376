"""The prepared photos at rest: packed arrays of square gray images, and one index."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depixel.base.errors import DepixelError
from depixel.base.tables import read_table

ARRAYS = ("images.npy", "hashes.npy")
MADE_BY = "python stages/prepare.py"


class Photo(NamedTuple):
    """A row of the index: which photo stands in this row of the arrays. Text; as in the manifest."""

    contributor: str
    name: str
    sha256: str


def load_index(path: str | Path) -> list[Photo]:
    """Read the index: N rows, those of the arrays. Raises `DepixelError` if it is not there or no index."""
    return list(read_index(path))


def read_index(path: str | Path) -> Iterator[Photo]:
    """The same, row by row."""
    return read_table(path, Photo, MADE_BY)


def load_images(path: str | Path, count: int) -> np.ndarray:
    """Open prepared images, memory-mapped and read-only.

    Args:
        count: the rows of the index.

    Returns:
        (count, S, S) uint8.

    Raises:
        DepixelError: the file is not there, or not such an array.
    """
    images = open_array(path)
    side = images.shape[-1] if images.ndim else 0
    if images.dtype != np.uint8 or images.shape != (count, side, side):
        raise DepixelError(
            f"{path}: {images.dtype} of shape {images.shape}, where the index says uint8 of shape ({count}, S, S). "
            f"Make it anew with `{MADE_BY}`"
        )
    return images


def open_array(path: str | Path) -> np.ndarray:
    """Open an array of the prepared photos, memory-mapped and read-only. Raises `DepixelError` if it is none."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DepixelError(f"{path}: no such file. Make it with `{MADE_BY}`") from None
    except (OSError, ValueError, EOFError) as error:
        raise DepixelError(f"{path}: not an array ({error}). Make it anew with `{MADE_BY}`") from error
