"""How good the models are and what each part of them brings: a table, and the way to make each of its rows again.

    python benchmarks/quality.py                                  print the table, benchmarks/quality.csv
    python benchmarks/quality.py train laptop --photos ../shared/photos --bench ../shared/bench
    python benchmarks/quality.py train ablations --photos ../shared/photos --bench ../shared/bench
    python benchmarks/quality.py score laptop --bench ../shared/bench
    python benchmarks/quality.py ship laptop --sources ../shared/photos/SOURCES.md

What rows there are, in which groups, and in what each differs from params.yaml stands in benchmarks/quality.yaml.
`train` runs the data stages and the training of a row, or of all rows of a group, in .scratch/quality; what is trained
already is not trained again, and what was interrupted goes on. Then it does what `score` does: restore the test set of
`--bench`, let the `score.py` that lies beside it score the submission, and write the row. Nothing is trained or tuned
on that test set. Intervals are 95 %, over the choice of its photos. `ship` puts a trained model into models/pretrained,
and a card that quotes its rows beside that; `dvc add models/pretrained` is left to do.

What brought nothing, or less than something else, is no longer in the code: the rows that say so stand in
benchmarks/removed.csv, printed as the group `taken out`; they are of the code that still had it. A row's `code` is the
hash in its model's configuration. How the network was found stands in benchmarks/search.csv:
short trainings by earlier code on 22 900 photos, cut off after `samples` of a schedule of `of`, scored on 2 400
validation photos, by one view.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]  # the library beside this file, whatever is installed

import training  # noqa: E402
import variants  # noqa: E402, F401  networks that only this table has

from depixel.base.console import PlainGroup, run_stage  # noqa: E402
from depixel.base.environment import hardware  # noqa: E402
from depixel.base.errors import DepixelError  # noqa: E402
from depixel.base.files import replacing  # noqa: E402
from depixel.challenge.test_sets import areas, read_targets, read_test_set, write_submission  # noqa: E402
from depixel.dataset.samples import Photos  # noqa: E402
from depixel.learning.task import TrainSettings  # noqa: E402
from depixel.model.networks import parameter_count  # noqa: E402
from depixel.model.pixelation import prepare_image  # noqa: E402
from depixel.model.predictor import Predictor, model_path  # noqa: E402
from depixel.reports.card import LIMITS, introduction  # noqa: E402
from depixel.scoring import scores  # noqa: E402

PLAN = PROJECT / "benchmarks/quality.yaml"
TABLE = PROJECT / "benchmarks/quality.csv"
REMOVED = PROJECT / "benchmarks/removed.csv"
LEARNED = ["photos", "samples", "samples_per_second", "memory_gb"]
ENDS = [ratio + end for ratio in scores.RATIOS for end in ("", "_low", "_high")]
COLUMNS = [
    *("name", "group", "settings", "views", "projection", "network", "width", "parameters", "weights", "code"),
    *LEARNED,
    *("images_per_second", *ENDS, *(f"difference_{end}" for end in ENDS), "scored_samples", "hardware"),
]
WHOLE = dict.fromkeys(
    ("parameters", "photos", "samples", "samples_per_second", "images_per_second", "scored_samples"), "Int64"
)
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=PROJECT / ".scratch/quality",
    help="For what is made on the way.",
)
EXISTING = click.Path(exists=True, path_type=Path)
photos_option = click.option("--photos", type=EXISTING, required=True)
bench_option = click.option("--bench", type=EXISTING, required=True)
names_argument = click.argument("names", nargs=-1, required=True, metavar="ROW_OR_GROUP...")


class Row(NamedTuple):
    """A row of the plan. settings: by SECTION.KEY. The other fields are explained in quality.yaml."""

    name: str
    group: str
    settings: dict
    start: str | None
    minutes: float | None
    models: list[str]
    views: list[tuple[int, str]]
    reference: str | None
    contrast: float

    def described(self) -> str:
        """The settings as the table tells them."""
        start = {"start": self.start} if self.start else {}
        told = start | self.settings | ({"contrast": self.contrast} if self.contrast != 1 else {})
        return " ".join(f"{key}={value}" for key, value in told.items())


def plan() -> dict[str, Row]:
    """All rows, by name."""
    rows = {}
    for group, content in yaml.safe_load(PLAN.read_text(encoding="utf-8")).items():
        views = [tuple(pair) for pair in content.get("views", [[1, "interval"]])]
        for name, own in content["rows"].items():
            given = content.get("settings", {}) | own if "models" not in own else own
            settings = {key: value for key, value in given.items() if "." in key}
            own = {key: given.get(key) for key in ("start", "minutes")}
            rows[name] = Row(
                name,
                group,
                settings,
                **own,
                models=given.get("models", []),
                views=views,
                reference=content.get("reference"),
                contrast=content.get("contrast", 1),
            )
    return rows


def chosen(names: tuple[str, ...]) -> list[Row]:
    """The rows of these names or groups."""
    rows = plan()
    found = [row for name in names for row in rows.values() if name in (row.name, row.group)]
    for name in names:
        if not any(name in (row.name, row.group) for row in found):
            raise click.BadParameter(f"{name!r}: {PLAN.name} has the rows {', '.join(rows)}", param_hint="ROW_OR_GROUP")
    return found


@click.group(
    cls=PlainGroup, help=__doc__, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.pass_context
def main(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        show()


def show() -> None:
    """Print the table, a part for each group."""
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
        shown = [fact for fact in facts if rows[fact].nunique() > 1]  # what all have in common is in quality.yaml
        printed = scores.readable(rows)[["name", *shown, *ratios]]
        click.echo(f"\n{group}\n" + printed.to_string(index=False, justify="left", na_rep=""))


def read_table(path: Path = TABLE) -> pd.DataFrame:
    return pd.read_csv(path, dtype=WHOLE) if path.is_file() else pd.DataFrame(columns=COLUMNS)


def write_row(row: dict) -> None:
    """Add a row to the table, or put it in the place of the one with its name, views and projection."""
    key = ["name", "views", "projection"]
    others = read_table()
    others = others[(others[key] != [row[column] for column in key]).any(axis=1)]
    table = pd.concat([others, pd.DataFrame([row])], ignore_index=True)[COLUMNS].astype(WHOLE)
    places = {name: i for i, name in enumerate(plan())}
    table = table.sort_values("name", key=lambda names: names.map(places), kind="stable")
    with replacing(TABLE) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def python(*arguments: str | Path, cwd: Path) -> None:
    if code := run_stage([sys.executable, *map(str, arguments)], cwd=cwd):
        sys.exit(code)


@main.command()
@names_argument
@photos_option
@bench_option
@folder_option
def train(names: tuple[str, ...], photos: Path, bench: Path, folder: Path) -> None:
    """Train the models of rows and score them."""
    for row in chosen(names):
        click.echo(f"{row.name}: {row.described() or 'as params.yaml says'}")
        make(row, photos.resolve(), folder.resolve())
        write_rows(row, bench, folder)


def make(row: Row, photos: Path, folder: Path) -> None:
    """Train the model of a row; and first those it needs that are not there."""
    teacher = row.settings.get("train.teacher")
    for needed in filter(None, [*row.models, row.start, teacher]):
        if not model_file(needed, folder).is_file():
            make(plan()[needed], photos, folder)
    if row.models:
        return
    run = folder / row.name
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for change, value in row.settings.items():
        section, _, key = change.partition(".")
        if key not in settings.get(section, {}):
            raise DepixelError(f"{PLAN.name}: {row.name}: {change} is not in params.yaml")
        settings[section][key] = value
    if row.start:
        settings["train"]["init"] = "pretrained"
    (run / "pretrained").mkdir(parents=True, exist_ok=True)
    for name in filter(None, [row.start, teacher]):
        for suffix in (".safetensors", ".json"):
            shutil.copy(model_file(name, folder).with_suffix(suffix), run / f"pretrained/{name}{suffix}")
    (run / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    prepared = prepare(photos, settings, folder)
    python(PROJECT / "stages/split.py", "--prepared", prepared, cwd=run)
    if row.minutes:
        settings["train"]["epochs"] = epochs_in(row.minutes, settings, prepared, run)
        (run / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    inputs = ["--prepared", prepared, "--pretrained", run / "pretrained"]
    python(PROJECT / "benchmarks/variants.py", *inputs, cwd=run)


def prepare(photos: Path, settings: dict, folder: Path) -> Path:
    """Validate and prepare unless it has been done; returns the prepared photos, a folder for each set of settings.

    Photos that changed in the same place are not noticed: then delete that folder.
    """
    described = json.dumps([str(photos), settings["prepare"]])
    data = folder / f"data_{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    if not (data / "metrics/done").is_file():
        data.mkdir(parents=True, exist_ok=True)
        (data / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        for stage in ("validate", "prepare"):
            python(PROJECT / f"stages/{stage}.py", "--raw", photos, cwd=data)
        (data / "metrics/done").touch()
    return data / "data/prepared"


def epochs_in(minutes: float, settings: dict, prepared: Path, run: Path) -> float:
    """How many epochs can be trained in so many minutes; measured once for a run, or it could not be gone on with."""
    noted = run / "epochs.json"
    if not noted.is_file():
        sides = [Photos.load(prepared, run / "data/split.csv", name) for name in ("train", "validation")]
        step = training.train_step(sides[0], sides[1].first(64), TrainSettings(**settings["train"]))
        epochs = minutes * 60 / step * settings["train"]["batch_size"] / len(sides[0])
        noted.write_text(json.dumps(round(epochs, 3)), encoding="utf-8")
    return json.loads(noted.read_text(encoding="utf-8"))


@main.command()
@names_argument
@bench_option
@folder_option
def score(names: tuple[str, ...], bench: Path, folder: Path) -> None:
    """Score the models of rows, those that were trained here or else the pretrained ones."""
    for row in chosen(names):
        write_rows(row, bench, folder)


def write_rows(row: Row, bench: Path, folder: Path) -> None:
    """Score the model of a row in each way that its group asks for, and write that into the table."""
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
    """The columns `LEARNED`: as the training here left them, or as the table knows them; of averaged models, none."""
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


def model_file(name: str, folder: Path) -> Path:
    """Where the model of a row is: as trained here, or else the pretrained one, if there is one."""
    here = folder / name / "models/depixel.safetensors"
    return here if here.is_file() else PROJECT / model_path(name)


def scored(row: Row, bench: Path, folder: Path, views: int, projection: str) -> tuple[dict, pd.DataFrame]:
    """What the table says of a row's model, and its `sample_table`."""
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
    """The `sample_tables` of predictions for a test set, and the columns `ENDS`, which its score.py has confirmed."""
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
            sys.exit(f"score.py says {ratio} {official[ratio]}, depixel {ratios[ratio]}")
    return tables, {end: round(ratios[end], 4) for end in ENDS}


