"""Differences between the test side and the training side of the split, with a test against chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from depixel.analysis.photo_table import MEASURES, SEED

SHUFFLES = 999
"""Number of random splits that the actual split is compared with."""


class Difference(NamedTuple):
    """How the test side differs from the training side in one respect.

    Attributes:
        what: a measure, a kind, or a cluster ("cluster 3").
        train, test: the median of a measure, or the share of a kind or cluster, on each side.
        ks: the Kolmogorov-Smirnov statistic, 0..1; for a kind or cluster it is the difference of the shares.
        p: the adjusted p-value, 0..1: the share of random splits that differ at least as much in some respect.
    """

    what: str
    train: float
    test: float
    ks: float
    p: float


def differences(photos: pd.DataFrame, are: pd.DataFrame, cluster: np.ndarray, whole: bool) -> list[Difference]:
    """Compare the test side with the training side in all measures, kinds and clusters.

    Photos of a contributor are alike, so a test that assumes independent photos finds differences everywhere. This
    permutation test draws the sides again `SHUFFLES` times, contributor by contributor, and compares the statistics of
    the actual sides with those of the drawn ones. p is adjusted for the number of comparisons (Westfall and Young,
    1993, by the largest of all standardized statistics).

    Args:
        photos: the table, N rows.
        are: (N, kinds) bool, as `kinds` returns it.
        cluster: (N,) int, the cluster of each photo.
        whole: whether each contributor is on one side as a whole; False draws each photo separately.

    Returns:
        The differences, the smallest p first; none if a side is empty, or if there is only one way to draw the sides.
    """
    both = photos.side.isin(("train", "test")).to_numpy()
    units = pd.factorize(photos.contributor[both])[0] if whole else np.arange(both.sum())
    is_test = (photos.side[both] == "test").to_numpy()
    of_unit = np.zeros(units.max(initial=-1) + 1, bool)
    of_unit[units[is_test]] = True
    if not 0 < of_unit.sum() < len(of_unit) or len(of_unit) < 3:
        return []
    columns = {name: photos[name].to_numpy(float) for name in MEASURES}
    columns |= {kind: are[kind].to_numpy(float) for kind in are}
    columns |= {f"cluster {number}": (cluster == number).astype(float) for number in np.unique(cluster)}
    columns = {name: values[both] for name, values in columns.items() if np.ptp(values[both])}
    random = np.random.default_rng(SEED)
    drawn = [of_unit, *(random.permutation(of_unit) for _ in range(SHUFFLES))]
    found = np.column_stack([_ks(values, units, drawn) for values in columns.values()])
    standard = (found - found.mean(axis=0)) / (found.std(axis=0) + 1e-12)
    p = (standard.max(axis=1)[:, None] >= standard[0] - 1e-9).mean(axis=0)
    rows = []
    for (name, values), ks, chance in zip(columns.items(), found[0], p, strict=True):
        middle = np.median if name in MEASURES else np.mean
        train, test = (round(float(middle(values[side])), 4) for side in (~is_test, is_test))
        rows.append(Difference(name, train, test, round(float(ks), 4), round(float(chance), 3)))
    return sorted(rows, key=lambda row: (row.p, -row.ks))


def _ks(values: np.ndarray, units: np.ndarray, drawn: Sequence[np.ndarray]) -> np.ndarray:
    """(len(drawn),) float64: the Kolmogorov-Smirnov statistic for each draw of the test side."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]), 1))  # of each run of equal values
    units = units[order]
    place, found = np.arange(1, len(units) + 1)[last], []
    for of_unit in drawn:
        test = np.cumsum(of_unit[units], dtype=np.int32)
        total = test[-1]
        found.append(np.abs(test[last] / max(total, 1) - (place - test[last]) / max(len(units) - total, 1)).max())
    return np.array(found)
