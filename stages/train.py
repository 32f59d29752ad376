"""Stage 4: train a network to restore pixelated areas."""

import time
from pathlib import Path

import click
import psutil

from depixel.batches import Photos
from depixel.command import params_option, progress
from depixel.files import write_json
from depixel.networks import parameter_count
from depixel.pixelation import PixelationSettings
from depixel.stage import Inputs, stage
from depixel.tables import write_table
from depixel.training import Epoch, Run, TrainSettings

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@click.option("--prepared", default="data/prepared", show_default=True, type=PATH, help="The prepared photos.")
@click.option("--split", "splits", default="data/split.csv", show_default=True, type=PATH, help="Their sides.")
@click.option("--model", default="models/depixel.safetensors", show_default=True, type=PATH, help="For the weights.")
@click.option("--metrics", default="metrics", show_default=True, type=PATH, help="For training.json and training.csv.")
@click.option("--log", default="logs/training.json", show_default=True, type=PATH, help="For speed and memory.")
@click.option("--checkpoint", default="checkpoints/training.pt", show_default=True, type=PATH, help="While it runs.")
@stage("prepared", "splits")
def main(inputs: Inputs, prepared: Path, splits: Path, model: Path, metrics: Path, log: Path, checkpoint: Path) -> None:
    """Train a network to restore pixelated areas.

    Every epoch shows each photo of the training side once: cut, mirrored and pixelated at random, anew each time. After
    each epoch the restorations of the validation side are scored; the weights of the best epoch become the model. The
    settings are the sections `train` and `pixelation` of params.yaml. An interrupted run goes on from its last
    checkpoint when the same command is given again.

    \b
    Reads
      data/prepared, data/split.csv   from stages/prepare.py and stages/split.py
    Writes
      models/depixel.safetensors      the weights; models/depixel.json, their configuration
      metrics/training.csv            a row for each epoch
      metrics/training.json           the best epoch and its RMSE on the validation side
      logs/training.json              what differs from run to run: seconds, samples a second, memory

    \b
    Examples
      python stages/train.py
      dvc exp run -S train.overfit=8 -S train.epochs=300     can it learn at all?
    """
    settings = inputs.section("train", TrainSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    training = Photos.load(prepared, splits, "train", larger=bool(settings.crop))
    run = Run(settings, pixelation, training, Photos.load(prepared, splits, "validation"), checkpoint)
    click.echo(
        f"{settings.network} of width {settings.width}, {parameter_count(run.network) / 1e6:.2f} M parameters, "
        f"{len(run.training)} photos, {run.device}, {run.precision}"
    )
    start, memory = time.perf_counter(), 0
    with progress(total=run.steps, unit="step") as bar:

        def on_step(step: int, rmse: float) -> None:
            bar.update(step - bar.n)
            bar.set_postfix(loss=f"{rmse:.2f}", validation=run.table and f"{run.best_epoch.validation_rmse_mean:.2f}")

        first = run.resume()
        for row in run.epochs(on_step):
            bar.write(
                f"epoch {row.epoch:3}: RMSE {row.train_rmse:6.3f} in training, "
                f"{row.validation_rmse_mean:6.3f} in validation"
            )
            memory = max(memory, psutil.Process().memory_info().rss)
    seconds = time.perf_counter() - start
    run.restorer().save(model)
    write_table(metrics / "training.csv", Epoch, run.table)
    best = run.best_epoch
    write_json(metrics / "training.json", {"best_epoch": best.epoch, "validation_rmse": best.validation_rmse_mean})
    samples = (run.step - first) * settings.batch_size
    write_json(log, {"seconds": seconds, "samples_per_second": samples / seconds, "memory_bytes": memory})
    run.finish()
    click.echo(f"{model.as_posix()}: epoch {best.epoch}, RMSE {best.validation_rmse_mean:.3f} in validation")


if __name__ == "__main__":
    main()
