"""Chooses where `validate` and `prepare` work: in processes of this machine, or on a runner of Apache Beam.

The environment variable `DEPIXEL_RUNNER` chooses; without it, nothing of Beam is imported. The runner does units of
work (`depixel.photos.units`) in any order; this machine reads their results in order. So the outputs do not depend on
the runner.
"""

import gc
import logging
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from tqdm import tqdm

from depixel.base.errors import DepixelError
from depixel.base.layout import UNITS
from depixel.photos import processes
from depixel.photos.units import Task, cut, identity

RUNNER = "DEPIXEL_RUNNER"
"""The environment variable that chooses: `dask://HOST:PORT`, `direct`, or a file of Beam options."""

PATIENCE = "DEPIXEL_PATIENCE"
"""The environment variable with the number of seconds after which a run gives up if no unit was finished."""

_PATIENCE = 600.0
_WAVE = 512  # units that are given to the runner at a time, so that memory does not grow with the number of photos
_POLL = 0.05  # seconds
_VISIBLE = 60.0  # seconds that a network disk may take to show a file that another machine wrote
_CONNECTION = "--dask_connection_timeout=10"  # seconds
_DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
_DIRECT = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None,
    crashed: Callable[[Item, str], Result | DepixelError],
) -> Iterator[Result]:
    """Yield work(item) for every item, in order, as `processes.each` does; computed where `DEPIXEL_RUNNER` says.

    Args:
        work: a function of a module of `depixel`, or a partial of one.
        items: tuples that begin with an `Entry`, or None for an item that needs no file.
        workers: number of processes on this machine. A cluster has its own.
        crashed: as for `processes.each`.

    Raises:
        DepixelError: also if the runner cannot be reached, a worker differs from this machine, or nothing is finished
            in time. Finished units stay: the next run does only the others.
    """
    chosen = os.environ.get(RUNNER, "").strip()
    if not chosen:
        yield from processes.each(work, items, workers, crashed)
        return
    options, patience = _options(chosen, workers), _patience()
    _check_installed()
    root = Path.cwd()
    folder = root / UNITS
    task = Task(work, crashed, str(root), str(folder), patience / 2, identity(work))
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DepixelError(f"{folder}: cannot be made ({error.strerror})") from error
    units = cut(items)
    while wave := list(islice(units, _WAVE)):
        put = [("", True) if unit[0] is None else task.put(unit) for unit in wave]
        counts = [len(unit) for unit in wave]
        missing = [name for name, done in put if not done]
        if known := sum(done and bool(name) for name, done in put):
            tqdm.write(f"{known} of {known + len(missing)} units were done by an earlier run.", file=sys.stderr)
        running = _Running(chosen, options, task, missing, patience)
        try:
            for (name, _), count in zip(put, counts, strict=True):
                yield from running.results(name) if name else (work(None) for _ in range(count))  # type: ignore[arg-type]
        finally:
            running.end()
    shutil.rmtree(folder, ignore_errors=True)


