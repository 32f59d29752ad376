"""Scores by kind of photo: the darkest third of the test photos, the brightest third, and so on."""

import numpy as np
import pandas as pd

from depixel.dataset.kinds import MEASURES, THIRDS, measures, thirds
from depixel.scoring import scores


def by_kind(images: np.ndarray, samples: pd.DataFrame) -> pd.DataFrame:
    """Scores of each third of the photos by brightness, by contrast and by detail.

    Args:
        images: (P, S, S) uint8, the photos.
        samples: a `scores.sample_table`; row i is of photo i % P.

    Returns:
        Columns: measure (`MEASURES`), third (`THIRDS`), and those of `scores.breakdown`. Thirds without a photo have no
        row.
    """
    tables = []
    for name, values in zip(MEASURES, measures(images, np.arange(len(images))).T, strict=True):
        third = thirds(values)[np.arange(len(samples)) % len(values)]
        table = scores.breakdown("third", third, samples)
        tables.append(table.assign(measure=name, third=[THIRDS[i] for i in table["third"]]))
    together = pd.concat(tables, ignore_index=True)
    return together[["measure", *together.columns.drop("measure")]]


def worst(table: pd.DataFrame) -> pd.Series:
    """The row of `by_kind` with the highest rmse_mean."""
    return table.loc[table["rmse_mean"].idxmax()]
