"""A terminal for the tests: a command runs in it, and somebody types, or presses Ctrl-C."""

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

fcntl, pty, termios = (pytest.importorskip(name, reason="a terminal of POSIX") for name in ("fcntl", "pty", "termios"))

LIMIT = 120
"""Seconds after which a command is given up."""


def _as_in_a_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background ignore it


def in_terminal(
    command: list[str], cwd: Path, press_at: str = "", keys: str = "\x03", **environment: str
) -> tuple[str, int]:
    """Run a command in a terminal of its own; press keys, by default Ctrl-C, when `press_at` has appeared, if given.

    Returns:
        What the terminal showed and the exit code; a negative code is a signal's.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_as_in_a_terminal,
    )
    os.close(theirs)
    shown, pressed, deadline = b"", not press_at, time.monotonic() + LIMIT
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    read = os.read(ours, 4096)
                except OSError:  # the last process has closed it
                    break
                shown += read
                if not read:
                    break
            if not pressed and press_at.encode() in shown:
                os.write(ours, keys.encode())
                pressed = True
        return shown.decode(), process.wait(timeout=max(1, deadline - time.monotonic()))
    finally:
        os.close(ours)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
