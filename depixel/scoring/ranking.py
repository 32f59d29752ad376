"""All baselines and the model on the project's own split, in one table: what is a network worth on these photos?"""

import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, read_json
from depixel.base.names import drawn
from depixel.base.settings import read_section
from depixel.dataset.prepared import load_index
from depixel.dataset.samples import Photos, Samples, fixed_samples
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import ModelConfiguration, Predictor, PredictSettings
from depixel.scoring import regressions, scores
from depixel.scoring.baselines import BASELINES

NAMES = (*BASELINES, *regressions.REGRESSIONS)
"""The names of all baselines."""

MODEL = "model"
"""What the project's model is called in the table."""

SAMPLES = 8192
"""The largest number of areas that regressions learn from."""

PER_PHOTO = 32
"""The largest number of areas in each training photo."""

TESTED = 600
"""The largest number of test photos that are scored."""

TESTED_AREAS = 4
"""The largest number of areas in each test photo that are scored."""

Progress = Callable[..., Iterable[Any]]


class Ranking(NamedTuple):
    """The result of `rank`.

    Attributes:
        table: a row for each baseline and the model, lowest ratio_mean first. Columns: model, those of
            `scores.comparison`, training_seconds (NaN if nothing was learned, or it is not known), pixels (number of
            pixels it learned from; 0 if none, NaN if not known), bytes, pictures_per_second.
        difference: the last row of `scores.intervals`: the best baseline less the model; None without a model.
        limits: sentences that say what was left out to save time.
        areas, photos: numbers of test areas and test photos.
    """

    table: pd.DataFrame
    difference: pd.Series | None
    limits: list[str]
    areas: int
    photos: int


class _Contestant(NamedTuple):
    name: str
    predictor: Predictor
    seconds: float
    pixels: float
    size: int


def rank(names: Sequence[str], tell: Callable[[str], object], progress: Progress) -> Ranking:
    """Train baselines on the training side of the project in the current folder; score them and the model on the test
    side.

    The test areas are those of the stage evaluate. Where there are more than `TESTED` photos or `TESTED_AREAS` areas in
    each, some are left out; regressions learn from up to `SAMPLES` areas.

    Args:
        names: of `NAMES`; all if it is empty.
        tell: called with a line before each step.
        progress: wraps an iteration, called with it, `desc` and `unit`.

    Raises:
        DepixelError: a name or a setting is wrong, prepared photos are missing, or all test areas are flat.
    """
    if wrong := [name for name in names if name not in NAMES]:
        raise DepixelError(f"{wrong[0]}: there is no such baseline. There are {', '.join(NAMES)}")
    chosen = [name for name in NAMES if name in names or not names]
    pixelation = read_section(layout.PARAMS, "pixelation", PixelationSettings)
    how = read_section(layout.PARAMS, "predict", PredictSettings)
    train, test = (Photos.load(layout.PREPARED, layout.SPLIT, side) for side in ("train", "test"))
    samples, photos, limits = _tested(test, pixelation)
    identity = scores.squared_errors(_shown(samples), samples.targets)
    tables, rows = {}, []
    for one in _contestants(chosen, train, pixelation, limits, tell, progress):
        tell(f"{one.name}: restores {len(samples.areas)} areas")
        begin = time.perf_counter()
        predictions = one.predictor.predict(
            samples.pixelated,
            samples.areas,
            how.views if one.name == MODEL else 1,
            progress=partial(progress, desc=one.name, unit="batch"),
            projection=how.projection,
        )
        speed = len(predictions) / (time.perf_counter() - begin)
        errors = scores.squared_errors(predictions, samples.targets)
        tables[one.name] = scores.sample_table(photos, samples.areas, errors, identity)
        rows.append(
            {"model": one.name, "training_seconds": one.seconds, "pixels": one.pixels}
            | {"bytes": one.size, "pictures_per_second": speed}
        )
    means = {name: scores.score(table)["ratio_mean"] for name, table in tables.items() if name != MODEL}
    best = min(means, key=lambda name: means[name])
    spread = scores.intervals(tables, (best, MODEL if MODEL in tables else best))
    table = scores.comparison(tables, spread).merge(pd.DataFrame(rows), on="model")
    return Ranking(table, spread.iloc[-1] if MODEL in tables else None, limits, len(samples.areas), len(photos))


def _tested(test: Photos, pixelation: PixelationSettings) -> tuple[Samples, list[tuple[str, str]], list[str]]:
    """The samples that all restore, contributor and name of their photos, and what was left out."""
    streams = scores.test_streams(read_section(layout.PARAMS, "evaluate", scores.EvaluateSettings))
    limits = []
    if len(test) > TESTED or len(streams) > TESTED_AREAS:
        photos, areas = min(len(test), TESTED), min(len(streams), TESTED_AREAS)
        limits.append(f"Scored on {photos} of {len(test)} test photos, {areas} of {len(streams)} areas in each.")
        some = drawn(test.ids, TESTED)
        test = Photos(test.images, test.rows[some], test.ids[some])
    index = load_index(layout.INDEX)
    names = [(index[row].contributor, index[row].name) for row in test.rows]
    return fixed_samples(test, pixelation, streams[:TESTED_AREAS]), names, limits