def sample_tables(predictions: list[np.ndarray], photos: np.ndarray, areas: np.ndarray) -> list[pd.DataFrame]:
    """`evaluation.sample_table` of the predictions and of the identity."""
    pairs = [prepare_image(photos[None, i % len(photos)], *area) for i, area in enumerate(areas.tolist())]
    targets, identities = [target for *_, target in pairs], [shown[~known] for shown, known, _ in pairs]
    errors = [scores.squared_errors(p, targets) for p in (predictions, identities)]
    names = [("bench", str(i)) for i in range(len(photos))]
    table = scores.sample_table(names, areas, *errors)
    return [table, table.assign(squared_error=errors[1])]


CARD = """\
## How good it is

On {count} samples of photos in the challenge's format that it was neither trained nor chosen on. The ratio is to the
identity, which leaves the blocks as they are; brackets are 95 % confidence intervals over photos. A view is the picture
turned or mirrored; the predictions of all are averaged. Images a second on {hardware}.

| views | projection onto | ratio_mean | ratio_pooled | images/s |
|---|---|---|---|---|
{scores}

## What it was made from

{samples} samples of {photos} photos, the last of them at {rate} samples/s on {trained_on}, as it ran. Settings that
differ from params.yaml, and the code's sha256:
{settings}

{sources}

## How to make it again

```
python benchmarks/quality.py train {name} --photos PHOTOS --bench BENCH
```

Environment: {versions}.

"""


@main.command()
@click.argument("name")
@folder_option
@click.option("--sources", type=EXISTING, required=True, help="Whose photos, what terms.")
def ship(name: str, folder: Path, sources: Path) -> None:
    """Put a trained model among the pretrained ones."""
    weights = PROJECT / model_path(name)
    model = Predictor.load(folder / name / "models/depixel.safetensors", "cpu")
    rows = scores.readable(read_table().query("name == @name and weights == @model.digest()"))
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
        trained_on=model.configuration.hardware,
        settings="\n".join(_history(name)),
        sources=terms.strip(),
        versions=", ".join(f"{key} {version}" for key, version in model.configuration.versions.items()),
    )
    with replacing(PROJECT / f"models/{name}.md") as beside:
        beside.write_text(text + LIMITS, encoding="utf-8", newline="\n")


def _history(name: str) -> list[str]:
    """Settings and code of a row, after those of the rows that its model was trained from."""
    row, known = plan()[name], read_table().query("name == @name").iloc[0]
    before = _history(row.start) if row.start else []
    return [*before, f"- `{name}`: `{known['settings']}`; {known['code']}"]


if __name__ == "__main__":
    main()
