"""All steps of `make repro` in one process, because each start of DVC takes a second or two.

It fetches missing data, runs `dvc repro`, and prints the scores. It adds to DVC's line about a stage: its number, the
time so far and the estimated time left.
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
from depixel.base.console import PREEMPTED
from tools import child

if TYPE_CHECKING:
    from collections.abc import Mapping

FETCHED = ("data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc")
"""DVC's pointers to the inputs of the pipeline, which no stage makes."""

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
"""The seconds of each stage, for `MEASURED_PHOTOS` and `MEASURED_TRAIN`, on two cores of an AMD EPYC (Zen 5)."""

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
"""The photos (their hash in data/raw.dvc) and the settings of the training for which `SECONDS` were measured. For
others, no time left is estimated; the training's progress bar shows its own."""

MULTIPLICATIONS = 0.0076
"""The result of `multiplications` in seconds on the machine of `SECONDS`."""

MULTIPLYING = 0.27
"""The share of the time that grows with `multiplications`. The rest was similar on all processors measured."""


class Stages(logging.Filter):
    """Rewrites DVC's lines about stages, and hides its error if a person stopped the run.

    Attributes:
        described: stage -> its description in dvc.yaml.
        seconds: stage -> expected time in seconds (`expected`); None if unknown.
        done: the stages that have begun, in order.
        running: the running stage; "" if there is none.
        times: stage -> measured time in seconds, of the stages that have run.
        stopped: whether a person stopped the run.
        said: whether the stage has printed how to continue.
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
        """Add this filter to DVC's loggers.

        Args:
            pipeline: the content of dvc.yaml.
            seconds: stage -> expected time in seconds; None if unknown.
        """
        stages = pipeline.get("stages")
        self.described = {name: stage.get("desc", "") for name, stage in (stages or {}).items()}
        self.seconds = seconds
        for name in ("dvc.stage", "dvc.stage.cache", "dvc.stage.run", "dvc.cli"):
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a line of DVC's log; returns whether to print it. `logging` calls this method."""
        if record.exc_info and self.stopped:
            self._failed(record.exc_info[1])
            return False
        name = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if not isinstance(name, str) or name not in self.described:
            return "didn't change" not in record.msg  # about data/raw.dvc and other pointers
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
        """Note that the previous stage has ended, and that the stage `name` begins, unless it is ""."""
        now = time.monotonic()
        if self.running:
            self.times[self.running] = now - self.since
        self.running, self.since = "", now
        if name:
            self.done.append(name)

    def _failed(self, error: BaseException | None) -> None:
        """Note whether the stage has printed how to continue; the training does so after writing a checkpoint."""
        while error is not None:
            self.said |= str(error).endswith(f"exited with {PREEMPTED}")
            error = error.__cause__

    def _clock(self) -> str:
        """The time so far and the estimated time left, as text in brackets."""
        so_far = time.monotonic() - self.start
        if self.seconds is None:
            return f" ({duration(so_far)} so far)" if so_far >= 1 else ""
        left = sum(self.seconds.get(name, 0) for name in self.described if name not in self.done[:-1])
        return f" ({duration(so_far)} so far, about {duration(left)} left)"


def main() -> None:
    """Fetch missing data, run the pipeline and print the scores."""
    arithmetic.begin()  # so that `multiplications` measures the arithmetic of the stages
    stages = Stages()

    def stop(number: int, frame: object) -> None:
        stages.stopped = True
        signal.raise_signal(signal.SIGINT)  # while a stage runs, DVC ignores it and waits for the stage's end

    signal.signal(signal.SIGTERM, stop)  # `child.run` sends it to all processes of the run
    code = 0
    try:
        code = reproduce(stages)
    except KeyboardInterrupt:
        stages.stopped = True
    if stages.stopped:
        code = 128 + signal.SIGINT
        if not stages.said:
            where = f" in stage {len(stages.done)} of {len(stages.described)}" if stages.done else ""
            child.say(f"Stopped{where}. `{child.typed('python -m tools.repro')}` resumes from there.")
    sys.exit(code)


def reproduce(stages: Stages) -> int:
    """Fetch missing data, run the pipeline, print the scores; returns the exit code."""
    from dvc.cli import main as dvc

    from depixel.base.errors import DepixelError
    from depixel.maintenance.repair import mend
    from depixel.photos import tracked

    try:
        for sentence in mend(Path()):
            print(sentence, flush=True)
        tracked.check()  # DVC would hang at a FIFO before any stage could report it
    except DepixelError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:  # a read-only checkout
        reason = f"{error.filename}: {error.strerror}"
        sys.exit(f"Error: {reason}. DVC and the stages write here. `git clone` the project to a writable folder")
    if told := other_python():
        child.say(told)
    stages.watch(content("dvc.yaml"), expected())
    missing = [name for name in FETCHED if Path(name).is_file() and not Path(name).with_suffix("").exists()]
    # the committed results go into the cache, from where `git checkout .` and `dvc checkout` restore them
    fetching = [["pull", *missing], ["fetch"]] if missing else []
    for command in [*fetching, ["repro"]]:
        code = int(dvc(command))
        if stages.stopped or (code and command[0] != "fetch"):  # the remote may lack results
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
    """Print the scores of the model and the baselines, and the paths of the results."""
    import pandas as pd

    from depixel.scoring.scores import readable

    print(readable(pd.read_csv("metrics/comparison.csv").round(3)).to_string(index=False))
    print("\nSubmission file: predictions/submission.bin    Model: models/depixel.safetensors")
    print("Pictures: metrics/contact_sheet.png, predictions/*.png    Curves: dvc plots show")


# How long it takes


def expected() -> dict[str, float] | None:
    """Stage -> expected time in seconds on this machine; None if unknown."""
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
    """A warning if another minor version of Python made the existing results; else ""."""
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
    """The content of a YAML file; {} if it cannot be read, because DVC or the first stage will report that."""
    import yaml

    try:
        read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return read if isinstance(read, dict) else {}


def multiplications() -> float:
    """The time in seconds of a matrix product on this machine."""
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
