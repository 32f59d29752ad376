"""Near-duplicates: photos of the same picture that were recompressed, resized, turned, mirrored or cropped a little.

Three filters find them, each finer and slower than the one before:

1. pHash (Zauner, 2010; package imagehash) compares two whole photos, with one of them in each of its 8 orientations.
   Its 64 bits are the signs of low frequencies. A copy differs in few of them, even if it is cropped.
2. The same hash compares nine crops of one photo with the whole other photo. The crop that is closest to the copy
   differs in very few bits.
3. The pictures are aligned, and their correlation is computed.
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
"""The maximum number of different bits between the hashes of two whole copies."""

MOST_BITS_CUT = 10
"""The maximum number of different bits between the hash of the best crop of one copy and that of the whole other."""

LEAST = 0.88
"""The minimum correlation (0..1) of two copies."""

SHOWN = 48
"""The number of pairs on the contact sheet of stage split. It shows the least similar ones: if those are copies, so are
the others."""

QUERIES, STORED = 128, 1024
"""The numbers of hashes that are compared with each other at a time. Their distances fit the cache of a core."""

BLOCK = 256
"""The number of photos whose copies a process searches for at a time."""

CANDIDATES = 8
"""The number of pairs of pictures that are aligned at a time."""


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
    rows: Sequence[Assigned],
    images: np.ndarray,
    codes: np.ndarray,
    earlier: Iterable[Assigned],
    known: Iterable[Copy],
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
    tasks = []
    for first, second in combinations(SIDES, 2):
        a, b = (np.flatnonzero(sides == side) for side in (first, second))
        tasks += [(a[~old[a]], b), (a[old[a]], b[~old[b]])]
    found += search(images, codes, tasks)
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
    """Find the pairs of a photo in `first` and another photo in `second` that show the same picture.

    Args:
        images: (N, S, S) uint8, prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each image.
        first, second: rows of the photos to compare.

    Returns:
        Pairs in ascending order, without repetitions.
    """
    return _find(images, codes, turns(codes), (first, second))


def _find(images: np.ndarray, codes: np.ndarray, turned: np.ndarray, rows: tuple[np.ndarray, np.ndarray]) -> list[Pair]:
    """`find`; `turned`: the `turns` of all hashes."""
    best: dict[tuple[int, int], float] = {}
    candidates = [np.stack([a, b, np.full(len(a), turn)]) for a, b, turn in _candidates(codes, turned, *rows)]
    firsts, seconds, turns_of = np.concatenate([np.empty((3, 0), int), *candidates], axis=1)
    with threadpool_limits(1):  # the products are so small that two threads take up to four times as long
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
    """Pairs of rows of `first` and `second` with similar hashes, and the turn of the second photo in each.

    It compares all pairs, at a few nanoseconds each, so it misses none.
    benchmarks/copies.py estimates a million photos.
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
    """(P,) uint8: the number of different bits between the best crop of a photo and another whole photo, for each pair.

    Args:
        cuts: (len(CUTS), n) uint64. wholes: (m,) uint64. of, other: (P,) int, columns of `cuts` and of `wholes`.
    """
    whole = wholes[other]
    fewest = np.full(len(of), 64, np.uint8)
    for cut in cuts:
        np.minimum(fewest, np.bitwise_count(cut[of] ^ whole), out=fewest)
    return fewest
