"""Everything that `make repro` does, in one process, because each start of DVC takes a second or two.

It fetches what is missing, runs `dvc repro`, and prints the scores. DVC's lines about stages say which of how many they
are, how long the run has taken and about how long it will take.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depixel.base import arithmetic
from tools import child

if TYPE_CHECKING:
    from collections.abc import Mapping

FETCHED = ("data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc")
"""What the pipeline reads and no stage makes."""

SECONDS = {
    "settings": 2.0,
    "validate": 1.0,
    "prepare": 1.0,
    "split": 1.0,
    "analyze": 4.0,
    "train": 96.0,
    "evaluate": 5.0,
    "card": 2.0,
    "export": 3.0,
}
"""Seconds that each stage takes, of `MEASURED_PHOTOS` and `MEASURED_TRAIN`, on two cores of an AMD EPYC (Zen 5)."""

MEASURED_PHOTOS = "7d1faf9e59c1c45f8762f4896bcf81c4.dir"
MEASURED_TRAIN = {
    "network": "unet",
    "width": 16,
    "epochs": 80,
    "batch_size": 16,
    "teacher": "",
    "arithmetic": "portable",
    "shards": 2,
}
"""The photos (their hash in data/raw.dvc) and the training that `SECONDS` hold for. With others the time left is not
estimated before the training, whose progress bar shows its own."""

MULTIPLICATIONS = 0.0076
"""Seconds that `multiplications` takes on the machine of `SECONDS`."""

MULTIPLYING = 0.27
"""Share of the time that grows with `multiplications`; the rest was alike on all processors that were measured."""


class Stages(logging.Filter):
    """Rewrites DVC's lines about stages, and hides its error where a person stopped the run.

    Attributes:
        described: what dvc.yaml says of each stage. seconds: see `SECONDS`; None where they are not known.
        done: the stages that have begun, in their order. running: the one that runs. times: seconds of those that ran.
        stopped: whether a person stopped the run. said: whether the stage has said how to go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.described: dict[str, str] = {}
        self.seconds: Mapping[str, float] | None = None
        self.done: list[str] = []
        self.running = ""
        self.times: dict[str, float] = {}
        self.stopped = self.said = False
        self.start = self.since = time.monotonic()

    def watch(self, pipeline: Mapping[str, Any], seconds: Mapping[str, float] | None) -> None:
        """Take part in DVC's logging. `pipeline`: the content of dvc.yaml."""
        stages = pipeline.get("stages")
        self.described = {name: stage.get("desc", "") for name, stage in (stages or {}).items()}
        self.seconds = seconds
        for name in ("dvc.stage", "dvc.stage.cache", "dvc.stage.run", "dvc.cli"):
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether DVC is to write this line; called by `logging`."""
        if record.exc_info and self.stopped:
            self._failed(record.exc_info[1])
            return False
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
        """Note whether the stage has said how to go on: the training does when it has written a checkpoint."""
        while error is not None:
            self.said |= str(error).endswith(f"exited with {128 + signal.SIGTERM}")
            error = error.__cause__

    def _clock(self) -> str:
        """How long the run has taken so far, and about how long it will."""
        so_far = time.monotonic() - self.start
        if self.seconds is None:
            return f" ({duration(so_far)} so far)" if so_far >= 1 else ""
        left = sum(self.seconds.get(name, 0) for name in self.described if name not in self.done[:-1])
        return f" ({duration(so_far)} so far, about {duration(left)} left)"


def main() -> None:
    """Fetch, run and print, in this process."""
    arithmetic.begin()  # so that it measures what the stages compute with
    stages = Stages()

    def stop(number: int, frame: object) -> None:
        stages.stopped = True
        signal.raise_signal(signal.SIGINT)  # DVC ignores it while a stage runs, and waits for the end of the stage

    signal.signal(signal.SIGTERM, stop)  # all processes of the run get it
    code = 0
    try:
        code = reproduce(stages)
    except KeyboardInterrupt:
        stages.stopped = True
    if stages.stopped:
        code = 128 + signal.SIGINT
        if not stages.said:
            where = f" in stage {len(stages.done)} of {len(stages.described)}" if stages.done else ""
            child.say(f"Stopped{where}. `{child.typed('python -m tools.repro')}` goes on from there.")
    sys.exit(code)


def reproduce(stages: Stages) -> int:
    """Fetch, run, print; the exit code."""
    from dvc.cli import main as dvc

    from depixel.base.errors import DepixelError
    from depixel.maintenance.repair import mend
    from depixel.photos import tracked

    try:
        for sentence in mend(Path()):
            print(sentence, flush=True)
        tracked.check()  # DVC would hang at a FIFO before any stage could say so
    except DepixelError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:  # a read-only checkout
        reason = f"{error.filename}: {error.strerror}"
        sys.exit(f"Error: {reason}. DVC and the stages write here: `git clone` this to a folder that you may write to")
    if told := other_python():
        child.say(told)
    stages.watch(content("dvc.yaml"), expected())
    missing = [name for name in FETCHED if Path(name).is_file() and not Path(name).with_suffix("").exists()]
    # the committed results go into the cache: `git checkout .` and `dvc checkout` bring them back from there
    fetching = [["pull", *missing], ["fetch"]] if missing else []
    for command in [*fetching, ["repro"]]:
        code = int(dvc(command))
        if stages.stopped or (code and command[0] != "fetch"):  # results need not be in the remote
            return code
    stages.next()
    print()
    dvc(["metrics", "show"])
    print(flush=True)
    print_comparison()
    if stages.times:
        took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in stages.times.items())
        print(f"\n{duration(sum(stages.times.values()))} for {took}.")
    return 0


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
    from tools.install import has_gpu

    photos = [out["md5"] for out in content("data/raw.dvc").get("outs", [])]
    train = content("params.yaml").get("train")
    same = isinstance(train, dict) and {key: train.get(key) for key in MEASURED_TRAIN} == MEASURED_TRAIN
    begun = any(Path("checkpoints").glob("*/*"))
    if photos != [MEASURED_PHOTOS] or not same or begun or has_gpu():
        return None
    slower = 1 + MULTIPLYING * (multiplications() / MULTIPLICATIONS - 1)
    return {name: seconds * slower for name, seconds in SECONDS.items()}


def other_python() -> str:
    """A sentence if the results that are there were made by another minor version of Python; else nothing."""
    try:
        card = Path("models/depixel.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    made = re.search(r"(?m)^\| environment \| python (\d+\.\d+)\b", card)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not made or made[1] == here:
        return ""
    return f"The results in this folder were made by Python {made[1]}. This is Python {here}: last digits may differ."


def content(path: str) -> dict[str, Any]:
    """What a YAML file says; nothing where it cannot be read: DVC or the first stage will say what is wrong with it."""
    import yaml

    try:
        read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return read if isinstance(read, dict) else {}


def multiplications() -> float:
    """Seconds that a product of two matrices takes here."""
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
