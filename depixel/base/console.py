"""What every command of the project shares: the way errors are told, progress bars, the --params option."""

import functools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable

import click
from tqdm import tqdm

from depixel.base.errors import DepixelError

params_option = click.option(
    "--params",
    type=click.Path(dir_okay=False),
    default="params.yaml",
    show_default=True,
    help="The settings, a YAML file.",
)


def told_plainly(function: Callable) -> Callable:
    """Turn a `DepixelError`, a file that cannot be looked at or want of memory into one message and exit code 1, Ctrl-C
    into exit code 130."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except DepixelError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror or error}") from error
        except MemoryError as error:
            raise click.ClickException(
                "out of memory. Nothing was lost; close other programs and run it again"
            ) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted; nothing half-written is left. Run the same command again.", err=True)
            sys.exit(130)

    return wrapped


class PlainGroup(click.Group):
    """A group of commands which all tell their errors plainly."""

    invoke = told_plainly(click.Group.invoke)


def run_stage(command: list[str], **options) -> int:
    """Run a stage in a process of its own, to its end; returns its exit code.

    Told to end itself, it passes that on and waits: the stage is to save its state first. `options` are those of
    `subprocess.Popen`.

    Raises:
        KeyboardInterrupt: the stage was told to stop.
    """
    with subprocess.Popen(command, **options) as process:  # noqa: S603
        # Ctrl-C in a terminal reaches it by itself
        handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    return code


def progress(items: Iterable | None = None, **options) -> tqdm:
    """A progress bar on the standard error, quiet when that is not a terminal. `options` are tqdm's."""
    return tqdm(items, disable=None, dynamic_ncols=True, **options)
