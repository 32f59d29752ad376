"""Comparison of models with confidence intervals, from the tables of samples that evaluations write."""

import io
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pandas as pd

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.curation import dvc_objects
from depixel.scoring.scores import LEVEL, PHOTO, RATIOS, RESAMPLES, SAMPLE, SAMPLE_COLUMNS, intervals
from depixel.versioning import UnknownRevisionError, file_at, hashes_of, resolve, suggested_revision

WORKSPACE = "workspace"
"""The source of samples that stands for the working tree."""
_TABLE = layout.SAMPLES.as_posix()


def read_samples(source: str) -> pd.DataFrame:
    """Read a model's `sample_table`.

    Args:
        source: the path of a table; `workspace` for that of the working tree; a git revision; or the name of a DVC
            experiment. For the last two, metrics/samples.csv comes from git, the cache, a remote or the recorded
            tables (`keep_samples`).

    Returns:
        The columns `SAMPLE_COLUMNS`, one row per sample.

    Raises:
        DepixelError: the table is missing, or the file is not such a table.
    """
    path = layout.SAMPLES if source == WORKSPACE else Path(source)
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return _parse(file, str(path))
        except FileNotFoundError:
            raise DepixelError(f"{path}: no such file. `dvc repro evaluate` makes {_TABLE}") from None
        except OSError as error:
            raise DepixelError(f"{path}: cannot be read ({error.strerror})") from error

    try:
        found, origin = _table_at(source), f"{_TABLE} of {source}"
    except (UnknownRevisionError, _NoTableError):
        if not (kept := _kept(source)).is_file():
            raise
        found, origin = kept, str(kept)
    return _parse(found, origin)


class _NoTableError(DepixelError):
    """The table of samples of a revision or experiment is neither here nor in a remote."""


def _table_at(source: str) -> TextIO | Path:
    """The table of a revision or experiment, from git, the cache or a remote."""
    try:
        revision = resolve(source)
    except UnknownRevisionError as error:
        raise UnknownRevisionError(
            f"{source}: neither a table (NAME.csv) nor a git revision nor an experiment of this project. To list "
            f"these: `git branch --all` and `dvc exp list --all-commits`.{suggested_revision(source)}"
        ) from error
    if (content := file_at(revision, layout.SAMPLES)) is not None:  # in projects where git tracks this file
        return io.StringIO(content.decode("utf-8", errors="replace"))
    why = "older revisions have none"
    if md5 := hashes_of(file_at(revision, layout.LOCKED_RESULTS) or b"").get(_TABLE):
        try:
            return dvc_objects.file(md5)
        except DepixelError as error:
            why = str(error)
    raise _NoTableError(
        f"{source}: its {_TABLE} is neither in the cache nor in the remote ({why}). Score its model here:\n"
        f"  dvc get . models --rev {source} --out other\n"
        "  python stages/evaluate.py --model other/depixel.safetensors --metrics other\n"
        "and compare other/samples.csv"
    )


def keep_samples(name: str, source: str) -> None:
    """Write the `sample_table` of a revision or experiment to metrics/recorded, which every clone has.

    Args:
        name: the name by which `read_samples` then finds it.
        source: as for `read_samples`.

    Raises:
        DepixelError: as in `read_samples`.
    """
    with replacing(_kept(name)) as beside:
        read_samples(source).to_csv(
            beside, index=False, lineterminator="\n", compression={"method": "gzip", "mtime": 0}
        )


def _kept(name: str) -> Path:
    return layout.RECORDED / f"{name.replace('/', '_')}.csv.gz"


def _parse(file: TextIO | Path, name: str) -> pd.DataFrame:
    try:
        # a contributor's folder can be called NA
        table = pd.read_csv(file, keep_default_na=False, dtype=dict.fromkeys(PHOTO, str), compression="infer")
        return table[SAMPLE_COLUMNS].astype(dict.fromkeys(SAMPLE_COLUMNS[len(PHOTO) :], "int64"))
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise DepixelError(
            f"{name}: not a table of {','.join(SAMPLE_COLUMNS)}. `dvc repro evaluate` makes {_TABLE}"
        ) from error


class Comparison(NamedTuple):
    """Two models on the samples that both were scored on.

    Attributes:
        ratios: `intervals` of the models A and B, and of the difference B - A.
        samples, photos: number of common samples and photos.
    """

    ratios: pd.DataFrame
    samples: int
    photos: int

    def verdict(self) -> str:
        """One sentence: the model that is better, by each ratio whose interval of the difference excludes 0."""
        return verdict(self.ratios.iloc[-1], "B", "A")


def verdict(difference: pd.Series, minuend: str, subtrahend: str) -> str:
    """One sentence: the model that is better, by each ratio whose interval of the difference excludes 0.

    Args:
        difference: the last row of `scores.intervals`.
        minuend, subtrahend: the two models.
    """
    better = [
        minuend if difference[f"{r}_high"] < 0 else subtrahend if difference[f"{r}_low"] > 0 else None for r in RATIOS
    ]
    if better == [None, None]:
        return "No significant difference: the intervals of the difference include 0."
    if better[0] == better[1]:
        side = "below" if better[0] == minuend else "above"
        return f"{better[0]} is better: the intervals of the difference lie {side} 0."
    parts = (
        f"by {ratio} " + (f"{model} is better" if model else "the difference is not significant")
        for ratio, model in zip(RATIOS, better, strict=True)
    )
    return f"It depends: {', '.join(parts)}. To choose between models, go by ratio_mean."


