"""Training in one and in several processes: time, same bytes.

\b
    python benchmarks/scale.py training
    python benchmarks/scale.py training --kills 10     # also kill processes at random moments

Each training has 600 photos of 64 x 64 pixels, drawn at random, and batches of 64 in four shards. The processes run on
this machine, so they share its cores. The rounds alternate between the numbers of processes. Half of the kills end one
process, which the launcher starts again. The other half end the launcher and all its processes, and the same command
runs again.
The exit code is 1 if any result differs.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil
from PIL import Image

from depixel.base.tables import write_table
from depixel.dataset.prepared import Photo
from depixel.dataset.splits import Assigned

PROJECT = Path(__file__).resolve().parents[1]
OUTPUTS = ("models/depixel.safetensors", "models/depixel.json", "metrics/training.csv", "metrics/training.json")
PHOTOS, VALIDATION = 600, 100


def make_photos(folder: Path) -> None:
    """Write prepared photos and their split."""
    coarse = np.random.default_rng(0).integers(0, 256, (PHOTOS + VALIDATION, 9, 9), dtype=np.uint8)
    images = [np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in coarse]
    (folder / "data/prepared").mkdir(parents=True)
    np.save(folder / "data/prepared/images.npy", np.stack(images))
    names = [f"{number}.jpg" for number in range(len(images))]
    write_table(folder / "data/prepared/index.csv", Photo, [Photo("me", name, "-") for name in names])
    sides = ["train"] * PHOTOS + ["validation"] * VALIDATION
    rows = [Assigned("me", name, "-", side) for name, side in zip(names, sides, strict=True)]
    write_table(folder / "data/split.csv", Assigned, rows)


def start(folder: Path, processes: int, *options: str) -> subprocess.Popen:
    command = [sys.executable, str(PROJECT / "stages/train.py"), *options]
    environment = os.environ | {"DEPIXEL_PROCESSES": str(processes)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen) -> str:
    """Wait for a training; returns its output. The program ends if it fails."""
    output = process.communicate()[0]
    if process.returncode:
        sys.exit(f"exit code {process.returncode}\n{output}")
    return output


def prepare(root: Path, name: str, train: dict[str, object]) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "data").symlink_to(root / "data")
    (folder / "params.yaml").write_text(json.dumps({"train": train}), encoding="utf-8")  # JSON is YAML
    return folder


def outputs(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in OUTPUTS]


def killed(folder: Path, number: int, seconds: float) -> str:
    """Train with two processes, kill at a random moment, let it go on to its end; returns what was killed, and when."""
    chance = random.Random(number)
    process = start(folder, 2, "--checkpoint-every", "1")
    after = chance.uniform(0, seconds)
    time.sleep(after)
    ranks = psutil.Process(process.pid).children() if process.poll() is None else []
    one = number % 2 == 0
    for target in [chance.choice(ranks)] if one and ranks else ranks if one else [process, *ranks]:
        if target.is_running() if isinstance(target, psutil.Process) else target.poll() is None:
            os.kill(target.pid, signal.SIGKILL)
    if one:
        finish(process)
    else:
        process.communicate()
        finish(start(folder, 2))
    return f"{'one process' if one else 'all'} after {after:.1f} s"


@click.command("training", help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--width", default=16, show_default=True, help="Width of the network.")
@click.option("--epochs", default=10, show_default=True, help="Length of each training.")
@click.option("--rounds", default=3, show_default=True, help="Number of trainings with each number of processes.")
@click.option("--kills", default=0, show_default=True, help="Number of kills.")
def main(width: int, epochs: int, rounds: int, kills: int) -> None:
    train = {"width": width, "epochs": epochs, "batch_size": 64, "shards": 4, "learning_rate": 2e-3}
    times: dict[int, list[float]] = {1: [], 2: [], 4: []}
    differing = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_photos(root)
        wanted = whole = None
        for number in range(rounds):
            for processes, measured in times.items():
                folder = prepare(root, f"{number} {processes}", train)
                begin = time.perf_counter()
                finish(start(folder, processes))
                whole = max(whole or 0, time.perf_counter() - begin)
                measured.append(json.loads((folder / "logs/training.json").read_text(encoding="utf-8"))["seconds"])
                wanted = wanted or outputs(folder)
                differing += outputs(folder) != wanted
        steps = epochs * -(-PHOTOS // 64)
        for processes, measured in times.items():
            fastest, ratio = min(measured), min(measured) / min(times[1])
            click.echo(f"{processes} processes: {1000 * fastest / steps:.1f} ms a step, {ratio:.2f} of one process's")
        for number in range(kills):
            folder = prepare(root, f"kill {number}", train)
            told = killed(folder, number, whole or 1)
            same = outputs(folder) == wanted
            differing += not same
            click.echo(f"kill {number + 1}: {told}: {'identical' if same else 'DIFFERS'}")
    click.echo(f"{differing} results differ")
    sys.exit(differing > 0)
