"""The fingerprint that identifies a run: a hash of everything that determines its result."""

import functools
import hashlib
import inspect
from pathlib import Path

from torch import nn

from depixel.base.code import code_digest, sources_of
from depixel.base.environment import versions
from depixel.learning.task import Task

TRAINING = Path(__file__).with_name("training.py")
"""The module that imports all code of a training, directly or indirectly."""


def code_of(network: type[nn.Module]) -> str:
    """A hash of the code that trains this network, without comments and docstrings: 64 hexadecimal digits."""
    return _code_with(Path(inspect.getfile(network)))  # the network may be registered from outside this package


@functools.cache  # later edits of the files do not change the code that was imported
def _code_with(network: Path) -> str:
    return code_digest(dict.fromkeys([*sources_of(TRAINING), network]))


def fingerprint(task: Task, code: str, init: str, teacher: str) -> str:
    """A hash of everything that determines a run: settings, photos, code, device, package versions.

    The machine does not count, so a run can resume on another one. With native arithmetic, it then continues with the
    last digits of that machine.

    Args:
        task: the task of the run.
        code: a hash of the code (`code_of`).
        init, teacher: hashes of the initial weights and of the teacher's weights (`Predictor.digest`); "" for none.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(code.encode())
    digest.update(f"{versions()} {task.device} {task.precision} {(init, teacher)}".encode())
    digest.update(f"{task.flip}".encode())
    for part in (task.settings, task.pixelation, task.augment):
        digest.update(part.model_dump_json(exclude={"loggers"}).encode())  # loggers change no result
    if task.weights is not None:
        digest.update(task.weights.tobytes())
    for photos in (task.training, task.validation):
        digest.update(photos.ids.tobytes())
        digest.update(str(photos.images.shape[1:]).encode())
        for row in photos.rows:  # one by one: they may not fit in memory
            digest.update(photos.images[row])
    return digest.hexdigest()
