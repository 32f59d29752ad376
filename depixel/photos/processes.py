"""Works on many items in several processes: results in order, little memory, and a report if a process dies."""

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing import Pipe, Process, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Generic, TypeVar

from depixel.base.errors import DepixelError

CHUNK = 16
"""The number of items that a process works on at a time."""

RELIEF = "Use --workers 1, or close other programs, and run the command again. Nothing is lost"
"""Advice for lack of memory."""

NO_MEMORY = f"out of memory. {RELIEF}"
"""The message for lack of memory."""

_CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
_WINDOWS_FAULT = 0xC0000000  # exit codes from here on

Item = TypeVar("Item")
Result = TypeVar("Result")


class LateError(DepixelError):
    """A process has not finished its items in time.

    Attributes:
        items: these items.
    """

    def __init__(self, items: Sequence[object], patience: float | None):
        super().__init__(f"{items[0]}: it, or one of the {len(items) - 1} items after it, took more than {patience} s")
        self.items = items


def _refuse(item: object, fault: str) -> DepixelError:
    return DepixelError(f"{item}: the process for it crashed ({fault})")


def each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None = None,
    crashed: Callable[[Item, str], Result | DepixelError] = _refuse,
    patience: float | None = None,
    spare: "list[_Worker[Item, Result]] | None" = None,
) -> Iterator[Result]:
    """Yield work(item) for every item, in order, computed in several processes.

    Only a few chunks are computed ahead, so memory does not grow with the number of items. The processes end with the
    iteration, or by themselves if this process is killed.

    Args:
        work: the function for an item; it must be picklable.
        items: the items; each is read only when it is needed.
        workers: number of processes; None: one per core.
        crashed: called with an item that crashes its process and the fault, such as "SIGSEGV". It returns the result
            for this item, or the error to raise.
        patience: the longest time in seconds that `CHUNK` items may take; None: no limit.
        spare: processes that earlier calls for the same `work` left. This call uses them, and leaves its own there
            when it is complete instead of ending them.

    Raises:
        LateError: items took longer than `patience`.
        DepixelError: `work` raised it, memory ran out, or a process was killed or could not be started.
    """
    items = iter(items)
    chunks = iter(lambda: list(islice(items, CHUNK)), [])
    workers = min(workers or cores(), 61)  # 61: the most that Windows can wait for
    idle: list[_Worker[Item, Result]] = []
    with suppress(IndexError):
        while spare is not None and len(idle) < workers:
            idle.append(spare.pop())
    busy: list[_Worker[Item, Result]] = []
    ahead: deque[list[Result | DepixelError]] = deque()  # results of each chunk, in order; empty until complete
    gc.freeze()  # the garbage collector then does not write to existing objects, so the processes share their memory
    try:
        while True:
            while len(busy) < workers and len(ahead) < 4 * workers and (chunk := next(chunks, None)):
                worker = idle.pop() if idle else _Worker(work)
                worker.give(chunk)
                busy.append(worker)
                ahead.append(worker.results)
            if ahead and ahead[0]:
                for result in ahead.popleft():
                    if isinstance(result, DepixelError):
                        raise result
                    yield result
            elif busy:
                ready = wait([worker.connection for worker in busy], patience)
                if not ready:
                    raise LateError(busy[0].items, patience)
                for worker in [worker for worker in busy if worker.connection in ready]:
                    try:
                        worker.take()
                        idle.append(worker)
                    except _CrashError:  # any item of the chunk may be the cause
                        worker.results += [_alone(work, item, crashed, patience) for item in worker.items]
                    busy.remove(worker)
            else:
                if spare is not None:
                    spare += idle
                    idle = []
                return
    except MemoryError as error:
        raise DepixelError(NO_MEMORY) from error
    finally:
        gc.unfreeze()
        for worker in (*idle, *busy):
            worker.end()


def _alone(
    work: Callable[[Item], Result],
    item: Item,
    crashed: Callable[[Item, str], Result | DepixelError],
    patience: float | None,
) -> Result | DepixelError:
    """The result of work(item) in a new process, which no other item can have damaged."""
    worker = _Worker(work)
    try:
        worker.give([item])
        if not wait([worker.connection], patience):
            return LateError([item], patience)
        worker.take()
        return worker.results[0]
    except _CrashError as error:
        return crashed(item, str(error))
    finally:
        worker.end()


class _CrashError(Exception):
    """A process crashed with a fault, such as SIGSEGV."""


class _Worker(Generic[Item, Result]):
    """A process that works on one chunk of items at a time."""

    def __init__(self, work: Callable[[Item], Result]):
        self.items: list[Item] = []
        self.results: list[Result | DepixelError] = []
        self.connection, theirs = Pipe()
        self._process = Process(target=_serve, args=(work, theirs), daemon=True)
        try:
            self._process.start()
        except OSError as error:
            raise DepixelError(f"cannot start a process ({error.strerror}). {RELIEF}") from error
        theirs.close()

    def give(self, items: list[Item]) -> None:
        """Send a chunk of items to the process."""
        self.items, self.results = items, []
        with suppress(OSError):  # it is dead; `take` says why
            self.connection.send(items)

    def take(self) -> None:
        """Wait for the results. Raises `_CrashError` after a crash, `DepixelError` if the process was killed."""
        try:
            self.results += self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            if name in _CRASHES or code >= _WINDOWS_FAULT:
                raise _CrashError(name) from None
            if name == "SIGKILL":
                name = "SIGKILL, probably for lack of memory"
            raise DepixelError(f"a process that read photos ended unexpectedly ({name}). {RELIEF}") from None

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(work: Callable[[Item], Result], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):  # the parent is gone
        while True:
            connection.send(_results(work, connection.recv()))


def _results(work: Callable[[Item], Result], items: list[Item]) -> list[Result | DepixelError]:
    results: list[Result | DepixelError] = []
    try:
        for item in items:
            results.append(work(item))
    except DepixelError as error:
        results.append(error)
    except MemoryError:
        results.append(DepixelError(NO_MEMORY))
    return results


def _end_with_parent() -> None:
    if parent := parent_process():
        wait([parent.sentinel])
    os._exit(1)


def cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
