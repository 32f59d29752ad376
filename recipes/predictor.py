"""Train the shipped models `best` and `laptop`, and the other models of the table of quality.

\b
    python recipes/predictor.py train best   --photos ../shared/photos --bench ../shared/bench
    python recipes/predictor.py train laptop --photos ../shared/photos --bench ../shared/bench
    python recipes/predictor.py ship best    --sources ../shared/photos/SOURCES.md
    python recipes/predictor.py ship laptop  --sources ../shared/photos/SOURCES.md
    dvc add models/pretrained

\b
                  samples     trained in                                    ratio_mean  ratio_pooled
    best          8 279 448   10 minutes of one NVIDIA H200, 9.5 GB         0.549       0.618
    laptop_begun  1 439 904   74 minutes of two AVX-512 cores, 1.8 GB       0.574       0.638
    laptop        +1 079 928  134 seconds of one NVIDIA H200                0.570       0.634

All three learn from 29 998 photos. `best` is the teacher of `laptop_begun`, and `laptop` continues from that. On two
AVX-512 cores alone, both trainings of `laptop` take 2 h 10. Ratios are for one view on the 2 000 samples of `--bench`.
`best` and `laptop_begun` were trained by earlier code, which also had random crops, weight decay and averaged weights;
these had no measurable effect (docs/measured.md). A model's card in models/ has its environment and the hash of its
code.

`recipes/plan.yaml` lists all rows, their groups, and the settings that differ from params.yaml. `train` runs the data
stages and the training stage for a row, or for each row of a group, in `--folder`. It skips trained rows and continues
interrupted ones. Then it scores the model on `--bench` and writes its row, like `benchmarks/quality.py score`. Nothing
is trained or tuned on that test set. `ship` copies a trained and scored model to models/pretrained and writes its card.

\b
    python recipes/predictor.py train ablations --photos ../shared/photos --bench ../shared/bench
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.base.console import PlainGroup  # noqa: E402
from depixel.base.errors import DepixelError  # noqa: E402
from depixel.base.files import replacing  # noqa: E402
from depixel.dataset.samples import Photos  # noqa: E402
from depixel.learning.task import TrainSettings  # noqa: E402
from depixel.model.predictor import Predictor, model_path  # noqa: E402
from depixel.reports.card import LIMITS, introduction  # noqa: E402
from depixel.scoring import scores  # noqa: E402
from recipes.plan import (  # noqa: E402
    EXISTING,
    PLAN,
    TABLE,
    Row,
    bench_option,
    chosen,
    folder_option,
    model_file,
    names_argument,
    photos_option,
    plan,
    read_table,
)
from recipes.preparation import prepare, python, write_params  # noqa: E402
from recipes.terms import LICENSE  # noqa: E402
from recipes.timing import train_step  # noqa: E402


@click.group(cls=PlainGroup, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    pass


@main.command()
@names_argument
@photos_option
@bench_option
@folder_option
def train(names: tuple[str, ...], photos: Path, bench: Path, folder: Path) -> None:
    """Train the models of rows and score them."""
    for row in chosen(names):
        click.echo(f"{row.name}: {row.described() or 'settings of params.yaml'}")
        make(row, photos.resolve(), folder.resolve())
        score = (PROJECT / "benchmarks/quality.py", "score", row.name)
        python(*score, "--bench", bench.resolve(), "--folder", folder.resolve(), cwd=PROJECT)


def make(row: Row, photos: Path, folder: Path) -> None:
    """Train the model of a row, and before it the missing models that it needs."""
    teacher = row.settings.get("train.teacher")
    for needed in filter(None, [*row.models, row.start, teacher]):
        if not model_file(needed, folder).is_file():
            make(plan()[needed], photos, folder)
    if row.models:
        return
    run = folder / row.name
    settings = settings_of(row)
    (run / "pretrained").mkdir(parents=True, exist_ok=True)
    for name in filter(None, [row.start, teacher]):
        for suffix in (".safetensors", ".json"):
            shutil.copy(model_file(name, folder).with_suffix(suffix), run / f"pretrained/{name}{suffix}")
    write_params(settings, run)
    prepared = prepare(photos, settings, folder)
    python(PROJECT / "stages/split.py", "--prepared", prepared, cwd=run)
    if row.minutes:
        settings["train"]["epochs"] = epochs_in(row.minutes, settings, prepared, run)
        write_params(settings, run)
    # the stage `train`, with additional networks of the plan
    python(PROJECT / "recipes/variants.py", "--prepared", prepared, "--pretrained", run / "pretrained", cwd=run)


def settings_of(row: Row) -> dict[str, Any]:
    """All sections of params.yaml with the changes of a row.

    Raises:
        DepixelError: the row has a setting that params.yaml does not have.
    """
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    settings["train"]["arithmetic"] = "native"
    for change, value in row.settings.items():
        section, _, key = change.partition(".")
        if key not in settings.get(section, {}):
            raise DepixelError(f"{PLAN.name}: {row.name}: {change} is not in params.yaml")
        settings[section][key] = value
    if row.start:
        settings["train"]["init"] = "pretrained"
    return settings


def epochs_in(minutes: float, settings: dict[str, Any], prepared: Path, run: Path) -> float:
    """The number of epochs that fit into this time. It is measured once for a run, so that the run can be resumed."""
    noted = run / "epochs.json"
    if not noted.is_file():
        sides = [Photos.load(prepared, run / "data/split.csv", name) for name in ("train", "validation")]
        step = train_step(sides[0], sides[1].first(64), TrainSettings(**settings["train"]))
        epochs = minutes * 60 / step * settings["train"]["batch_size"] / len(sides[0])
        noted.write_text(json.dumps(round(epochs, 3)), encoding="utf-8")
    return json.loads(noted.read_text(encoding="utf-8"))


CARD = """\
## Scores

