"""Splits PyTorch's work on the CPU into independent parts, one thread per part.

The number of threads changes no digit, because parts are independent and results come in their order. PyTorch's own
threads share one part. If their number changes, they add in another order. If another process is busy, they wait for
each other in every operation.
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
    """Yield `work(part)` for each part, in their order; on the CPU, one thread per core works in parallel.

    Args:
        work: called in other threads; its exceptions are raised here.
        parts: the independent parts.
        device: the PyTorch device of the work. If it is not "cpu", `work` runs in this thread, one part at a time.
    """
    return _pool().map(work, parts) if device == "cpu" else map(work, parts)


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), "depixel", initializer=torch.set_num_threads, initargs=(1,))


if hasattr(os, "register_at_fork"):  # a fork has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
