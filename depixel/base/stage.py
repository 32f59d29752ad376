"""Shared by all stages: only one runs at a time, and a stage fails if its inputs change while it runs.

DVC hashes the inputs of a stage after the stage has ended. If you edit one meanwhile, DVC would record the edited input
although the result was made from the old one. So a stage that notices an edit fails, and DVC records nothing.
"""

import errno
import functools
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click
import psutil
from zc.lockfile import LockError, LockFile

import depixel
from depixel.base import reuse
from depixel.base.code import code_digest
from depixel.base.console import docstring, told_plainly
from depixel.base.environment import check_locked, versions
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.layout import ENVIRONMENT, STAGE_LOCK
from depixel.base.settings import S, read_section

_LARGE = 1 << 24  # bytes of a file
_TICK = 10_000_000  # nanoseconds by which a file's time may lag behind the clock: Linux takes that of its last tick


@runtime_checkable
class Watched(Protocol):
    """An input that is neither a file nor a folder, such as a bucket; `str` names it in messages."""

    def state(self) -> bytes:
        """A hash that changes with its content."""


class Inputs:
    """The inputs of a stage: source files, sections of params.yaml, files, folders and buckets.

    Args:
        script: the stage's file; the sources are this file and all loaded modules of `depixel`.
        params: the path of params.yaml; None for a stage without settings.

    Raises:
        DepixelError: a source file was edited between its import and now.
    """

    def __init__(self, script: str, params: str | None = None):
        self._script = script
        modules = (module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "depixel")
        self._sources = {Path(path): _content(Path(path)) for path in {script, *modules} if path}
        now = time.time_ns()
        if edited := [path for path in self._sources if depixel.IMPORTED < _modified(path) <= now]:
            raise DepixelError(f"{_shown(edited[0])}: was edited while this command started. Run the command again")
        self._params = params or ""
        self._sections: dict[str, tuple[type[Any], Any]] = {}
        self._files: dict[Path, tuple[bytes, int]] = {}
        self._others: dict[Watched, bytes] = {}
        self._record: tuple[Path, str] | None = None
        self._made: tuple[Path, ...] = ()

    def section(self, name: str, model: type[S]) -> S:
        """Read a section of params.yaml, as `read_section` does."""
        settings = read_section(self._params, name, model)
        self._sections[name] = model, settings
        return settings

    def watch(self, path: str | Path) -> Path:
        """Add a file, or a folder with everything in it, and return `path`. Call it before you read the file."""
        self._files[Path(path)] = _state(Path(path)), time.time_ns()
        return Path(path)

    def watch_other(self, place: Watched) -> None:
        """Add an input that is no file. Call it before you read it."""
        self._others[place] = place.state()

    def reusable(self, record: Path, without: Sequence[object] = (), module: str = "", also: str = "") -> bool:
        """Whether an earlier run of this stage made the same outputs and they are unchanged.

        Call it after all sections are read and all files are watched. If it returns False, `finish` writes a record of
        the outputs named to `made`.

        Args:
            record: the path of the stage's record, which is an output of the stage too.
            without: watched inputs that need no hash because another input covers them, as the manifest covers photos.
            module: the file of the module that computes the outputs; "" if everything that the script imports does.
            also: anything else that determines the outputs, beside code, packages, settings and files.
        """
        files = (path for path in self._files if path not in (ENVIRONMENT, *without))
        read = [f"{path.as_posix()} {digest}" for path in files for digest in _hashes_in(path)]
        sections = (settings for _, settings in self._sections.values())
        made_by = reuse.maker(module or self._script, *sections, also=[*read, code_digest([self._script]), also])
        if reuse.reusable(record, made_by):
            return True
        self._record = record, made_by
        return False

    def made(self, *outputs: Path) -> None:
        """Name all files that the stage has written."""
        self._made = outputs

    def finish(self) -> None:
        """Run `check`, then write the record if `reusable` returned False."""
        self.check()
        if self._record:
            record, made_by = self._record
            hashes = {Path(os.path.relpath(path, record.parent)).as_posix(): path for path in self._made}
            reuse.write_record(record, made_by, {name: hash_of(path, "sha256") for name, path in hashes.items()})

    def check(self) -> None:
        """Raise `DepixelError` if an input has changed since the stage began to read it."""
        edited: list[Path | str] = [path for path, content in self._sources.items() if _content(path) != content]
        edited += [
            f"{self._params}, section {name}" for name, read in self._sections.items() if self._differs(name, *read)
        ]
        edited += [_changed_in(path, since) for path, (state, since) in self._files.items() if _state(path) != state]
        names = [_shown(path) for path in edited]
        names += [str(place) for place, state in self._others.items() if place.state() != state]
        if names:
            raise DepixelError(
                f"{', '.join(names)}: changed while this stage ran. Its result belongs to "
                "the old state, so it is not recorded; earlier results stay. Run the command again"
            )

    def summary(self) -> dict[str, str]:
        """What this stage reads, so that processes on several machines can compare it: name -> hash or text.

        Of a file of more than 16 MB, the summary has the size, beginning and end.
        """
        modules = {f"{path.parent.name}/{path.name}": content for path, content in self._sources.items()}
        sections = {
            f"{self._params}, section {name}": settings.model_dump_json()
            for name, (_, settings) in self._sections.items()
        }
        packages = {f"package {name}": version for name, version in versions().items()}
        return modules | packages | sections | {path.as_posix(): _brief(path) for path in self._files}

    def _differs(self, name: str, model: type[S], settings: S) -> bool:
        try:
            return read_section(self._params, name, model) != settings
        except DepixelError:  # half-edited
            return True


