"""Check that prose is free: new docstrings in every module change no result, and no stage computes its result again.

    python benchmarks/prose.py

Clones the commit, fetches all data and outputs (from this project's DVC cache or its remotes), changes the docstring of
every module in depixel/ and stages/, and runs `dvc repro`. Prints the seconds of each stage. The exit code is 1 if the
model was trained again, if a file in git changed, or if dvc.lock changed in more than hashes of sources.
"""

import ast
import re
import subprocess
import sys
import tempfile
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from benchmarks.verify import ENVIRONMENT, run  # noqa: E402
from depixel.base.code import normalized  # noqa: E402

SOURCES = ("depixel", "stages")
SENTENCE = "This sentence changes no result."


def cloned(folder: Path) -> None:
    """Clone the commit of the project into a folder, with all data and outputs."""
    run("git", "clone", "--quiet", str(PROJECT), str(folder), cwd=PROJECT)
    cache = run("dvc", "cache", "dir", cwd=PROJECT).strip()
    run("dvc", "remote", "add", "--quiet", "--local", "here", cache, cwd=folder)
    pull = ["dvc", "pull", "--quiet"]
    if subprocess.run([*pull, "--remote", "here"], cwd=folder, env=ENVIRONMENT, capture_output=True).returncode:
        run(*pull, cwd=folder)


def reworded(source: str) -> str:
    """The source of a module with another docstring.

    Raises:
        ValueError: more than prose changed.
    """
    tree, lines = ast.parse(source), source.split("\n")
    if ast.get_docstring(tree) is None:
        comments = list(takewhile(lambda line: line.startswith("#"), lines))
        changed = [*comments, f'"""{SENTENCE}"""', *lines[len(comments) :]]
    else:
        statement = tree.body[0]
        last, end = statement.end_lineno - 1, statement.end_col_offset  # the offset counts bytes of UTF-8
        line = lines[last].encode()
        quotes = 3 if line[:end].endswith((b'"""', b"'''")) else 1
        new = line[: end - quotes] + f" {SENTENCE}".encode() + line[end - quotes :]
        changed = [*lines[:last], new.decode(), *lines[last + 1 :]]
    text = "\n".join(changed)
    if normalized(text) != normalized(source):
        raise ValueError("more than prose changed")
    return text


def reword_all(folder: Path) -> list[str]:
    """Change the docstring of every module of a project; return their paths in it, with `/`."""
    paths = sorted(path for name in SOURCES for path in (folder / name).rglob("*.py"))
    for path in paths:
        path.write_text(reworded(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    return [path.relative_to(folder).as_posix() for path in paths]


def seconds_by_stage(folder: Path) -> dict[str, float]:
    """Run `dvc repro`; return for each stage that runs the seconds until the next one begins.

    The program ends if `dvc repro` fails.
    """
    seconds: dict[str, float] = {}
    stage, begun, output = "", time.perf_counter(), []
    with subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            if match := re.match(r"Running stage '(\S+)'", line):
                now = time.perf_counter()
                if stage:
                    seconds[stage] = now - begun
                stage, begun = match[1], now
    if stage:
        seconds[stage] = time.perf_counter() - begun
    if process.returncode:
        sys.exit(f"dvc repro failed in the clone:\n{''.join(output)}")
    return seconds


def entries(stage: dict[str, Any]) -> dict[str, Any]:
    """The entries of a stage in dvc.lock, flat, without the hashes and sizes of sources."""
    found = {key: value for key, value in stage.items() if key not in ("deps", "outs")}
    for kind in ("deps", "outs"):
        for entry in stage.get(kind, []):
            of_source = kind == "deps" and entry["path"].split("/")[0] in SOURCES
            kept = {key: value for key, value in entry.items() if not (of_source and key in ("md5", "size"))}
            found[f"{kind} {entry['path']}"] = kept
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The differences between two states of dvc.lock, a line each, except hashes and sizes of sources."""
    found = []
    for name in sorted({*before["stages"], *after["stages"]}):
        one, other = (entries(lock["stages"].get(name, {})) for lock in (before, after))
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                found.append(f"{name}: {key}: {one.get(key)} -> {other.get(key)}")
    return found


def read_lock(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))


def broken(folder: Path, before: dict[str, Any], reworded: list[str]) -> list[str]:
    """The changes after `dvc repro` that break the promise, a line each.

    Args:
        folder: the clone.
        before: dvc.lock of the commit.
        reworded: the modules with new docstrings.
    """
    found = [f"dvc.lock: {difference}" for difference in differences(before, read_lock(folder))]
    changed = run("git", "status", "--porcelain", cwd=folder).splitlines()
    found += [f"git: {line}" for line in changed if line[3:] not in {"dvc.lock", *reworded}]
    if (folder / "checkpoints").exists():
        found.append("train: the model was trained again")
    return found


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    if changed := run("git", "status", "--short", "--untracked-files=no", cwd=PROJECT):
        sys.exit(f"Only a commit can be checked. Commit these changes first:\n{changed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        cloned(folder)
        if stale := yaml.safe_load(run("dvc", "status", "--json", cwd=folder)):
            sys.exit(
                f"dvc.lock does not belong to the committed code: {', '.join(sorted(stale))}. Run `dvc repro` and "
                "commit its results first"
            )
        before = read_lock(folder)
        modules = reword_all(folder)
        click.echo(f"{len(modules)} modules have a new docstring; dvc repro takes")
        seconds = seconds_by_stage(folder)
        for stage, spent in seconds.items():
            click.echo(f"  {stage:10} {spent:6.1f} s")
        click.echo(f"  {'in all':10} {sum(seconds.values()):6.1f} s")
        if failures := broken(folder, before, modules):
            sys.exit("Prose is NOT free:\n" + "\n".join(f"  {failure}" for failure in failures))
    click.echo("Prose is free: no result changed, and in dvc.lock only hashes of sources did.")


if __name__ == "__main__":
    main()
