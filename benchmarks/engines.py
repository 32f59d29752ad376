"""Compare the engines of prediction: PyTorch in bfloat16 and float32, ONNX Runtime in float32 and 8 bits.

    python benchmarks/engines.py --bench ../shared/bench

Exports the model, then prints for each engine, on two cores and on one: windows per second, in batches of 64 of 48 x 48
pixels; the time of a picture of 64 x 64 with an area of 32 x 32; the wall time and CPU time of `depixel restore` on
that picture; and the RMSE on the samples of the test set, as the mean over areas and pooled. Each engine has its own
process. Times are the shortest of several runs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from restore import seconds

from depixel.base.files import hash_of
from depixel.challenge.test_sets import read_targets
from depixel.model.locations import model_path
from depixel.model.pixelation import prepare_image
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer

ENGINES = {
    "PyTorch, bfloat16": "bfloat16",
    "PyTorch, float32": "float32",
    "ONNX Runtime, float32": "float32.onnx",
    "ONNX Runtime, 8 bits": "int8.onnx",
}
AREA = (16, 16, 32, 32, 8)


def measured(engine: str, model: Path, exports: Path, bench: Path, count: int) -> dict:
    """The speed of one engine in this process, and its errors on `count` samples; None if `count` is 0."""
    if engine.endswith(".onnx"):
        restorer = Restorer.load(exports / engine)
    else:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        restorer = Restorer.load(model, "cpu")
        restorer.model.precision = engine
    photos, areas = read_targets(bench)
    windows = photos[:64, :48, :48].astype(np.float32)
    within = np.tile(np.array([(8, 8, 32, 32, 8, 0, 0)]), (64, 1))
    small = pixelate(photos[0], [AREA])
    squares = []
    for i, (x, y, width, height, size) in enumerate(areas[:count]):
        photo = photos[i % len(photos)]
        shown = prepare_image(photo[None], x, y, width, height, size)[0][0]
        restored = restorer.restore(shown, [areas[i]], trust="exact")
        part = np.s_[y : y + height, x : x + width]
        squares.append((restored[part].astype(float) - photo[part]).ravel() ** 2)
    return {
        "windows_per_second": 64 / seconds(lambda: restorer.model.predict_windows(windows, within), 5),
        "picture_ms": 1e3 * seconds(lambda: restorer.restore(small, [AREA]), 30),
        "rmse_mean": float(np.mean([np.sqrt(s.mean()) for s in squares])) if squares else None,
        "rmse_pooled": float(np.sqrt(np.concatenate(squares).mean())) if squares else None,
    }


def started(model: Path, folder: Path, bench: Path, times: int = 5) -> tuple[float, float]:
    """Run `depixel restore` on a small picture: wall time and CPU time, seconds."""
    Image.fromarray(pixelate(read_targets(bench)[0][0], [AREA])).save(folder / "small.png")
    command = [sys.executable, "-m", "depixel.cli", "restore", str(folder / "small.png"), "-o", str(folder / "out")]
    command += ["--model", str(model), "--area", ",".join(map(str, AREA[:4])), "--force"]
    found = []
    for _ in range(times):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return min(wall for wall, _ in found), min(of_processor for _, of_processor in found)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bench", type=click.Path(exists=True, path_type=Path), required=True, help="Folder with a targets.npz.")
@click.option("--model", default="laptop", show_default=True, help="The model to export.")
@click.option("--count", default=500, show_default=True, help="Number of samples to score.")
@click.option("--exports", type=click.Path(path_type=Path), hidden=True)
@click.option("--engine", hidden=True, help="The engine that this process measures.")
def main(bench: Path, model: str, count: int, exports: Path | None, engine: str | None) -> None:
    weights = model_path(model)
    if engine:
        click.echo(json.dumps(measured(engine, weights, exports, bench, count)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, options in (("float32.onnx", []), ("int8.onnx", ["--int8"])):
            export = [sys.executable, "-m", "depixel.cli", "export-model", str(weights), "-o", str(folder / file)]
            subprocess.run([*export, *options], check=True, capture_output=True)
            click.echo(f"{file}: {(folder / file).stat().st_size / 1e6:.1f} MB")
        click.echo(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB, sha256 {hash_of(weights, 'sha256')[:16]}…")
        cores = sorted(os.sched_getaffinity(0))[:2]
        for some in (cores, cores[:1]):
            os.sched_setaffinity(0, some)  # child processes inherit it
            click.echo(
                f"\n{len(some)} cores{'':17}windows/s  picture, ms  restore, s   CPU time, s   rmse mean  pooled"
            )
            for title, kind in ENGINES.items():
                scored = count if len(some) > 1 else 0
                command = [sys.executable, __file__, "--bench", str(bench), "--model", str(weights)]
                command += ["--count", str(scored), "--exports", str(folder), "--engine", kind]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout)
                wall, cpu = started(folder / kind if kind.endswith(".onnx") else weights, folder, bench)
                line = f"{title:22}{row['windows_per_second']:12.0f}{row['picture_ms']:13.1f}{wall:12.2f}{cpu:15.2f}"
                click.echo(line + (f"{row['rmse_mean']:12.3f}{row['rmse_pooled']:8.3f}" if scored else ""))


if __name__ == "__main__":
    main()
