"""Runs a command so that Ctrl-C ends it with a single line, which says how to continue."""

from __future__ import annotations  # the installer runs on any Python 3, to say which one it needs

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NoReturn


class StoppedError(Exception):
    """A person stopped the command.

    Attributes:
        code: exit code of the command; negative if a signal ended it.
        number: the first signal that this process received.
    """

    def __init__(self, code: int, number: int) -> None:
        super().__init__(code)
        self.code, self.number = code, number


def run(command: list[str], read: Callable[[IO[bytes]], None] | None = None, env: dict[str, str] | None = None) -> int:
    """Run a command to its end and return its exit code.

    The command gets its own session, so Ctrl-C does not reach it: Python would print a traceback, and DVC an error.
    Instead, this function sends SIGTERM to all its processes. A training then writes a checkpoint; other processes end
    at once. Ctrl-Z stops the command and `fg` continues it, as usual.

    Args:
        command: the program and its arguments.
        read: receives all output of the command, as bytes; None: the output goes to the terminal.
        env: the command's environment variables; None: those of this process.

    Raises:
        StoppedError: Ctrl-C, SIGTERM or a closed terminal stopped it, and all processes of the command have ended.
    """
    process: subprocess.Popen[bytes] | None = None
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        if process:
            _send(process, signal.SIGTERM)

    def suspend(number: int, frame: object) -> None:
        if process:
            _send(process, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        if process:
            _send(process, signal.SIGCONT)

    handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), stop) | {signal.SIGTSTP: suspend}
    with _handling(handlers):
        out, error = (subprocess.PIPE, subprocess.STDOUT) if read else (None, None)
        process = subprocess.Popen(command, stdout=out, stderr=error, env=env, start_new_session=True)  # noqa: S603
        if received:  # a signal came before the process existed
            _send(process, signal.SIGTERM)
        if read and process.stdout:
            read(process.stdout)
        code = process.wait()
        if received:
            _wait_for_all(process)
    if received:
        raise StoppedError(code, received[0])
    return code


def leave(number: int = signal.SIGINT) -> NoReturn:
    """End this process after signal `number`, when the message to the user is printed.

    After Ctrl-C under `make` in a terminal, the exit code is 0. Make has received the same Ctrl-C and ends by itself;
    for any other code it would print an additional line.
    """
    quiet = number == signal.SIGINT and os.environ.get("MAKELEVEL") and _in_terminal()
    sys.exit(0 if quiet else 128 + number)


def say(line: str) -> None:
    """Print a line on the standard error, over an unfinished line of progress."""
    sys.stderr.write(f"\r\033[K{line}\n" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()


def typed(default: str) -> str:
    """The command that the user typed, which `make` passes on; else `default`."""
    return os.environ.get("DEPIXEL_TYPED", default)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_for_all(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until no process of the session is left, because one may still be saving its state."""
    end = time.monotonic() + seconds  # a zombie process would stay in the list forever
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def _in_terminal() -> bool:
    """Whether Ctrl-C in the terminal reaches this process, and therefore make too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _handling(handlers: Mapping[signal.Signals, Callable[[int, object], None]]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
