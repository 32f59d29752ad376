"""The log of a running training: a folder, and optional loggers that show the same numbers.

No file of the log is an output of a stage, and the training does not depend on the log. A logger's package is imported
only if `train.loggers` names it.
"""

import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
import psutil
import torch
from PIL import Image

from depixel.base.environment import hardware
from depixel.base.errors import DepixelError
from depixel.base.files import replacing, told_of, write_json
from depixel.base.tables import read_table, write_table
from depixel.learning.machine import Machine
from depixel.learning.processes import described
from depixel.learning.state import Epoch
from depixel.learning.training import Run
from depixel.sheets import contact_sheet, fill

TABLE = "training.csv"
"""The name of the table in the log's folder."""

PICTURES = 10
"""The minimum number of times per run that sample restorations are drawn."""

SHOWN = 8
"""The number of validation photos whose restorations are drawn."""


class Logged(NamedTuple):
    """A row of logs/NAME/training.csv: an `Epoch` with speed, memory and a `machine.Load`.

    Attributes:
        samples_per_second: mean speed of the epoch; None if another process trained it without this log.
        memory_bytes: memory of the process, or the peak of its tensors on the GPU; None as above.
    """

    epoch: int
    learning_rate: float
    gradient_norm: float
    train_rmse: float
    validation_rmse_pooled: float
    validation_rmse_mean: float
    samples_per_second: float | None
    memory_bytes: int | None
    cpu_percent: float | None
    ram_percent: float | None
    disk_percent: float | None
    gpu_percent: float | None
    gpu_memory_percent: float | None


class Logger(Protocol):
    """A tool that shows a run's progress, such as TensorBoard."""

    def scalars(self, epoch: int, values: dict[str, float]) -> None:
        """Log the numbers of an epoch by name."""
        ...

    def picture(self, epoch: int, image: Image.Image) -> None:
        """Log the restorations after an epoch."""
        ...

    def close(self) -> None:
        """Write everything that is still buffered."""
        ...


class Log:
    """The log of a run: FOLDER/training.csv, FOLDER/restorations/epoch_N.png, and FOLDER/LOGGER/ for each logger.

    When it opens, it keeps the rows and pictures of the epochs that `run` has finished, and sends them to the loggers.
    It removes everything else, which belongs to another or a longer run.

    Args:
        folder: the folder of the log.
        run: the run to log.

    Raises:
        DepixelError: a logger's package is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path, run: Run):
        loggers = {name: _imported(name) for name in run.task.settings.loggers}
        self.folder, self.run = folder, run
        self.rows = list(self._known())
        self._step, self._since = self._begun = run.step, time.perf_counter()
        for name in LOGGERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        for picture in folder.glob("restorations/epoch_*.png"):
            if not self.rows or int(picture.stem[6:]) > len(self.rows):
                picture.unlink()
        write_table(folder / TABLE, Logged, self.rows)
        self.machine = Machine(run.task.device, folder)
        self.loggers: list[Logger] = [
            LOGGERS[name](module, folder / name, run.task.settings.model_dump()) for name, module in loggers.items()
        ]
        for row in self.rows:
            self._mirror(row)

    def step(self) -> None:
        """Look at the machine; to be called after each step."""
        self.machine.look()

    def epoch(self, row: Epoch) -> None:
        """Log an epoch that `run` has just finished."""
        steps, seconds = self.run.step - self._step, time.perf_counter() - self._since
        self._step, self._since = self.run.step, time.perf_counter()
        speed = steps * self.run.task.settings.batch_size / seconds
        memory = memory_bytes(self.run.task.device)
        self.rows.append(Logged(*row, round(speed, 1), memory, *self.machine.load()))
        write_table(self.folder / TABLE, Logged, self.rows)
        every = -(-self.run.task.settings.epochs // PICTURES)
        if row.epoch == 1 or row.epoch % every == 0 or self.run.finished:
            with replacing(self._picture(row.epoch)) as beside:
                self.restorations(row).save(beside, format="PNG")
        self._mirror(self.rows[-1])

    def restorations(self, row: Epoch) -> Image.Image:
        """A contact sheet of validation photos: pixelated, restored by the network of this epoch, and original."""
        samples, groups, captions = self.run.samples, [], []
        for i in range(min(SHOWN, len(samples.images))):
            restored = fill(samples.pixelated[i], samples.areas[i], self.run.predictions[i])
            groups.append((samples.pixelated[i], restored, samples.images[i]))
            error = self.run.predictions[i].astype(float) - samples.targets[i]
            captions.append(f"block {samples.areas[i][4]}, RMSE {np.sqrt(np.square(error).mean()):.1f}")
        return contact_sheet(groups, ("pixelated", f"epoch {row.epoch}", "truth"), captions, across=2)

    def write_cost(self, path: Path) -> None:
        """Write the cost of the run as JSON: time, speed, memory, hardware, processes; nothing if it did no step here.

        Memory and hardware are those of the first process.
        """
        first, since = self._begun
        seconds = time.perf_counter() - since
        if samples := (self.run.step - first) * self.run.task.settings.batch_size:
            write_json(
                path,
                {
                    "seconds": seconds,
                    "samples_per_second": samples / seconds,
                    "memory_bytes": max(row.memory_bytes or 0 for row in self.rows),
                    "hardware": hardware(self.run.task.device),
                    "processes": described(self.run.processes.hosts),
                    "validation_rmse": self.run.best_epoch.validation_rmse_mean,  # identifies the run
                },
            )

    def close(self) -> None:
        """Close all loggers, which write everything that is still buffered."""
        for logger in self.loggers:
            logger.close()

    def _known(self) -> Iterator[Logged]:
        """The rows of the epochs that the run has finished; what the old table does not know of them is empty."""
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        try:
            for row in read_table(self.folder / TABLE, Logged, made_by="python stages/train.py"):
                cells = tuple(map(str, row))  # a table is read as text
                known[cells[: len(Epoch._fields)]] = cells[len(Epoch._fields) :]
        except DepixelError:  # there is no table, or one of another version
            pass
        unknown = ("",) * (len(Logged._fields) - len(Epoch._fields))
        for epoch in self.run.table:
            speed, memory, *load = known.get(tuple(map(str, epoch)), unknown)
            numbers = (float(cell) if cell else None for cell in load)
            yield Logged(*epoch, float(speed) if speed else None, int(memory) if memory else None, *numbers)

    def _mirror(self, row: Logged) -> None:
        values = {name: value for name, value in row._asdict().items() if name != "epoch" and value is not None}
        path = self._picture(row.epoch)
        with told_of(self.folder):
            for logger in self.loggers:
                logger.scalars(row.epoch, values)
                if path.is_file():
                    with Image.open(path) as image:
                        logger.picture(row.epoch, image)

    def _picture(self, epoch: int) -> Path:
        return self.folder / f"restorations/epoch_{epoch:03}.png"


def memory_bytes(device: str) -> int:
    """The memory of this process in bytes; for "cuda", the peak memory of its tensors on the GPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else psutil.Process().memory_info().rss


