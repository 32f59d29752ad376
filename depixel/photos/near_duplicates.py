"""Near-duplicates: photos that show the same picture, encoded again, resized, turned, mirrored, or cropped a little.

Three sieves find them, each finer and slower than the one before. (1) pHash (Zauner, 2010; of the package imagehash)
compares all of both photos, in each of the 8 ways to turn and mirror one of them. Its 64 bits are the signs of low
frequencies; a copy differs in few of them even if it is cropped. (2) The same hash compares nine cuts of one photo with
all of the other: the cut nearest to what the copy shows differs in very few bits. (3) The pictures themselves are laid
on one another, and their correlation is measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from depixel.base import layout, reuse
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.reuse import matched
from depixel.base.tables import path_of, read_table, write_table
from depixel.dataset import splits
from depixel.dataset.prepared import Photo
from depixel.dataset.splits import COPY, SIDES, Assigned, SplitSettings
from depixel.photos.hashes import CUTS, INVERSE, turns
from depixel.photos.likeness import likeness
from depixel.photos.processes import CHUNK, each

MOST_BITS = 24
"""Number of bits by which the hashes of all of two copies differ at most."""

MOST_BITS_CUT = 10
"""Number of bits by which the hashes of the best cut of one copy and of all of the other differ at most."""

LEAST = 0.88
"""Correlation from which two pictures are the same."""

SHOWN = 48
"""Number of pairs on the sheet of stage split, the least similar ones: if those are copies, so are the others."""

QUERIES, STORED = 128, 1024
"""Number of hashes that are compared at a time with how many others: what is between fits the cache of a core."""

BLOCK = 256
"""Number of photos whose copies a process searches for at a time."""

CANDIDATES = 8
"""Number of pairs that are laid on one another at a time."""


class Copy(NamedTuple):
    """A row of the table of copies, text: a photo, and a photo on another side that shows the same picture.

    Attributes:
        contributor, name, sha256, split: of the photo. of_contributor, of_name, of_sha256, of_split: of the other.
        similarity: their correlation, 1 for the same pixels, with four decimals.
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
        first, second: their rows in the arrays.
        similarity: their correlation, 1 for the same pixels.
    """

    first: int
    second: int
    similarity: float


def split(
    photos: Sequence[Photo],
    images: np.ndarray,
    codes: np.ndarray,
    images_by: str,
    settings: SplitSettings,
    out: Path,
) -> tuple[dict[str, dict[str, int]], list[Copy]]:
    """Split prepared photos, leave copies out, and write the tables: `out`, copies.csv beside it, and their record.

    An earlier run's copies are used again if its record says that they are by this code, these settings and images.

    Args:
        photos: N photos. images: (N, S, S) uint8. codes: (N, HASHES) uint64, the `hashes` of each.
        images_by: what the images were made by (`reuse.made_by`); "" if that is not known.

    Returns:
        Number of photos and contributors on each side, and the copies that were found.

    Raises:
        DepixelError: a side is empty, or nothing is left to train on.
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
    rows: Sequence[Assigned],
    images: np.ndarray,
    codes: np.ndarray,
    earlier: Iterable[Assigned],
    known: Iterable[Copy],
    workers: int | None = None,
) -> list[Copy]:
    """Find all pairs of photos on different sides that show the same picture.

    Args:
        rows: N photos and their sides, in ascending order of their paths.
        images: (N, S, S) uint8, the prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each.
        earlier: the rows of an earlier run by this code and settings, in order. Pairs of two unchanged photos are not
            searched for again.
        known: the copies that the earlier run found.
        workers: number of processes; None: one for each core. It changes no result.

    Returns:
        The pairs, in ascending order of the rows.
    """
    pairs = matched(rows, earlier, lambda row: path_of(row.contributor, row.name))
    old = np.array([other is not None and other.sha256 == row.sha256 for row, other in pairs])
    numbers = {row.sha256: number for number, row in enumerate(rows) if old[number]}  # names may be there twice
    found = [
        Pair(numbers[copy.sha256], numbers[copy.of_sha256], float(copy.similarity))
        for copy in known
        if copy.sha256 in numbers and copy.of_sha256 in numbers
    ]
    sides = np.array([row.split for row in rows])
    tasks = []
    for first, second in combinations(SIDES, 2):
        a, b = (np.flatnonzero(sides == side) for side in (first, second))
        tasks += [(a[~old[a]], b), (a[old[a]], b[~old[b]])]
    found += search(images, codes, tasks, workers)
    return [
        Copy(*a, *b, f"{similarity:.4f}")
        for a, b, similarity in ((rows[first], rows[second], similarity) for first, second, similarity in sorted(found))
    ]


