"""Compare the shipped model with baselines that learn nothing or little, in one table.

    python benchmarks/baselines.py                                  print the table, benchmarks/baselines.csv
    python benchmarks/baselines.py measure --photos ../shared/photos --bench ../shared/bench
    python benchmarks/baselines.py measure ridge --photos ../shared/photos

`measure` scores three kinds of models: the baselines of depixel/scoring/baselines.py; regressions of
depixel/scoring/regressions.py, trained on all pixels that it draws; and the network `laptop` and, if it is in
`--folder`, the challenge's `basic_cnn`. All restore the same areas of the photos of the test side, split as for
`laptop`. With `--bench` they also restore the test set there, and its `score.py` scores them. All use one view and the
same projection. `depixel baselines` does the same for the photos of a project, in minutes.

Intervals are 95 %, over the choice of photos. Differences are to `laptop`. Times are CPU seconds of one core with one
thread, which hardly depend on other load. The time of a network's training is twice its time on two cores. A training
that continues another counts as if all of it ran at the speed of the first.
"""

import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
import torch
import yaml
from threadpoolctl import threadpool_limits

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from benchmarks import quality  # noqa: E402
from depixel.base.console import progress  # noqa: E402
from depixel.base.environment import hardware  # noqa: E402
from depixel.base.files import replacing  # noqa: E402
from depixel.challenge.test_sets import areas, read_test_set  # noqa: E402
from depixel.dataset.prepared import load_index  # noqa: E402
from depixel.dataset.samples import Photos, fixed_samples  # noqa: E402
from depixel.model.pixelation import PixelationSettings  # noqa: E402
from depixel.model.predictor import Predictor  # noqa: E402
from depixel.scoring import regressions, scores  # noqa: E402
from depixel.scoring.baselines import BASELINES  # noqa: E402
from recipes.plan import EXISTING, folder_option, model_file, photos_option, plan  # noqa: E402
from recipes.preparation import prepare, python, write_params  # noqa: E402

TABLE = PROJECT / "benchmarks/baselines.csv"
REFERENCE = "laptop"
NETWORKS = [REFERENCE, "basic_cnn"]
LEARNED = ["samples", "train_core_seconds"]
COLUMNS = [
    *("name", "scored_on", *LEARNED, "bytes", "images_per_core_second"),
    *(*quality.ENDS, *(f"difference_{end}" for end in quality.ENDS), "scored_samples", "hardware"),
]

SAMPLES = 32768
REGRESSIONS = ("ridge", "gradient_boosting", "mlp")
"""The regressions that are measured if none is named. The others tell less or take longer."""


class Place(NamedTuple):
    """Samples on which models are scored. score: converts predictions to a `sample_table` and `quality.ENDS`."""

    name: str
    pixelated: np.ndarray
    areas: np.ndarray
    score: Callable[[list[np.ndarray]], tuple[pd.DataFrame, dict[str, float]]]


def test_side(prepared: Path, photos: Photos, settings: dict) -> Place:
    """The test photos with the areas of stages/evaluate.py."""
    streams = scores.test_streams(scores.EvaluateSettings(**settings["evaluate"]))
    samples = fixed_samples(photos, PixelationSettings(**settings["pixelation"]), streams)
    index = load_index(prepared / "index.csv")
    names = [(index[row].contributor, index[row].name) for row in photos.rows]
    shown = [
        p[y : y + h, x : x + w].ravel() for p, (x, y, w, h, _) in zip(samples.pixelated, samples.areas, strict=True)
    ]
    identity = scores.squared_errors(shown, samples.targets)

    def score(predictions: list[np.ndarray]) -> tuple[pd.DataFrame, dict[str, float]]:
        errors = scores.squared_errors(predictions, samples.targets)
        table = scores.sample_table(names, samples.areas, errors, identity)
        ratios = scores.intervals({"model": table}, ("model", "model")).iloc[0]
        return table, {end: round(ratios[end], 4) for end in quality.ENDS}

    return Place("test side", samples.pixelated, samples.areas, score)


def test_set(bench: Path, folder: Path) -> Place:
    """The test set in `bench`, scored by the score.py there."""
    samples = read_test_set(bench / "test_set.pkl")

    def score(predictions: list[np.ndarray]) -> tuple[pd.DataFrame, dict[str, float]]:
        (table, _), ratios = quality.officially_scored(predictions, bench, folder)
        return table, ratios

    return Place("bench", samples.pixelated, areas(samples.known), score)


def show() -> None:
    """Print the table, one part for each place."""
    for place, rows in read_table().groupby("scored_on", sort=False):
        shown = scores.readable(rows)[["name", *scores.RATIOS[::-1], *LEARNED, "bytes", "images_per_core_second"]]
        for ratio in scores.RATIOS[::-1]:
            columns = (rows[f"difference_{ratio}{end}"] for end in ("", "_low", "_high"))
            shown[f"{ratio} - {REFERENCE}'s"] = [
                f"{value:.3f} [{low:.3f}, {high:.3f}]" if value == value else ""
                for value, low, high in zip(*columns, strict=True)
            ]
        click.echo(
            f"\n{place}, {rows['scored_samples'].iloc[0]} areas\n"
            + shown.astype(object).fillna("").to_string(index=False)
        )


