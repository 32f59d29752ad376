"""Which run is which: a hash of all that determines its result."""

import functools
import hashlib
import inspect
from pathlib import Path

from torch import nn

from depixel.base.code import code_digest, sources_of
from depixel.base.environment import versions
from depixel.learning.task import Task

TRAINING = Path(__file__).with_name("training.py")
"""The module that imports all that a training computes with."""


def code_of(network: type[nn.Module]) -> str:
    """A hash of what the code of a training of this network does, not of its prose: 64 hexadecimal digits."""
    return _code_with(Path(inspect.getfile(network)))  # the network may be another's, registered from elsewhere


@functools.cache  # what was imported is what runs, whatever is edited meanwhile
def _code_with(network: Path) -> str:
    return code_digest(dict.fromkeys([*sources_of(TRAINING), network]))


def fingerprint(task: Task, code: str, init: str, teacher: str) -> str:
    """A hash of what determines a run: 64 hexadecimal digits of settings, photos, code, device, packages that compute.

    Not the machine: a checkpoint goes on elsewhere too; natively, with the last digits of that machine's arithmetic.

    Args:
        code: a hash of it (`code_of`).
        init, teacher: hashes of the weights that the task starts and learns from, "" for none (`Predictor.digest`).
    """
    digest = hashlib.sha256(code.encode())
    digest.update(f"{versions()} {task.device} {task.precision} {(init, teacher)}".encode())
    for part in (task.settings, task.pixelation):
        digest.update(part.model_dump_json(exclude={"loggers"}).encode())  # which change nothing
    for photos in (task.training, task.validation):
        digest.update(photos.ids.tobytes())
        digest.update(str(photos.images.shape[1:]).encode())
        for row in photos.rows:  # one by one: they may not fit in memory
            digest.update(photos.images[row])
    return digest.hexdigest()