On {count} samples of photos in the challenge's format, which were not used for training or model selection. A ratio
divides the RMSE by that of the identity, which leaves the blocks as they are. Brackets are 95 % confidence intervals
over photos. A view is the picture turned or mirrored; the predictions of all views are averaged. Images/s on
{hardware}.

| views | projection onto | ratio_mean | ratio_pooled | images/s |
|---|---|---|---|---|
{scores}

## Training

{samples} samples of {photos} photos, the last ones at {rate} samples/s on {trained_on}. Settings that differ from
params.yaml, and the sha256 of the code:
{settings}

{sources}

{license}
## How to reproduce it

```
python recipes/predictor.py train {name} --photos PHOTOS --bench BENCH
```

Environment: {versions}.

"""


@main.command()
@click.argument("name")
@folder_option
@click.option("--sources", type=EXISTING, required=True, help="Markdown file on the photos' origin and terms.")
def ship(name: str, folder: Path, sources: Path) -> None:
    """Copy a trained model to the pretrained ones, and write its card."""
    weights = PROJECT / model_path(name)
    model = Predictor.load(folder / name / "models/depixel.safetensors", "cpu")
    rows = scores.readable(read_table().query("name == @name and weights == @model.digest()"))
    if not len(rows):
        raise DepixelError(f"{name}: {TABLE.name} has no row of this model. Score it first: `train {name}`")
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
        license=LICENSE,
        versions=", ".join(f"{key} {version}" for key, version in model.configuration.versions.items()),
    )
    with replacing(PROJECT / f"models/{name}.md") as beside:
        beside.write_text(text + LIMITS, encoding="utf-8", newline="\n")


def _history(name: str) -> list[str]:
    """Settings and code of a row, preceded by those of the rows from which its training started."""
    row, known = plan()[name], read_table().query("name == @name").iloc[0]
    before = _history(row.start) if row.start else []
    return [*before, f"- `{name}`: `{known['settings']}`; {known['code']}"]


if __name__ == "__main__":
    main()
