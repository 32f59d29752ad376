"""Everything that `make repro` does, in one process, because each start of DVC takes a second or two.

It fetches what is missing, runs `dvc repro`, and prints the scores. DVC's lines about stages say which of how many they
are, how long the run has taken and about how long it will take.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import child

if TYPE_CHECKING:
    from collections.abc import Mapping

FETCHED = ("data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc")
"""What the pipeline reads and no stage makes."""

SECONDS = {
    "settings": 2.0,
    "validate": 3.0,
    "prepare": 4.0,
    "split": 4.0,
    "analyze": 7.0,
    "train": 240.0,
    "evaluate": 18.0,
    "card": 4.0,
    "export": 7.0,
}
"""Seconds that each stage takes, for the photos and the training of `MEASURED`, on two cores with AVX2."""

MEASURED = {
    "photos": "7d1faf9e59c1c45f8762f4896bcf81c4.dir",
    "train": {"network": "unet", "width": 32, "epochs": 120, "batch_size": 64, "teacher": "", "precision": "auto"},
}
"""For what `SECONDS` were measured. Where something is different, the time left is not estimated before the training,
whose progress bar shows its own."""

MULTIPLICATIONS = 0.012
"""Seconds that `multiplications` takes on the machine of `SECONDS`."""


class Stages(logging.Filter):
    """Rewrites DVC's lines about stages, and hides its error where a person stopped the run.

    Args:
        pipeline: the content of dvc.yaml.
        seconds: see `SECONDS`; None where it is not known how long this pipeline takes.

    Attributes:
        times: seconds of each stage that ran, in their order. running: the stage that runs. stopped: whether a person
            stopped it.
    """

    def __init__(self, pipeline: Mapping[str, Any], seconds: Mapping[str, float] | None) -> None:
        super().__init__()
        self.described = {name: stage.get("desc", "") for name, stage in pipeline["stages"].items()}
        self.seconds = seconds
        self.done: list[str] = []
        self.times: dict[str, float] = {}
        self.running = ""
        self.stopped = False
        self.said = False
        self.start = self.since = time.monotonic()

    def watch(self) -> None:
        """Take part in DVC's logging."""
        for name in ("dvc.stage", "dvc.stage.cache", "dvc.stage.run", "dvc.cli"):
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether DVC is to write this line; called by `logging`."""
        if record.exc_info:
            self._failed(record.exc_info[1])
            return not self.stopped
        name = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if not isinstance(name, str) or name not in self.described:
            return "didn't change" not in record.msg  # of data/raw.dvc and the like
        if record.msg.startswith("Running stage"):
            self.next(name)
            self.running = name
            text = f"stage {len(self.done)} of {len(self.described)}: {name}, {self.described[name]}{self._clock()}"
        elif "skipping" in record.msg:
            self.next(name)
            text = f"stage {len(self.done)} of {len(self.described)}: {name}: nothing changed"
        else:
            return True
        record.msg, record.args = text, ()
        return True

    def next(self, name: str = "") -> None:
        """Another stage, or none, begins: the one before has ended."""
        now = time.monotonic()
        if self.running:
            self.times[self.running] = now - self.since
        self.running, self.since = "", now
        if name:
            self.done.append(name)

    def _failed(self, error: BaseException | None) -> None:
        """Note whether it was a person who stopped the stage or DVC."""
        while error is not None:
            code = getattr(error, "returncode", None)
            self.said |= code == 128 + signal.SIGTERM  # the training, which has written a checkpoint and said so
            if isinstance(error, KeyboardInterrupt) or code in (-signal.SIGTERM, 128 + signal.SIGTERM):
                self.stopped = True
            error = error.__cause__

    def _clock(self) -> str:
        """How long the run has taken so far, and about how long it will."""
        so_far = time.monotonic() - self.start
        if self.seconds is None:
            return f" ({duration(so_far)} so far)" if so_far >= 1 else ""
        left = sum(self.seconds[name] for name in self.described if name not in self.done[:-1])
        return f" ({duration(so_far)} so far, about {duration(left)} left)"


def main() -> None:
    # a signal to all processes of the run; DVC ignores SIGINT while a stage runs, and waits for its end
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        code = reproduce()
    except KeyboardInterrupt:
        code = stopped()
    sys.exit(code)


def reproduce() -> int:
    """Fetch, run, print; the exit code."""
    import yaml
    from dvc.cli import main as dvc

    from depixel.base.errors import DepixelError
    from depixel.maintenance.repair import mend

    try:
        for sentence in mend(Path()):
            print(sentence, flush=True)
    except DepixelError as error:
        sys.exit(f"Error: {error}")
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    stages = Stages(pipeline, expected())
    stages.watch()
    missing = [name for name in FETCHED if Path(name).is_file() and not Path(name).with_suffix("").exists()]
    code = dvc(["pull", *missing]) if missing else 0
    code = code or dvc(["repro"])
    stages.next()
    if stages.stopped:
        return stopped(stages)
    if code:
        return int(code)
    print()
    dvc(["metrics", "show"])
    print(flush=True)
    print_comparison()
    if stages.times:
        took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in stages.times.items())
        print(f"\n{duration(sum(stages.times.values()))} for {took}.")
    return 0


def stopped(stages: Stages | None = None) -> int:
    """Say how to go on, unless the stage has; the exit code."""
    if not (stages and stages.said):
        where = f" in stage {len(stages.done)} of {len(stages.described)}" if stages and stages.done else ""
        child.say(f"Stopped{where}. `{child.typed('python -m tools.repro')}` goes on from there.")
    return 128 + signal.SIGINT


def print_comparison() -> None:
    """The model beside the baselines, and where the results are."""
    import pandas as pd

    from depixel.scoring.scores import readable

    print(readable(pd.read_csv("metrics/comparison.csv").round(3)).to_string(index=False))
    print("\nSubmission file: predictions/submission.bin    Model: models/depixel.safetensors")
    print("Pictures: metrics/contact_sheet.png, predictions/*.png    Curves: dvc plots show")


# How long it takes


def expected() -> dict[str, float] | None:
    """Seconds of each stage on this machine; None where they are not known."""
    import yaml

    from tools.install import has_gpu

    photos = yaml.safe_load(Path("data/raw.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    train = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["train"]
    same = {key: train.get(key) for key in MEASURED["train"]} == MEASURED["train"]
    begun = any(Path("checkpoints").glob("*/*"))
    if photos != MEASURED["photos"] or not same or begun or has_gpu():
        return None
    slower = multiplications() / MULTIPLICATIONS
    return {name: seconds * slower for name, seconds in SECONDS.items()}


def multiplications() -> float:
    """Seconds that a product of two matrices takes here: most of what a training computes."""
    import numpy as np

    matrix = np.ones((1000, 1000), np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return min(times)


def duration(seconds: float) -> str:
    """A duration for people: 8 s, 45 s, 4 min."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
