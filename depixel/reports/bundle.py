"""One run as one ZIP archive for a reviewer: results, settings, report, and the commands that repeat it.

Files have the paths that they have in the project. `manifest.json` lists each with its size and SHA-256; README.txt
explains them. The same run gives the same bytes: the archive has fixed times and a fixed order, and compresses nothing,
because compressed bytes differ between versions of zlib. `depixel.reports.bundle_check` reads such archives.
"""

import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from depixel.base import layout
from depixel.base.console import run_stage
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.curation import dvc_objects
from depixel.experiments.clones import make_clone
from depixel.versioning import DATA, baseline, dvc, file_at, git, hashes_of, place, resolve

MANIFEST, README = "manifest.json", "README.txt"
"""What the archive says about itself: the list of its files, and the page for people."""

FORMAT = "depixel bundle 1"
"""What the manifest says under `format`."""

LISTING = "predictions.dir"
"""DVC's list of the files in predictions/. dvc.lock holds its hash, so it connects the submission with the commit."""

SMALL = 10_000_000
"""Bytes of the largest weights that are included unasked."""

_TIME = (1980, 1, 1, 0, 0, 0)  # of every file: the earliest that a ZIP can hold
_CONFIGURATION, _CARD = layout.MODEL.with_suffix(".json"), layout.MODEL.with_suffix(".md")
_OTHER_RUNS = layout.EXPERIMENTS.name  # in metrics/, but not about this run

_EXPLAINED = {
    layout.REPORT.as_posix(): "the report: open it in a browser",
    _CARD.as_posix(): "the model card",
    layout.PARAMS.as_posix(): "the settings",
    layout.PIPELINE.as_posix(): "the stages of the pipeline",
    layout.LOCKED_RESULTS.as_posix(): "the hash of every input and output of the stages",
    layout.ENVIRONMENT.as_posix(): "the version of every package",
    f"{layout.METRICS.as_posix()}/": "the scores, tables and pictures",
    f"{layout.PREDICTIONS.as_posix()}/": "the submission files",
    LISTING: "DVC's list of the files in predictions/; dvc.lock holds its hash",
    _CONFIGURATION.as_posix(): "the configuration of the model",
    layout.MODEL.as_posix(): "the weights of the model",
    layout.RAW_POINTER.as_posix(): "the hash of the photos, for DVC",
    layout.TEST_SET_POINTER.as_posix(): "the hash of the test set, for DVC",
    layout.PRETRAINED_POINTER.as_posix(): "the hash of the pretrained models, for DVC",
}
"""What each file is, for people, and what the files in each folder are."""


class Written(NamedTuple):
    """What `write` did.

    Attributes:
        commit: the full hash of the run's commit. files: number of files in the archive.
        left_out: bytes of the weights, if they are left out; else 0.
        changed: the stages whose code or inputs are no longer those of the results, by DVC.
    """

    commit: str
    files: int
    left_out: int
    changed: list[str]


