"""Scores on the test photos, their breakdown by classes, and their confidence intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from scipy import stats

from depixel.base.errors import DepixelError
from depixel.base.settings import Settings

AREA_BINS = (64, 128, 256, 512, 1024)
"""The upper ends of the classes of areas, in pixels; larger areas form a last class."""

PHOTO = ["contributor", "name"]
"""The columns that identify a photo."""

SAMPLE = [*PHOTO, "x", "y", "width", "height", "block_size"]
"""The columns that identify a sample; pixels."""

SAMPLE_COLUMNS = [*SAMPLE, "squared_error", "identity_squared_error"]
"""The columns of `sample_table`; errors in gray levels squared."""

CALIBRATION_COLUMNS = ["class", "pixels", "expected_rmse", "observed_rmse", "within_1", "within_2", "correlation"]
"""The columns of `calibration`."""

RATIOS = ["ratio_pooled", "ratio_mean"]
"""The scores that have confidence intervals."""

LEVEL = 0.95
"""The confidence level of the intervals."""

RESAMPLES = 9999
"""The number of bootstrap resamples."""


class EvaluateSettings(Settings):
    """The section `evaluate` of params.yaml.

    Attributes:
        areas_per_photo: number of areas of each test photo.
        seed: another seed gives other areas.
    """

    areas_per_photo: int = Field(4, ge=1, le=1000)
    seed: int = 0


def test_streams(settings: EvaluateSettings) -> list[str]:
    """The streams of the test photos' areas (`dataset.samples`), one for each area of a photo."""
    return [f"test {settings.seed} {k}" for k in range(settings.areas_per_photo)]


