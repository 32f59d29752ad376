"""Measure speed and memory of training and prediction.

    python benchmarks/training.py --photos ../shared/photos

Prints for `unet`: the samples per second of whole training steps in bfloat16 and in float32; the time of drawing and
pixelating a batch as a share of a step, and the same for a loop of `prepare_image` over the samples; the images per
second of prediction; and the memory of the process.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import psutil
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.dataset.samples import Photos, fixed_samples, training_batch  # noqa: E402
from depixel.learning.task import Task, TrainSettings  # noqa: E402
from depixel.learning.training import Run  # noqa: E402
from depixel.model.blocks import Blocks, cut_windows  # noqa: E402
from depixel.model.networks import parameter_count  # noqa: E402
from depixel.model.pixelation import PixelationSettings, draw_areas, prepare_image, uniforms  # noqa: E402
from depixel.model.predictor import best_precision  # noqa: E402
from recipes.timing import seconds, train_step  # noqa: E402

STAGES = Path(__file__).resolve().parents[1] / "stages"


def per_sample(photos: Photos, chosen: np.ndarray) -> None:
    """Call `prepare_image` for each sample, as a data set class does."""
    areas = draw_areas(uniforms(photos.ids[chosen], "loop", 5), 64, PixelationSettings())
    for row, area in zip(photos.rows[chosen], areas, strict=True):
        prepare_image(photos.images[row][None], *map(int, area))


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--width", default=32, show_default=True, help="Width of the network.")
@click.option("--shards", default=2, show_default=True, help="Number of shards of a batch, one thread each.")
def main(raw: Path, width: int, shards: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text("", encoding="utf-8")  # all settings at their defaults
        for stage in ("validate", "prepare", "split"):
            arguments = ["--raw", str(raw.resolve())] if stage != "split" else []
            subprocess.run([sys.executable, str(STAGES / f"{stage}.py"), *arguments], cwd=folder, check=True)
        measure(Path(folder), width, shards)


def measure(folder: Path, width: int, shards: int) -> None:
    """Print the figures for the photos prepared in `folder`."""
    photos = Photos.load(folder / "data/prepared", folder / "data/split.csv", "train")
    validation = Photos.load(folder / "data/prepared", folder / "data/split.csv", "validation").first(64)
    chosen, pixelation = np.arange(64), PixelationSettings()
    base = TrainSettings(width=width, shards=shards, device="cpu", arithmetic="native")
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    print(f"{shards} shards, AMX: {'yes' if amx else 'no'}, native precision here: {best_precision('cpu')}")

    steps = {}
    for precision in ("bfloat16", "float32"):
        settings = base.model_copy(update={"precision": precision})
        steps[precision] = train_step(photos, validation, settings)
        print(f"training, {precision}: {64 / steps[precision]:.0f} samples/s")
    best = min(steps.values())

    def draw() -> None:
        images, areas = training_batch(photos, chosen, pixelation, "draw", True)
        windows, within = cut_windows(images, areas, 40, 40)  # the largest windows
        Blocks(within, 40, 40).pixelate(windows)

    batch, loop = seconds(draw), seconds(lambda: per_sample(photos, chosen))
    print(f"drawing and pixelating a batch: {batch * 1e3:.1f} ms, {batch / best:.1%} of a step")
    print(f"a loop of prepare_image, without flips: {loop * 1e3:.1f} ms, {loop / best:.1%} of a step")

    run = Run(Task(base, pixelation, photos, validation), Path("unused"))
    print(f"parameters: {parameter_count(run.network) / 1e6:.2f} M")
    predictor, samples = run.predictor(), fixed_samples(validation, pixelation, [str(i) for i in range(8)])
    for views in (1, 2, 8):
        took = seconds(lambda views=views: predictor.predict(samples.pixelated, samples.areas, views), 5)
        print(f"prediction, {views} views: {len(samples.areas) / took:.0f} images/s")
    for row in photos.rows:  # touch every page of the memory-mapped arrays, as an epoch does
        photos.images[row].max()
    print(f"memory with {len(photos)} training photos: {psutil.Process().memory_info().rss / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
