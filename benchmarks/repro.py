"""Measure `make repro` and `dvc repro` on an up-to-date project, in turn with `dvc status`.

python benchmarks/repro.py
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "make repro": ["tools.repro"],
    "dvc repro": ["dvc", "repro"],
    "dvc status": ["dvc", "status"],
}


def seconds(name: str) -> float:
    """Seconds that a command of `COMMANDS` takes. The program ends if the project is not up to date."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *COMMANDS[name]], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode or "up to date" not in done.stdout:
        sys.exit(f"{name}: the project is not up to date. Run `make repro` first")
    return time.perf_counter() - start


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--times", default=7, show_default=True, help="Number of runs of each command.")
def main(times: int) -> None:
    rounds = [{name: seconds(name) for name in COMMANDS} for _ in range(times)]
    for name in COMMANDS:
        print(f"{name:10} {median(one[name] for one in rounds):5.2f} s")
    ratio = median(one["dvc repro"] / one["dvc status"] for one in rounds)
    print(f"dvc repro takes {ratio:.2f} times as long as dvc status")


if __name__ == "__main__":
    main()