class _Running:
    """A pipeline that does units in a thread of its own, and its results as they appear.

    Args:
        chosen: the value of `DEPIXEL_RUNNER`, for messages.
        options: options of Beam.
        task: what to do.
        names: the units.
        patience: seconds without a new result after which it gives up.
    """

    def __init__(self, chosen: str, options: list[str], task: Task, names: list[str], patience: float):
        self._chosen, self._options, self._task, self._names = chosen, options, task, names
        self._patience = patience
        self._running: Any = None  # Beam's result object, once the pipeline runs
        self._error: BaseException | None = None
        self._done, self._since = 0, time.monotonic()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if not self._names:
            return
        try:
            import apache_beam as beam
            from apache_beam.options.pipeline_options import PipelineOptions

            pipeline = beam.Pipeline(options=PipelineOptions(self._options))
            units = pipeline | beam.Create(self._names)
            if not self._chosen.startswith("dask://"):  # there, Create spreads them, and a shuffle costs seconds
                units |= beam.Reshuffle()
            _ = units | beam.Map(self._task.do)
            self._running = pipeline.run()
            for name in _LOUD:  # importing them sets other levels
                logging.getLogger(name).setLevel(logging.CRITICAL)
            self._running.wait_until_finish()
            if getattr(getattr(self._running, "client", None), "status", "running") != "running":
                raise ConnectionError("the connection to the scheduler was lost")  # DaskRunner does not tell
        except BaseException as error:
            self._error = error

    def results(self, name: str) -> list[Any]:
        """Wait for the results of a unit."""
        while True:
            alive = self._thread.is_alive()
            if (results := self._task.results(name)) is not None:
                return results
            waited = self._waited()
            if self._error:
                raise self._told(self._error) from self._error
            if not alive and waited > _VISIBLE:
                raise DepixelError(
                    f"{RUNNER}={self._chosen}: the runner says that all units are done, but their results do not "
                    f"appear in {self._task.folder}. All workers must see this folder by the same path"
                )
            if waited > self._patience:
                raise DepixelError(
                    f"{RUNNER}={self._chosen}: no unit was finished for {self._patience:g} s, so the run gives up. See "
                    f"that workers are connected and not stuck, and run the command again: {_KEPT}. To wait longer, "
                    f"set {PATIENCE} to a number of seconds"
                )
            time.sleep(_POLL)

    def _waited(self) -> float:
        """Seconds since the last new result of any unit."""
        done = self._task.done()
        if done != self._done:
            self._done, self._since = done, time.monotonic()
        return time.monotonic() - self._since

    def _told(self, error: BaseException) -> DepixelError:
        """What is wrong, from the error that Beam raised; the runner may have put ours into a text of its own."""
        here = f"{RUNNER}={self._chosen}"
        if self._running is None and isinstance(error, OSError):
            return DepixelError(
                f"{here}: cannot be reached ({_first_line(error)}). Start it, see docs/how-to/scale-data.md, or unset "
                f"{RUNNER} to work on this machine"
            )
        ours = re.findall(r"(?m)^(?:[\w.]*\bDepixelError: )(.+?)(?: \[while running .*)?$", f"{_text(error)}")
        if ours:
            return DepixelError(f"{ours[-1]}. Then run the command again: {_KEPT}")
        return DepixelError(
            f"{here}: the runner failed ({_first_line(error)}). See that its scheduler and workers run, and run the "
            f"command again: {_KEPT}"
        )

    def end(self) -> None:
        """Cancel what still runs."""
        with suppress(Exception):
            if self._thread.is_alive():
                self._running.cancel()
        with suppress(Exception):  # DaskRunner leaves its client open
            self._running.client.close(2)


# loggers of errors that are raised, too; DaskRunner's client also logs as it closes
_LOUD = ("apache_beam", "distributed", "distributed.client", "tornado.application")
_KEPT = "units that are done are kept"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _first_line(error: BaseException) -> str:
    return _text(error).strip().splitlines()[0]


# The choice


def _options(chosen: str, workers: int | None) -> list[str]:
    """Options of Beam for a value of `DEPIXEL_RUNNER`."""
    if chosen == "direct":
        count = workers or processes.cores()
        return [f"--runner={_DIRECT}", f"--direct_num_workers={count}", "--direct_running_mode=multi_threading"]
    if re.fullmatch(r"dask://[^/\s]+:\d+", chosen):
        address = f"tcp://{chosen.removeprefix('dask://')}"
        # one unit a partition: else all of them go to one worker
        return [f"--runner={_DASK}", f"--dask_client_address={address}", "--dask_partition_size=1", _CONNECTION]
    try:
        options = shlex.split(Path(chosen).read_text(encoding="utf-8"), comments=True)
    except FileNotFoundError:
        raise DepixelError(
            f"{RUNNER}={chosen}: write dask://HOST:PORT for a Dask scheduler, direct for this machine, or the path of "
            "a file with options of Apache Beam, such as --runner=FlinkRunner"
        ) from None
    except (OSError, ValueError) as error:
        raise DepixelError(f"{RUNNER}={chosen}: cannot be read as options of Apache Beam ({error})") from error
    if not any(option.startswith("--runner") for option in options):
        raise DepixelError(f"{chosen}: names no runner of Apache Beam; add a line such as --runner=FlinkRunner")
    return options


def _patience() -> float:
    text = os.environ.get(PATIENCE, "")
    try:
        seconds = float(text) if text else _PATIENCE
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise DepixelError(f"{PATIENCE}={text}: must be a number of seconds above 0, such as 600")
    return seconds


def _check_installed() -> None:
    """Import Beam, which warns of what it does not find and of what it does; nobody here needs that."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # a forked process only decodes photos
    logging.disable(logging.WARNING)
    gc.disable()  # an import leaves no garbage; it takes a quarter less time
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise DepixelError(
            f"{RUNNER} is set, and the package {error.name} is not installed: "
            "`pip install --no-deps -r requirements-beam.lock`; or unset it to work without a cluster"
        ) from error
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
