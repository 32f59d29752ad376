"""Several processes of a training, played by threads of this one: `together(count, work)`."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from depixel.learning.processes import Distributed, Processes

Result = TypeVar("Result")


def together(count: int, work: Callable[[Processes], Result], wait: float = 60) -> list[Result | BaseException]:
    """What `work` returns or raises in each of `count` processes that gloo connects, by rank."""
    store = dist.HashStore()

    def one(rank: int) -> Result | BaseException:
        group = dist.ProcessGroupGloo(store, rank, count, timedelta(seconds=wait))
        try:
            return work(Distributed(group, rank, count))
        except (Exception, SystemExit) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


SEEDED = threading.Lock()
"""Threads share PyTorch's generator, which a run seeds before it draws its first weights."""
