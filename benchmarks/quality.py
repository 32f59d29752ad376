"""How good the models are and what each part of them brings: a table, and the way to make each of its rows again.

    python benchmarks/quality.py                                  print the table, benchmarks/quality.csv
    python benchmarks/quality.py train laptop --photos ../shared/photos --bench ../shared/bench
    python benchmarks/quality.py train mine --set train.width=64 --photos ../shared/photos --bench ../shared/bench
    python benchmarks/quality.py score laptop --views 8 --bench ../shared/bench
    python benchmarks/quality.py ship laptop --sources ../shared/photos/SOURCES.md

`train` runs the data stages and the training with params.yaml and the settings of that row, or with those of `--set`,
in .scratch/quality, and goes on there if it was interrupted. Then it does what `score` does with a pretrained model:
restore the test set of `--bench`, let the `score.py` that lies beside it score the submission, and write the row.
Nothing is trained or tuned on that test set. Intervals are 95 %, over the choice of its photos. `ship` puts a trained
model into models/pretrained, and a card that quotes its rows beside that; `dvc add models/pretrained` is left to do.

The table is of this code. How its network was found stands in benchmarks/search.csv: short trainings by earlier code on
22 900 photos, cut off after `samples` of a schedule of `of`, scored on 2 400 validation photos, by one view.
"""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]  # the library beside this file, whatever is installed

import variants  # noqa: E402, F401  networks that only this table has

from depixel import evaluation  # noqa: E402
from depixel.card import LIMITS, introduction  # noqa: E402
from depixel.challenge import areas, read_targets, read_test_set, write_submission  # noqa: E402
from depixel.command import PlainGroup, run_stage  # noqa: E402
from depixel.environment import hardware  # noqa: E402
from depixel.errors import DepixelError  # noqa: E402
from depixel.files import replacing  # noqa: E402
from depixel.networks import parameter_count  # noqa: E402
from depixel.pixelation import prepare_image  # noqa: E402
from depixel.restoration import PRETRAINED, Restorer, model_path  # noqa: E402

TABLE = PROJECT / "benchmarks/quality.csv"
COLUMNS = [
    "name",
    "group",
    "settings",
    "views",
    "projection",
    "network",
    "width",
    "parameters",
    "weights",
    "photos",
    "samples",
    "samples_per_second",
    "memory_gb",
    "images_per_second",
    "ratio_mean",
    "ratio_mean_low",
    "ratio_mean_high",
    "ratio_pooled",
    "ratio_pooled_low",
    "ratio_pooled_high",
    "scored_samples",
    "hardware",
    "note",
]
DATA_STAGES = ("validate", "prepare", "split")
PATH = click.Path(path_type=Path)
photos_option = click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True)
bench_option = click.option("--bench", type=click.Path(exists=True, path_type=Path), required=True)
views_option = click.option("--views", type=click.Choice([1, 2, 8]), default=1, show_default=True)
projection_option = click.option("--projection", type=click.Choice(["interval", "center"]), default="interval")
group_option = click.option("--group", default="", help="Which part of the table the row belongs to.")
note_option = click.option("--note", default="")