def left_out(rows: Iterable[Assigned], found: Iterable[Copy]) -> list[Assigned]:
    """Mark the photos for training that are copies of photos on other sides, so that they are left out.

    Args:
        rows: photos and their sides.
        found: the copies among them.

    Returns:
        The same rows, in order; the side of such a photo is `COPY`.

    Raises:
        DepixelError: nothing is left to train on.
    """
    copied = {copy.sha256 for copy in found if copy.split == "train"}
    rows = [row._replace(split=COPY) if row.sha256 in copied else row for row in rows]
    if not any(row.split == "train" for row in rows):
        raise DepixelError(
            "every photo for training shows the same picture as one for validation or test. More different photos are "
            "needed, or those of a contributor belong together: split.by: contributor, in params.yaml"
        )
    return rows


def search(
    images: np.ndarray,
    codes: np.ndarray,
    tasks: Iterable[tuple[np.ndarray, np.ndarray]],
    workers: int | None = None,
) -> list[Pair]:
    """`find` for several pairs of groups, in processes: the pairs of all in ascending order, none twice.

    Args:
        images, codes: as `find` takes them.
        tasks: `first` and `second` of each call.
        workers: number of processes; None: one for each core. It changes no result.
    """
    blocks = [
        (first[start : start + BLOCK], second)
        for first, second in tasks
        for start in range(0, len(first), BLOCK)
        if len(second)
    ]
    few = -(-len(blocks) // CHUNK)
    blocks = [block for start in range(few) for block in blocks[start::few]]  # each process gets long and short ones
    found = each(partial(_find, images, codes, turns(codes)), blocks, workers)
    return sorted({pair for some in found for pair in some})


def find(images: np.ndarray, codes: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[Pair]:
    """Find the pairs of a photo in `first` and another one in `second` that show the same picture.

    Args:
        images: (N, S, S) uint8, prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each.
        first, second: rows of the photos that are compared.

    Returns:
        Pairs in ascending order, none twice.
    """
    return _find(images, codes, turns(codes), (first, second))


def _find(images: np.ndarray, codes: np.ndarray, turned: np.ndarray, rows: tuple[np.ndarray, np.ndarray]) -> list[Pair]:
    """`find`; `turned`: the `turns` of all hashes."""
    best: dict[tuple[int, int], float] = {}
    candidates = [np.stack([a, b, np.full(len(a), turn)]) for a, b, turn in _candidates(codes, turned, *rows)]
    firsts, seconds, turns_of = np.concatenate([np.empty((3, 0), int), *candidates], axis=1)
    with threadpool_limits(1):  # the products are small: two threads take up to four times as long as one
        for start in range(0, len(firsts), CANDIDATES):
            a, b, turn = (array[start : start + CANDIDATES] for array in (firsts, seconds, turns_of))
            found = likeness(images, a, b, turn).round(4)
            for pair, similarity in zip(zip(a.tolist(), b.tolist(), strict=True), found.tolist(), strict=True):
                if similarity >= LEAST:
                    best[pair] = max(similarity, best.get(pair, 0.0))
    return [Pair(*pair, similarity) for pair, similarity in sorted(best.items())]


def _candidates(
    codes: np.ndarray, turned: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Rows of `first` and `second` whose hashes are near, and the turn of the second that makes them so.

    All pairs are compared: 64 bits take about a nanosecond. An index (cells of hashes, of which a query looks into a
    few) misses copies and is slower up to some 100 million photos.
    """
    for start in range(0, len(second), STORED):
        others = second[start : start + STORED]
        columns = np.ascontiguousarray(turned[others].T)
        cuts_of_others = np.ascontiguousarray(codes[others, : len(CUTS)].T)
        for place in range(0, len(first), QUERIES):
            rows = first[place : place + QUERIES]
            undone = np.ascontiguousarray(turned[rows].T)
            cuts_of_rows = np.ascontiguousarray(codes[rows, : len(CUTS)].T)
            differing = np.empty((len(rows), len(others)), np.uint64)
            bits = np.empty(differing.shape, np.uint8)
            for turn, wholes in enumerate(columns):
                np.bitwise_xor(codes[rows, :1], wholes, out=differing)
                np.bitwise_count(differing, out=bits)
                i, j = np.divmod(np.flatnonzero(bits <= MOST_BITS), len(others))
                of_rows = _fewest_bits(cuts_of_rows, i, wholes, j)
                of_others = _fewest_bits(cuts_of_others, j, undone[INVERSE[turn]], i)
                chosen = (np.minimum(of_rows, of_others) <= MOST_BITS_CUT) & (rows[i] != others[j])
                if chosen.any():
                    yield rows[i[chosen]], others[j[chosen]], turn


def _fewest_bits(cuts: np.ndarray, of: np.ndarray, wholes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) uint8: the number of bits by which a photo's best cut differs from all of another, for each pair.

    Args:
        cuts: (len(CUTS), n) uint64. wholes: (m,) uint64. of, other: (P,) int, columns of `cuts` and of `wholes`.
    """
    whole = wholes[other]
    fewest = np.full(len(of), 64, np.uint8)
    for cut in cuts:
        np.minimum(fewest, np.bitwise_count(cut[of] ^ whole), out=fewest)
    return fewest
