"""Worker processes: they compute for requests, stop at once, and give all of their memory back.

A computation in a thread can neither be stopped from outside nor leave the processor to others: Python runs one thread
at a time. So reading, searching and writing pictures happen in processes. Cancelling kills the process.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel

from depixel.base.errors import DepixelError
from depixel.web.jobs import Job, StoppedError

Told = Callable[[float, Sequence[BaseModel]], bool]
"""What a worker's function calls while it works: with the share that is done, 0..1, and what it has found so far. If it
returns False, the function should return what it has."""

GRACE_SECONDS = 5.0
"""Time that a function has to return what it has, seconds; then its process is killed."""
MOST_MEMORY = 400_000_000
"""Memory above which a process is not used again, bytes."""
_STARTING = threading.Lock()
_POLL_SECONDS, _TOLD_SECONDS = 0.05, 0.1

T = TypeVar("T")


class Workers:
    """Processes with the same niceness. Several threads may call `run` at once; each call has a process of its own."""

    def __init__(self, nice: int):
        """`nice`: how much the processes yield to others, 0..19."""
        self._nice = nice
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def warm(self, count: int) -> None:
        """Start processes in advance, because the first start takes a second."""
        for _ in range(count):
            self._give(self._take(new=True))

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()

    def run(self, job: Job, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in a process and return its result.

        Args:
            job: receives the progress. If it is cancelled, the process is killed. If its time is up, `told` returns
                False; the process is killed if that does not help within `GRACE_SECONDS`.
            function: a function of a module; it also takes a `Told` as its last argument.
            arguments: its other arguments.

        Raises:
            CanceledError, StoppedError: the job was cancelled, or its time was up.
            MemoryError: the process was killed from outside, which nearly always means that memory ran out.
        """
        worker, keep = self._take(), False
        try:
            answer = worker.answer(job, (function, arguments, os.getcwd()))  # noqa: PTH109  the path as it is
            kind, value, keep = answer
        except (EOFError, OSError) as error:
            raise MemoryError from error
        finally:
            if keep:
                self._give(worker)
            else:
                worker.kill()
        if kind == "failed":
            raise value
        result: T = value
        return result

    def _take(self, new: bool = False) -> "_Worker":
        with self._lock:
            while self._idle and not new:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
            return _Worker(self._nice)

    def _give(self, worker: "_Worker") -> None:
        with self._lock:
            self._idle.append(worker)


class _Worker:
    """A process and the connection to it."""

    def __init__(self, nice: int):
        self._connection, theirs = multiprocessing.Pipe()
        self._process = _context().Process(target=_serve, args=(theirs, nice), daemon=True, name="depixel worker")
        with _without_main():
            self._process.start()
        theirs.close()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def answer(self, job: Job, asked: tuple[Any, ...]) -> tuple[str, Any, bool]:
        """Send a function and wait for its result, while `job` may be cancelled."""
        self._connection.send(asked)
        deadline = None
        while True:
            job.check_canceled()
            if job.late.is_set():
                if deadline is None:
                    self._connection.send("end")
                    deadline = time.monotonic() + GRACE_SECONDS
                elif time.monotonic() > deadline:
                    raise StoppedError
            if self._connection.poll(_POLL_SECONDS):
                answer: tuple[str, Any, bool] = self._connection.recv()
                if answer[0] != "told":
                    return answer
                job.tell(*answer[1])

    def kill(self) -> None:
        """End the process, and those that it started."""
        if self._process.pid is not None and hasattr(os, "killpg"):
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program's main module, which a new process would run once more; the workers do not need it."""
    with _STARTING:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _context() -> Any:
    """Processes are forks of a small one that has loaded what they need; where there are no forks, they load it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["depixel.web.work"])
    return context


# -- in the process ----------------------------------------------------------------------------------------------------


def _serve(connection: Connection, nice: int) -> None:
    """Call functions until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # so that `kill` also ends what this process starts
        os.nice(nice)
    with suppress(EOFError, OSError):
        while True:
            asked = connection.recv()
            if asked == "end":  # of the call before: its result was on the way already
                continue
            function, arguments, folder = asked
            kind, value = "done", None
            try:
                os.chdir(folder)
                value = function(*arguments, _Teller(connection))
            except (DepixelError, MemoryError) as error:
                kind, value = "failed", error
            except Exception:
                kind, value = "failed", RuntimeError(traceback.format_exc())
            keep = _memory() < MOST_MEMORY
            connection.send((kind, value, keep))
            if not keep:
                return
            del function, arguments, asked, value
            gc.collect()


class _Teller:
    """A `Told` that writes to the connection, at most ten times a second unless more was found."""

    def __init__(self, connection: Connection):
        self._connection, self._next, self._found, self._ended = connection, 0.0, 0, False

    def __call__(self, share: float, found: Sequence[BaseModel] = ()) -> bool:
        if len(found) != self._found or time.monotonic() > self._next:
            self._connection.send(("told", (share, found), True))
            self._next, self._found = time.monotonic() + _TOLD_SECONDS, len(found)
        while self._connection.poll():
            self._ended = self._ended or self._connection.recv() == "end"
        return not self._ended


def _memory() -> int:
    """The most memory that this process has had so far, bytes; where the system does not say, more than is kept."""
    try:
        import resource
    except ImportError:
        return MOST_MEMORY
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
