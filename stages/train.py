"""Stage 4: train a network to restore pixelated areas."""

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from depixel.base.console import params_option, progress
from depixel.base.files import write_json
from depixel.base.reuse import RECORD
from depixel.base.stage import Inputs, stage
from depixel.base.tables import write_table
from depixel.dataset.samples import Photos
from depixel.learning import training as training_run
from depixel.learning.logs import Log
from depixel.learning.training import Epoch, Run, TrainSettings, computed_by
from depixel.model.networks import parameter_count
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import PRETRAINED, Predictor

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@click.option("--prepared", default="data/prepared", show_default=True, type=PATH, help="The prepared photos.")
@click.option("--split", "splits", default="data/split.csv", show_default=True, type=PATH, help="Their sides.")
@click.option("--model", default="models/depixel.safetensors", show_default=True, type=PATH, help="For the weights.")
@click.option("--metrics", default="metrics", show_default=True, type=PATH, help="For training.json and training.csv.")
@click.option("--logs", default="logs", show_default=True, type=PATH, help="For its progress, speed and memory.")
@click.option("--checkpoints", default="checkpoints", show_default=True, type=PATH, help="A folder; to go on from.")
@click.option("--pretrained", default=PRETRAINED, show_default=True, type=PATH, help="Models for train.init, .teacher.")
@click.option(
    "--checkpoint-every",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Less on a machine that may be taken away at any time.",
)
@stage("prepared/images.npy", "prepared/index.csv", "splits")
def main(
    inputs: Inputs,
    prepared: Path,
    splits: Path,
    model: Path,
    metrics: Path,
    logs: Path,
    checkpoints: Path,
    pretrained: Path,
    checkpoint_every: float,
) -> None:
    """Train a network to restore pixelated areas.

    Every epoch shows each photo of the training side once: turned, mirrored and pixelated at random, anew each time;
    with train.teacher every fourth time. After each epoch the restorations of the validation side are scored; the
    weights of the best epoch become the model. The settings are the sections `train` and `pixelation` of params.yaml.

    Ctrl-C ends it with a checkpoint. However it was interrupted, the same command goes on from the last checkpoint and
    comes to the same result as without the interruption.

    \b
    Reads
      data/prepared, data/split.csv   from stages/prepare.py and stages/split.py
      models/pretrained/              if train.init or train.teacher says so
    Writes
      models/depixel.safetensors      the weights; models/depixel.json, their configuration
      metrics/training.csv            a row for each epoch
      metrics/training.json           the best epoch and its RMSE on the validation side
      models/depixel.made_by.json     by which code, settings and photos, so that nothing is trained twice
      logs/NAME/                      as it trains: training.csv, restorations as pictures, files of train.loggers;
                                      NAME is the experiment's, or `workspace`
      logs/training.json              what differs from run to run: seconds, samples a second, memory
      checkpoints/                    a folder for each of the last runs; none is needed once the model is there

    \b
    Examples
      python stages/train.py
      dvc exp run -S train.overfit=8 -S train.epochs=300     can it learn at all?
    """
    settings = inputs.section("train", TrainSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    training = Photos.load(prepared, splits, "train")
    validation = Photos.load(prepared, splits, "validation")
    init = teacher = None
    if settings.init == "pretrained" or settings.teacher:
        inputs.watch(pretrained)
    by = computed_by(settings)
    outputs = [model, model.with_suffix(".json"), *(metrics / f"training.{kind}" for kind in ("csv", "json"))]
    if inputs.reusable(model.with_suffix(f".{RECORD}"), module=training_run.__file__, also=" ".join(by)):
        click.echo(f"{model.as_posix()}: is of this very code, these settings and photos; it stays as it is.")
        return
    if settings.init == "pretrained":
        init = Predictor.pretrained(settings.network, settings.width, pretrained)
    if settings.teacher:
        teacher = Predictor.of_name(settings.teacher, pretrained)
    run = Run(settings, pixelation, training, validation, checkpoints, checkpoint_every, inputs.check, init, teacher)
    taught = f", taught by {settings.teacher}" if run.teacher else ""
    click.echo(
        f"{settings.network} of width {settings.width}, {parameter_count(run.network) / 1e6:.2f} M parameters, "
        f"{len(run.training)} photos, {run.device}, {run.precision}{taught}"
    )
    resume(run)
    first, start = run.step, time.perf_counter()
    with (
        closing(Log(logs / os.environ.get("DVC_EXP_NAME", "workspace"), run)) as log,
        progress(total=run.steps, initial=first, unit="step", smoothing=0) as bar,
        stopping(run) as signals,
    ):

        def on_step(step: int) -> None:
            if step == first + 1:  # it takes seconds longer than the others: left out of the time left
                bar.initial, bar.start_t = step, time.time()
            shown = {} if math.isnan(run.rmse) else {"RMSE": f"{run.rmse:.2f}"}
            if run.table:
                shown["validation"] = f"{run.best_epoch.validation_rmse_mean:.2f}"
            bar.set_postfix(shown, refresh=False)
            bar.update()

        for row in run.epochs(on_step):
            bar.write(
                f"epoch {row.epoch:3}: RMSE {row.train_rmse:6.3f} in training, "
                f"{row.validation_rmse_mean:6.3f} in validation"
            )
            log.epoch(row)
    if signals:
        click.echo(
            f"Stopped after {position(run)}. {run.checkpoints.folder.as_posix()} holds all of it; "
            f"`{os.environ.get('DEPIXEL_TYPED', 'dvc repro')}` goes on from there.",
            err=True,
        )
        sys.exit(128 + signals[0])
    seconds = time.perf_counter() - start
    run.restorer().save(model)
    write_table(metrics / "training.csv", Epoch, run.table)
    best = run.best_epoch
    write_json(metrics / "training.json", {"best_epoch": best.epoch, "validation_rmse": best.validation_rmse_mean})
    inputs.made(*outputs)
    if samples := (run.step - first) * settings.batch_size:
        memory = max(row.memory_bytes or 0 for row in log.rows)
        write_json(
            logs / "training.json",
            {
                "seconds": seconds,
                "samples_per_second": samples / seconds,
                "memory_bytes": memory,
                "validation_rmse": best.validation_rmse_mean,  # says which run it is of
            },
        )
    click.echo(f"{model.as_posix()}: epoch {best.epoch}, RMSE {best.validation_rmse_mean:.3f} in validation")


def resume(run: Run) -> None:
    """Go on from the run's last usable checkpoint if there is one, and say so."""
    unusable = run.resume()
    for path in unusable:
        click.echo(f"{path.as_posix()}: cut off, damaged or of another run; removed.", err=True)
    if run.finished:
        click.echo(
            f"{run.checkpoints.folder.as_posix()}: this very run is finished already; its result is taken. Delete the "
            "folder to train anew."
        )
    elif run.step:
        click.echo(f"{run.checkpoints.folder.as_posix()}: goes on after {position(run)}.")
    elif unusable:
        click.echo(
            f"{run.checkpoints.folder.as_posix()}: no other checkpoint is there; starts from the beginning.", err=True
        )


def position(run: Run) -> str:
    """Which step was the last."""
    epoch = -(-run.step // run.steps_per_epoch)
    return f"step {run.step} of {run.steps} (epoch {epoch} of {run.settings.epochs:g})"


@contextmanager
def stopping(run: Run) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM end the run with a checkpoint; again, they end the process. Yields what was received."""
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        run.stop = True
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        restore()


if __name__ == "__main__":
    main()
