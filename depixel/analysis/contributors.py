"""Contributors whose photos differ from those of all others: batch effects."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits

from depixel.analysis.photo_table import MEASURES, SEED, SIGNIFICANT
from depixel.base.names import photo_ids

_LEAST_PHOTOS = 5  # contributors with fewer photos are not judged
_TOLD_APART = 20_000_000  # maximum of photos times contributors that the classifier judges: 160 MB of probabilities


class Outstanding(NamedTuple):
    """A contributor whose photos differ from those of all others in one measure.

    Attributes:
        contributor: the name.
        side: the sides of the photos, separated by /.
        photos: number of the contributor's photos.
        what: the measure, a key of `MEASURES`.
        mean: mean of the measure over the contributor's photos.
        others: median of the other contributors' means.
        z: deviation from the mean contributor, in standard deviations of the contributors' means, on the measure's
            scale.
    """

    contributor: str
    side: str
    photos: int
    what: str
    mean: float
    others: float
    z: float


def outstanding(photos: pd.DataFrame) -> list[Outstanding]:
    """Find contributors that stand out from all others: batch effects.

    This is the generalized extreme Studentized deviate test (Rosner, 1983) on the contributors' means of each measure.
    It removes the contributor furthest from the mean, then the next, up to a tenth of all, so that several do not hide
    each other. If all contributors are alike, the chance that any contributor is reported is `SIGNIFICANT`, over all
    measures (Bonferroni). The standard deviation is at least `Measure.least`. For a contributor with few photos it is
    larger, by the variance of photos within contributors.

    Args:
        photos: the table, as `photo_table.table` returns it.

    Returns:
        A row for each outstanding contributor and measure, the largest |z| first; none if fewer than five contributors
        have `_LEAST_PHOTOS` photos or more.
    """
    sizes = photos.groupby("contributor", sort=True).size()
    sizes = sizes[sizes >= _LEAST_PHOTOS]
    if len(sizes) < 5:  # too few others to compare with
        return []
    groups = photos[photos.contributor.isin(sizes.index)].groupby("contributor", sort=True)
    sides = groups.side.agg(lambda side: "/".join(side.unique()))
    fewer = (1 / sizes - 1 / sizes.median()).clip(lower=0)
    found = []
    for name, measure in MEASURES.items():
        values = measure.scale(photos[name].astype(float)).groupby(photos.contributor, sort=True)
        means = values.mean()[sizes.index]
        extra = values.var()[sizes.index].median() * fewer
        plain = groups[name].mean()
        for contributor, z in _extreme(means, extra, measure.least):
            others = plain.drop(contributor).median()
            row = (contributor, sides[contributor], int(sizes[contributor]), name)
            found.append(Outstanding(*row, round(float(plain[contributor]), 3), round(float(others), 3), round(z, 1)))
    return sorted(found, key=lambda row: (-abs(row.z), row.contributor))


def _extreme(means: pd.Series, extra: pd.Series, least: float) -> list[tuple[str, float]]:
    """Find the contributors whose means are extreme, and their deviations in standard deviations.

    Args:
        means: the mean of each contributor, on the measure's scale.
        extra: variance of each mean beyond that of a contributor with the median number of photos.
        least: lower limit of the standard deviation.
    """
    left, found, extremes = means, [], 0
    for _ in range(-(-len(means) // 10)):
        n = len(left)
        deviations = (left - left.mean()) / np.sqrt(max(left.std(), least) ** 2 + extra[left.index])
        furthest = deviations.abs().idxmax()
        found.append((furthest, float(deviations[furthest])))
        t = stats.t.isf(SIGNIFICANT / (2 * n * len(MEASURES)), n - 2)
        if abs(deviations[furthest]) > t * (n - 1) / np.sqrt(n * (n - 2 + t**2)):
            extremes = len(found)
        left = left.drop(furthest)
    return found[:extremes]


def told_apart(photos: pd.DataFrame) -> dict[str, float]:
    """Measure how well a classifier tells contributors apart: batch effects in all measures together.

    The classifier is linear discriminant analysis on the measures of a photo, with three-fold cross-validation. It
    leaves out contributors with fewer than `_LEAST_PHOTOS` photos. Of many contributors it judges some, drawn by name.

    Args:
        photos: the table, as `photo_table.table` returns it.

    Returns:
        accuracy: share of the photos whose contributor the classifier predicts correctly. chance: the accuracy of
        always predicting the contributor with the most photos. of_contributors: how many it judges, if not all. Empty
        if fewer than two contributors are left.
    """
    sizes = photos.contributor.value_counts()
    sizes = sizes[sizes >= _LEAST_PHOTOS]
    judged = _some(sizes)
    chosen = photos[photos.contributor.isin(judged)]
    names, numbers = np.unique(chosen.contributor.to_numpy(str), return_inverse=True)
    if len(names) < 2:
        return {}
    points = np.column_stack(
        [_standard(measure.scale(chosen[name].astype(float))) for name, measure in MEASURES.items()]
    )
    points = points[:, points.std(axis=0) > 0]
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second to load
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    parts = StratifiedKFold(3, shuffle=True, random_state=SEED)
    model = LinearDiscriminantAnalysis(priors=np.full(len(names), 1 / len(names)))
    with threadpool_limits(1):
        said = cross_val_predict(model, points, numbers, cv=parts)
    chance = np.bincount(numbers).max() / len(numbers)
    found = {"accuracy": round(float((said == numbers).mean()), 4), "chance": round(float(chance), 4)}
    return found if len(judged) == len(sizes) else {**found, "of_contributors": len(judged)}


def _some(sizes: pd.Series) -> list[str]:
    """Those of the contributors, by their numbers of photos, that `_TOLD_APART` has room for, drawn by name."""
    names = sizes.index.to_numpy(object)[np.argsort(photo_ids(sizes.index), kind="stable")]
    entries = np.cumsum(sizes[names].to_numpy()) * np.arange(1, len(names) + 1)
    return list(names[entries <= _TOLD_APART])


def _standard(values: pd.Series) -> np.ndarray:
    return ((values - values.mean()) / (values.std(ddof=0) + 1e-9)).to_numpy()
