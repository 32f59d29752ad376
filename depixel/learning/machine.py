"""How busy the machine is while it trains."""

import math
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

EVERY = 1.0
"""Seconds between two samples of the GPU's utilization."""


class Load(NamedTuple):
    """The load of the machine, of all programs together, in percent.

    Attributes:
        cpu_percent: share of the cores' time that was spent computing; the mean since the last load.
        ram_percent: share of the memory that is in use.
        disk_percent: share of the disk with the logs that is in use.
        gpu_percent: share of the time in which the GPU computed; the mean since the last load. None without an NVIDIA
            GPU, or without the package nvidia-ml-py.
        gpu_memory_percent: share of the GPU's memory that is in use; None without an NVIDIA GPU.
    """

    cpu_percent: float | None
    ram_percent: float | None
    disk_percent: float | None
    gpu_percent: float | None
    gpu_memory_percent: float | None


class Machine:
    """Watches the load of this machine.

    Args:
        device: the PyTorch device of the training.
        folder: a folder on the disk to watch.
    """

    def __init__(self, device: str, folder: Path):
        self._folder, self._cuda = folder, device == "cuda"
        self._samples: list[float] = []
        self._next = -math.inf
        psutil.cpu_percent()  # the next call returns the mean since this one

    def look(self) -> None:
        """Sample the GPU if the last sample is `EVERY` seconds old; cheap enough to call after each step."""
        if not self._cuda or time.monotonic() < self._next:
            return
        try:
            self._samples.append(torch.cuda.utilization())
            self._next = time.monotonic() + EVERY
        except Exception:  # neither NVML nor its driver is certain to be there, and nothing depends on it
            self._next = math.inf

    def load(self) -> Load:
        """The load since the last call, or since this object was made."""
        samples, self._samples = self._samples, []
        busy = memory = None
        if self._cuda:
            free, total = torch.cuda.mem_get_info()
            busy = round(sum(samples) / len(samples), 1) if samples else None
            memory = round(100 * (1 - free / total), 1)
        disk = psutil.disk_usage(str(self._folder)).percent
        return Load(psutil.cpu_percent(), psutil.virtual_memory().percent, disk, busy, memory)
