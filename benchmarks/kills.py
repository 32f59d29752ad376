"""Kill the pipeline at random moments, run it again, and compare the result with that of an uninterrupted run.

    python benchmarks/kills.py

Each kill begins with a project in which the stages before a chosen stage are up to date, and all later results belong
to other photos and settings. `dvc repro` runs. At a random moment of the chosen stage, SIGKILL goes to the stage alone,
to DVC alone (the stage lives on), or to DVC and all its children. Then `dvc repro` runs again, after `depixel mend` if
DVC reports that its own files are corrupted. The result must be that of an uninterrupted run in another clone, byte for
byte: dvc.lock and every output, without any further file.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import click
import psutil
import yaml

PROJECT = Path(__file__).resolve().parents[1]
STAGES = ("validate", "prepare", "split", "train", "evaluate", "card", "export")
MODES = ("the stage", "DVC", "DVC and its children")
SMALL = {
    "split": {"by": "photo", "validation": 0.2, "test": 0.3},
    "train": {"width": 4, "epochs": 60, "batch_size": 32, "shards": 1},
    "predict": {"views": 1},
}
OTHER = {"split": {"seed": 5}, "train": {"seed": 1}}
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    **{f"GIT_{who}_{what}": "depixel@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def run(*command: str, cwd: Path) -> str:
    """Run a command of this environment, and return its standard output. The program ends if the command fails."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def set_params(project: Path, *changes: dict) -> None:
    path = project / "params.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    for change in changes:
        for section, values in change.items():
            settings[section].update(values)
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def make_project(folder: Path) -> None:
    """Clone the commit, with a small sample and a small training that saves a checkpoint every second."""
    run("git", "clone", "--quiet", str(PROJECT), str(folder), cwd=PROJECT)
    run("dvc", "pull", "--quiet", "models/pretrained.dvc", cwd=folder)  # before its store is removed
    for path in ("data/raw.dvc", "data/test_set.dvc", "data/store", "dvc.lock"):
        run("git", "rm", "--quiet", "-r", "--ignore-unmatch", path, cwd=folder)
    set_params(folder, SMALL)
    pipeline = (folder / "dvc.yaml").read_text(encoding="utf-8")
    command = "python -m stages.train"
    pipeline = pipeline.replace(f"cmd: {command}\n", f"cmd: {command} --checkpoint-every 1\n")
    (folder / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    sample = ("--contributors", "4", "--photos", "40", "--test-set", "data/test_set")
    run("depixel", "sample", "data/raw", *sample, cwd=folder)
    run("dvc", "add", "--quiet", "data/raw", "data/test_set", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "start", cwd=folder)


def result(project: Path) -> dict[str, str]:
    """The hash of dvc.lock and of every file in the folders of outputs, by path, including left-over files."""
    paths = [project / "dvc.lock"]
    for folder in ("data", "models", "metrics", "predictions"):
        paths += sorted(path for path in (project / folder).rglob("*") if path.is_file())
    return {path.relative_to(project).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def process_of(stage: str, dvc: psutil.Popen) -> psutil.Process | None:
    """The process of a stage that this DVC runs; None: it has not started."""
    try:
        for child in dvc.children(recursive=True):
            command = child.cmdline()
            if command[1:3] == ["-m", f"stages.{stage}"]:
                return child
    except psutil.Error:
        pass
    return None


def durations(project: Path) -> dict[str, float]:
    """Run the pipeline, and return the seconds that each stage's process lives."""
    seconds = {}
    with psutil.Popen(["dvc", "repro"], cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as dvc:
        for stage in STAGES:
            while (process := process_of(stage, dvc)) is None:
                if dvc.poll() is not None:
                    sys.exit(f"{stage} did not run")
                time.sleep(0.005)
            start = time.perf_counter()
            psutil.wait_procs([process])
            seconds[stage] = time.perf_counter() - start
    return seconds


def kill(project: Path, stage: str, mode: str, after: float) -> bool:
    """Start `dvc repro`, and kill `after` seconds from the start of a stage; True if the stage was still running."""
    with (project / "killed.log").open("w") as log:
        dvc = psutil.Popen(["dvc", "repro"], cwd=project, env=ENVIRONMENT, stdout=log, stderr=log)
        while (process := process_of(stage, dvc)) is None:
            if dvc.poll() is not None:
                sys.exit(f"{stage} did not run\n{(project / 'killed.log').read_text()}")
            time.sleep(0.005)
        time.sleep(after)
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        targets = [process] if mode == "the stage" else [dvc]
        if mode == "DVC and its children":
            targets += dvc.children(recursive=True)
        for target in targets:
            with suppress(ProcessLookupError):
                os.kill(target.pid, signal.SIGKILL)
        dvc.wait()
    return alive


def repro(project: Path) -> tuple[str, bool]:
    """Run `dvc repro` after a kill; return its output, and whether DVC's own files had to be repaired first."""
    command = ["dvc", "repro"]
    mended = False
    while True:
        done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout + done.stderr, mended
        if mended or "truncated" not in run("depixel", "mend", cwd=project):
            return f"dvc repro failed:\n{done.stdout}\n{done.stderr}", mended
        mended = True


class Outcome(NamedTuple):
    """The outcome of one kill and the run after it."""

    stage: str
    mode: str
    after: float  # seconds from the start of the stage
    running: bool  # whether the stage was still running
    mended: bool  # whether DVC's own files had to be repaired
    differing: list[str]  # files that differ from the uninterrupted run
    said: str  # output of `dvc repro` after the kill


class Starts:
    """A folder with a project for each stage to kill in, and with the result of an uninterrupted run.

    A folder that is complete is used again.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        if not self._about.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._make()
        about = json.loads(self._about.read_text(encoding="utf-8"))
        self.wanted: dict[str, str] = about["wanted"]  # path -> hash
        self.seconds: dict[str, float] = about["seconds"]  # lifetime of each stage's process

    @property
    def _about(self) -> Path:
        return self._folder / "starts.json"

    def _make(self) -> None:
        first = self._folder / "uninterrupted"
        make_project(first)
        about = {"seconds": durations(first), "wanted": result(first)}

        # for each stage, a project with earlier stages up to date, and later results of other photos and settings
        start = self._folder / "other"
        shutil.copytree(first, start)
        shutil.rmtree(start / "checkpoints")
        aside = shutil.move(sorted((start / "data/raw").glob("*.zip"))[0], self._folder)
        set_params(start, OTHER)
        run("dvc", "repro", cwd=start)
        shutil.rmtree(start / "checkpoints")
        shutil.copy(first / "params.yaml", start)
        shutil.move(aside, start / "data/raw")
        for stage in STAGES:
            shutil.copytree(start, self._folder / f"before_{stage}")
            run("dvc", "repro", stage, cwd=start)
        self._about.write_text(json.dumps(about), encoding="utf-8")

    def kill(self, number: int, seed: int) -> Outcome:
        """Kill once and run again. The number decides stage and mode; number and seed decide the moment."""
        stage, mode = STAGES[number % len(STAGES)], MODES[number // len(STAGES) % len(MODES)]
        # beyond the stage's end, so that some kills hit DVC while it stores the outputs
        after = random.Random(f"{seed} {number}").uniform(0, 1.1 * self.seconds[stage] + 0.2)
        project = self._folder / "killed"
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self._folder / f"before_{stage}", project)
        running = kill(project, stage, mode, after)
        said, mended = repro(project)
        found = result(project)
        differing = sorted(path for path in self.wanted | found if self.wanted.get(path) != found.get(path))
        shutil.rmtree(project)
        return Outcome(stage, mode, after, running, mended, differing, said)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", default=63, show_default=True, type=click.IntRange(min=1), help="Number of kills.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives other moments.")
def main(kills: int, seed: int) -> None:
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        starts = Starts(Path(temporary) / "starts")
        listed = ", ".join(f"{stage} {duration:.1f} s" for stage, duration in starts.seconds.items())
        click.echo(f"uninterrupted: {listed}")
        for number in range(kills):
            one = starts.kill(number, seed)
            outcomes.append(one)
            ended = f"DIFFERS in {', '.join(one.differing)}\n{one.said}" if one.differing else "identical"
            click.echo(f"{number + 1:3}  {one.stage:8} {one.after:5.1f} s  {one.mode:20}  {ended}")
    lost = sum(bool(one.differing) for one in outcomes)
    resumed = sum("resumes after step" in one.said or "already finished" in one.said for one in outcomes)
    waited = sum("Waiting for" in one.said for one in outcomes)
    mended = sum(one.mended for one in outcomes)
    click.echo(f"{kills} kills, {sum(one.running for one in outcomes)} while the stage ran: {lost} lost.")
    click.echo(f"Training continued from a checkpoint: {resumed} times. DVC waited for a stage that outlived the")
    click.echo(f"previous DVC: {waited} times. DVC's own files were truncated and repaired: {mended} times.")
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
