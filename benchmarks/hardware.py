"""How far results move when the arithmetic does: other threads, other instructions of the processor, other precision.

    python benchmarks/hardware.py

On the prepared photos of the project (`dvc repro` first), trains the same network a few epochs under each condition
and scores it, then scores the first model under each condition. Prints the largest difference of a weight, the share
of test areas with another squared error, and the difference in ratio_mean; all to the first run. Another seed is there
to compare with. `--python` adds a condition: the interpreter of an environment with other versions of the packages.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[1]
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
FLOAT32 = {"train": {"precision": "float32"}}
# name: changed settings, environment, compared to
CONDITIONS = {
    "as it is": ({}, {}, None),
    "the same again": ({}, {}, "as it is"),
    "1 thread": ({"train": {"threads": 1}}, {"OMP_NUM_THREADS": "1"}, "as it is"),
    "4 threads": ({"train": {"threads": 4}}, {"OMP_NUM_THREADS": "4"}, "as it is"),
    "float32": (FLOAT32, {}, "as it is"),
    "float32, AVX2 only": (FLOAT32, AVX2, "float32"),
    "another seed": ({"train": {"seed": 1}}, {}, "as it is"),
}


def stage(name: str, folder: Path, python: str, environment: dict, model: Path) -> None:
    """Run a stage on the project's prepared photos, with its outputs in `folder`."""
    data = PROJECT / "data"
    command = [python, PROJECT / f"stages/{name}.py", "--prepared", data / "prepared"]
    command += ["--split", data / "split.csv", "--model", model]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)} | environment
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def scored(folder: Path) -> tuple[float, pd.Series]:
    ratio = json.loads((folder / "metrics/evaluation.json").read_text(encoding="utf-8"))["ratio_mean"]
    return ratio, pd.read_csv(folder / "metrics/samples.csv")["squared_error"]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--epochs", default=5, show_default=True)
@click.option("--python", help="Of an environment with other versions: one more condition.")
def main(epochs: int, python: str | None) -> None:
    conditions = CONDITIONS | ({"other versions": ({}, {}, "as it is")} if python else {})
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    settings["train"]["epochs"] = epochs
    click.echo(f"{'':24}{'trained anew':>42}{'the first model':>32}")
    click.echo(f"{'':24}{'weights':>14}{'areas':>14}{'ratio_mean':>14}{'areas':>18}{'ratio_mean':>14}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = {}
        for name, (changes, environment, other) in conditions.items():
            folder = folders[name] = Path(temporary) / str(len(folders))
            for part in (folder, folder / "first"):
                part.mkdir()
                changed = {section: values | changes.get(section, {}) for section, values in settings.items()}
                (part / "params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
            interpreter = python if name == "other versions" else sys.executable
            model = folder / "models/depixel.safetensors"
            stage("train", folder, interpreter, environment, model)
            stage("evaluate", folder, interpreter, environment, model)
            if other is None:
                continue
            first = folders[other] / "models/depixel.safetensors"
            (ratio, errors), (ratio_other, errors_other) = map(scored, (folder, folders[other]))
            one, two = load_file(model), load_file(first)
            weights = max(np.abs(one[key].astype(float) - two[key]).max() for key in one)
            line = f"{name:24}{weights:14.2g}{(errors != errors_other).mean():14.1%}{ratio - ratio_other:+14.5f}"
            if environment or python == interpreter:  # the others do not concern a model that is there
                stage("evaluate", folder / "first", interpreter, environment, first)
                ratio_first, errors_first = scored(folder / "first")
                line += f"{(errors_first != errors_other).mean():18.1%}{ratio_first - ratio_other:+14.5f}"
            click.echo(line)


if __name__ == "__main__":
    main()