def _shown(samples: Samples) -> list[np.ndarray]:
    """What the areas show: N flat uint8 arrays."""
    areas = zip(samples.pixelated, samples.areas[:, :4], strict=True)
    return [image[y : y + height, x : x + width].ravel() for image, (x, y, width, height) in areas]


def _contestants(
    names: Sequence[str],
    train: Photos,
    pixelation: PixelationSettings,
    limits: list[str],
    tell: Callable[[str], object],
    progress: Progress,
) -> Iterator[_Contestant]:
    """The model, if there is one, and the named baselines, each trained when it is asked for."""
    if layout.MODEL.is_file():
        model = Predictor.load(layout.MODEL, "cpu")
        yield _Contestant(MODEL, model, _seconds(), np.nan, layout.MODEL.stat().st_size)
    configuration = ModelConfiguration.model_validate(
        # `Predictor` needs one; a baseline has neither network nor width
        {"network": "unet", "width": 1, "size": train.images.shape[-1], "block_size": pixelation.block_size}
        | {"area_width": pixelation.width, "area_height": pixelation.height}
    )
    pixels: regressions.Pixels | None = None
    for name in names:
        if name in BASELINES:
            yield _Contestant(name, Predictor(BASELINES[name](), configuration, "cpu"), np.nan, 0, 0)
            continue
        if pixels is None:
            count = min(SAMPLES, PER_PHOTO * len(train))
            tell(f"draws {count} areas to learn from")
            begin = time.perf_counter()
            wrapped = partial(progress, desc="areas to learn from", unit="batch")
            pixels = regressions.training_pixels(train, pixelation, count, wrapped)
            drawing = time.perf_counter() - begin
            limits += _limits(names, count, len(train), len(pixels.lacking))
        tell(f"{name}: learns")
        begin = time.perf_counter()
        regression = regressions.fitted(name, pixels)
        seconds = time.perf_counter() - begin + drawing
        learned = min(len(pixels.lacking), regressions.REGRESSIONS[name].pixels)
        predictor = Predictor(regressions.Regression(regression), configuration, "cpu")
        yield _Contestant(name, predictor, seconds, learned, len(pickle.dumps(regression)))


def _limits(names: Sequence[str], areas: int, photos: int, pixels: int) -> list[str]:
    """What the named regressions do not learn from."""
    used = f"{areas} areas in {min(areas, photos)} of {photos} training photos"
    told = [f"Regressions learn from {pixels} pixels, {regressions.PIXELS:.0%} of those in {used}."]
    most = {name: method.pixels for name, method in regressions.REGRESSIONS.items() if name in names}
    fewer = {name: count for name, count in most.items() if count < pixels}
    if fewer:
        told.append(f"Of these pixels, {', '.join(f'{name} takes {count}' for name, count in fewer.items())}.")
    return told


def _seconds() -> float:
    """How long the model's training took; NaN if that is not known, as of a training on another machine."""
    log, best = layout.LOGS / "training.json", layout.TRAINING
    if not (log.is_file() and best.is_file()):
        return np.nan
    cost = read_json(log)
    return float(cost["seconds"]) if cost["validation_rmse"] == read_json(best)["validation_rmse"] else np.nan


def as_json(ranking: Ranking) -> dict[str, Any]:
    """A ranking as `depixel baselines --json` prints it and the report reads it; what is not known is None.

    `model_sha256`, the hash of the model's file, says which model it was made beside.
    """
    rows = ranking.table.astype(object).where(ranking.table.notna(), None).to_dict("records")
    difference = ranking.difference
    return {
        "baselines": rows,
        "difference": None if difference is None else difference.to_dict(),
        "areas": ranking.areas,
        "photos": ranking.photos,
        "limits": ranking.limits,
        "model_sha256": hash_of(layout.MODEL, "sha256") if layout.MODEL.is_file() else None,
    }


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `Ranking` as text for people."""
    told = scores.readable(table)
    for column in ("rmse_mean", "rmse_pooled"):
        told[column] = table[column].map("{:.2f}".format)
    costs = {"training_seconds": "training, s", "bytes": "size, kB", "pictures_per_second": "pictures/s"}
    for column, heading in costs.items():
        values = table[column].astype(float) / (1000 if column == "bytes" else 1)
        told[heading] = ["-" if not value > 0 else f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in values]
    return told[["model", *scores.RATIOS[::-1], "rmse_mean", "rmse_pooled", *costs.values()]]


def told(ranking: Ranking) -> Iterator[str]:
    """What people need to know of a ranking beside its table, a sentence a line."""
    yield f"On {ranking.areas} areas of {ranking.photos} test photos."
    yield "In brackets: 95 % confidence intervals over the choice of test photos."
    yield from ranking.limits
    if ranking.difference is None:
        yield f"There is no {layout.MODEL.as_posix()} to compare with: `dvc repro` trains it."
        return
    difference = scores.readable(ranking.difference.to_frame().T).iloc[0]
    yield f"{difference.model}: ratio_mean {difference.ratio_mean}, ratio_pooled {difference.ratio_pooled}"
