"""Shared by all commands of the project: reporting errors, stopping, progress bars, and the options of all stages."""

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
from depixel.base.spelling import suggestion

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PIPELINE = {
    *("dvc", "imagehash", "indexed_gzip", "jinja2", "matplotlib", "packaging", "pandas", "pathspec", "psutil"),
    *("pytorch_msssim", "requests", "ruamel", "safetensors", "sklearn", "torch", "zc"),
}
"""The modules that the extra `pipeline` installs. Commands for pictures do without them."""

PREEMPTED = 75
"""The exit code of a training that SIGTERM has stopped at a checkpoint: run it again (EX_TEMPFAIL of sysexits.h)."""

params_option = click.option(
    "--params",
    type=click.Path(dir_okay=False),
    default=layout.PARAMS.as_posix(),
    show_default=True,
    help="The YAML file with the settings.",
)


def path_option(*names: str, default: Path, help: str, place: Callable[[str], Any] = Path) -> Callable[[F], F]:
    """An option of a stage that names a file or folder, as a `Path` or as `place` makes it of the text; the help shows
    its default with `/` everywhere."""
    return click.option(
        *names,
        default=default.as_posix(),
        show_default=True,
        type=click.Path(),
        callback=lambda context, option, text: place(text),
        help=help,
    )


def docstring(function: Callable[..., Any]) -> str | None:
    """The docstring of a function; under `python -OO`, which drops it, it is read from the source."""
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
    """Set the help of a command and its subcommands from their docstrings, also under `python -OO`."""
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
    """Turn a `DepixelError`, an inaccessible file, a missing package of the pipeline or a lack of memory into one
    message and exit code 1, and Ctrl-C into exit code 130."""

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
                "out of memory. Nothing is lost. Close other programs and run the command again"
            ) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted; no output is half-written. Run the same command again to continue.", err=True)
            sys.exit(130)

    wrapped.__doc__ = docstring(function)
    return wrapped


class PlainGroup(click.Group):
    """A group of commands that all report their errors plainly. Without a command it prints its help.

    Attributes:
        sections: title -> names of commands, as the help lists them; commands in none of them are listed last.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands, which the help lists together under a title."""
        self.sections[title] = [str(command.name) for command in commands]
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List each command with the first sentence of its help, in its section."""
        listed = {name for names in self.sections.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in listed]
        width = max((len(name) for name in self.commands), default=0)
        for title, names in {**self.sections, "Commands": others}.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - width - 6))
                for name in names
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help, with exit code 0, if there are no arguments and the group itself does nothing."""
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest spelling of an unknown one, which older versions of click do not."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"No such command {name!r}.{suggestion(name, self.commands)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and report its errors plainly."""
        return told_plainly(super().invoke)(ctx)


def run_stage(command: list[str], **options: Any) -> int:
    """Run a stage in its own process until it ends; return its exit code.

    If this process receives SIGTERM, it passes the signal on and waits, so that the stage saves its state first.
    `options` are those of `subprocess.Popen`.

    Raises:
        KeyboardInterrupt: the stage was told to stop.
    """
    with subprocess.Popen(command, **options) as process:  # noqa: S603
        # a terminal sends Ctrl-C to the stage, too
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
    if code in (PREEMPTED, 128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    return code


@contextmanager
def stopping(stop: Callable[[], None], once: bool = True) -> Iterator[list[int]]:
    """Make Ctrl-C and SIGTERM call `stop`, so that the work within ends by itself.

    Args:
        stop: makes the work end soon.
        once: whether a second signal ends the process. Those that torchrun starts get each signal twice: from torchrun,
            and from the cluster or the terminal.

    Yields:
        The numbers of the signals received, filled as they come.
    """
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        stop()
        received.append(number)
        if once:
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
    """A progress bar on the standard error; silent if that is not a terminal. `options` are tqdm's."""
    return tqdm(items, disable=None, dynamic_ncols=True, **options)


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 photo`, `2 photos`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
