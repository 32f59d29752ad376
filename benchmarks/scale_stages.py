"""Time and memory of the stages, up to a million photos.

\b
    python benchmarks/scale.py stages --photos ../shared/photos --folder scale

Validates and prepares the photos once. Then it repeats them under new names, by contributors that have names of their
own: the ZIPs are hard links, the prepared images are repeated, and the perceptual hashes of each repetition are changed
beyond the radius of the search, so that repetitions are no copies. On these it runs split, analyze, the sampling of one
epoch of train, evaluate and report, each in a process of its own, and prints the seconds and the peak of the memory
that belongs to the processes of the stage. Mapped files do not count: the system takes their memory back when others
need it.

What is measured stays in FOLDER/scale.csv, and the same command continues after an interruption.
A million photos take hours; `--counts 1000,10000,100000` takes twenty minutes.
"""

import csv
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import psutil

from depixel.base import layout
from depixel.base.settings import read_section
from depixel.base.tables import write_table
from depixel.dataset import samples
from depixel.dataset.augmentation import Augmentation, AugmentSettings
from depixel.dataset.prepared import Photo, load_images, load_index
from depixel.dataset.samples import Photos
from depixel.learning.task import TrainSettings
from depixel.model.pixelation import PixelationSettings
from depixel.photos import rules
from depixel.photos.hashes import HASHES, load_hashes
from depixel.photos.rules import Verdict

REPOSITORY = Path(__file__).resolve().parents[1]
COLUMNS = ("photos", "stage", "seconds", "mb", "commit")
STAGES = ("split", "analyze", "sampling", "evaluate", "report")
CHANGED_BITS = 20
"""Number of bits that a repetition changes in each hash; the search for copies allows 10."""


@click.command("stages", help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", required=True, type=click.Path(exists=True, path_type=Path), help="Contributors' ZIPs.")
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="For all files; 10 GB for a million.")
@click.option("--counts", default="1000,10000,100000,1000000", show_default=True, help="Numbers of photos.")
@click.option("--stages", default=",".join(STAGES), show_default=True)
def main(photos: Path, folder: Path, counts: str, stages: str) -> None:
    folder = folder.resolve()
    once, table = folder / "once", folder / "scale.csv"
    if not (once / "data/prepared/made_by.json").is_file():
        shutil.rmtree(once, ignore_errors=True)
        project(once)
        shutil.copytree(
            photos.resolve(), once / "data/raw", ignore=lambda _, names: [n for n in names if "zip" not in n]
        )
        found = [(stage, *measured(once, stage)) for stage in ("validate", "prepare")]
        count = len(load_index(once / "data/prepared/index.csv"))
        for stage, *figures in found:
            add(table, count, stage, *figures)
    for count in map(int, counts.split(",")):
        for stage in stages.split(","):
            if (count, stage) in {(int(row["photos"]), row["stage"]) for row in rows_of(table)}:
                continue
            here = folder / str(count)
            if not (here / "made").is_file():
                shutil.rmtree(here, ignore_errors=True)
                project(here)
                repeat(once / "data", here / "data", count)
                (here / "made").touch()
            add(table, count, stage, *measured(here, stage))
    for row in sorted(rows_of(table), key=lambda row: int(row["photos"])):
        click.echo(f"{int(row['photos']):>9,} photos, {row['stage']}: {row['seconds']} s, {row['mb']} MB")


def add(table: Path, count: int, stage: str, seconds: float, memory: float) -> None:
    """Append a row to the table."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    values = (count, stage, f"{seconds:.1f}", f"{memory:.0f}", commit.stdout.strip())
    new = not table.is_file()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, values] if new else [values])
    click.echo(f"{count:,} photos, {stage}: {seconds:.0f} s", err=True)


def rows_of(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def project(folder: Path) -> None:
    """A clone of this project without photos."""
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder)], check=True)
    shutil.copytree(REPOSITORY / "models", folder / "models", dirs_exist_ok=True)
    shutil.rmtree(folder / "data/raw", ignore_errors=True)


def measured(folder: Path, stage: str) -> tuple[float, float]:
    """Run a stage in a project; return its seconds and the peak of its processes' own memory, MB."""
    commands = {
        "sampling": [sys.executable, "-c", "import scale_stages; scale_stages.epoch()"],
        "report": [sys.executable, "-m", "depixel.cli", "report"],
    }
    command = commands.get(stage, [sys.executable, f"stages/{stage}.py"])
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    start, peak = time.perf_counter(), 0
    with (folder / f"{stage}.log").open("w") as log:
        process = psutil.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        while process.poll() is None:
            peak = max(peak, sum(map(own_memory, [process, *process.children(recursive=True)])))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{stage} failed in {folder}: see {stage}.log there")
    return time.perf_counter() - start, peak / 1e6


