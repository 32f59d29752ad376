"""What all stages have in common: one runs at a time, and what it read is what will be recorded.

DVC hashes the inputs of a stage when it has ended. Whatever was edited meanwhile would be recorded as what the result
was made of; a stage that notices fails, and DVC records nothing.
"""

import errno
import functools
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psutil
from zc.lockfile import LockError, LockFile

import depixel
from depixel.base import reuse
from depixel.base.code import code_digest
from depixel.base.console import docstring, told_plainly
from depixel.base.environment import check_locked
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.layout import ENVIRONMENT, STAGE_LOCK
from depixel.base.settings import S, read_section


class Inputs:
    """What a stage reads: sources, sections of params.yaml, files and folders.

    Args:
        script: the stage's file; the modules of `depixel` that are loaded belong to the sources too.
        params: the path of params.yaml, None for a stage without settings.
    """

    def __init__(self, script: str, params: str | None = None):
        self._script = script
        modules = (module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "depixel")
        self._sources = {Path(path): _content(Path(path)) for path in {script, *modules} if path}
        now = time.time_ns()
        if edited := [path for path in self._sources if depixel.IMPORTED < _modified(path) <= now]:
            raise DepixelError(f"{_shown(edited[0])}: was edited just when this began to read it. Run the same again")
        self._params = params or ""
        self._sections: dict[str, tuple[type[Any], Any]] = {}
        self._files: dict[Path, tuple[bytes, int]] = {}
        self._record: tuple[Path, str] | None = None
        self._made: tuple[Path, ...] = ()

    def section(self, name: str, model: type[S]) -> S:
        """Read a section of params.yaml, as `read_section` does."""
        settings = read_section(self._params, name, model)
        self._sections[name] = model, settings
        return settings

    def watch(self, path: str | Path) -> Path:
        """Add a file or a folder with all that is in it; to be called before it is read. Returns `path`."""
        self._files[Path(path)] = _state(Path(path)), time.time_ns()
        return Path(path)

    def reusable(self, record: Path, without: Sequence[Path] = (), module: str = "", also: str = "") -> bool:
        """Whether an earlier run of this stage, by the same code and from the same inputs, left outputs that are whole.

        To be asked when all sections are read and all files are watched. If not, `finish` writes a record of `made`.

        Args:
            record: where the stage keeps its record; it is an output of the stage, too.
            without: what is watched, but is told by another input as well, such as photos by their manifest.
            module: the file of the module that computes the outputs, if not all that the script imports does.
            also: what decides the outputs beside code, packages, settings and files.
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
        """Say which files, all in all, the stage has written."""
        self._made = outputs

    def finish(self) -> None:
        """`check`; then write the record that `reusable` was asked for."""
        self.check()
        if self._record:
            record, made_by = self._record
            hashes = {Path(os.path.relpath(path, record.parent)).as_posix(): path for path in self._made}
            reuse.write_record(record, made_by, {name: hash_of(path, "sha256") for name, path in hashes.items()})

    def check(self) -> None:
        """Raise `DepixelError` if something is not as it was when the stage began to read it."""
        edited: list[Path | str] = [path for path, content in self._sources.items() if _content(path) != content]
        edited += [
            f"{self._params}, section {name}" for name, read in self._sections.items() if self._differs(name, *read)
        ]
        edited += [_changed_in(path, since) for path, (state, since) in self._files.items() if _state(path) != state]
        if edited:
            raise DepixelError(
                f"{', '.join(_shown(path) for path in edited)}: changed while this stage ran, so its result would be "
                "recorded as one of the new state. It is not recorded; earlier results are. Run the same again"
            )

    def _differs(self, name: str, model: type[S], settings: S) -> bool:
        try:
            return read_section(self._params, name, model) != settings
        except DepixelError:  # half-edited
            return True


def stage(*reads: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make `function(inputs, **options)` the body of a stage's click command.

    It refuses another environment than the locked one, waits until no other stage runs in this project, watches its
    `Inputs`, and tells errors plainly.

    Args:
        reads: the options that name what the stage reads; `option/name` is a file in such a folder. The option
            `params` is taken from the function's.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        @told_plainly
        def wrapped(params: str | None = None, **options: Any) -> None:
            inputs = Inputs(function.__code__.co_filename, params)
            named = (Path(options[name], *within) for name, *within in (one.split("/") for one in reads))
            for path in (ENVIRONMENT, *named):
                inputs.watch(path)
            with _alone():
                inputs.check()  # what was waited for may have written what this stage reads, and DVC would not know
                check_locked(ENVIRONMENT)
                function(inputs, **options)
                inputs.finish()

        wrapped.__doc__ = docstring(function)
        return wrapped

    return decorate


@contextmanager
def _alone() -> Iterator[None]:
    """Wait for a stage that runs in this project already: one whose `dvc repro` was killed goes on without it."""
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
    """Take the lock, waiting as long as it needs; None where the file system has no locks."""
    told = False
    while True:
        try:
            return LockFile(str(STAGE_LOCK))
        except LockError as error:
            if getattr(error.__context__, "errno", None) in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                click.echo(
                    f"{STAGE_LOCK}: cannot be locked on this file system; see that no other stage runs.", err=True
                )
                return None
            if not told:
                click.echo(f"Waiting for {_holder()}, which runs in this project already.", err=True)
                told = True
            time.sleep(0.2)


def _holder() -> str:
    try:
        process = psutil.Process(int(STAGE_LOCK.read_text(encoding="ascii")))
        return f"`{' '.join(process.cmdline())}` (process {process.pid})"
    except (OSError, ValueError, psutil.Error):
        return "another stage"


def _content(path: Path) -> str:
    """What a source does: an edit of prose changes no result, so nothing is to be made anew for it."""
    try:
        return code_digest([path])
    except DepixelError:  # gone, or half-edited
        return ""


def _hashes_in(path: Path) -> list[str]:
    """Of a file its hash; of a folder, the name and the hash of each file in it."""
    if not path.is_dir():
        return [hash_of(path, "sha256") if path.is_file() else ""]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [f"{file.relative_to(path).as_posix()} {hash_of(file, 'sha256')}" for file in files]


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _state(path: Path) -> bytes:
    """A hash of the names, sizes and times of a file or of all that is in a folder; quick, in little memory."""
    digest = hashlib.sha256()
    todo = [str(path)]
    while todo:
        place = todo.pop()
        try:
            status = os.stat(place)  # noqa: PTH116  strings: there may be many
            if not stat.S_ISDIR(status.st_mode):
                digest.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ino}".encode())
            elif place == str(path) or not os.path.islink(place):  # noqa: PTH114
                # not the times of a folder: they change with what is written beside the data
                todo += [os.path.join(place, name) for name in sorted(os.listdir(place))]  # noqa: PTH118, PTH208
        except OSError:  # gone, or a link to nothing
            digest.update(b"-")
        digest.update(os.fsencode(place))
    return digest.digest()


def _changed_in(path: Path, since: int) -> Path:
    """The file in a folder that was changed last; the folder itself where none was since, but one is gone."""
    changed = {}
    with suppress(OSError):  # a folder within is gone
        changed = {file: file.stat().st_ctime_ns for file in path.rglob("*") if file.is_file()}
    youngest = max(changed, key=lambda file: changed[file], default=path)
    return youngest if changed.get(youngest, 0) >= since else path


def _shown(path: Path | str) -> str:
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