def read_table() -> pd.DataFrame:
    whole = [*LEARNED, "bytes", "images_per_core_second", "scored_samples"]
    return pd.read_csv(TABLE, dtype=dict.fromkeys(whole, "Int64")) if TABLE.is_file() else pd.DataFrame(columns=COLUMNS)


def write_rows(rows: list[dict]) -> None:
    """Add rows to the table, sorted by ratio; they replace rows of the same name and place."""
    table = pd.concat([read_table(), pd.DataFrame(rows)])[COLUMNS].drop_duplicates(["name", "scored_on"], keep="last")
    with replacing(TABLE) as beside:
        table.sort_values(["scored_on", "ratio_mean"]).to_csv(beside, index=False, lineterminator="\n")


main = quality.table_group(show, __doc__)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@photos_option
@click.option("--bench", type=EXISTING, help="A test set with its targets and its score.py.")
@click.option("--samples", default=SAMPLES, show_default=True, help="Number of training samples of the regressions.")
@folder_option
def measure(names: tuple[str, ...], photos: Path, bench: Path | None, samples: int, folder: Path) -> None:
    """Train and score the baselines of the table, or the named ones, and write their rows."""
    known = [*NETWORKS, *BASELINES, *regressions.REGRESSIONS]
    if wrong := sorted(set(names) - set(known)):
        raise click.BadParameter(f"{', '.join(wrong)}: the baselines are {', '.join(known)}", param_hint="NAME")
    folder = folder.resolve()
    run = folder / "baselines"
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    split = {key.partition(".")[2]: value for key, value in plan()[REFERENCE].settings.items() if "split." in key}
    settings["split"] |= split
    write_params(settings, run)
    prepared = prepare(photos.resolve(), settings, folder)
    python(PROJECT / "stages/split.py", "--prepared", prepared, cwd=run)
    train, test = (Photos.load(prepared, run / "data/split.csv", side) for side in ("train", "test"))
    places = [test_side(prepared, test, settings)] + ([test_set(bench, run)] if bench else [])

    torch.set_num_threads(1)
    with threadpool_limits(1):
        references = {}
        for name, restorer, made in models(
            names or (*NETWORKS, *BASELINES, *REGRESSIONS), train, settings, samples, folder
        ):
            rows = []
            for place in places:
                predict = partial(restorer.predict, place.pixelated, place.areas)
                predictions, seconds = timed(lambda: predict(progress=partial(progress, desc=name, unit="batch")))  # noqa: B023
                table, ratios = place.score(predictions)
                speed = {
                    "images_per_core_second": round(len(predictions) / seconds),
                    "scored_samples": len(predictions),
                }
                rows.append(
                    {"name": name, "scored_on": place.name} | ratios | made | speed | {"hardware": hardware("cpu")}
                )
                if name == REFERENCE:
                    references[place.name] = table
                else:
                    pair = {"model": table, REFERENCE: references[place.name]}
                    difference = scores.intervals(pair, ("model", REFERENCE)).iloc[-1]
                    rows[-1] |= {f"difference_{end}": round(difference[end], 4) for end in quality.ENDS}
                click.echo(f"{name}, {place.name}: " + ", ".join(f"{ratio} {ratios[ratio]}" for ratio in scores.RATIOS))
            if not names or name in names:
                write_rows(rows)
    show()


def models(
    names: Sequence[str], train: Photos, settings: dict, samples: int, folder: Path
) -> Iterator[tuple[str, Predictor, dict]]:
    """Yield name, model, and columns on training and size: for the reference, then for the named models."""
    drawn = None
    configuration = Predictor.load(model_file(REFERENCE, folder), "cpu").configuration
    configuration = configuration.model_copy(update={"precision": "float32"})
    for name in dict.fromkeys([REFERENCE, *names]):
        if name in NETWORKS:
            if (file := model_file(name, folder)).is_file():
                yield name, Predictor.load(file, "cpu"), in_quality(name)
            else:
                click.echo(
                    f"{name} is skipped, because {folder} does not have it. To train it: "
                    f"`python recipes/predictor.py train {name}`"
                )
            continue
        if name in BASELINES:
            nothing = dict.fromkeys([*LEARNED, "bytes"], 0)
            yield name, Predictor(BASELINES[name](), configuration, "cpu"), nothing
            continue
        pixelation = PixelationSettings(**settings["pixelation"])
        drawn = drawn or timed(partial(regressions.training_pixels, train, pixelation, samples, progress))
        model, seconds = timed(partial(regressions.fitted, name, drawn[0], len(drawn[0].lacking)))
        made = {"samples": samples, "train_core_seconds": round(drawn[1] + seconds), "bytes": len(pickle.dumps(model))}
        yield name, Predictor(regressions.Regression(model), configuration, "cpu"), made


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of `work`, and its CPU seconds."""
    start = time.process_time()
    return work(), time.process_time() - start


def in_quality(name: str) -> dict:
    """A network's columns on training and size, from benchmarks/quality.csv."""
    table = quality.read_table().query("views == 1 and projection == 'interval'").set_index("name")
    if name not in table.index:
        return {}
    row = table.loc[name]
    begun = table.loc[plan()[name].start or name]  # the continued training may have run on a GPU
    return {
        "samples": row["samples"],
        "train_core_seconds": round(2 * row["samples"] / begun["samples_per_second"]),  # on two cores
        "bytes": 2 * row["parameters"],  # float16
    }


if __name__ == "__main__":
    main()