@click.group(
    cls=PlainGroup, help=__doc__, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.pass_context
def main(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        show()


def show() -> None:
    """Print the table, a part for each group."""
    for group, rows in read_table().groupby("group", sort=False):
        rows = evaluation.readable(rows)
        shown = ["name", "settings", "views", "parameters", "samples", "samples_per_second", *evaluation.RATIOS, "note"]
        click.echo(f"\n{group}\n" + rows[shown].to_string(index=False, justify="left"))


def read_table() -> pd.DataFrame:
    return pd.read_csv(TABLE, keep_default_na=False) if TABLE.is_file() else pd.DataFrame(columns=COLUMNS)


def write_row(row: dict) -> None:
    """Add a row to the table, or put it in the place of the one with its name, views and projection."""
    rows = read_table().to_dict("records")
    same = [[str(other[key]) == str(row[key]) for key in ("name", "views", "projection")] for other in rows]
    for other, (named, *_) in zip(rows, same, strict=True):
        row["group"] = row["group"] or (other["group"] if named else "")
    place = next((i for i, equal in enumerate(same) if all(equal)), len(rows))
    rows[place : place + 1] = [row]
    with replacing(TABLE) as beside:
        pd.DataFrame(rows)[COLUMNS].to_csv(beside, index=False, lineterminator="\n")


def python(*arguments: str | Path, cwd: Path) -> None:
    if code := run_stage([sys.executable, *map(str, arguments)], cwd=cwd):
        sys.exit(code)


@main.command()
@click.argument("name")
@photos_option
@bench_option
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="Differs from params.yaml.")
@click.option("--folder", type=PATH, default=PROJECT / ".scratch/quality", help="For what is made on the way.")
@views_option
@projection_option
@group_option
@note_option
def train(
    name: str, photos: Path, bench: Path, changes: tuple[str, ...], folder: Path, views: int, projection: str, **labels
) -> None:
    """Train the model of a row and score it."""
    known = read_table().query("name == @name")
    if not changes and len(known):
        changes = tuple(known["settings"].iloc[0].split())
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for change in changes:
        key, equals, value = change.partition("=")
        section, _, name_of_key = key.partition(".")
        if not equals or name_of_key not in settings.get(section, {}) or " " in value:
            raise click.BadParameter(f"{change!r}: must be SECTION.KEY=VALUE, of params.yaml, without spaces")
        settings[section][name_of_key] = yaml.safe_load(value)
    data, run = prepare(photos.resolve(), settings, folder), folder / name
    run.mkdir(parents=True, exist_ok=True)
    (run / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    inputs = ["--prepared", data / "data/prepared", "--split", data / "data/split.csv"]
    python(PROJECT / "benchmarks/variants.py", *inputs, "--pretrained", PROJECT / "models/pretrained", cwd=run)
    log = json.loads((run / "logs/training.json").read_text(encoding="utf-8"))
    sides = json.loads((data / "metrics/split.json").read_text(encoding="utf-8"))
    epochs = len(pd.read_csv(run / "metrics/training.csv"))
    write_row(
        {
            "name": name,
            "settings": " ".join(changes),
            "photos": sides["train"]["photos"],
            "samples": epochs * sides["train"]["photos"],
            "samples_per_second": round(log["samples_per_second"]),
            "memory_gb": round(log["memory_bytes"] / 1e9, 2),
            **scored([run / "models/depixel.safetensors"], bench, views, projection),
            **labels,
        }
    )


def prepare(photos: Path, settings: dict, folder: Path) -> Path:
    """Run the data stages unless they have been; returns the folder, one for each set of their settings.

    Photos that changed in the same place are not noticed: then delete that folder.
    """
    described = json.dumps([str(photos), settings["prepare"], settings["split"]])
    data = folder / f"data_{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    if not (data / "metrics/split.json").is_file():
        data.mkdir(parents=True, exist_ok=True)
        (data / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        for stage in DATA_STAGES:
            python(PROJECT / f"stages/{stage}.py", *(["--raw", photos] if stage != "split" else []), cwd=data)
    return data.resolve()


@main.command()
@click.argument("model")
@bench_option
@click.option("--name", help="Of the row; that of the model if not given.")
@views_option
@projection_option
@group_option
@note_option
def score(model: str, bench: Path, name: str | None, views: int, projection: str, **labels) -> None:
    """Score a model: a pretrained one by its name, or any other by its path; `+` averages several."""
    name = name or Path(model).stem
    known = read_table().query("name == @name")
    trained = ["settings", "photos", "samples", "samples_per_second", "memory_gb"]
    learned = {key: known[key].iloc[0] if len(known) else "" for key in trained}
    paths = [PROJECT / path if path.parent == PRETRAINED else path for path in map(model_path, model.split("+"))]
    write_row({"name": name, **learned, **scored(paths, bench, views, projection), **labels})


CARD = """\
## How good it is

On {count} samples of photos in the challenge's format that it was neither trained nor chosen on. The ratio is to the
identity, which leaves the blocks as they are; brackets are 95 % confidence intervals over photos. A view is the picture
turned or mirrored; the predictions of all are averaged. Images a second on {hardware}.

| views | projection onto | ratio_mean | ratio_pooled | images/s |
|---|---|---|---|---|
{scores}

## What it was made from

{samples} samples of {photos} photos, at {rate} samples/s. Settings that differ from params.yaml: `{settings}`.

{sources}

## How to make it again

```
python benchmarks/quality.py train {name} --photos PHOTOS --bench BENCH
```

The code that made it has sha256 {sources_hash}; environment: {versions}.

"""


@main.command()
@click.argument("name")
@click.option("--folder", type=PATH, default=PROJECT / ".scratch/quality", help="Where it was trained.")
@click.option(
    "--sources", type=click.Path(exists=True, path_type=Path), required=True, help="Whose photos, what terms."
)
def ship(name: str, folder: Path, sources: Path) -> None:
    """Put a trained model among the pretrained ones."""
    weights = PROJECT / model_path(name)
    model = Restorer.load(folder / name / "models/depixel.safetensors", "cpu")
    rows = evaluation.readable(read_table().query("name == @name and weights == @model.digest()"))
    if not len(rows):
        raise DepixelError(f"{name}: no row of {TABLE.name} is of this model. Score it first: `train {name}`")
    first = rows.iloc[0]
    _, _, terms = sources.read_text(encoding="utf-8").partition("\n")  # without its title
    model.save(weights)
    columns = ["views", "projection", "ratio_mean", "ratio_pooled", "images_per_second"]
    text = introduction(weights, model) + CARD.format(
        name=name,
        count=first["scored_samples"],
        hardware=first["hardware"],
        scores="\n".join("| " + " | ".join(str(row[key]) for key in columns) + " |" for row in rows.to_dict("records")),
        samples=f"{int(first['samples']):,}".replace(",", " "),
        photos=first["photos"],
        rate=first["samples_per_second"],
        settings=first["settings"],
        sources=terms.strip(),
        sources_hash=model.configuration.sources,
        versions=", ".join(f"{key} {version}" for key, version in model.configuration.versions.items()),
    )
    with replacing(PROJECT / f"models/{name}.md") as beside:
        beside.write_text(text + LIMITS, encoding="utf-8", newline="\n")


def scored(models: list[Path], bench: Path, views: int, projection: str) -> dict:
    """What the table says of models whose predictions are averaged, or of one."""
    restorer = Restorer.averaging([Restorer.load(path) for path in models])
    samples = read_test_set(bench / "test_set.pkl")
    where = areas(samples.known)
    start = time.perf_counter()
    predictions = restorer.predict(samples.pixelated, where, views, projection=projection)
    seconds = time.perf_counter() - start
    submission = PROJECT / ".scratch/submission.bin"
    write_submission(submission, predictions)
    score = subprocess.run([sys.executable, bench / "score.py", submission], stdout=subprocess.PIPE, text=True)
    if score.returncode:
        sys.exit(score.returncode)
    official = json.loads(score.stdout)
    ratios = intervals(predictions, *read_targets(bench))
    for ratio in evaluation.RATIOS:
        if abs(official[ratio] - ratios[ratio]) > 1e-4:
            sys.exit(f"score.py says {ratio} {official[ratio]}, depixel {ratios[ratio]}")
    click.echo(json.dumps({"views": views, "projection": projection, **official}))
    return {
        "views": views,
        "projection": projection,
        "network": restorer.configuration.network,
        "width": restorer.configuration.width,
        "parameters": parameter_count(restorer.network),
        "weights": restorer.digest(),
        "images_per_second": round(len(predictions) / seconds),
        "scored_samples": len(predictions),
        "hardware": hardware(restorer.device),
        **{key: round(value, 4) for key, value in ratios.items()},
    }


def intervals(predictions: list[np.ndarray], photos: np.ndarray, areas: np.ndarray) -> dict[str, float]:
    """The ratios and the ends of their intervals."""
    pairs = [prepare_image(photos[None, i % len(photos)], *area) for i, area in enumerate(areas.tolist())]
    targets, identities = [target for *_, target in pairs], [shown[~known] for shown, known, _ in pairs]
    errors = [evaluation.squared_errors(p, targets) for p in (predictions, identities)]
    names = [("bench", str(i)) for i in range(len(photos))]
    table = evaluation.sample_table(names, areas, *errors)
    row = evaluation.intervals(
        {"model": table, "identity": table.assign(squared_error=errors[1])}, ("model", "identity")
    )
    return row.drop(columns="model").iloc[0].to_dict()


if __name__ == "__main__":
    main()
