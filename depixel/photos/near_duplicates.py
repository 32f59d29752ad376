"""Near-duplicates: photos of the same picture that were recompressed, resized, turned, mirrored or cropped a little.

Three filters find them, each finer and slower than the one before:

1. pHash (Zauner, 2010; package imagehash) compares two whole photos, with one of them in each of its 8 orientations.
   Its 64 bits are the signs of low frequencies. A copy differs in few of them, even if it is cropped.
2. The same hash compares nine crops of one photo with the whole other photo. The crop that is closest to the copy
   differs in very few bits.
3. The pictures are aligned, and their correlation is computed.

The hashes are those of the prepared images, which are squares from the center of the photos.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
import scipy.fftpack  # noqa: F401  imagehash needs it to hash: it is loaded once, before processes are forked
from PIL import Image
from threadpoolctl import threadpool_limits

from depixel.base import layout, reuse
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.reuse import matched
from depixel.base.tables import path_of, read_table, write_table
from depixel.dataset import splits
from depixel.dataset.prepared import MADE_BY, Photo, open_array
from depixel.dataset.splits import COPY, SIDES, Assigned, SplitSettings

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

MOST_BITS = 24
"""The maximum number of different bits between the hashes of two whole copies."""

MOST_BITS_CUT = 10
"""The maximum number of different bits between the hash of the best crop of one copy and that of the whole other."""

BAND = (1.0, 4.0)
"""The Gaussian sigmas of the band-pass filter, in pixels of a 64 px image. It removes compression noise (finer) and
lighting (coarser)."""

LEAST = 0.88
"""The minimum correlation (0..1) of two copies."""

SHOWN = 48
"""The number of pairs on the contact sheet of stage split. It shows the least similar ones: if those are copies, so are
the others."""

_GRID = 32
_SCALES = (1.0, 0.975, 0.95, 0.925, 0.9)


class Copy(NamedTuple):
    """A row of the table of copies: a photo and another one, on another side, of the same picture; all fields are text.

    Attributes:
        contributor, name, sha256, split: those of the photo.
        of_contributor, of_name, of_sha256, of_split: those of the other photo.
        similarity: the correlation of both, 1 for the same pixels, with four decimals.
    """

    contributor: str
    name: str
    sha256: str
    split: str
    of_contributor: str
    of_name: str
    of_sha256: str
    of_split: str
    similarity: str


class Pair(NamedTuple):
    """Two photos that show the same picture.

    Attributes:
        first, second: rows of the photos in the arrays.
        similarity: the correlation of both, 1 for the same pixels.
    """

    first: int
    second: int
    similarity: float


def hashes(image: np.ndarray) -> np.ndarray:
    """The hashes of a prepared image, (S, S) uint8: (HASHES,) uint64."""
    picture = Image.fromarray(image)
    codes = []
    for x, y, share in CUTS:
        side = share * len(image)
        left, top = x * (len(image) - side), y * (len(image) - side)
        box = (left, top, left + side, top + side)
        codes.append(_hash(picture.resize((PIXELS, PIXELS), Image.Resampling.BOX, box=box)))
    whole = picture.resize((PIXELS, PIXELS), Image.Resampling.BOX)
    for flip in FLIPS[1:]:
        codes.append(_hash(Image.fromarray(_flipped(np.asarray(whole), *flip))))
    return np.array(codes, np.uint64)


def _hash(picture: Image.Image) -> np.uint64:
    bits = imagehash.phash(picture, hash_size=SIDE, highfreq_factor=PIXELS // SIDE).hash
    return np.packbits(bits).view(np.uint64)[0]


def _flipped(image: np.ndarray, horizontal: bool, vertical: bool) -> np.ndarray:
    return image[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def _turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the 8 orientations of a square: flipped as FLIPS[turn % 4], then transposed if turn is 4 or more."""
    flipped = _flipped(image, *FLIPS[turn % 4])
    return flipped.T if turn >= len(FLIPS) else flipped


