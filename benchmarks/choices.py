"""Train every choice of params.yaml on the photos of the project, and compare each with the defaults.

\b
    python benchmarks/choices.py                    print the comparison, docs/choices.csv
    nice python benchmarks/choices.py measure       train what is missing, one row at a time
    python benchmarks/choices.py measure --hours 2  stop after the training that is under way after 2 hours
    python benchmarks/choices.py measure --hours 0  only compare again what is trained

Each row is one training with one setting (or a few that belong together) of its own; all others are those of
params.yaml. stages/train.py trains it with the seeds 0, 1 and 2, and stages/evaluate.py scores it on the test side.
The rows of the first seed come before those of the second. `measure` goes on where it was stopped or killed. It uses
two cores, and eight hours of them at most. benchmarks/choices.csv holds the trainings; delete a line to train it anew,
or, after a change of params.yaml, the file.

A difference is the mean RMSE of a choice minus that of what it is compared with, over the same photos and seeds. Its
interval is 95 %, over the choice of photos. Two seeds of the same settings differ, too: the row `another seed` says by
how much. Times are seconds of a core; other work on the machine moves them by up to a fifth.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from scipy import stats

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from benchmarks.quality import table_group  # noqa: E402
from depixel import params  # noqa: E402
from depixel.base import layout  # noqa: E402
from depixel.base.console import counted, progress, run_stage  # noqa: E402
from depixel.base.environment import hardware  # noqa: E402
from depixel.base.errors import DepixelError  # noqa: E402
from depixel.base.files import hash_of, read_json  # noqa: E402
from depixel.base.tables import read_table, write_table  # noqa: E402
from depixel.scoring.scores import LEVEL, PHOTO, RESAMPLES  # noqa: E402
from recipes.preparation import ENVIRONMENT, write_params  # noqa: E402

TABLE = PROJECT / "benchmarks/choices.csv"
COMPARED = PROJECT / "docs/choices.csv"
WORK = PROJECT / ".scratch/choices"
SEEDS = (0, 1, 2)
CORES = 2
DEFAULTS = ""
WIDER = "train.width=32"
PRETRAINED = f"{WIDER} train.init=pretrained"
FROZEN = f"{PRETRAINED} train.freeze=[0,1,2,3]"

CHOICES: dict[str, str] = {
    DEFAULTS: DEFAULTS,
    **dict.fromkeys(
        (
            *(f"train.loss={name}" for name in ("mse", "mae", "huber", "charbonnier", "ssim_mse")),
            *(f"train.optimizer={name}" for name in ("adam", "adamw")),
            "train.optimizer=sgd train.learning_rate=0.03",
            "train.optimizer=rmsprop train.learning_rate=0.001",
            "train.optimizer=adagrad train.learning_rate=0.01",
            "train.optimizer=adadelta train.learning_rate=1",
            "train.dropout=0.1",
            "augment.flip=false",
            "augment.rotate=[-15,15]",
            "augment.zoom=[0.8,1.25]",
            "augment.crop=[0.7,1]",
            "augment.shift=[-8,8]",
            "augment.brightness=[-25,25]",
            "augment.contrast=[0.8,1.25]",
            "augment.gamma=[0.8,1.25]",
            "augment.noise=[0,5]",
            "augment.blur=[0,1]",
            "augment.jpeg=[50,95]",
            *(f"train.schedule={name}" for name in ("cosine", "constant", "step", "exponential")),
            *(f"train.schedule={name}" for name in ("plateau", "one_cycle")),
            *(f"train.activation={name}" for name in ("leaky_relu", "gelu", "silu", "softplus", "tanh", "sigmoid")),
            *(f"train.normalization={name}" for name in ("batch", "group")),
            *(f"train.initial_weights={name}" for name in ("xavier", "kaiming", "orthogonal", "constant")),
            "train.ema=0.999",
            "train.weight_decay=0.1",
            "train.uncertainty=true",
            "train.patience=10",
            "train.teacher=best",
            *(f"train.balance={name}" for name in ("contributor", "kind")),
            *(f"train.balance={name} train.balance_by=loss" for name in ("contributor", "kind")),
            WIDER,
        ),
        DEFAULTS,
    ),
    PRETRAINED: WIDER,
    FROZEN: PRETRAINED,
    f"{FROZEN} train.unfreeze_after=10": PRETRAINED,
    **dict.fromkeys(
        (
            "train.gradient_clip=0",
            "train.warmup=0",
            "train.momentum=0.9",
            "train.learning_rate=0.0015",
            "train.batch_size=64",
            "train.network=basic_cnn train.width=32",
        ),
        DEFAULTS,
    ),
}
"""The settings of each choice, as `dvc exp run -S` takes them, and those that it is compared with. The choices that
people ask for most come first."""


class Trained(NamedTuple):
    """A row of benchmarks/choices.csv: one training.

    Attributes:
        settings: those that differ from params.yaml.
        seed: `train.seed`.
        best_epoch: the epoch whose weights are scored; empty if the training diverged, as are all scores.
        rmse_mean, rmse_pooled: RMSEs on the test side, gray levels.
        core_seconds: seconds of a core that the training took.
        code: the hash of the training's code, as in the model's configuration; empty if the training diverged.
        split: the hash of data/split.csv, which names all photos and their sides.
        hardware: the processor.
        photos: the mean RMSE of each test photo in hundredths of a gray level, in the order of the test side.
    """

    settings: str
    seed: int
    best_epoch: int | None
    rmse_mean: float | None
    rmse_pooled: float | None
    core_seconds: int
    code: str
    split: str
    hardware: str
    photos: str


def runs() -> list[tuple[str, int]]:
    """Settings and seed of every training, in their order."""
    return [(settings, seed) for seed in SEEDS for settings in CHOICES]


def rows() -> list[Trained]:
    """The trainings of the table, in the order of `runs`; without those of choices that there are no longer."""
    if not TABLE.is_file():
        return []
    found = {}
    for row in read_table(TABLE, Trained, made_by="python benchmarks/choices.py measure"):
        best = int(row.best_epoch) if row.best_epoch else None
        mean, pooled = (float(value) if value else None for value in (row.rmse_mean, row.rmse_pooled))
        found[row.settings, int(row.seed)] = row._replace(
            seed=int(row.seed), best_epoch=best, rmse_mean=mean, rmse_pooled=pooled, core_seconds=int(row.core_seconds)
        )
    return [found[run] for run in runs() if run in found]


# -- the summary -------------------------------------------------------------------------------------------------------


class Summary(NamedTuple):
    """A row of docs/choices.csv: what a choice brought.

    Attributes:
        settings, against: those of the choice, and of what it is compared with; empty for the defaults.
        seeds: number of seeds that both were trained with.
        planned: number of seeds that both are to be trained with.
        rmse_mean: mean over these seeds, gray levels; empty if a training diverged, or there is none yet.
        difference, low, high: of rmse_mean, with the ends of its interval; empty for the defaults, and as above.
        core_seconds: mean of the trainings over these seeds; empty if there is none yet.
        time: the same as a multiple of that of `against`.
    """

    settings: str
    against: str
    seeds: int
    planned: int
    rmse_mean: float | None
    difference: float | None
    low: float | None
    high: float | None
    core_seconds: int | None
    time: float | None


def summary() -> list[Summary]:
    """A row for each choice, and one for the defaults with another seed."""
    trained = {(row.settings, row.seed): row for row in rows()}
    pairs = {
        choice: [(trained.get((choice[0], seed)), trained.get((choice[1], seed))) for seed in SEEDS]
        for choice in CHOICES.items()
    }
    first, other, *_ = (trained.get((DEFAULTS, seed)) for seed in SEEDS)
    pairs["another seed", DEFAULTS] = [(other, first)]
    return [_compared(*choice, both) for choice, both in pairs.items()]


def _compared(settings: str, against: str, pairs: list[tuple[Trained | None, Trained | None]]) -> Summary:
    there = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    found = Summary(settings, against, len(there), len(pairs), *[None] * 6)
    if not there:
        return found
    ours, theirs = (np.mean([one.core_seconds for one in side]) for side in zip(*there, strict=True))
    found = found._replace(core_seconds=round(float(ours)), time=round(float(ours / theirs), 2))
    if any(one.rmse_mean is None for pair in there for one in pair):
        return found
    found = found._replace(rmse_mean=round(float(np.mean([one.rmse_mean for one, _ in there])), 4))
    if settings == against:
        return found
    photos = np.mean([_photos(one) - _photos(other) for one, other in there], axis=0)
    ends = stats.bootstrap(
        (photos,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", rng=0
    ).confidence_interval
    return found._replace(
        difference=round(float(photos.mean()), 4), low=round(float(ends.low), 4), high=round(float(ends.high), 4)
    )


def _photos(row: Trained) -> np.ndarray:
    return np.array(row.photos.split(), dtype=float) / 100


def show() -> None:
    """Print the comparison, the best choices first."""
    found = pd.DataFrame(summary()).sort_values("difference").replace({"": "the defaults"})
    click.echo(found[found["seeds"] > 0].to_string(index=False, na_rep=""))
    click.echo(f"{len(rows())} of {len(runs())} trainings are done.")


# -- the trainings -----------------------------------------------------------------------------------------------------

main = table_group(show, __doc__)


@main.command()
@click.option("--hours", default=8.0, show_default=True, help="Begin no further training after this number of hours.")
def measure(hours: float) -> None:
    """Train what is missing, and write both tables after each training."""
    content = params.read(PROJECT / layout.PARAMS)
    settings = {(text, seed): with_settings(content, text, seed) for text, seed in runs()}  # all are checked first
    if missing := [path for path in (layout.SPLIT, layout.PREPARED) if not (PROJECT / path).exists()]:
        raise DepixelError(f"{missing[0]}: missing. Make it with `dvc repro split`, or fetch it with `dvc pull`")
    if others := [row for row in rows() if row.split != _split()]:
        raise DepixelError(
            f"{TABLE.relative_to(PROJECT)}: has {counted(len(others), 'training')} on other photos or another split. "
            "Move it away to train on these photos"
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    end = time.monotonic() + hours * 3600
    done = {(row.settings, row.seed) for row in rows()}
    for text, seed in progress([run for run in runs() if run not in done], unit="training"):
        if time.monotonic() > end:
            break
        row = trained(text, seed, settings[text, seed])
        write_table(TABLE, Trained, [*rows(), row])
        write_table(COMPARED, Summary, summary())
    write_table(COMPARED, Summary, summary())
    if sys.stdout.isatty():
        show()


def with_settings(content: dict[str, Any], text: str, seed: int) -> dict[str, Any]:
    """The content of params.yaml with the settings of a choice.

    Raises:
        DepixelError: a key or value is not allowed.
    """
    values = dict(one.split("=", 1) for one in text.split()) | {"train.seed": str(seed)}
    return params.with_values(content, {key: YAML(typ="safe").load(value) for key, value in values.items()}, text)


def trained(text: str, seed: int, settings: dict[str, Any]) -> Trained:
    """Train and score one choice in `WORK`, which is empty before and afterwards."""
    shutil.rmtree(WORK, ignore_errors=True)
    write_params(settings, WORK)
    data: list[str | Path] = ["--prepared", PROJECT / layout.PREPARED, "--split", PROJECT / layout.SPLIT]
    before = _children_seconds()
    diverged = not _ran("train", *data, "--pretrained", PROJECT / layout.PRETRAINED)
    seconds = round(_children_seconds() - before)
    row = Trained(text, seed, None, None, None, seconds, "", _split(), hardware("cpu"), "")
    if not diverged:
        _ran("evaluate", *data)
        score, samples = read_json(WORK / layout.METRICS / "evaluation.json"), pd.read_csv(WORK / "metrics/samples.csv")
        samples["rmse"] = np.sqrt(samples["squared_error"] / (samples["width"] * samples["height"]))
        photos = samples.groupby(PHOTO, sort=False)["rmse"].mean()
        row = row._replace(
            best_epoch=read_json(WORK / layout.METRICS / "training.json")["best_epoch"],
            rmse_mean=round(score["rmse_mean"], 4),
            rmse_pooled=round(score["rmse_pooled"], 4),
            code=read_json(WORK / layout.MODEL.with_suffix(".json"))["sources"],
            photos=" ".join(str(round(100 * value)) for value in photos),
        )
    shutil.rmtree(WORK)
    return row


def _split() -> str:
    return hash_of(PROJECT / layout.SPLIT, "md5")


def _ran(stage: str, *arguments: str | Path) -> bool:
    """Run a stage in `WORK`, quietly; False if its training diverged. Raises `DepixelError` if it fails otherwise."""
    log = WORK / f"{stage}.txt"
    with log.open("w") as file:
        command = [sys.executable, str(PROJECT / f"stages/{stage}.py"), *map(str, arguments)]
        code = run_stage(command, cwd=WORK, env=ENVIRONMENT, stdout=file, stderr=file)
    said = log.read_text(encoding="utf-8").strip()
    if code and "training diverged" not in said:
        raise DepixelError(f"stages/{stage}.py failed: {said[-1000:]}")
    return not code


def _children_seconds() -> float:
    """CPU seconds of all children that have ended."""
    return os.times().children_user + os.times().children_system


if __name__ == "__main__":
    main()
