"""A command that Ctrl-C ends without noise, and one line that says how to go on."""

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
        code: exit code of the command; negative where a signal ended it.
        number: the first signal that this process received.
    """

    def __init__(self, code: int, number: int) -> None:
        super().__init__(code)
        self.code, self.number = code, number


def run(command: list[str], read: Callable[[IO[bytes]], None] | None = None, env: dict[str, str] | None = None) -> int:
    """Run a command to its end; its exit code.

    The command gets a session of its own, where Ctrl-C does not reach it. Python would print a traceback for Ctrl-C and
    DVC an error. Ctrl-C becomes SIGTERM for all its processes: a training writes a checkpoint, the others end at once.
    Ctrl-Z stops the command and `fg` continues it, as usual.

    Args:
        read: receives all output of the command, as bytes; None leaves the output to the terminal.
        env: the command's environment variables; None takes those of this process.

    Raises:
        StoppedError: by Ctrl-C, SIGTERM or a closed terminal, when all processes of the command have ended.
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
        if received:  # since the handlers are there
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
    """End this process, which has received signal `number` and has said how to go on.

    After Ctrl-C under `make` in a terminal the exit code is 0: make got the same Ctrl-C and ends itself by it. It would
    add a line of its own for any other code.
    """
    quiet = number == signal.SIGINT and os.environ.get("MAKELEVEL") and _in_terminal()
    sys.exit(0 if quiet else 128 + number)


def say(line: str) -> None:
    """Print a line for a person on the standard error, at the start of a line."""
    sys.stderr.write(f"\r\033[K{line}\n" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()


def typed(default: str) -> str:
    """The command that was typed: `make` passes it on."""
    return os.environ.get("DEPIXEL_TYPED", default)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_for_all(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until no process of the session is left: one may still be saving its state."""
    end = time.monotonic() + seconds  # a process that nobody waits for stays in the list for ever
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def _in_terminal() -> bool:
    """Whether Ctrl-C in the terminal reaches this process, and make with it."""
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
