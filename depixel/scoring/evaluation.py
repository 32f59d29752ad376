"""Scores a model and the baselines on the same samples: tables of scores, and a contact sheet."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from depixel import sheets
from depixel.dataset.samples import Samples
from depixel.model.predictor import Predictor, PredictSettings
from depixel.scoring import kinds, scores
from depixel.scoring.baselines import BASELINES

SHOWN = 12
"""The number of samples on the contact sheet."""

BESIDE = ("kriging", "interpolation", "bicubic", "identity")
"""The baselines that each evaluation includes; benchmarks/baselines.py scores all of them."""

Progress = Callable[..., Iterable[np.ndarray]]


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Attributes:
        score: the model's scores, from `scores.score`, and rmse_worst_kind, the highest rmse_mean of a kind of photo.
        tables: tables by name: samples, comparison, by_block_size, by_area, by_kind, calibration.
        spread: the confidence intervals, from `scores.intervals`.
        sheet: the contact sheet, from the best to the worst sample.
        photos: number of test photos.
    """

    score: dict[str, float]
    tables: dict[str, pd.DataFrame]
    spread: pd.DataFrame
    sheet: Image.Image
    photos: int


def evaluate(
    predictor: Predictor, samples: Samples, names: Sequence[tuple[str, str]], how: PredictSettings, progress: Progress
) -> Evaluation:
    """Score a model and the baselines on the same samples.

    Args:
        predictor: the model.
        samples: N samples of the test photos.
        names: contributor and name of each photo, see `scores.sample_table`.
        how: the section `predict` of params.yaml. The baselines use one view, because all views give the same.
        progress: wraps the iteration over the batches of a model; called with these, `desc` and `unit`.

    Raises:
        DepixelError: all areas of the test photos are flat.
    """
    predictors = {"model": predictor}
    for name in BESIDE:
        predictors[name] = Predictor(BASELINES[name](), predictor.configuration)
    found = {
        name: one.predict_with_errors(
            samples.pixelated,
            samples.areas,
            how.views if one is predictor else 1,
            progress=partial(progress, desc=name, unit="batch"),
            projection=how.projection,
        )
        for name, one in predictors.items()
    }
    predictions, expected = {name: both[0] for name, both in found.items()}, found["model"][1]
    errors = {name: scores.squared_errors(p, samples.targets) for name, p in predictions.items()}
    models = {
        name: scores.sample_table(names, samples.areas, error, errors["identity"]) for name, error in errors.items()
    }
    spread = scores.intervals(models, difference=("model", "kriging"))
    ours = models["model"]
    tables = {
        "samples": ours,
        "comparison": scores.comparison(models, spread),
        "by_block_size": scores.breakdown("block_size", ours["block_size"], ours),
        "by_area": scores.breakdown("area_up_to", scores.area_class(samples.areas), ours),
        "by_kind": kinds.by_kind(samples.images[: len(names)], ours),
        "calibration": pd.DataFrame(columns=scores.CALIBRATION_COLUMNS),
    }
    if predictor.configuration.uncertainty:
        off = np.concatenate(predictions["model"]).astype(np.int64) - np.concatenate(samples.targets)
        tables["calibration"] = scores.calibration(off, np.concatenate(expected))
    shown = sheet(samples, predictions["model"], errors["model"], expected)
    score = scores.score(ours) | {"rmse_worst_kind": float(kinds.worst(tables["by_kind"])["rmse_mean"])}
    return Evaluation(score, tables, spread, shown, len(names))


def sheet(
    samples: Samples, predictions: list[np.ndarray], squared_errors: np.ndarray, expected: list[np.ndarray]
) -> Image.Image:
    """A contact sheet of `SHOWN` samples, at even ranks from the lowest RMSE to the highest.

    Args:
        samples: N samples.
        predictions: N flat uint8 arrays.
        squared_errors: (N,), from `scores.squared_errors`.
        expected: N flat float32 arrays of expected errors, gray levels; empty arrays if there are none.
    """
    rmse = np.sqrt(squared_errors / samples.areas[:, 2:4].prod(axis=1))
    chosen = np.argsort(rmse, kind="stable")[np.linspace(0, len(rmse) - 1, SHOWN).astype(int)]
    panels = []
    for i in chosen:
        restored = sheets.fill(samples.pixelated[i], samples.areas[i], predictions[i])
        truth = samples.images[i]
        panels.append([samples.pixelated[i], restored, truth, sheets.error_picture(restored, truth)])
        if len(expected[i]):  # bright where the expected error is large
            bright = (4 * expected[i]).clip(0, 255).astype(np.uint8)
            panels[-1].append(sheets.fill(np.zeros_like(truth), samples.areas[i], bright))
    captions = [f"RMSE {rmse[i]:.1f}, blocks of {samples.areas[i, 4]} px" for i in chosen]
    titles = ["pixelated", "prediction", "truth", "error", "expected error"][: len(panels[0])]
    return sheets.contact_sheet(panels, titles, captions, across=2)


def readable(found: Evaluation) -> Iterator[str]:
    """The scores as lines of text, with intervals in brackets."""
    yield scores.readable(found.tables["comparison"]).to_string(index=False, float_format="{:.3f}".format)
    difference = scores.readable(found.spread).iloc[-1]
    yield f"{difference.model}: ratio_pooled {difference.ratio_pooled}, ratio_mean {difference.ratio_mean}"
    yield f"On {len(found.tables['samples'])} areas of {found.photos} test photos."
    yield "In brackets: 95 % confidence intervals over the choice of test photos."
    worst = kinds.worst(found.tables["by_kind"])
    yield f"The worst kind of photos, {worst.third} {worst.measure}, has rmse_mean {worst.rmse_mean:.3f}."
    for row in found.tables["calibration"].tail(1).itertuples():
        yield (
            f"Expected RMSE {row.expected_rmse:.2f}, observed {row.observed_rmse:.2f}. {row.within_1:.1%} of the "
            f"pixels are within the expected error, {row.within_2:.1%} within twice that; correlation "
            f"{row.correlation:.2f}"
        )