def compare(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Compare two models on the samples that both were scored on: same photo, same area, same pixels.

    Args:
        a, b: the `sample_table` of each model.

    Raises:
        DepixelError: fewer than two photos have common samples; the message says what differs.
    """
    models = common({"A": a, "B": b})
    both = models["A"]
    return Comparison(intervals(models, difference=("B", "A")), len(both), len(both.drop_duplicates(PHOTO)))


def common(models: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Reduce each `sample_table` to the samples that all have, in the same order.

    Args:
        models: a `sample_table` for each model's name.

    Raises:
        DepixelError: fewer than two photos have common samples; the message says what differs.
    """
    keys = [*SAMPLE, "identity_squared_error", "copy"]
    # a photo can have the same area twice
    tables = {name: of.assign(copy=of.groupby(keys[:-1]).cumcount()) for name, of in models.items()}
    (first, all_of_them), *others = tables.items()
    all_of_them = all_of_them[[*SAMPLE_COLUMNS, "copy"]]
    for number, (name, table) in enumerate(others):
        errors = table[[*keys, "squared_error"]].rename(columns={"squared_error": f"squared_error_{number}"})
        before, all_of_them = all_of_them, all_of_them.merge(errors, on=keys)
        if (photos := len(all_of_them.drop_duplicates(PHOTO))) < 2:
            raise DepixelError(
                f"a comparison needs two photos with the same samples, {first} and {name} have {photos}: "
                f"{_reason(before, table)}"
            )
    errors = {first: "squared_error"} | {name: f"squared_error_{i}" for i, (name, _) in enumerate(others)}
    return {
        name: all_of_them.assign(squared_error=all_of_them[column])[SAMPLE_COLUMNS] for name, column in errors.items()
    }


def compare_many(models: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare many models with the first one, by simultaneous confidence intervals.

    Among many equal variants, one looks best by luck. So with 95 % confidence over the choice of test photos, all
    intervals together contain the true differences. They come from a bootstrap of whole photos: for each ratio, their
    half-width is the 95 % quantile of the largest studentized deviation, times the standard deviation.

    Args:
        models: a `sample_table` for each model's name, with the same samples in the same order (`common`).

    Returns:
        One row per model: model, and for each ratio R of `RATIOS`: R; for the difference to the first model,
        R_difference, R_low and R_high, which are NaN for the first.
    """
    samples = next(iter(models.values()))
    photos = samples.groupby(PHOTO, sort=False).ngroup().to_numpy()
    pixels = (samples["width"] * samples["height"]).to_numpy()
    errors = np.array([*(of["squared_error"] for of in models.values()), samples["identity_squared_error"]], float)
    totals = {
        "ratio_pooled": np.array([np.bincount(photos, of) for of in errors]).T,  # (photos, M + 1)
        "ratio_mean": np.array([np.bincount(photos, np.sqrt(of / pixels)) for of in errors]).T,
    }
    random, count = np.random.default_rng(0), photos.max() + 1
    drawn = [random.multinomial(count, np.full(count, 1 / count), size=100) for _ in range(RESAMPLES // 100)]
    table = pd.DataFrame({"model": list(models)})
    for ratio in RATIOS:

        def differences(sums: np.ndarray, ratio: str = ratio) -> tuple[np.ndarray, np.ndarray]:
            ratios = sums[..., :-1] / sums[..., -1:]
            ratios = np.sqrt(ratios) if ratio == "ratio_pooled" else ratios
            return ratios, ratios - ratios[..., :1]

        found, difference = differences(totals[ratio].sum(axis=0))
        spread = differences(np.concatenate([weights @ totals[ratio] for weights in drawn]))[1][:, 1:]
        deviation = spread.std(axis=0)
        largest = (np.abs(spread - difference[1:]) / np.maximum(deviation, 1e-12)).max(axis=1)
        wide = np.quantile(largest, LEVEL) * deviation
        table[ratio], table[f"{ratio}_difference"] = found, [np.nan, *difference[1:]]
        table[f"{ratio}_low"] = [np.nan, *(difference[1:] - wide)]
        table[f"{ratio}_high"] = [np.nan, *(difference[1:] + wide)]
    return table


def _reason(a: pd.DataFrame, b: pd.DataFrame) -> str:
    if len(a[PHOTO].drop_duplicates().merge(b[PHOTO].drop_duplicates())) < 2:
        return (
            "they were scored on other photos. Use the same photos and the same section `split` of params.yaml, then "
            "run `dvc repro` for both"
        )
    if len(a[SAMPLE].merge(b[SAMPLE]).drop_duplicates(PHOTO)) < 2:
        return (
            "they were scored on other areas of the photos. Use the same `evaluate.seed` and the same section "
            "`pixelation` of params.yaml, then run `dvc repro evaluate` for both"
        )
    return (
        "photos of the same name have other pixels: they were replaced, or the section `prepare` of params.yaml "
        "differs. Use the same ones, then run `dvc repro` for both"
    )
