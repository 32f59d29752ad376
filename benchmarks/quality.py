"""The scores of the models, and the effect of each of their parts, in one table.

\b
    python benchmarks/quality.py                                  print the table, benchmarks/quality.csv
    python benchmarks/quality.py score laptop --bench ../shared/bench
    python recipes/predictor.py train laptop --photos ../shared/photos --bench ../shared/bench

`recipes/plan.yaml` lists the rows, their groups, and where a row's settings differ from params.yaml.
`recipes/predictor.py` trains a row and scores it. `score` scores it again: it restores the test set of `--bench`, lets
the `score.py` there score the submission, and writes the row. Nothing is trained or tuned on that test set. Intervals
are 95 %, over the choice of its photos.

Parts that did not help were removed from the code. benchmarks/removed.csv has their rows, which are printed as the
group `taken out` and belong to earlier code. A row's `code` is the hash in its model's configuration.
benchmarks/search.csv documents the search for the network: short trainings by earlier code on 22 900 photos, stopped
after `samples` of a schedule of `of`, scored on 2 400 validation photos with one view.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.base.console import PlainGroup  # noqa: E402
from depixel.base.environment import hardware  # noqa: E402
from depixel.base.files import replacing  # noqa: E402
from depixel.challenge.test_sets import areas, read_targets, read_test_set, write_submission  # noqa: E402
from depixel.learning.task import TrainSettings  # noqa: E402
from depixel.model.networks import parameter_count  # noqa: E402
from depixel.model.pixelation import prepare_image  # noqa: E402
from depixel.model.predictor import Predictor  # noqa: E402
from depixel.scoring import scores  # noqa: E402
from recipes.plan import (  # noqa: E402
    COLUMNS,
    ENDS,
    LEARNED,
    TABLE,
    WHOLE,
    Row,
    bench_option,
    chosen,
    folder_option,
    model_file,
    names_argument,
    plan,
    read_table,
)

REMOVED = PROJECT / "benchmarks/removed.csv"


def table_group(show: Callable[[], None], text: str) -> click.Group:
    """Make a group of commands that prints a table by `show` if it is called without a command."""

    @click.group(
        cls=PlainGroup,
        help=text,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    @click.pass_context
    def main(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            show()

    return main


def show() -> None:
    """Print the table, one part for each group."""
    for group, rows in pd.concat([read_table(), read_table(REMOVED)]).groupby("group", sort=False):
        rows["minutes"] = (rows["samples"] / rows["samples_per_second"] / 60).round().astype("Int64")
        ratios = ["ratio_mean", "ratio_pooled"]
        if rows["difference_ratio_mean"].notna().any():
            for ratio in tuple(ratios):
                ratios.append(f"difference_{ratio}")
                rows[ratios[-1]] = [
                    f"{value:+.4f} [{low:+.4f}, {high:+.4f}]" if value == value else ""
                    for value, low, high in rows[
                        [f"difference_{ratio}{end}" for end in ("", "_low", "_high")]
                    ].to_numpy()
                ]
        facts = ["settings", "views", "projection", "parameters", "photos", "samples", "minutes", *LEARNED[2:]]
        shown = [fact for fact in facts if rows[fact].nunique() > 1]  # common values are in plan.yaml
        printed = scores.readable(rows)[["name", *shown, *ratios]]
        click.echo(f"\n{group}\n" + printed.to_string(index=False, justify="left", na_rep=""))


def write_row(row: dict) -> None:
    """Add a row to the table; it replaces a row with the same name, views and projection."""
    key = ["name", "views", "projection"]
    others = read_table()
    others = others[(others[key] != [row[column] for column in key]).any(axis=1)]
    table = pd.concat([others, pd.DataFrame([row])], ignore_index=True)[COLUMNS].astype(WHOLE)
    places = {name: i for i, name in enumerate(plan())}
    table = table.sort_values("name", key=lambda names: names.map(places), kind="stable")
    with replacing(TABLE) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


main = table_group(show, __doc__)


@main.command()
@names_argument
@bench_option
@folder_option
def score(names: tuple[str, ...], bench: Path, folder: Path) -> None:
    """Score the models of rows: those trained in `--folder`, otherwise the pretrained ones."""
    from recipes import variants  # noqa: F401  importing it registers the networks that only the plan has

    for row in chosen(names):
        write_rows(row, bench, folder)


def write_rows(row: Row, bench: Path, folder: Path) -> None:
    """Score the model of a row with all views and projections of its group, and write the table's rows."""
    learned = trained(row, folder)
    for views, projection in row.views:
        found, samples = scored(row, bench, folder, views, projection)
        if row.reference and row.name != row.reference:
            _, others = scored(plan()[row.reference], bench, folder, views, projection)
            models = {"model": samples, "reference": others}
            difference = scores.intervals(models, ("model", "reference")).iloc[-1]
            found |= {f"difference_{end}": round(difference[end], 4) for end in ENDS}
        write_row({"name": row.name, "group": row.group, "settings": row.described(), **learned, **found})


