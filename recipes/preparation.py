"""Prepare photos by the stages in separate folders, for trainings and benchmarks with different settings."""

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
"""Environment variables with which a stage in any folder imports the library of this project, whatever is installed."""


def write_params(settings: dict[str, Any], folder: Path) -> None:
    """Write params.yaml into a folder, which is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def python(*arguments: str | Path, cwd: Path) -> None:
    """Run a script of the project in a folder. If it fails, the program ends with its exit code."""
    if code := run_stage([sys.executable, *map(str, arguments)], cwd=cwd, env=ENVIRONMENT):
        sys.exit(code)


def prepare(photos: Path, settings: dict[str, Any], folder: Path) -> Path:
    """Validate and prepare photos, once for each `prepare` section; return the folder of the prepared photos.

    Changes of the photos are not noticed. After a change, delete that folder.

    Args:
        photos: absolute path of the photos.
        settings: all sections of params.yaml.
        folder: parent folder of all prepared photos.
    """
    described = json.dumps([str(photos), settings["prepare"]])
    data = folder / f"data_{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    if not (data / "metrics/done").is_file():
        write_params(settings, data)
        for stage in ("validate", "prepare"):
            python(PROJECT / f"stages/{stage}.py", "--raw", photos, cwd=data)
        (data / "metrics/done").touch()
    return data / "data/prepared"
