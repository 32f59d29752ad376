"""The analysis of a whole photo collection: kinds, copies, clusters, sides, contributors.

`analyze` calls the other modules of this package and collects their results.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from depixel.analysis import measures
from depixel.analysis.clusters import clusters, described
from depixel.analysis.contributors import Outstanding, outstanding, told_apart
from depixel.analysis.photo_table import ALL, ENOUGH, AnalyzeSettings, kinds, of_files, table
from depixel.analysis.sides import Difference, differences
from depixel.base.errors import DepixelError
from depixel.base.layout import HASHES, IMAGES, INDEX, MANIFEST
from depixel.base.names import drawn, photo_ids
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.splits import COPY, MADE_BY, SIDES
from depixel.photos import near_duplicates, rules
from depixel.photos.archives import Entries
from depixel.photos.hashes import load_hashes
from depixel.photos.near_duplicates import Copy, Pair
from depixel.photos.preparation import PrepareSettings, prepare
from depixel.photos.rules import Verdict


def pairs(images: np.ndarray, codes: np.ndarray, sides: np.ndarray, workers: int | None = None) -> list[Pair]:
    """Find the pairs of photos on the same side that show the same picture. Stage split finds those across sides.

    Args:
        images: (N, S, S) uint8, prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each.
        sides: (N,) text, the side of each photo.
        workers: number of processes; None: one for each core. It changes no result.

    Returns:
        The pairs in ascending order.
    """
    groups = [np.flatnonzero(sides == side) for side in np.unique(sides)]
    starts = [(rows, start) for rows in groups for start in range(0, len(rows), near_duplicates.BLOCK)]
    tasks = [(rows[start : start + near_duplicates.BLOCK], rows[start:]) for rows, start in starts]
    found = near_duplicates.search(images, codes, tasks, workers)
    return [pair for pair in found if pair.first < pair.second]  # within the block each pair appears twice


def first_copies(count: int, found: Iterable[Pair]) -> np.ndarray:
    """For each photo, the first photo that shows the same picture.

    Args:
        count: number of photos.
        found: pairs of photos that show the same picture. Copies of copies count as copies.

    Returns:
        (count,) int: the row of that first photo; a photo without an earlier copy has its own row.
    """
    ends = np.array([pair[:2] for pair in found], int).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    return np.unique(groups, return_index=True)[1][groups]


def between_sides(photos: pd.DataFrame, table: Iterable[Copy]) -> list[Pair]:
    """The pairs across sides that stage split found.

    Args:
        photos: the table, as `photo_table.table` returns it.
        table: the table of copies.

    Raises:
        DepixelError: a copy is not among the photos.
    """
    rows = {sha256: row for row, sha256 in enumerate(photos.sha256)}
    try:
        ends = ((rows[c.sha256], rows[c.of_sha256], float(c.similarity)) for c in table)
        return [Pair(min(a, b), max(a, b), similarity) for a, b, similarity in ends]
    except KeyError as error:
        raise DepixelError(f"the table of copies belongs to other photos. Write it again with `{MADE_BY}`") from error


class Analysis(NamedTuple):
    """The results of the analysis.

    Attributes:
        photos: the table, see `photo_table.table`, with four more columns: cluster; distance, from the cluster's
            centre; same_as, the path of the first photo that shows the same picture, or ""; kinds, names from `KINDS`,
            separated by blanks.
        are: (N, kinds) bool, whether each photo is of each kind.
        found: pairs of photos that show the same picture, on the same side or across sides.
        differences: between the training and the test side, see `sides.differences`.
        outstanding: contributors that stand out, see `contributors.outstanding`.
        told_apart: accuracy of a classifier of contributors, see `contributors.told_apart`.
        compared: number of photos from which the clusters are learned and whose sides are compared: all, or `ENOUGH`.
    """

    photos: pd.DataFrame
    are: pd.DataFrame
    found: list[Pair]
    differences: list[Difference]
    outstanding: list[Outstanding]
    told_apart: dict[str, float]
    compared: int


def analyze(
    photos: pd.DataFrame,
    images: np.ndarray,
    codes: np.ndarray,
    known: Iterable[Copy],
    settings: AnalyzeSettings,
    workers: int | None = None,
) -> Analysis:
    """Analyze photos: kinds, copies, clusters, differences of the sides, contributors that stand out.

    Args:
        photos: the table, N rows, see `photo_table.table`.
        images: (N, S, S) uint8, prepared images.
        codes: (N, HASHES) uint64, the `hashes` of each.
        known: copies across sides, as stage split found them.
        settings: the thresholds for odd photos, and the number of clusters.
        workers: number of processes; None: one for each core. It changes no result.

    Raises:
        DepixelError: `known` names other photos.
    """
    are = kinds(photos, settings)
    # the split assigned such a copy to training before leaving it out
    sides = photos.side.replace(COPY, "train").to_numpy(str)
    found = sorted(pairs(images, codes, sides, workers) + between_sides(photos, known))
    first = first_copies(len(photos), found)
    some = drawn(photo_ids(photos.path), ENOUGH)
    cluster, distance = clusters(described(images, some), settings.clusters, some)
    photos = photos.assign(
        cluster=cluster,
        distance=distance.round(4),
        same_as=np.where(first == np.arange(len(photos)), "", photos.path.to_numpy(object)[first]),
        kinds=[" ".join(are.columns[row]) for row in are.to_numpy()],
    )
    divided = photos[photos.side.isin(SIDES)].groupby("contributor").side.nunique().gt(1).any()
    return Analysis(
        photos,
        are,
        found,
        differences(photos.iloc[some], are.iloc[some], cluster[some], whole=not divided),
        outstanding(photos),
        told_apart(photos),
        len(some),
    )


def of_folder(
    entries: Entries,
    settings: AnalyzeSettings,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] = lambda items, **_: items,
) -> tuple[Analysis, np.ndarray, list[Verdict]]:
    """Analyze the photos of any folder: validate, prepare, then analyze them.

    Args:
        entries: the files.
        settings: the thresholds for odd photos, and the number of clusters.
        workers: number of processes; None: one for each core. It changes no result.
        progress: wraps an iterable in a progress bar, as `console.progress` does.

    Returns:
        The analysis, with all photos on side `ALL`; their images, (N, 64, 64) uint8; the verdicts on all files.

    Raises:
        DepixelError: none of the files is a valid photo.
    """
    sizes = PrepareSettings(size=measures.SIDE)
    with tempfile.TemporaryDirectory() as place:
        validated, prepared = Path(place) / "validated", Path(place) / "prepared"
        judged = progress(rules.validate(entries, workers), total=len(entries), desc="validate", unit=" files")
        rules.write_verdicts(judged, validated, entries.root)
        verdicts = list(rules.load_manifest(validated / MANIFEST.name))
        valid = list(rules.valid_entries(entries, verdicts))
        prepare(progress(valid, desc="prepare", unit=" photos"), len(valid), prepared, sizes, workers)
        photos = load_index(prepared / INDEX.name)
        images = np.array(load_images(prepared / IMAGES.name, len(photos)))
        codes = np.array(load_hashes(prepared / HASHES.name, len(photos)))
    files = list(progress(of_files(valid, workers), total=len(valid), desc="analyze", unit=" photos"))
    sides = np.full(len(photos), ALL)
    found = table(photos, sides, [verdict for verdict in verdicts if verdict.code == 0], files, images)
    return analyze(found, images, codes, [], settings, workers), images, verdicts