def _turns(codes: np.ndarray) -> np.ndarray:
    """(N, HASHES) to (N, 8): the hashes of whole photos in each turn; transposing a photo transposes its bits."""
    flips = np.concatenate([codes[:, :1], codes[:, len(CUTS) :]], axis=1)
    bits = np.unpackbits(flips.view(np.uint8).reshape(*flips.shape, 8), axis=-1).reshape(*flips.shape, SIDE, SIDE)
    transposed = np.packbits(bits.swapaxes(-1, -2).reshape(*flips.shape, 64), axis=-1).view(np.uint64)[..., 0]
    return np.concatenate([flips, transposed], axis=1)


_INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # turn -> its inverse; a transposition swaps the two single flips


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


def split(
    photos: Sequence[Photo],
    images: np.ndarray,
    codes: np.ndarray,
    images_by: str,
    settings: SplitSettings,
    out: Path,
) -> tuple[dict[str, dict[str, int]], list[Copy]]:
    """Split prepared photos, leave copies out, and write the tables: `out`, copies.csv beside it, and their record.

    It reuses the copies of an earlier run if that had the same code, settings and maker of the images.

    Args:
        photos: N photos.
        images: (N, S, S) uint8.
        codes: (N, HASHES) uint64, the `hashes` of each image.
        images_by: the hash from `maker` in the images' record (`reuse.made_by`); "" if unknown.
        settings: the section `split` of params.yaml.
        out: the path of the table of splits.

    Returns:
        For each side the numbers of "photos" and "contributors" (`splits.write_splits`); and the copies.

    Raises:
        DepixelError: a side is empty, all training photos are copies, or a table cannot be written.
    """
    rows = list(splits.split(photos, settings))
    table, record = out.with_name(layout.COPIES.name), out.with_suffix(f".{reuse.RECORD}")
    made_by = reuse.maker(__file__, settings) + images_by
    earlier: list[Assigned] = []
    known: list[Copy] = []
    if images_by and reuse.reusable(record, made_by, (out.name, table.name)):
        earlier = list(read_table(out, Assigned, splits.MADE_BY))
        known = list(read_table(table, Copy, splits.MADE_BY))
    found = between_sides(rows, images, codes, earlier, known)
    counts = splits.write_splits(left_out(rows, found), out)
    write_table(table, Copy, found)
    reuse.write_record(record, made_by, {path.name: hash_of(path, "sha256") for path in (out, table)})
    return counts, found


def between_sides(
    rows: Sequence[Assigned], images: np.ndarray, codes: np.ndarray, earlier: Iterable[Assigned], known: Iterable[Copy]
) -> list[Copy]:
    """Find all pairs of photos on different sides that show the same picture.

    Args:
        rows: N photos and their sides, in ascending order of their paths.
        images: (N, S, S) uint8, the prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each image.
        earlier: the rows of an earlier run with the same code and settings, in order. Pairs of two unchanged photos are
            not searched again.
        known: the copies that the earlier run found.

    Returns:
        The pairs, in ascending order of their rows.
    """
    pairs = matched(rows, earlier, lambda row: path_of(row.contributor, row.name))
    old = np.array([other is not None and other.sha256 == row.sha256 for row, other in pairs])
    numbers = {row.sha256: number for number, row in enumerate(rows) if old[number]}  # names may occur twice
    found = [
        Pair(numbers[copy.sha256], numbers[copy.of_sha256], float(copy.similarity))
        for copy in known
        if copy.sha256 in numbers and copy.of_sha256 in numbers
    ]
    sides = np.array([row.split for row in rows])
    for first, second in combinations(SIDES, 2):
        a, b = (np.flatnonzero(sides == side) for side in (first, second))
        found += find(images, codes, a[~old[a]], b)
        found += find(images, codes, a[old[a]], b[~old[b]])
    return [
        Copy(*a, *b, f"{similarity:.4f}")
        for a, b, similarity in ((rows[first], rows[second], similarity) for first, second, similarity in sorted(found))
    ]


def left_out(rows: Iterable[Assigned], found: Iterable[Copy]) -> list[Assigned]:
    """Mark the training photos that are copies of photos on other sides, to leave them out.

    Args:
        rows: photos and their sides.
        found: the copies among them.

    Returns:
        The same rows, in order; the side of a marked photo is `COPY`.

    Raises:
        DepixelError: all training photos are copies.
    """
    copied = {copy.sha256 for copy in found if copy.split == "train"}
    rows = [row._replace(split=COPY) if row.sha256 in copied else row for row in rows]
    if not any(row.split == "train" for row in rows):
        raise DepixelError(
            "every training photo shows the same picture as a validation or test photo. Add photos that differ more, "
            "or keep the photos of a contributor together: set split.by: contributor in params.yaml"
        )
    return rows


