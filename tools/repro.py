"""Fetch the photos, run all stages, print the scores. `make repro` calls it in the environment of .venv.

    python -m tools.repro

It runs `tools.pipeline` as a child process, so that Ctrl-C prints a single line, which says how to continue.
"""

from __future__ import annotations

import os
import shutil
import sys

from tools import child


def main() -> None:
    """Run `tools.pipeline` as a child process (`child.run`)."""
    env = {**os.environ, "DEPIXEL_TYPED": child.typed("python -m tools.repro")}
    # DVC starts stages with this shell. bash replaces itself by the stage. Other shells stay and die of the signal to
    # the stage, and DVC mistakes that for the end of the stage.
    env["SHELL"] = shutil.which("bash") or "/bin/sh"
    # Stages are short processes: without cached bytecode, each would take seconds longer to start.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        sys.exit(child.run([sys.executable, "-m", "tools.pipeline"], env=env))
    except child.StoppedError as stopped:
        if stopped.code < 0:  # it ended before it could print a message
            child.say(f"Stopped. To start again, run `{child.typed('python -m tools.repro')}`.")
        child.leave(stopped.number)


if __name__ == "__main__":
    main()
