"""The first run, and every later one: photos, all stages, scores. `make repro` calls it in the environment of .venv.

    python -m tools.repro

It runs `tools.pipeline` and sees to it that Ctrl-C ends that in one line, which says how to go on.
"""

from __future__ import annotations

import os
import shutil
import sys

from tools import child


def main() -> None:
    """Run `tools.pipeline` as a child that Ctrl-C ends gently."""
    env = {**os.environ, "DEPIXEL_TYPED": child.typed("python -m tools.repro")}
    # DVC starts stages by the shell that this names. bash becomes the stage. Another dies of the signal to the stage,
    # too, and DVC takes that for the end of the stage.
    env["SHELL"] = shutil.which("bash") or "/bin/sh"
    # Stages are short processes: without the bytecode of their packages each would take seconds more to start.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        sys.exit(child.run([sys.executable, "-m", "tools.pipeline"], env=env))
    except child.StoppedError as stopped:
        if stopped.code < 0:  # ended before it could say anything
            child.say(f"Stopped. `{child.typed('python -m tools.repro')}` starts again.")
        child.leave(stopped.number)


if __name__ == "__main__":
    main()
