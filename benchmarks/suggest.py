"""Compare training on photos that `depixel suggest` picks with training on the same number of random ones.

    python benchmarks/suggest.py --photos ../shared/photos

Splits the photos of every fifth archive as the pipeline does, trains a small network on a few training photos, and
lets it pick among the others. Then trains again: on the first photos alone, on these and the picks, and on these and
the same number of random photos. Each has several trainings with different seeds, and new random photos each time. All
trainings use the same number of samples. Prints the ratios on the test side, and the differences with 95 % intervals
over the choice of test photos. They are computed from squared errors averaged over the trainings.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.curation import suggestion  # noqa: E402
from depixel.dataset.prepared import load_index  # noqa: E402
from depixel.dataset.samples import Photos, Samples, fixed_samples  # noqa: E402
from depixel.learning.task import Task, TrainSettings  # noqa: E402
from depixel.learning.training import Run  # noqa: E402
from depixel.model.pixelation import PixelationSettings  # noqa: E402
from depixel.model.predictor import Predictor  # noqa: E402
from depixel.scoring import scores  # noqa: E402
from depixel.scoring.baselines import Identity  # noqa: E402

PIXELATION = PixelationSettings()
EVERY = 5


def some(photos: Photos, chosen: np.ndarray) -> Photos:
    return Photos(photos.images, photos.rows[chosen], photos.ids[chosen])


class Trial:
    """Trainings of one size, scored on the same test photos."""

    def __init__(self, folder: Path, width: int, samples: int):
        self.width, self.samples = width, samples
        data = folder / "data/prepared", folder / "data/split.csv"
        self.pool, validation, self.test = (Photos.load(*data, side) for side in ("train", "validation", "test"))
        self.validation = validation.first(8)  # few, because the last weights are used and not the best
        self.truth: Samples = fixed_samples(self.test, PIXELATION, ["test 0", "test 1"])
        index = load_index(folder / "data/prepared/index.csv")
        self.names = [(index[row].contributor, index[row].name) for row in self.test.rows]

    def train(self, chosen: np.ndarray, seed: int) -> Predictor:
        """Train a model on these photos of the training side."""
        settings = TrainSettings(
            width=self.width,
            epochs=self.samples / len(chosen),
            seed=seed,
            arithmetic="native",
            shards=1,  # the network is too small for more
        )
        run = Run(Task(settings, PIXELATION, some(self.pool, chosen), self.validation), Path("unused"), float("inf"))
        run._checkpoint = lambda _: False  # no checkpoints
        for _ in run.epochs():
            pass
        return Predictor(run.network, run.configuration, run.task.device)

    def errors(self, predictor: Predictor) -> np.ndarray:
        """(N,): the squared errors of the test samples."""
        predictions = predictor.predict(self.truth.pixelated, self.truth.areas)
        return scores.squared_errors(predictions, self.truth.targets)

    def table(self, errors: list[np.ndarray], identity: np.ndarray) -> pd.DataFrame:
        return scores.sample_table(self.names, self.truth.areas, np.mean(errors, axis=0), identity)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs.")
@click.option("--start", default=60, show_default=True, help="Number of first photos.")
@click.option("--add", default=60, show_default=True, help="Number of photos to pick.")
@click.option("--pool", default=1000, show_default=True, help="Number of photos to pick from.")
@click.option("--draws", default=3, show_default=True, help="Number of trainings of each kind.")
@click.option("--width", default=8, show_default=True, help="Width of the network.")
@click.option("--samples", default=6000, show_default=True, help="Number of samples of each training.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives other first photos and random picks.")
def main(raw: Path, start: int, add: int, pool: int, draws: int, width: int, samples: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text("", encoding="utf-8")
        (Path(folder) / "raw").mkdir()
        for archive in sorted(raw.resolve().glob("*.zip"))[::EVERY]:
            (Path(folder) / "raw" / archive.name).symlink_to(archive)
        for stage in ("validate", "prepare", "split"):
            arguments = ["--raw", "raw"] if stage != "split" else []
            command = [sys.executable, "-m", f"stages.{stage}", *arguments]
            environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
            subprocess.run(command, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)
        measure(Trial(Path(folder), width, samples), start, add, pool, draws, seed)


def measure(trial: Trial, start: int, add: int, pool: int, draws: int, seed: int) -> None:
    """Train, and print the figures."""
    order = np.random.default_rng(seed).permutation(len(trial.pool))
    first, others = order[:start], order[start : start + pool]
    first_model = trial.train(first, seed)
    known = trial.pool.images[trial.pool.rows[first]]
    picks = suggestion.suggest(first_model, some(trial.pool, others), known, PIXELATION, add)
    picked = np.concatenate([first, others[[pick.number for pick in picks]]])
    print(f"{start} photos at first, {add} picked from {len(others)}, {trial.samples} samples, {draws} trainings each")

    errors: dict[str, list[np.ndarray]] = {"first": [], "picked": [], "random": []}
    for draw in range(draws):
        at_random = np.random.default_rng([seed, draw]).choice(others, add, replace=False)
        chosen = {"first": first, "picked": picked, "random": np.concatenate([first, at_random])}
        for name, photos in chosen.items():
            errors[name].append(trial.errors(trial.train(photos, seed + draw)))
    identity = trial.errors(Predictor(Identity(), first_model.configuration, first_model.device))
    tables = {name: trial.table(of, identity) for name, of in errors.items()}
    for name, of in errors.items():
        alone = [scores.score(trial.table([error], identity))["ratio_mean"] for error in of]
        print(f"{name}: ratio_mean of each training {', '.join(f'{ratio:.4f}' for ratio in alone)}")
    for difference in (("picked", "random"), ("random", "first")):
        spread = scores.intervals(tables, difference)
        shown = spread if difference == ("picked", "random") else spread.tail(1)
        for row in shown.to_dict("records"):
            told = (
                f"{ratio} {row[ratio]:+.4f} [{row[f'{ratio}_low']:+.4f}, {row[f'{ratio}_high']:+.4f}]"
                for ratio in scores.RATIOS
            )
            print(f"{row['model']:16}", *told)


if __name__ == "__main__":
    main()