def trained(row: Row, folder: Path) -> dict:
    """The columns `LEARNED`, from the training in `folder`, otherwise from the table; none for averaged models."""
    run, known = folder / row.name, read_table().query("name == @row.name")
    if not (run / "models/depixel.safetensors").is_file():
        return known[LEARNED].iloc[0].to_dict() if len(known) and not row.models else {}
    log = json.loads((run / "logs/training.json").read_text(encoding="utf-8"))
    photos = json.loads((run / "metrics/split.json").read_text(encoding="utf-8"))["train"]["photos"]
    settings = TrainSettings(**yaml.safe_load((run / "params.yaml").read_text(encoding="utf-8"))["train"])
    before = trained(plan()[row.start], folder)["samples"] if row.start else 0
    return {
        "photos": photos,
        "samples": before + round(settings.epochs * photos),
        "samples_per_second": round(log["samples_per_second"]),
        "memory_gb": round(log["memory_bytes"] / 1e9, 2),
    }


def scored(row: Row, bench: Path, folder: Path, views: int, projection: str) -> tuple[dict, pd.DataFrame]:
    """Score a row's model: the columns of the table that this fills, and its `scores.sample_table`."""
    restorer = Predictor.averaging([Predictor.load(model_file(name, folder)) for name in row.models or [row.name]])
    samples = read_test_set(bench / "test_set.pkl")
    shown, where = _contrasted(samples.pixelated, row.contrast), areas(samples.known)
    start = time.perf_counter()
    predictions = restorer.predict(shown, where, views, projection=projection)
    seconds = time.perf_counter() - start
    predictions = [_contrasted(pixels, 1 / row.contrast) for pixels in predictions]
    (table, _), ratios = officially_scored(predictions, bench, folder)
    click.echo(f"{row.name}: " + json.dumps({"views": views, "projection": projection} | ratios))
    return {
        "views": views,
        "projection": projection,
        "network": restorer.configuration.network,
        "width": restorer.configuration.width,
        "parameters": parameter_count(restorer.network),
        "weights": restorer.digest(),
        "code": restorer.configuration.sources,
        "images_per_second": round(len(predictions) / seconds),
        "scored_samples": len(predictions),
        "hardware": hardware(restorer.device),
        **ratios,
    }, table


def _contrasted(pixels: np.ndarray, contrast: float) -> np.ndarray:
    """Pixels scaled around the middle gray, rounded and clipped."""
    return np.clip(127.5 + (pixels - 127.5) * contrast, 0, 255).round().astype(np.uint8)


def officially_scored(
    predictions: list[np.ndarray], bench: Path, folder: Path
) -> tuple[list[pd.DataFrame], dict[str, float]]:
    """Score predictions for a test set: their `sample_tables`, and the columns `ENDS`.

    The program ends if the test set's score.py fails, or computes other ratios.
    """
    folder.mkdir(parents=True, exist_ok=True)
    submission = folder / "submission.bin"
    write_submission(submission, predictions)
    score = subprocess.run([sys.executable, bench / "score.py", submission], stdout=subprocess.PIPE, text=True)
    if score.returncode:
        sys.exit(score.returncode)
    official = json.loads(score.stdout)
    tables = sample_tables(predictions, *read_targets(bench))
    ratios = scores.intervals(dict(zip(("model", "identity"), tables, strict=True)), ("model", "identity")).iloc[0]
    for ratio in scores.RATIOS:
        if abs(official[ratio] - ratios[ratio]) > 1e-4:
            sys.exit(f"score.py computes {ratio} {official[ratio]}, but depixel {ratios[ratio]}")
    return tables, {end: round(ratios[end], 4) for end in ENDS}


def sample_tables(predictions: list[np.ndarray], photos: np.ndarray, areas: np.ndarray) -> list[pd.DataFrame]:
    """`scores.sample_table` of the predictions and of the identity."""
    pairs = [prepare_image(photos[None, i % len(photos)], *area) for i, area in enumerate(areas.tolist())]
    targets, identities = [target for *_, target in pairs], [shown[~known] for shown, known, _ in pairs]
    errors = [scores.squared_errors(p, targets) for p in (predictions, identities)]
    names = [("bench", str(i)) for i in range(len(photos))]
    table = scores.sample_table(names, areas, *errors)
    return [table, table.assign(squared_error=errors[1])]


if __name__ == "__main__":
    main()
