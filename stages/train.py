"""Stage 4: train a network to restore pixelated areas."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

import math
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import click

from depixel.base import layout
from depixel.base.console import PREEMPTED, params_option, path_option, progress, stopping
from depixel.base.files import write_json
from depixel.base.reuse import RECORD, made_by
from depixel.base.stage import Inputs, stage
from depixel.base.tables import write_table
from depixel.dataset.augmentation import AugmentSettings
from depixel.learning import launching, training
from depixel.learning.logs import Log
from depixel.learning.processes import described, joined
from depixel.learning.state import Epoch
from depixel.learning.task import Task, TrainSettings, computed_by
from depixel.learning.training import Run
from depixel.model.networks import parameter_count
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import best_device


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--prepared", default=layout.PREPARED, help="Folder of prepared photos.")
@path_option("--split", "splits", default=layout.SPLIT, help="Table of splits.")
@path_option("--model", default=layout.MODEL, help="Output: the weights.")
@path_option("--metrics", default=layout.METRICS, help="Output: training.json and training.csv.")
@path_option("--logs", default=layout.LOGS, help="Output: progress, speed, memory and load.")
@path_option("--checkpoints", default=layout.CHECKPOINTS, help="Folder of checkpoints.")
@path_option("--pretrained", default=layout.PRETRAINED, help="Models for train.init and train.teacher.")
@click.option(
    "--checkpoint-every",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time between checkpoints; choose less on a machine that may stop at any time.",
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

    Each epoch shows every training photo once, turned, mirrored and pixelated at random, and changed as the section
    `augment` says. The random choices change with each epoch (with train.teacher, with every fourth). After each epoch,
    the network is scored on the validation side. The weights of the best epoch become the model. The settings are the
    sections `train`, `augment` and `pixelation` of params.yaml.

    Ctrl-C writes a checkpoint and stops; so does SIGTERM, with exit code 75. After any interruption, the same command
    resumes from the last checkpoint and gives the same result as an uninterrupted run.

    Several processes share the training if DEPIXEL_PROCESSES is their number, or if torchrun starts this module on one
    or several machines. There may be as many as shards (`train.shards`). Their number changes no bit of the result.

    \b
    Reads
      data/prepared, data/split.csv   from stages/prepare.py and stages/split.py
      models/pretrained/              only for train.init: pretrained or train.teacher
    Writes
      models/depixel.safetensors      the weights; models/depixel.json, their configuration
      metrics/training.csv            a row per epoch
      metrics/training.json           the best epoch and its RMSE on the validation side
      models/depixel.made_by.json     record of code, settings and photos, so that nothing is trained twice
      logs/NAME/                      during training: training.csv, also with the load of processor, memory, disk and
                                      GPU; restored samples; files of train.loggers. NAME is the experiment's name, or
                                      `workspace`
      logs/training.json              time, speed, memory and hardware, which differ from run to run
      checkpoints/                    a folder for each of the last runs; not needed once the model exists

    \b
    Examples
      python stages/train.py
      dvc exp run -S train.overfit=8 -S train.epochs=300     can the network learn at all?
      torchrun --nproc-per-node 2 -m stages.train            two processes
    """
    settings = inputs.section("train", TrainSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    augment = inputs.section("augment", AugmentSettings)
    arithmetic.use(settings.arithmetic, __file__)
    if settings.init == "pretrained" or settings.teacher:
        inputs.watch(pretrained)
    by = computed_by(settings)
    record = model.with_suffix(f".{RECORD}")
    with joined(by[0], settings.shards) as processes:
        processes.agree(lambda: inputs.summary() | {f"{prepared.as_posix()}/{RECORD}": made_by(prepared / RECORD)})
        if processes.first(lambda: inputs.reusable(record, module=training.__file__, also=" ".join(by))):
            if processes.rank == 0:
                click.echo(
                    f"{model.as_posix()}: up to date (same code, settings and photos). To train again, delete "
                    f"{record.as_posix()} and {checkpoints.as_posix()}"
                )
            return
        task = Task.load(settings, pixelation, augment, prepared, splits, pretrained)
        run = Run(task, checkpoints, checkpoint_every, processes)
        if processes.rank == 0:
            lead(run, inputs, model, metrics, logs)
        else:
            follow(run)


def lead(run: Run, inputs: Inputs, model: Path, metrics: Path, logs: Path) -> None:
    """Train, log, and write the outputs."""
    task, settings = run.task, run.task.settings
    if settings.arithmetic == "portable" and settings.device == "auto" and best_device() != "cpu":
        click.echo(
            "train.arithmetic = 'portable' computes on the CPU. To use the GPU, set train.arithmetic: native in "
            "params.yaml"
        )
    taught = f", teacher {settings.teacher}" if task.teacher else ""
    shared = f", {described(run.processes.hosts)}" if len(run.processes.hosts) > 1 else ""
    click.echo(
        f"{settings.network} of width {settings.width}, {parameter_count(run.network) / 1e6:.2f} M parameters, "
        f"{len(task.training)} photos, {task.device}, {settings.arithmetic} {task.precision}{taught}{shared}"
    )
    resume(run)
    first, several = run.step, len(run.processes.hosts) > 1
    with (
        closing(Log(logs / os.environ.get("DVC_EXP_NAME", "workspace"), run)) as log,
        progress(total=task.steps, initial=run.step, unit="step", smoothing=0) as bar,
        stopping(run.end, once=not several) as signals,
    ):

        def on_step(step: int) -> None:
            if step == first + 1:  # the first step takes seconds longer, so it must not count in the estimate
                bar.initial, bar.start_t = step, time.time()
            shown = {} if math.isnan(run.rmse) else {"RMSE": f"{run.rmse:.2f}"}
            if run.table:
                shown["validation"] = f"{run.best_epoch.validation_rmse_mean:.2f}"
            bar.set_postfix(shown, refresh=False)
            bar.update()
            log.step()

        for row in run.epochs(on_step, on_checkpoint=inputs.check):
            bar.write(
                f"epoch {row.epoch:3}: RMSE {row.train_rmse:6.3f} in training, "
                f"{row.validation_rmse_mean:6.3f} in validation"
            )
            log.epoch(row)
    if run.stopped:
        click.echo(
            f"Stopped after {run.position}. The checkpoint is in {run.checkpoints.folder.as_posix()}; "
            f"`{os.environ.get('DEPIXEL_TYPED', 'dvc repro')}` resumes from there.",
            err=True,
        )
        leave(signals)
    run.predictor().save(model)
    write_table(metrics / "training.csv", Epoch, run.table)
    best = run.best_epoch
    write_json(metrics / "training.json", {"best_epoch": best.epoch, "validation_rmse": best.validation_rmse_mean})
    inputs.made(model, model.with_suffix(".json"), *(metrics / f"training.{kind}" for kind in ("csv", "json")))
    log.write_cost(logs / "training.json")
    click.echo(f"{model.as_posix()}: epoch {best.epoch}, RMSE {best.validation_rmse_mean:.3f} in validation")


def follow(run: Run) -> None:
    """Compute this process's share of the training; the first process logs and writes."""
    run.resume()
    with stopping(run.end, once=False) as signals:
        for _ in run.epochs():
            pass
    if run.stopped:
        leave(signals)


def leave(signals: list[int]) -> NoReturn:
    """End this process after a checkpoint, because of the first of these signals, or of another process's."""
    sys.exit(128 + signal.SIGINT if signals[:1] == [signal.SIGINT] else PREEMPTED)


def resume(run: Run) -> None:
    """Resume from the run's last valid checkpoint if there is one, and print a message."""
    unusable = run.resume()
    folder = run.checkpoints.folder.as_posix()
    for path in unusable:
        click.echo(f"{path.as_posix()}: cut off, damaged or of another run; removed.", err=True)
    if run.finished:
        click.echo(
            f"{folder}: this run is already finished, and its result is used. To train again, delete this folder."
        )
    elif run.step:
        click.echo(f"{folder}: resumes after {run.position}.")
    elif unusable:
        click.echo(f"{folder}: has no valid checkpoint; training starts from the beginning.", err=True)


if __name__ == "__main__":
    launching.start(main)