def own_memory(process: psutil.Process) -> int:
    """Memory of a process that is no mapped file, bytes."""
    try:
        info = process.memory_info()
        return info.rss - info.shared
    except psutil.Error:  # it has ended
        return 0


def repeat(source: Path, target: Path, count: int) -> None:
    """Make raw photos, manifest and prepared photos: those of whole contributors, at least `count`, from fewer."""
    photos = load_index(source / "prepared/index.csv")
    images = load_images(source / "prepared/images.npy", len(photos))
    codes = load_hashes(source / "prepared/hashes.npy", len(photos))
    verdicts: dict[str, list[Verdict]] = {}
    for verdict in rules.load_manifest(source / "validated/manifest.csv"):
        verdicts.setdefault(verdict.contributor, []).append(verdict)
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        rows.setdefault(photo.contributor, []).append(row)
    plan: list[tuple[str, str]] = []  # new and old contributor
    chosen = 0
    for turn, name in ((turn, name) for turn in itertools.count() for name in rows):
        if chosen >= count:
            break
        plan.append((f"{name}r{turn:03}", name))
        chosen += len(rows[name])
    plan.sort()
    target.mkdir(exist_ok=True)
    for made in ("raw", "validated", "prepared"):
        (target / made).mkdir(exist_ok=True)
    for whose, name in plan:
        os.link(source / f"raw/{name}.zip", target / f"raw/{whose}.zip")

    def sha256(whose: str, old: str) -> str:
        return hashlib.sha256(f"{whose} {old}".encode()).hexdigest() if old else ""

    write_table(
        target / "validated/manifest.csv",
        Verdict,
        (v._replace(contributor=whose, sha256=sha256(whose, v.sha256)) for whose, name in plan for v in verdicts[name]),
    )
    index = (photos[row]._replace(contributor=whose) for whose, name in plan for row in rows[name])
    write_table(
        target / "prepared/index.csv",
        Photo,
        (photo._replace(sha256=sha256(photo.contributor, photo.sha256)) for photo in index),
    )
    small = np.lib.format.open_memmap(target / "prepared/images.npy", "w+", np.uint8, (chosen, *images.shape[1:]))
    hashes = np.lib.format.open_memmap(target / "prepared/hashes.npy", "w+", np.uint64, (chosen, HASHES))
    random, start = np.random.default_rng(0), 0
    for whose, name in plan:
        part, here = rows[name], slice(start, start + len(rows[name]))
        small[here], hashes[here] = images[part], codes[part]
        if not whose.endswith("r000"):
            bits = np.argsort(random.random((len(part), HASHES, 64)), axis=2)[..., :CHANGED_BITS].astype(np.uint64)
            hashes[here] ^= np.bitwise_or.reduce(np.uint64(1) << bits, axis=2)
        start += len(part)
    small.flush()
    hashes.flush()


def epoch() -> None:
    """Draw all batches of one epoch, as training does, in the project of this folder; and the validation samples."""
    sections = {"pixelation": PixelationSettings, "augment": AugmentSettings, "train": TrainSettings}
    settings = {name: read_section(layout.PARAMS, name, model) for name, model in sections.items()}
    pixelation, augmentation = settings["pixelation"], Augmentation(settings["augment"])
    photos = Photos.load(layout.PREPARED, layout.SPLIT, "train")
    validation = Photos.load(layout.PREPARED, layout.SPLIT, "validation").scored()
    scored = samples.fixed_samples(validation, pixelation, ["v"])
    batches = samples.epoch_batches(photos, pixelation, "areas", "0 0", settings["train"].batch_size)
    for number, batch in enumerate(batches):
        samples.training_batch(photos, batch, pixelation, f"0 {number}", True, "cpu", augmentation)
    click.echo(f"{len(batches)} batches, {len(scored.areas)} validation samples")
