"""Scores on the test photos, and what they are broken down by."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from depixel.metrics import rmse_mean, rmse_pooled
from depixel.settings import Settings

AREA_BINS = (64, 128, 256, 512, 1024)
"""Upper ends of the classes of areas, pixels; larger ones form a last class."""


class EvaluateSettings(Settings):
    """The section `evaluate` of params.yaml."""

    areas_per_photo: int = Field(4, ge=1, le=1000)
    seed: int = 0


def test_streams(settings: EvaluateSettings) -> list[str]:
    """The streams that the areas of the test photos come from, one for each area of a photo."""
    return [f"test {settings.seed} {k}" for k in range(settings.areas_per_photo)]


def score(predictions: Sequence[np.ndarray], identity: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict:
    """The two RMSEs in gray levels and as ratios to those of `identity`.

    Args:
        predictions, identity, targets: one flat array of pixels per sample.
    """
    pooled, mean = rmse_pooled(predictions, targets), rmse_mean(predictions, targets)
    return {
        "rmse_pooled": pooled,
        "rmse_mean": mean,
        "ratio_pooled": pooled / rmse_pooled(identity, targets),
        "ratio_mean": mean / rmse_mean(identity, targets),
    }


def comparison(predictions: dict[str, list[np.ndarray]], targets: list[np.ndarray]) -> pd.DataFrame:
    """One row a model, lowest ratio_mean first: model, rmse_pooled, rmse_mean, ratio_pooled, ratio_mean."""
    rows = [{"model": name, **score(p, predictions["identity"], targets)} for name, p in predictions.items()]
    return pd.DataFrame(rows).sort_values("ratio_mean", ignore_index=True)


def breakdown(
    key: str,
    classes: Sequence,
    predictions: Sequence[np.ndarray],
    identity: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
) -> pd.DataFrame:
    """Scores of each class of samples: columns `key`, samples and those of `score`; ascending by class.

    Args:
        key: name of the first column. classes: (N,) the class of each sample.
    """
    rows = []
    for value, members in pd.Series(range(len(classes))).groupby(list(classes)):
        parts = ([array[i] for i in members] for array in (predictions, identity, targets))
        rows.append({key: value, "samples": len(members), **score(*parts)})
    return pd.DataFrame(rows)


def area_class(areas: np.ndarray) -> np.ndarray:
    """(N,) int64: the upper end of each area's class in pixels (`AREA_BINS`); beyond the last, that and 1."""
    pixels = areas[:, 2] * areas[:, 3]
    ends = np.array(AREA_BINS)
    return np.where(pixels > ends[-1], ends[-1] + 1, ends[np.searchsorted(ends, pixels).clip(max=len(ends) - 1)])
