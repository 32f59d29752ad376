"""Run the committed pipeline in fresh clones, and compare all results, byte for byte.

\b
    make verify                    two clones with each other, and with dvc.lock of the commit
    make verify AGAINST=LOCK       one clone with any dvc.lock, such as another machine's

The second clone uses one core instead of all (on Linux). Photos come from this project's DVC cache, or from its
remotes. Prints each output that differs between the clones, and by how much. If a lock differs, it prints the first
difference.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.base.environment import processor  # noqa: E402

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
}


def run(*command: str, cwd: Path) -> str:
    """Run a command of this environment, and return its standard output. The program ends if the command fails."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: failed in {cwd}\n{done.stdout}")
    return done.stdout


def reproduce(folder: Path, one_core: bool = False) -> float:
    """Clone the commit, fetch its photos, run the whole pipeline, and return the seconds of the run."""
    run("git", "clone", "--quiet", str(PROJECT), str(folder), cwd=PROJECT)
    cache = run("dvc", "cache", "dir", cwd=PROJECT).strip()
    run("dvc", "remote", "add", "--quiet", "--local", "here", cache, cwd=folder)
    inputs = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.dvc"))
    fetch = ["dvc", "pull", "--quiet", *inputs]
    if subprocess.run([*fetch, "--remote", "here"], cwd=folder, env=ENVIRONMENT, capture_output=True).returncode:
        run(*fetch, cwd=folder)
    start = time.perf_counter()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if one_core and cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        run("dvc", "repro", "--force", cwd=folder)
    finally:
        if one_core and cores:
            os.sched_setaffinity(0, cores)
    return time.perf_counter() - start


def first_difference(lock: dict[str, Any], other: dict[str, Any], stages: list[str]) -> str:
    """The first difference between two locks of one pipeline, as a sentence; "" if there is none.

    Args:
        lock, other: the contents of the dvc.lock files.
        stages: the names of the stages, in the order of dvc.yaml.
    """
    made: set[str] = set()
    for stage in stages:
        one, two = (content.get("stages", {}).get(stage) for content in (lock, other))
        if one is None or two is None:
            return f"Only one of the locks has stage {stage}." if one or two else ""
        read, written = (
            [path for path, md5 in _hashes(one, kind).items() if _hashes(two, kind).get(path) != md5]
            for kind in ("deps", "outs")
        )
        read = [path for path in read if path not in made]
        if one.get("params") != two.get("params"):
            read.append("params.yaml")
        if read:
            return f"Stage {stage} had different inputs: {', '.join(read)}. The locks belong to different pipelines."
        if written:
            after = stages[stages.index(stage) + 1 :]
            rest = f" Differences in {', '.join(after)} may follow from that alone." if after else ""
            return f"Stage {stage} had the same inputs but different outputs: {', '.join(written)}.{rest}"
        made |= set(_hashes(one, "outs"))
    return ""


def _hashes(stage: dict[str, Any], kind: str) -> dict[str, str]:
    return {entry["path"]: entry.get("md5", "") for entry in stage.get(kind, [])}


def compared(folder: Path, path: Path) -> str:
    """The first difference between the lock of a clone and that in a file; "" if there is none."""
    locks = []
    for file in (folder / "dvc.lock", path):
        try:
            locks.append(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, yaml.YAMLError) as error:
            sys.exit(f"{file}: cannot be read as a dvc.lock ({error})")
        if not isinstance(locks[-1], dict) or not isinstance(locks[-1].get("stages"), dict):
            sys.exit(f"{file}: is not a dvc.lock, because it has no stages")
    stages = list(yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
    return first_difference(*locks, stages)


def outputs(folder: Path) -> dict[str, bytes]:
    """The content of dvc.lock and of every file that its stages wrote, by path."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    paths = [Path("dvc.lock")]
    for stage in lock["stages"].values():
        for out in stage.get("outs", []):
            path = folder / out["path"]
            found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            paths += [file.relative_to(folder) for file in found]
    return {path.as_posix(): (folder / path).read_bytes() for path in paths}


def difference(path: str, folders: list[Path]) -> str:
    """The difference between two files of the same path, in words."""
    files = [folder / path for folder in folders]
    if not all(file.exists() for file in files):
        return "exists only in one"
    if path.endswith(".safetensors"):
        one, other = map(load_file, files)
        if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
            return "weights of other shapes"
        return f"weights differ by up to {max(np.abs(one[k].astype(float) - other[k]).max() for k in one):.2g}"
    if path.endswith(".npy"):
        one, other = (np.load(file, mmap_mode="r") for file in files)
        return f"{np.mean(one != other):.2%} of the values" if one.shape == other.shape else "another shape"
    if path.endswith(".json"):
        one, other = (json.loads(file.read_text(encoding="utf-8")) for file in files)
        return ", ".join(f"{k}: {one.get(k)} / {other.get(k)}" for k in one | other if one.get(k) != other.get(k))
    one, other = (file.read_bytes() for file in files)
    if path.endswith((".csv", ".lock", ".md")):
        lines = zip(one.splitlines(), other.splitlines(), strict=False)
        return f"{sum(a != b for a, b in lines)} of {len(one.splitlines())} lines"
    return f"{len(one)} / {len(other)} bytes"


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--against", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A dvc.lock to compare with."
)
def main(against: Path | None) -> None:
    if changed := run("git", "status", "--short", "--untracked-files=no", cwd=PROJECT):
        sys.exit(f"Only a commit can be verified. Commit these changes first:\n{changed}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("one", "two")]
        if against:
            click.echo(f"{reproduce(folders[0]):.0f} s on {processor()}")
            if told := compared(folders[0], against):
                sys.exit(f"{against} differs from the lock of this run. {told}")
            click.echo(
                f"{against} agrees with the lock of this run: all inputs and outputs are the same, byte for byte."
            )
            return
        for folder in folders:
            seconds = reproduce(folder, one_core=folder.name == "two")
            click.echo(f"clone {folder.name}: {seconds:.0f} s")
        one, two = map(outputs, folders)
        same = one["dvc.lock"] == (PROJECT / "dvc.lock").read_bytes()
        told = compared(folders[0], PROJECT / "dvc.lock")
        differing = sorted(path for path in one | two if one.get(path) != two.get(path))
        for path in sorted(one | two):
            verdict = f"DIFFERS: {difference(path, folders)}" if path in differing else "identical"
            click.echo(f"  {path:36} {hashlib.md5(one.get(path, b'')).hexdigest():32}  {verdict}")
    if differing:
        sys.exit(f"{len(differing)} of {len(one | two)} files differ between two clones of the same commit.")
    click.echo(f"Two clones, one result: {len(one)} files are identical, dvc.lock included.")
    click.echo(f"dvc.lock {'equals' if same else 'differs from'} that of the commit, on {processor()}. {told}".rstrip())


if __name__ == "__main__":
    main()
