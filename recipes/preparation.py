"""Photos prepared by the stages in a folder of their own, for trainings and benchmarks that need many settings."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from depixel.base.console import run_stage
from recipes.plan import PROJECT

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))}
"""In which a stage that runs elsewhere imports the library beside this folder, whatever is installed."""


def write_params(settings: dict[str, Any], folder: Path) -> None:
    """Write params.yaml of a folder, which appears if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def python(*arguments: str | Path, cwd: Path) -> None:
    """Run a script of the project in a folder; the program ends with its exit code if it fails."""
    if code := run_stage([sys.executable, *map(str, arguments)], cwd=cwd, env=ENVIRONMENT):
        sys.exit(code)


def prepare(photos: Path, settings: dict[str, Any], folder: Path) -> Path:
    """Validate and prepare photos once for each `prepare` section of the settings; returns the prepared photos' folder.

    Photos that change in the same place are not noticed: then delete that folder.

    Args:
        photos: absolute. settings: all sections of params.yaml. folder: for this and other settings' photos.
    """
    described = json.dumps([str(photos), settings["prepare"]])
    data = folder / f"data_{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    if not (data / "metrics/done").is_file():
        write_params(settings, data)
        for stage in ("validate", "prepare"):
            python(PROJECT / f"stages/{stage}.py", "--raw", photos, cwd=data)
        (data / "metrics/done").touch()
    return data / "data/prepared"
