"""Data stages on a Dask cluster, beside local processes.

\b
    pip install --no-deps -r requirements-beam.lock
    python benchmarks/scale.py data --photos ../shared/photos --processes 2 --pairs 3

Each pair runs both stages from nothing: with `--workers N`, then through Apache Beam on a Dask scheduler and N workers
of one thread on this machine. Scheduler and workers are new for each pair and are up before the clock starts; the
start-up of the stages counts. Prints the seconds, the ratio of each pair, and whether all files have the same bytes.
"""

import importlib.util
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import click

from depixel.base.files import hash_of

REPOSITORY = Path(__file__).resolve().parents[1]


class Cluster:
    """A Dask scheduler and workers of one thread, each a process of its own on this machine.

    Args:
        python: the Python of an environment with `requirements-beam.lock`.
        folder: gets their logs and files.
        environment: additional variables of all of them.
    """

    def __init__(self, python: str | Path, folder: Path, environment: dict[str, str] | None = None):
        self._python, self._folder = python, folder
        preload = {"DASK_DISTRIBUTED__WORKER__PRELOAD": "['apache_beam', 'depixel.photos.preparation']"}
        self._environment = os.environ | preload | {"PYTHONDONTWRITEBYTECODE": "1"} | (environment or {})
        self.port = free_port()
        self.workers: list[subprocess.Popen] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler = self.start_scheduler()

    @property
    def runner(self) -> str:
        """The value of DEPIXEL_RUNNER."""
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> subprocess.Popen:
        line = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"]
        self.scheduler = self._started("scheduler", line, REPOSITORY, {})
        return self.scheduler

    def add(self, cwd: Path = REPOSITORY, environment: dict[str, str] | None = None, before=None) -> subprocess.Popen:
        """Start a worker; `before` runs in its process first."""
        name = f"worker{len(self.workers)}"
        line = ["worker", f"tcp://127.0.0.1:{self.port}", "--nworkers", "1", "--nthreads", "1", "--no-nanny"]
        line += ["--no-dashboard", "--local-directory", str(self._folder / name)]
        self.workers.append(self._started(name, line, cwd, environment or {}, before))
        return self.workers[-1]

    def _started(self, name: str, line: list[str], cwd: Path, environment: dict[str, str], before=None):
        command = [str(self._python), "-m", "distributed.cli.dask_" + line[0], *line[1:]]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=cwd, env=self._environment | environment, stdout=log, stderr=log, preexec_fn=before
            )

    def wait(self, count: int, seconds: float = 60) -> None:
        """Wait until so many workers are connected."""
        script = (
            "import sys; from distributed import Client\n"
            "with Client(sys.argv[1], timeout=sys.argv[3]) as client:"
            " client.wait_for_workers(int(sys.argv[2]), timeout=float(sys.argv[3]))"
        )
        command = [str(self._python), "-c", script, f"tcp://127.0.0.1:{self.port}", str(count), str(seconds)]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def end(self) -> None:
        """Kill all that still run."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def timed(folder: Path, raw: Path, workers: int, runner: str = "") -> float:
    """Run validate and prepare in a new folder; the seconds."""
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data/raw").symlink_to(raw)
    shutil.copy(REPOSITORY / "params.yaml", folder)
    environment = {name: value for name, value in os.environ.items() if name != "DEPIXEL_RUNNER"}
    if runner:
        environment["DEPIXEL_RUNNER"] = runner
    start = time.perf_counter()
    for stage in ("validate", "prepare"):
        command = [sys.executable, str(REPOSITORY / f"stages/{stage}.py"), "--workers", str(workers)]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def bytes_of(folder: Path) -> dict[str, str]:
    places = [folder / "data/validated", folder / "data/prepared", folder / "metrics"]
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_of(path, "sha256") for path in files}


@click.command("data", help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", type=click.Path(path_type=Path, exists=True), default=REPOSITORY / "data/raw")
@click.option("--processes", type=int, multiple=True, default=(2,), help="Numbers of processes.  [default: 2]")
@click.option("--pairs", type=int, default=3, show_default=True)
def main(photos: Path, processes: Iterable[int], pairs: int) -> None:
    if not all(importlib.util.find_spec(name) for name in ("apache_beam", "distributed")):
        sys.exit("Beam and Dask are not installed: pip install --no-deps -r requirements-beam.lock")
    click.echo("processes  pair  local s  Dask s  ratio  bytes")
    for count in processes:
        ratios = []
        for pair in range(pairs):
            with tempfile.TemporaryDirectory() as name:
                place, raw = Path(name), photos.resolve()
                local = timed(place / "local", raw, count)
                with Cluster(sys.executable, place / "cluster") as cluster:
                    for _ in range(count):
                        cluster.add()
                    cluster.wait(count)
                    dask = timed(place / "dask", raw, count, cluster.runner)
                same = "same" if bytes_of(place / "local") == bytes_of(place / "dask") else "OTHER"
            ratios.append(dask / local)
            click.echo(f"{count:9}  {pair:4}  {local:7.1f}  {dask:6.1f}  {dask / local:5.2f}  {same}")
        click.echo(f"{count:9}  median                 {statistics.median(ratios):5.2f}")