def find(images: np.ndarray, codes: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[Pair]:
    """Find the pairs of a photo in `first` and another photo in `second` that show the same picture.

    Args:
        images: (N, S, S) uint8, prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each image.
        first, second: rows of the photos to compare.

    Returns:
        Pairs in ascending order, without repetitions.
    """
    best: dict[tuple[int, int], float] = {}
    with threadpool_limits(1):  # the products are so small that two threads take up to four times as long
        for a, b, turn in _candidates(codes, first, second):
            similarity = round(_similarity(_band(images, a), _band(images, b), turn), 4)
            if similarity >= LEAST:
                best[a, b] = max(similarity, best.get((a, b), 0.0))
    return [Pair(*pair, similarity) for pair, similarity in sorted(best.items())]


def _candidates(codes: np.ndarray, first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Pairs of rows of `first` and `second` with similar hashes, and the turn of the second photo in each."""
    turns = _turns(codes)
    signs = _signs(codes[first, 0])
    for turn in range(2 * len(FLIPS)):
        others = _signs(turns[second, turn])
        for start in range(0, len(second), 256):
            # the dot product of two codes of +-1 is 64 minus twice the number of different bits
            near = np.argwhere(signs @ others[start : start + 256].T >= 64 - 2 * MOST_BITS)
            a, b = first[near[:, 0]], second[start + near[:, 1]]
            cuts_of_a = np.bitwise_count(codes[a, : len(CUTS)] ^ turns[b, turn, None]).min(axis=1, initial=64)
            cuts_of_b = np.bitwise_count(codes[b, : len(CUTS)] ^ turns[a, _INVERSE[turn], None]).min(axis=1, initial=64)
            nearer = (np.minimum(cuts_of_a, cuts_of_b) <= MOST_BITS_CUT) & (a != b)
            yield from zip(a[nearer].tolist(), b[nearer].tolist(), [turn] * int(nearer.sum()), strict=True)


def _signs(codes: np.ndarray) -> np.ndarray:
    """(N,) uint64 to (N, 64) float32 of +-1."""
    return np.unpackbits(codes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32) * 2 - 1


def _band(images: np.ndarray, row: int) -> np.ndarray:
    """(64, 64) float32: the image after the band-pass filter `BAND`."""
    from scipy import ndimage  # takes a third of a second and much memory, and stage prepare does not need it

    image = Image.fromarray(images[row])
    pixels = np.asarray(image if image.width == 64 else image.resize((64, 64), Image.Resampling.BOX), np.float32)
    fine, coarse = (ndimage.gaussian_filter(pixels, sigma) for sigma in BAND)
    return fine - coarse


def _similarity(first: np.ndarray, second: np.ndarray, turn: int) -> float:
    """The highest correlation of one whole photo with a crop of the other."""
    second = _turned(second, turn)
    return float(max(_best_cut(first, second), _best_cut(second, first)))


def _best_cut(whole: np.ndarray, cut: np.ndarray) -> float:
    rows = _samplers()  # (K, _GRID, 64)
    cuts = np.einsum("kiy,yx,ljx->klij", rows, whole, rows, optimize=True).reshape(-1, _GRID**2)
    shown = (rows[0] @ cut @ rows[0].T).ravel()
    cuts, shown = cuts - cuts.mean(axis=1, keepdims=True), shown - shown.mean()
    return float(((cuts @ shown) / (np.linalg.norm(cuts, axis=1) * np.linalg.norm(shown) + 1e-6)).max())


@lru_cache(maxsize=1)
def _samplers() -> np.ndarray:
    """(K, _GRID, 64) float32: each matrix samples a crop of 64 pixels along one axis at _GRID points by linear
    interpolation; the first one samples the whole axis."""
    found = []
    for scale in _SCALES:
        steps = round((1 - scale) / 0.025)
        for offset in np.linspace(0, 1, steps + 1) if steps else [0.0]:
            side = scale * 64
            places = (np.arange(_GRID) + 0.5) * side / _GRID + offset * (64 - side) - 0.5
            found.append(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(64))))
    return np.array(found, np.float32)