def write(run: str, out: Path, report: bool = True, weights: bool = False) -> Written:
    """Write the archive of a run. The working tree stays as it is, and does not matter.

    The report is made by the code of the run, in a temporary clone.

    Args:
        run: the name of an experiment; or a branch, tag or commit.
        out: the file, which is overwritten.
        report: whether to make the report, which takes up to a minute.
        weights: whether to include weights that are larger than `SMALL`.

    Raises:
        DepixelError: there is no such run; it has no results; or its files are neither in the cache nor in a remote.
    """
    ref = resolve(run)
    commit = git("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    locked = file_at(commit, layout.LOCKED_RESULTS)
    if locked is None or file_at(commit, layout.EVALUATION) is None:
        raise DepixelError(
            f"{run}: has no results: {layout.LOCKED_RESULTS} or {layout.EVALUATION.as_posix()} is not in its commit. "
            "`dvc repro` makes them; then commit them"
        )
    with _checked_out(commit, hashes_of(locked)) as folder:
        size = (folder / layout.MODEL).stat().st_size
        left_out = 0 if weights or size <= SMALL else size
        content = {path.as_posix(): (folder / path).read_bytes() for path in _paths(folder, with_weights=not left_out)}
        content |= _listing(hashes_of(locked))
        changed = _changed(folder)
        if report:
            content[layout.REPORT.as_posix()] = _report(run, commit, folder)
    experiment = ref.rpartition("/")[2] if baseline(ref) else ""
    content[README] = _readme(commit, experiment, content, left_out, changed).encode()
    files = [
        {"path": name, "bytes": len(content[name]), "sha256": hashlib.sha256(content[name]).hexdigest()}
        for name in sorted(content)
    ]
    manifest = {"format": FORMAT, "commit": commit, "experiment": experiment, "files": files}
    content[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    with replacing(out) as beside:
        _write_zip(beside, content)
    return Written(commit, len(content), left_out, changed)


@contextmanager
def _checked_out(commit: str, outputs: Mapping[str, str]) -> Iterator[Path]:
    """Yield the project as it is in a commit, in a temporary clone, with the outputs of its stages.

    Args:
        outputs: DVC's hash of each output, by path.
    """
    layout.DVC_TEMPORARY.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.DVC_TEMPORARY, prefix="bundle-") as folder:
        clone = Path(folder) / "project"
        make_clone(clone, commit)
        project = clone / place()[1]
        if missing := [path for path in outputs if not (project / path).exists()]:
            dvc("pull", "--quiet", *missing, cwd=project)
        yield project


def _paths(project: Path, with_weights: bool) -> list[Path]:
    """The files of a run that go into the archive, relative to its project."""
    named = [layout.PARAMS, layout.PIPELINE, layout.LOCKED_RESULTS, layout.ENVIRONMENT, _CARD, _CONFIGURATION]
    named += [*map(Path, DATA), *([layout.MODEL] if with_weights else [])]
    metrics = [path for path in (project / layout.METRICS).iterdir() if not path.name.startswith(".")]
    submissions = (project / layout.PREDICTIONS).glob("*.bin")
    found = [path.relative_to(project) for path in (*metrics, *submissions) if path.name != _OTHER_RUNS]
    return sorted(path for path in (*named, *found) if (project / path).is_file())


def _listing(outputs: Mapping[str, str]) -> dict[str, bytes]:
    """DVC's list of the files in predictions/, under its name in the archive; empty if this is no output."""
    md5 = outputs.get(layout.PREDICTIONS.as_posix())
    return {LISTING: dvc_objects.file(md5).read_bytes()} if md5 else {}


def _changed(project: Path) -> list[str]:
    """The stages of which a dependency that is here differs from the one in dvc.lock, as `dvc status` says."""
    status = json.loads(dvc("status", "--json", cwd=project) or "{}")
    dependencies = {
        stage: [
            state for change in changes if isinstance(change, dict) for state in change.get("changed deps", {}).values()
        ]
        for stage, changes in status.items()
    }
    return [stage for stage, states in dependencies.items() if "modified" in states]


def _report(run: str, commit: str, project: Path) -> bytes:
    """The report of a run, made by its own code; its date is that of the commit.

    Raises:
        DepixelError: that code cannot make it; repeats its error.
    """
    path = project / layout.REPORT
    command = [sys.executable, "-m", "depixel.cli", "report", "--output", str(layout.REPORT)]
    date = git("show", "--no-patch", "--format=%ct", commit)
    with tempfile.TemporaryFile() as said:
        code = run_stage(command, cwd=project, stdout=said, stderr=said, env={**os.environ, "SOURCE_DATE_EPOCH": date})
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
    if code or not path.is_file():
        why = next((line for line in lines if line.startswith("Error: ")), (lines or [f"exit code {code}"])[-1])
        raise DepixelError(
            f"{run}: its report cannot be made ({why.removeprefix('Error: ')}). Leave it out: --no-report"
        )
    return path.read_bytes()


def _readme(commit: str, experiment: str, content: Mapping[str, bytes], left_out: int, changed: list[str]) -> str:
    """The page for people."""
    scores = json.loads(content[layout.EVALUATION.as_posix()])
    shown = sorted({name if name in _EXPLAINED else f"{name.partition('/')[0]}/" for name in content})
    return _PAGE.format(
        commit=commit,
        experiment=f", the experiment {experiment}" if experiment else "",
        pull=f"dvc exp pull origin {experiment}\n  " if experiment else "",
        scores="\n".join(f"  {name:16} {value}" for name, value in scores.items() if isinstance(value, int | float)),
        files="\n".join(f"  {name:28} {_EXPLAINED.get(name, '')}".rstrip() for name in shown),
        manifest=MANIFEST,
        evaluation=layout.EVALUATION.as_posix(),
        notes=(_WITHOUT.format(megabytes=left_out / 1e6) if left_out else "")
        + (_CHANGED.format(stages=", ".join(changed)) if changed else ""),
    )


_WITHOUT = "\nThe weights of the model have {megabytes:.0f} MB and are left out; in a clone, `dvc pull` fetches them.\n"

_CHANGED = """
Code or inputs have changed since these results were made, which need not change them: `make repro` finds out. It
concerns these stages: {stages}.
"""

_PAGE = """\
This archive holds a run of depixel: commit {commit}{experiment}.

Scores on the test photos, from {evaluation}:

{scores}

Files:

{files}

{manifest} lists each file with its size and SHA-256.
{notes}
To repeat the run, you need Python 3.10 or newer, git and make. REPOSITORY is the address of the git repository.

  git clone REPOSITORY depixel
  cd depixel
  {pull}git checkout {commit}
  make repro
  git status

`make repro` installs the packages of requirements.lock, fetches the photos and runs all stages. If params.yaml says
`arithmetic: portable`, the results are the same on every x86-64 processor with AVX2, and `git status` shows no change.

To check this archive, type this in the clone. It verifies every SHA-256 and compares the files with the commit:

  depixel bundle --check ARCHIVE.zip
"""


def _write_zip(path: Path, content: Mapping[str, bytes]) -> None:
    """Write an archive: the page for people first, then the manifest, then all other files by name."""
    first = (README, MANIFEST)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in (*first, *sorted(content.keys() - {*first})):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content[name])
