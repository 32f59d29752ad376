"""Work for PyTorch in parts, each computed by one thread of the CPU.

How many threads there are changes no digit: no part knows of the others, and the results come in the order of the
parts. Threads that share a part, as PyTorch's own do, add in another order when their number changes, and where another
process is busy they wait for each other in every operation.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def each(work: Callable[[Part], Result], parts: Iterable[Part], device: str = "cpu") -> Iterator[Result]:
    """`work` of each part, in their order; on the CPU at the same time, as many as there are cores.

    Args:
        work: called in other threads. What it raises is raised here.
        device: where it computes; elsewhere than on the CPU it is called here, one part after the other.
    """
    return _pool().map(work, parts) if device == "cpu" else map(work, parts)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), "depixel", initializer=torch.set_num_threads, initargs=(1,))


if hasattr(os, "register_at_fork"):  # a fork has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
