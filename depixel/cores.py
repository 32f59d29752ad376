"""Work shared out to the cores of a CPU, each computing its part alone.

Two parts on one core each are done sooner than one after the other on both: small operations do not divide well.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h

T, R = TypeVar("T"), TypeVar("R")


class Cores:
    """So many threads, whose PyTorch operations use one core each; with 1, the calling thread as it is.

    More than 1 also tell the process to keep the memory that it frees.
    """

    def __init__(self, count: int):
        self.count = count
        self._pool = None
        if count > 1:
            _keep_freed_memory()
            self._pool = ThreadPoolExecutor(count, initializer=_one_core)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`function` of each item, in their order."""
        if not self._pool:
            yield from map(function, items)
            return
        threads = torch.get_num_threads()
        try:
            yield from self._pool.map(function, items)
        finally:
            torch.set_num_threads(threads)  # what `_one_core` says would be true of all threads that begin later


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones: the system would clear every page of it anew."""
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            mallopt(parameter, value)


def _one_core() -> None:
    torch.get_num_threads()  # only when first asked does a thread take over the common number
    torch.set_num_threads(1)  # and from then on it has its own
