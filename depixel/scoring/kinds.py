"""Scores by kind of photo: the darkest third of the test photos, the brightest third, and so on."""

import numpy as np
import pandas as pd

from depixel.scoring import scores

THIRDS = ("low", "middle", "high")
"""The names of the thirds."""

_BLOCK = 8  # pixels


def measures(images: np.ndarray) -> dict[str, np.ndarray]:
    """Measure light and detail of photos, (N, S, S) uint8.

    Returns:
        By name (N,) float64, gray levels. brightness: the mean. contrast: the standard deviation. detail: the root mean
        square of what blocks of 8 x 8 pixels hide.
    """
    side = images.shape[1] // _BLOCK * _BLOCK
    pixels = images[:, :side, :side].astype(np.float64)
    blocks = pixels.reshape(len(pixels), side // _BLOCK, _BLOCK, side // _BLOCK, _BLOCK)
    return {
        "brightness": pixels.mean(axis=(1, 2)),
        "contrast": pixels.std(axis=(1, 2)),
        "detail": np.sqrt(blocks.var(axis=(2, 4)).mean(axis=(1, 2))),
    }


def by_kind(images: np.ndarray, samples: pd.DataFrame) -> pd.DataFrame:
    """Scores of each third of the photos by brightness, by contrast and by detail.

    Args:
        images: (P, S, S) uint8, the photos.
        samples: a `scores.sample_table`; row i is of photo i % P.

    Returns:
        Columns: measure, third (`THIRDS`), and those of `scores.breakdown`. Thirds without a photo have no row.
    """
    tables = []
    for name, values in measures(images).items():
        rank = np.argsort(np.argsort(values, kind="stable"))
        third = (rank * len(THIRDS) // len(values))[np.arange(len(samples)) % len(values)]
        table = scores.breakdown("third", third, samples)
        tables.append(table.assign(measure=name, third=[THIRDS[i] for i in table["third"]]))
    together = pd.concat(tables, ignore_index=True)
    return together[["measure", *together.columns.drop("measure")]]


def worst(table: pd.DataFrame) -> pd.Series:
    """The row of `by_kind` with the highest rmse_mean."""
    return table.loc[table["rmse_mean"].idxmax()]