def _imported(name: str) -> ModuleType:
    module = {"tensorboard": "torch.utils.tensorboard"}.get(name, name)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DepixelError(
            f"train.loggers: the package of {name} cannot be imported ({error}). Install it: `pip install {name}`; or "
            "remove it from train.loggers in params.yaml"
        ) from error


class _DVCLive:
    def __init__(self, dvclive: ModuleType, folder: Path, settings: dict[str, Any]):
        self.live = dvclive.Live(str(folder), save_dvc_exp=False, dvcyaml=None)
        self.live.log_params({name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()})

    def scalars(self, epoch: int, values: dict[str, float]) -> None:
        self.live.step = epoch
        for name, value in values.items():
            self.live.log_metric(name, value)
        self.live.sync()

    def picture(self, epoch: int, image: Image.Image) -> None:
        self.live.log_image(f"restorations/epoch_{epoch:03}.png", image)

    def close(self) -> None:
        """Do nothing: within `dvc exp run`, `Live.end` would add its folder to git."""


class _TensorBoard:
    def __init__(self, tensorboard: ModuleType, folder: Path, settings: dict[str, Any]):
        self.writer = tensorboard.SummaryWriter(str(folder))
        self.writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in settings.items()))

    def scalars(self, epoch: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def picture(self, epoch: int, image: Image.Image) -> None:
        self.writer.add_image("restorations", np.asarray(image.convert("L")), epoch, dataformats="HW")

    def close(self) -> None:
        self.writer.close()


class _WandB:
    """Weights & Biases; offline unless WANDB_MODE says otherwise, so it sends nothing by default."""

    def __init__(self, wandb: ModuleType, folder: Path, settings: dict[str, Any]):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        folder.mkdir(parents=True, exist_ok=True)
        self.wandb = wandb
        self.run = wandb.init(
            mode=os.environ.get("WANDB_MODE", "offline"),
            project=os.environ.get("WANDB_PROJECT", "depixel"),
            name=folder.parent.name,
            dir=str(folder),
            config=settings,
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )

    def scalars(self, epoch: int, values: dict[str, float]) -> None:
        self.run.log({"epoch": epoch, **values}, step=epoch)

    def picture(self, epoch: int, image: Image.Image) -> None:
        self.run.log({"restorations": self.wandb.Image(image.copy())}, step=epoch)

    def close(self) -> None:
        self.run.finish()
        self.wandb.teardown()  # waits until its process has written everything


LOGGERS: dict[str, Callable[[ModuleType, Path, dict[str, Any]], Logger]] = {
    "dvclive": _DVCLive,
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
}
"""Name in `train.loggers` -> function that makes the logger from its module, its folder and the run's settings."""