def squared_errors(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) int64: the sum of squared errors over each sample's pixels, gray levels squared.

    Args:
        predictions, targets: N flat uint8 arrays each, the pixels of each sample's area.
    """
    # uint8 differences would wrap around
    return np.array([np.square(p.astype(np.int64) - t).sum() for p, t in zip(predictions, targets, strict=True)])


def sample_table(
    photos: Sequence[tuple[str, str]], areas: np.ndarray, squared_error: np.ndarray, identity_squared_error: np.ndarray
) -> pd.DataFrame:
    """One model's errors, one row per sample, in the columns `SAMPLE_COLUMNS`. All scores come from such a table.

    Args:
        photos: contributor and name of each of P photos; sample i is from photo i % P.
        areas: (N, 5) int64, x, y, width, height, block_size, pixels.
        squared_error, identity_squared_error: (N,) int64, as `squared_errors` returns them.
    """
    names = pd.DataFrame([photos[i % len(photos)] for i in range(len(areas))], columns=PHOTO)
    numbers = np.column_stack([areas, squared_error, identity_squared_error])
    return names.join(pd.DataFrame(numbers, columns=SAMPLE_COLUMNS[len(PHOTO) :]))


def score(samples: pd.DataFrame) -> dict[str, float]:
    """The two RMSEs (`depixel.model.metrics`) in gray levels, and their ratios to those of the identity.

    Args:
        samples: a `sample_table`.

    Returns:
        rmse_pooled, rmse_mean, ratio_pooled and ratio_mean. A ratio is NaN if the identity has no error.
    """
    pixels = samples["width"] * samples["height"]
    (pooled, mean), (identity_pooled, identity_mean) = (
        (float(np.sqrt(errors.sum() / pixels.sum())), float(np.sqrt(errors / pixels).mean()))
        for errors in (samples["squared_error"], samples["identity_squared_error"])
    )
    return {
        "rmse_pooled": pooled,
        "rmse_mean": mean,
        "ratio_pooled": pooled / identity_pooled if identity_pooled else np.nan,
        "ratio_mean": mean / identity_mean if identity_mean else np.nan,
    }


def breakdown(key: str, classes: npt.ArrayLike, samples: pd.DataFrame) -> pd.DataFrame:
    """Scores of each class of samples, in ascending order of the classes.

    Args:
        key: name of the first column, which holds the class.
        classes: (N,) the class of each row of `samples`.
        samples: a `sample_table` of N rows.

    Returns:
        Columns: `key`, samples (their number), and those of `score`.
    """
    return pd.DataFrame(
        {key: value, "samples": len(members), **score(members)} for value, members in samples.groupby(np.array(classes))
    )


def area_class(areas: np.ndarray) -> np.ndarray:
    """The class of each area by its number of pixels.

    Args:
        areas: (N, 4 or more) integers: x, y, width, height, ...

    Returns:
        (N,) int64: the upper end of the class (`AREA_BINS`), pixels; for larger areas the last upper end plus 1.
    """
    pixels = areas[:, 2] * areas[:, 3]
    ends = np.array(AREA_BINS)
    return np.where(pixels > ends[-1], ends[-1] + 1, ends[np.searchsorted(ends, pixels).clip(max=len(ends) - 1)])


def intervals(models: dict[str, pd.DataFrame], difference: tuple[str, str]) -> pd.DataFrame:
    """Ratios of models to the identity, with 95 % confidence intervals over the choice of test photos.

    The intervals come from a percentile bootstrap of whole photos, because samples of one photo are similar. All models
    are scored on the same draws, so the difficulty of a photo cancels in the difference. Every call uses the same
    draws.

    Args:
        models: name -> `sample_table` of each model, with the same samples in the same order.
        difference: two of the names, minuend and subtrahend.

    Returns:
        Columns: model, and for each ratio R of `RATIOS`: R, R_low, R_high. One row per model, and one for the
        difference, named `minuend - subtrahend`. The ends are NaN if there is only one photo.

    Raises:
        DepixelError: the identity has no error, so there is no ratio.
    """
    samples = next(iter(models.values()))
    identity = samples["identity_squared_error"]
    if not identity.any():
        raise DepixelError("all areas of the test photos are flat: there is nothing to restore, and no ratio")
    photos = samples.groupby(PHOTO, sort=False).ngroup()
    pixels = samples["width"] * samples["height"]
    # (M + 1, 2, photos): sums per photo, so that each resample is fast
    totals = np.array(
        [
            [np.bincount(photos, errors), np.bincount(photos, np.sqrt(errors / pixels))]
            for errors in (*(model["squared_error"] for model in models.values()), identity)
        ]
    )
    minuend, subtrahend = map(list(models).index, difference)

    def ratios(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        """(..., photos) drawn positions to (M + 1, 2, ...) ratios of M models and their difference."""
        sums = np.array([[total[drawn].sum(axis=axis) for total in pair] for pair in totals])
        ratios = sums[:-1] / sums[-1]
        ratios[:, 0] **= 0.5
        return np.concatenate([ratios, ratios[minuend, None] - ratios[subtrahend, None]])

    positions = np.arange(totals.shape[-1])
    ends = np.full((2, len(models) + 1, 2), np.nan)
    if len(positions) > 1:
        ends[:] = stats.bootstrap(
            (positions,),
            ratios,
            n_resamples=RESAMPLES,
            batch=64,  # limits memory
            vectorized=True,
            confidence_level=LEVEL,
            method="percentile",
            rng=0,
        ).confidence_interval
    table = pd.DataFrame({"model": [*models, " - ".join(difference)]})
    for i, ratio in enumerate(RATIOS):
        table[ratio], table[f"{ratio}_low"], table[f"{ratio}_high"] = ratios(positions)[:, i], *ends[:, :, i]
    return table


def comparison(models: dict[str, pd.DataFrame], spread: pd.DataFrame) -> pd.DataFrame:
    """Compare models: one row per model, lowest ratio_mean first.

    Args:
        models: name -> `sample_table` of each model.
        spread: the `intervals` of these models.

    Returns:
        Columns: model, those of `score`, and the ends of the ratios' intervals.
    """
    scores = pd.DataFrame({"model": name, **score(samples)} for name, samples in models.items())
    return scores.merge(spread.drop(columns=RATIOS), on="model").sort_values("ratio_mean", ignore_index=True)


def calibration(errors: np.ndarray, expected: np.ndarray, classes: int = 10) -> pd.DataFrame:
    """Compare expected with actual errors of a network, for classes of pixels with similar expected errors.

    Args:
        errors: (P,) prediction minus truth, gray levels.
        expected: (P,) expected errors (root mean square), gray levels, above 0.
        classes: number of classes, of equal numbers of pixels.

    Returns:
        One row per class, lowest expected error first, and one for all pixels. Columns: class (1.., "all"); pixels;
        expected_rmse and observed_rmse, gray levels; within_1 and within_2, the shares of pixels within once and twice
        the expected error (0.683 and 0.954 for normal errors); correlation, Spearman's, of expected and actual size of
        the error (NaN if one of them is constant).
    """
    order = np.argsort(expected, kind="stable")
    parts = {str(i + 1): part for i, part in enumerate(np.array_split(order, classes)) if len(part)} | {"all": order}
    rows = []
    for name, part in parts.items():
        error, wide = np.abs(errors[part]).astype(np.float64), expected[part].astype(np.float64)
        varied = np.ptp(error) > 0 and np.ptp(wide) > 0
        rows.append(
            {
                "class": name,
                "pixels": len(part),
                "expected_rmse": np.sqrt(np.square(wide).mean()),
                "observed_rmse": np.sqrt(np.square(error).mean()),
                "within_1": (error <= wide).mean(),
                "within_2": (error <= 2 * wide).mean(),
                "correlation": stats.spearmanr(wide, error).statistic if varied else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=CALIBRATION_COLUMNS)


def readable(table: pd.DataFrame, places: int = 3) -> pd.DataFrame:
    """A copy of a table with each ratio and its interval as text in one column: 0.718 [0.705, 0.731].

    places: digits after the point.
    """
    table = table.copy()
    text = f"{{:.{places}f}} [{{:.{places}f}}, {{:.{places}f}}]"
    for ratio in RATIOS:
        columns = (table[ratio], table.pop(f"{ratio}_low"), table.pop(f"{ratio}_high"))
        table[ratio] = [text.format(*row) for row in zip(*columns, strict=True)]
    return table
