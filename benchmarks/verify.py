"""Run the committed pipeline in two fresh clones and compare everything that comes out, byte for byte.

    make verify

The second clone reads photos with one process instead of one for each core (on Linux). Photos come from DVC's cache of
this project, else from its remotes. It prints each output that differs between the clones, and how much. It also says
whether both agree with dvc.lock of the commit; on other hardware, or with other versions, they need not.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import yaml
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
}


def run(*command: str, cwd: Path) -> str:
    """Run a command of this environment; returns its standard output. The program ends if the command fails."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: failed in {cwd}\n{done.stdout}")
    return done.stdout


def reproduce(folder: Path, one_process: bool) -> float:
    """Clone the commit, fetch its photos, run the pipeline; returns the seconds of the run."""
    run("git", "clone", "--quiet", str(PROJECT), str(folder), cwd=PROJECT)
    cache = run("dvc", "cache", "dir", cwd=PROJECT).strip()
    run("dvc", "remote", "add", "--quiet", "--local", "here", cache, cwd=folder)
    inputs = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.dvc"))
    fetch = ["dvc", "pull", "--quiet", *inputs]
    if subprocess.run([*fetch, "--remote", "here"], cwd=folder, env=ENVIRONMENT, capture_output=True).returncode:
        run(*fetch, cwd=folder)
    start = time.perf_counter()
    if one_process and hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        run("dvc", "repro", "--force", "settings", "split", cwd=folder)
        os.sched_setaffinity(0, cores)
        run("dvc", "repro", "--force", "--downstream", "train", cwd=folder)
    else:
        run("dvc", "repro", "--force", cwd=folder)
    return time.perf_counter() - start


def outputs(folder: Path) -> dict[str, bytes]:
    """Path -> content of dvc.lock and of every file that its stages wrote."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    paths = [Path("dvc.lock")]
    for stage in lock["stages"].values():
        for out in stage.get("outs", []):
            path = folder / out["path"]
            found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            paths += [file.relative_to(folder) for file in found]
    return {path.as_posix(): (folder / path).read_bytes() for path in paths}


def difference(path: str, folders: list[Path]) -> str:
    """How two files of the same path differ, in words."""
    files = [folder / path for folder in folders]
    if not all(file.exists() for file in files):
        return "exists in one only"
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
def main() -> None:
    if changed := run("git", "status", "--short", "--untracked-files=no", cwd=PROJECT):
        sys.exit(f"Only a commit can be verified, and these changes are not committed:\n{changed}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("one", "two")]
        for folder in folders:
            seconds = reproduce(folder, one_process=folder.name == "two")
            click.echo(f"clone {folder.name}: {seconds:.0f} s")
        one, two = map(outputs, folders)
        committed = (PROJECT / "dvc.lock").read_bytes()
        differing = sorted(path for path in one | two if one.get(path) != two.get(path))
        for path in sorted(one | two):
            verdict = f"DIFFERS: {difference(path, folders)}" if path in differing else "identical"
            click.echo(f"  {path:36} {hashlib.md5(one.get(path, b'')).hexdigest():32}  {verdict}")
    if differing:
        sys.exit(f"{len(differing)} of {len(one | two)} files differ between two clones of the same commit.")
    click.echo(f"Two clones, one result: {len(one)} files are identical, dvc.lock included.")
    if one["dvc.lock"] == committed:
        click.echo("dvc.lock is that of the commit.")
    else:
        click.echo("dvc.lock of the commit is another: it comes from other hardware, or from an earlier state.")


if __name__ == "__main__":
    main()
