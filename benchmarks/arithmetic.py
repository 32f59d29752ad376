"""Compare portable with native arithmetic: speed of training and prediction, and differences of the results.

    python benchmarks/arithmetic.py

Uses the prepared photos of the project, so run `dvc repro` first. It measures:

\b
1. The speed of the training in params.yaml, in a process of its own: alone, beside a process that keeps one core busy,
   and two at the same time. It repeats this in turns; a ratio is to the portable speed of the same turn.
2. The predictions per second of the pretrained models in each precision.
3. The results after a few epochs under each condition: the largest difference of a weight, the share of test areas with
   another squared error, and the difference in ratio_mean. A training with another seed is listed for comparison.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.base import arithmetic  # noqa: E402
from depixel.base.environment import processor  # noqa: E402

PORTABLE = {"arithmetic": "portable", "precision": "auto"}
FLOAT32, BFLOAT16 = ({"arithmetic": "native", "precision": name} for name in ("float32", "bfloat16"))
SPEEDS = {"portable": PORTABLE, "native float32": FLOAT32, "native bfloat16": BFLOAT16}
CONDITIONS = {
    "portable": PORTABLE,
    "the same again": PORTABLE,
    "1 shard": PORTABLE | {"shards": 1},
    "4 shards": PORTABLE | {"shards": 4},
    "native float32": FLOAT32,
    "native bfloat16": BFLOAT16,
    "another seed": PORTABLE | {"seed": 1},
}
SKIPPED = 20  # steps of warm-up that are not measured

TRAIN = """
from depixel.base import arithmetic
arithmetic.begin()
import json, sys, time
from pathlib import Path
from depixel.base.settings import read_section
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from depixel.model.pixelation import PixelationSettings
folder, changes, first, steps = json.loads(sys.argv[1])
settings = TrainSettings(**read_section("params.yaml", "train", TrainSettings).model_dump() | changes)
pixelation = read_section("params.yaml", "pixelation", PixelationSettings)
data = Path("data/prepared"), Path("data/split.csv"), Path("models/pretrained")
run, times = Run(Task.load(settings, pixelation, *data), Path(folder), 1e9), []
def step(done):
    times.append(time.perf_counter())
    if done == first + steps:
        print(settings.batch_size * steps / (times[-1] - times[first - 1]))
        raise SystemExit
for _ in run.epochs(step):
    pass
"""

PREDICT = """
from depixel.base import arithmetic
arithmetic.begin()
import json, sys, time
import numpy as np
from pathlib import Path
from depixel.dataset.samples import Photos, fixed_samples
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor
name, precision, portable = json.loads(sys.argv[1])
assert arithmetic.is_portable() == portable
samples = fixed_samples(Photos.load("data/prepared", "data/split.csv", "test"), PixelationSettings(), list("abcd"))
predictor = Predictor.load(f"models/pretrained/{name}.safetensors", "cpu")
predictor.precision = precision
predictor.predict(samples.pixelated[:64], samples.areas[:64])
start = time.perf_counter()
predictor.predict(samples.pixelated, samples.areas)
print(len(samples.areas) / (time.perf_counter() - start))
"""


def started(program: str, argument: object, native: bool) -> subprocess.Popen:
    """Start a program that prints a speed."""
    environment = {name: value for name, value in os.environ.items() if name not in arithmetic.VARIABLES}
    environment |= {"PYTHONPATH": str(PROJECT), arithmetic.VARIABLE: "native" if native else "portable"}
    command = [sys.executable, "-c", program, json.dumps(argument)]
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)


def speed(process: subprocess.Popen) -> float:
    told, _ = process.communicate()
    if process.returncode:
        sys.exit(f"the measured process failed with exit code {process.returncode}; its error is above")
    return float(told)


def trained(changes: dict, folder: str, steps: int) -> subprocess.Popen:
    return started(TRAIN, [folder, changes, SKIPPED, steps], changes["arithmetic"] == "native")


def speeds(folder: str, turns: int, steps: int) -> dict[str, list[float]]:
    """Samples per second by condition, one for each turn."""
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        for name, changes in SPEEDS.items():
            found.setdefault(name, []).append(speed(trained(changes, folder, steps)))
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(0.5)
        found.setdefault("portable, beside a busy process", []).append(speed(trained(PORTABLE, folder, steps)))
        busy.kill()
        busy.wait()
        both = [trained(PORTABLE, folder, steps) for _ in range(2)]
        found.setdefault("portable, two side by side, each", []).append(statistics.mean(map(speed, both)))
    return found


def stage(name: str, folder: Path) -> None:
    """Run a stage on the project's prepared photos, with its outputs in `folder`."""
    data = PROJECT / "data"
    command = [sys.executable, PROJECT / f"stages/{name}.py", "--prepared", data / "prepared"]
    command += ["--split", data / "split.csv", "--model", folder / "models/depixel.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def scored(folder: Path) -> tuple[float, pd.Series]:
    ratio = json.loads((folder / "metrics/evaluation.json").read_text(encoding="utf-8"))["ratio_mean"]
    return ratio, pd.read_csv(folder / "metrics/samples.csv")["squared_error"]


def moved(epochs: float) -> None:
    """Print the differences of the results from those of the first condition."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    click.echo(f"\n{f'after {epochs:g} epochs':34}{'weights':>14}{'areas':>14}{'ratio_mean':>14}")
    with tempfile.TemporaryDirectory() as temporary:
        first = None
        for number, (name, changes) in enumerate(CONDITIONS.items()):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            changed = settings | {"train": settings["train"] | {"epochs": epochs} | changes}
            (folder / "params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
            for part in ("train", "evaluate"):
                stage(part, folder)
            weights = load_file(folder / "models/depixel.safetensors")
            if first is None:
                first = (weights, *scored(folder))
                continue
            ratio, errors = scored(folder)
            largest = max(np.abs(weights[key].astype(float) - first[0][key]).max() for key in weights)
            click.echo(f"{name:34}{largest:14.2g}{(errors != first[2]).mean():14.1%}{ratio - first[1]:+14.5f}")


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--turns", default=5, show_default=True, help="Number of measurements of each speed.")
@click.option("--steps", default=120, show_default=True, help="Number of steps in a measurement.")
@click.option(
    "--epochs", default=5.0, show_default=True, help="Number of epochs of the trainings whose results differ."
)
def main(turns: int, steps: int, epochs: float) -> None:
    click.echo(f"{processor()}, {os.cpu_count()} cores")
    click.echo(f"{'training':34}{'samples/s':>14}{'ratio':>14}")
    with tempfile.TemporaryDirectory() as folder:
        found = speeds(folder, turns, steps)
    for name, each in found.items():
        ratio = statistics.median(one / portable for one, portable in zip(each, found["portable"], strict=True))
        click.echo(f"{name:34}{statistics.median(each):14.1f}{ratio:14.2f}")
    click.echo(f"\n{'prediction, 1 view':34}{'pictures/s':>14}")
    for name in ("laptop", "best"):
        for shown, precision, native in (
            ("portable", "float32", False),
            ("native float32", "float32", True),
            ("native bfloat16", "bfloat16", True),
        ):
            each = [speed(started(PREDICT, [name, precision, not native], native)) for _ in range(max(1, turns // 2))]
            click.echo(f"{f'{name}, {shown}':34}{statistics.median(each):14.1f}")
    moved(epochs)


if __name__ == "__main__":
    main()
