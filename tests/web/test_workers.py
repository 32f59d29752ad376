"""Worker processes: what they return, how they end, and what they leave."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from depixel.base.errors import DepixelError
from depixel.web import work, workers
from depixel.web.jobs import CanceledError, StoppedError
from tests.pictures.test_restorer import photo
from tests.web.conftest import file_of


def sleep(seconds: float, told) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and told(0.5, ()):
        time.sleep(0.05)
    return "slept"


def stubborn(told) -> None:
    time.sleep(60)


def die(told) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Task:
    """What workers need of a job."""

    def __init__(self):
        self.canceled, self.late, self.shares = threading.Event(), threading.Event(), []

    def check_canceled(self):
        if self.canceled.is_set():
            raise CanceledError

    def tell(self, share, found=()):
        self.shares.append(share)


@pytest.fixture
def pool():
    made = workers.Workers(0)
    yield made
    made.close()


def test_a_function_returns_and_tells(pool):
    task = Task()
    assert pool.run(task, sleep, 0.3) == "slept"
    assert set(task.shares) == {0.5}


def test_errors_come_back_as_they_are(pool):
    with pytest.raises(DepixelError, match="is empty"):
        pool.run(Task(), work.show, b"")
    with pytest.raises(RuntimeError, match="TypeError"):
        pool.run(Task(), sleep, "no number")


def test_a_process_is_killed_for_a_canceled_job_and_another_one_goes_on(pool):
    task = Task()
    threading.Timer(0.5, task.canceled.set).start()
    with pytest.raises(CanceledError):
        pool.run(task, stubborn)
    assert pool.run(Task(), sleep, 0) == "slept"


def test_a_late_function_returns_what_it_has_or_is_killed(pool, monkeypatch):
    task = Task()
    task.late.set()
    monkeypatch.setattr(workers, "GRACE_SECONDS", 50)
    assert pool.run(task, sleep, 60) == "slept"
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.5)
    with pytest.raises(StoppedError):
        pool.run(task, stubborn)


def test_a_process_that_dies_is_a_lack_of_memory(pool):
    with pytest.raises(MemoryError):
        pool.run(Task(), die)
    assert pool.run(Task(), sleep, 0) == "slept"


def test_the_memory_of_a_large_picture_comes_back(pool):
    pool.run(Task(), work.show, file_of(photo(64, 64)))
    before = _memory()
    large = file_of(np.zeros((7000, 7000, 3), np.uint8))
    assert len(pool.run(Task(), work.show, large)) > 10_000
    assert _memory() - before < 200e6


def _memory() -> int:
    process = psutil.Process()
    sizes = [SimpleNamespace(rss=0)]
    for one in [process, *process.children(recursive=True)]:
        try:
            sizes.append(one.memory_info())
        except psutil.Error:
            continue
    return sum(size.rss for size in sizes)
