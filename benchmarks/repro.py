"""What `dvc repro` costs when there is nothing to do, against `dvc status`, in turn, in an up-to-date project."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

PROJECT = Path(__file__).resolve().parents[1]


def seconds(command: str) -> float:
    """How long `dvc command` takes."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "dvc", command], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode or "up to date" not in done.stdout:
        sys.exit(f"dvc {command}: the project is not up to date; `dvc repro` first")
    return time.perf_counter() - start


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--times", default=7, show_default=True)
def main(times: int) -> None:
    pairs = [(seconds("repro"), seconds("status")) for _ in range(times)]
    repro, status = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(a / b for a, b in pairs)
    print(f"dvc repro with nothing to do: {repro:.2f} s; dvc status: {status:.2f} s; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
