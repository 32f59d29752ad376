"""What every command of the project shares: how it reports errors, stops and shows progress; options of all stages."""

import ast
import functools
import inspect
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from tqdm import tqdm

from depixel.base import layout
from depixel.base.errors import DepixelError

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PIPELINE = {
    *("dvc", "imagehash", "indexed_gzip", "jinja2", "matplotlib", "packaging", "pandas", "pathspec", "psutil"),
    *("requests", "ruamel", "safetensors", "sklearn", "torch", "zc"),
}
"""The modules that the extra `pipeline` installs. Commands for pictures do without them."""

params_option = click.option(
    "--params",
    type=click.Path(dir_okay=False),
    default=layout.PARAMS.as_posix(),
    show_default=True,
    help="The settings, a YAML file.",
)


def path_option(*names: str, default: Path, help: str) -> Callable[[F], F]:
    """An option of a stage that names a file or a folder, as a `Path`; its default is shown with `/` everywhere."""
    return click.option(
        *names, default=default.as_posix(), show_default=True, type=click.Path(path_type=Path), help=help
    )


def docstring(function: Callable[..., Any]) -> str | None:
    """The docstring of a function; from its source where `python -OO` has dropped it."""
    function = inspect.unwrap(function)
    code = function.__code__
    if sys.flags.optimize < 2 or not Path(code.co_filename).is_file():
        return function.__doc__
    for node in ast.walk(ast.parse(Path(code.co_filename).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            starts = {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}
            if code.co_firstlineno in starts:
                return ast.get_docstring(node)
    return None


def with_help(command: click.Command) -> None:
    """Give a command, and all below it, the help that their docstrings say, also under `python -OO`."""
    if not command.help and command.callback:
        command.help = docstring(command.callback)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        with_help(below)


def lacks_pipeline(error: ModuleNotFoundError) -> str | None:
    """What to install, in a sentence, if a package of the pipeline is missing; None for any other module."""
    name = (error.name or "").partition(".")[0]
    if name not in PIPELINE:
        return None
    return f'this needs the training pipeline, and its package {name} is not installed: pip install "depixel[pipeline]"'


def told_plainly(function: Callable[P, T]) -> Callable[P, T]:
    """Turn a `DepixelError`, a file that cannot be looked at, a missing package of the pipeline or lack of memory into
    one message and exit code 1, Ctrl-C into exit code 130."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except DepixelError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror or error}") from error
        except ModuleNotFoundError as error:
            if not (lacking := lacks_pipeline(error)):
                raise
            raise click.ClickException(lacking) from error
        except MemoryError as error:
            raise click.ClickException(
                "out of memory. Nothing was lost; close other programs and run it again"
            ) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted; nothing half-written is left. Run the same command again.", err=True)
            sys.exit(130)

    wrapped.__doc__ = docstring(function)
    return wrapped


class PlainGroup(click.Group):
    """A group of commands that all report their errors plainly."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and tell its errors plainly."""
        return told_plainly(super().invoke)(ctx)


def run_stage(command: list[str], **options: Any) -> int:
    """Run a stage in a process of its own, to its end; returns its exit code.

    If it is asked to end itself, it passes that on and waits, so that the stage saves its state first. `options` are
    those of `subprocess.Popen`.

    Raises:
        KeyboardInterrupt: the stage was told to stop.
    """
    with subprocess.Popen(command, **options) as process:  # noqa: S603
        # Ctrl-C in a terminal reaches it by itself
        handlers: dict[signal.Signals, Callable[..., None]] = {
            signal.SIGINT: lambda *_: None,
            signal.SIGTERM: lambda *_: process.terminate(),
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    return code


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM call `stop`, which makes the work within end by itself; again, they end the process.

    Yields:
        The numbers of the signals received, filled as they come.
    """
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        stop()
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        restore()


def progress(items: Iterable[Any] | None = None, **options: Any) -> "tqdm[Any]":
    """A progress bar on the standard error, quiet when that is not a terminal. `options` are tqdm's."""
    return tqdm(items, disable=None, dynamic_ncols=True, **options)


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 photo`, `2 photos`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