def follows() -> bool:
    """Whether torchrun started this process as another one than the first, which writes the outputs."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0"


def stage(*reads: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make `function(inputs, **options)` the body of a stage's click command.

    The stage waits until no other stage runs in this project; of the processes of one training, the first one waits. It
    fails if installed packages differ from the lock file,
    watches its `Inputs`, and prints a `DepixelError` without a traceback.

    Args:
        reads: the options that name the stage's input files and folders; `option/name` is a file in such a folder. The
            option `params`, if there is one, is watched too.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        @told_plainly
        def wrapped(params: str | None = None, **options: Any) -> None:
            inputs = Inputs(function.__code__.co_filename, params)
            inputs.watch(ENVIRONMENT)
            for name, *within in (one.split("/") for one in reads):
                if isinstance(options[name], Watched):
                    inputs.watch_other(options[name])
                else:
                    inputs.watch(Path(options[name], *within))
            with nullcontext() if follows() else _alone():
                inputs.check()  # the stage that ran before may have changed an input, which DVC would not notice
                check_locked(ENVIRONMENT)
                function(inputs, **options)
                inputs.finish()

        wrapped.__doc__ = docstring(function)
        return wrapped

    return decorate


@contextmanager
def _alone() -> Iterator[None]:
    """Wait while another stage runs in this project. A stage keeps running when its `dvc repro` is killed."""
    if not STAGE_LOCK.parents[1].is_dir():  # not in a DVC project
        yield
        return
    try:
        STAGE_LOCK.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock()
    except OSError as error:
        raise DepixelError(f"{STAGE_LOCK}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        if lock:
            lock.close()


def _lock() -> LockFile | None:
    """Wait for the lock and take it; None if the file system has no locks."""
    told = False
    while True:
        try:
            return LockFile(str(STAGE_LOCK))
        except LockError as error:
            if getattr(error.__context__, "errno", None) in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                click.echo(
                    f"{STAGE_LOCK}: this file system has no locks; make sure that no other stage runs.", err=True
                )
                return None
            if not told:
                click.echo(f"Waiting for {_holder()}, which already runs in this project.", err=True)
                told = True
            time.sleep(0.2)


def _holder() -> str:
    try:
        process = psutil.Process(int(STAGE_LOCK.read_text(encoding="ascii")))
        return f"`{' '.join(process.cmdline())}` (process {process.pid})"
    except (OSError, ValueError, psutil.Error):
        return "another stage"


def _content(path: Path) -> str:
    """The hash of a source file, which comments do not change; "" if it cannot be parsed."""
    try:
        return code_digest([path])
    except DepixelError:  # gone, or half-edited
        return ""


def _hashes_in(path: Path) -> list[str]:
    """The sha256 of a file; for a folder, the name and the sha256 of each file in it."""
    if not path.is_dir():
        return [hash_of(path, "sha256") if path.is_file() else ""]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [f"{file.relative_to(path).as_posix()} {hash_of(file, 'sha256')}" for file in files]


def _brief(path: Path) -> str:
    """A hash of a file or folder; for a large file, of its size, beginning and end."""
    if not path.is_file() or path.stat().st_size <= _LARGE:
        return " ".join(_hashes_in(path))
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for start in (0, size - _LARGE // 2):
            file.seek(start)
            digest.update(file.read(_LARGE // 2))
    return f"{size} {digest.hexdigest()}"


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _state(path: Path) -> bytes:
    """A hash of the names, sizes and times of a file or of everything in a folder; fast, with little memory."""
    digest = hashlib.sha256()
    todo = [str(path)]
    while todo:
        place = todo.pop()
        try:
            status = os.stat(place)  # noqa: PTH116  strings take less memory than paths
            if not stat.S_ISDIR(status.st_mode):
                digest.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ino}".encode())
            elif place == str(path) or not os.path.islink(place):  # noqa: PTH114
                # not the folder's time: it changes when something is written beside the data
                todo += [os.path.join(place, name) for name in sorted(os.listdir(place))]  # noqa: PTH118, PTH208
        except OSError:  # gone, or a link to nothing
            digest.update(b"-")
        digest.update(os.fsencode(place))
    return digest.digest()


def _changed_in(path: Path, since: int) -> Path:
    """The file in a folder that was changed last; the folder itself if none was changed since (a file is gone)."""
    changed = {}
    with suppress(OSError):  # a folder within is gone
        changed = {file: file.stat().st_ctime_ns for file in path.rglob("*") if file.is_file()}
    youngest = max(changed, key=lambda file: changed[file], default=path)
    return youngest if changed.get(youngest, 0) >= since - _TICK else path


def _shown(path: Path | str) -> str:
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
