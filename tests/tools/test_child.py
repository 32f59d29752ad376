"""Commands that Ctrl-C ends: in a real terminal, under a real make."""

import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.tools.terminal import in_terminal
from tools import child

COMMAND = """
import sys
from tools import child
try:
    sys.exit(child.run([sys.executable, "-u", "inner.py"]))
except child.StoppedError as stopped:
    child.say(f"Stopped. `{child.typed('make it')}` goes on.")
    child.leave(stopped.number)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outer.py").write_text(COMMAND)
    (tmp_path / "Makefile").write_text(f"it:\n\t@{sys.executable} outer.py\n\t@echo never\n")
    return tmp_path


def write_inner(folder: Path, code: str) -> None:
    (folder / "inner.py").write_text(f"import signal, subprocess, sys, time\n{code}")


def test_ctrl_c_under_make_shows_one_line_and_nothing_of_make_or_python(folder):
    write_inner(folder, "print('begun')\ntime.sleep(60)")
    shown, code = in_terminal(["make", "it"], folder, "begun", PYTHONPATH=str(REPOSITORY))
    lines = shown.replace("^C", "").replace("\033[K", "").split()
    assert " ".join(lines) == "begun Stopped. `make it` goes on."
    assert code == -2  # make's own end by Ctrl-C: a shell script that called it ends, too


def test_without_make_the_exit_code_is_that_of_ctrl_c(folder):
    write_inner(folder, "print('begun')\ntime.sleep(60)")
    shown, code = in_terminal([sys.executable, "outer.py"], folder, "begun", PYTHONPATH=str(REPOSITORY), MAKELEVEL="")
    assert "Stopped." in shown and code == 130


def test_the_command_may_save_its_state_first(folder):
    write_inner(
        folder,
        "def save(*_):\n    time.sleep(0.5)\n    open('saved', 'w').close()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\nprint('begun')\ntime.sleep(60)",
    )
    shown, _ = in_terminal(["make", "it"], folder, "begun", PYTHONPATH=str(REPOSITORY))
    assert (folder / "saved").exists() and "Error" not in shown


def test_what_the_command_started_ends_with_it(folder):
    write_inner(
        folder,
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3); open(\"late\", \"w\")'])\n"
        "print('begun')\ntime.sleep(60)",
    )
    in_terminal(["make", "it"], folder, "begun", PYTHONPATH=str(REPOSITORY))
    time.sleep(3.5)
    assert not (folder / "late").exists()


def test_the_exit_code_is_the_commands():
    assert child.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7


def test_output_goes_where_it_is_read():
    got = []
    child.run([sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr)"], lambda out: got.extend(out))
    assert sorted(got) == [b"1\n", b"2\n"]
