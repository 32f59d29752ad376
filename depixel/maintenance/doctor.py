"""Checks of the environment, photos, remote, cache and results; each problem comes with the command that repairs it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from depixel.base import layout
from depixel.base.code import PACKAGE
from depixel.base.console import PIPELINE
from depixel.base.environment import check_locked
from depixel.base.errors import DepixelError
from depixel.versioning import CommandError, dvc, git, has_commit, paths_of
from depixel.versioning import problem as git_problem

if TYPE_CHECKING:
    from dvc.repo import Repo

    from depixel.photos.bucket import Bucket

_RESULTS = ("data", "models", layout.METRICS.as_posix(), layout.PREDICTIONS.as_posix())
_CARD = layout.MODEL.with_suffix(".md").as_posix()

ROOM = 2_000_000_000
"""Free disk space in bytes. With less, prepared photos, caches and checkpoints of a run may fill the disk."""


_CHOOSE_REMOTE = (
    "choose where photos are kept: docs/how-to/remotes.md. Then `dvc push`; without another remote, it copies the "
    "photos into the repository, which `git push` publishes"
)


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        subject: one of `SUBJECTS`.
        found: its state, on one line.
        mend: the command that repairs it, or a sentence; empty if all is in order.
    """

    subject: str
    found: str
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Check the project in the current folder: yield a finding for each subject, in the order to repair them."""
    for subject, look in SUBJECTS.items():
        try:
            found, mend = look()
        except PermissionError as error:
            from depixel.curation.dvc_objects import NO_PERMISSION

            found, mend = f"{error.filename}: cannot be read ({error.strerror})", NO_PERMISSION
        except ImportError as error:
            found, mend = f"cannot be checked: {error}", _install()
        except Exception as error:  # the doctor must work whatever is wrong
            found, mend = " ".join(str(error).split()) or type(error).__name__, "follow this message"
        yield Finding(subject, found, mend)


def _install() -> str:
    """What brings the pipeline's packages: in a clone the locked versions, elsewhere the extra."""
    return f"pip install -r {layout.ENVIRONMENT}" if layout.ENVIRONMENT.is_file() else 'pip install "depixel[pipeline]"'


def _environment() -> tuple[str, str]:
    try:
        check_locked(layout.ENVIRONMENT)
    except DepixelError as error:
        return str(error).split(",")[0], "pip install -r requirements.lock"
    if missing := sorted(name for name in PIPELINE if find_spec(name) is None):
        return f"the pipeline lacks packages: {', '.join(missing)}", _install()
    here = Path("depixel/__init__.py")
    other = here.is_file() and not here.samefile(PACKAGE / here.name)  # of two checkouts
    depixel = f"; `depixel` is installed from {PACKAGE.parent}, not from this folder" * other
    return f"Python {sys.version.split()[0]}, packages as in requirements.lock{depixel}", ""


def _project() -> tuple[str, str]:
    written = (layout.LOCKED_RESULTS, layout.RAW_POINTER, layout.PARAMS, layout.PIPELINE, layout.SNAPSHOTS)
    for path in written:
        if path.is_file() and b"<<<<<<<" in path.read_bytes():
            return (
                f"{path.as_posix()} has an unresolved merge conflict",
                "see docs/how-to/snapshots.md, section Conflicts",
            )
    if not layout.DVC.is_dir():
        return f"{Path.cwd()} is not a DVC project", "cd to the project's folder"
    if not os.access(layout.DVC, os.W_OK):
        return f"{Path.cwd()} is read-only, but DVC and the stages must write to it", "git clone . FOLDER"
    from depixel.maintenance.repair import broken

    if cut := broken(Path()):
        return f"truncated: {', '.join(cut)}", "depixel mend"
    found, mend = git_problem()
    return found or "git, dvc.lock and DVC's own files are in order", mend


def _bucket() -> "Bucket | None":
    """The bucket from which dvc.yaml has `validate` read the photos; None if it is a folder."""
    from depixel.photos.bucket import URL, Bucket

    if not layout.PIPELINE.is_file():
        return None
    inputs = yaml.safe_load(layout.PIPELINE.read_text(encoding="utf-8"))["stages"]["validate"]["deps"]
    return next((Bucket(path) for path in inputs if str(path).startswith(URL)), None)


def _photos() -> tuple[str, str]:
    from depixel.curation import snapshots
    from depixel.photos import lost, rules, tracked

    if bucket := _bucket():
        return f"{sum(1 for _ in bucket.walk())} objects in {bucket}", ""
    tracked.check()
    named = {snapshot.md5: snapshot.name for snapshot in snapshots.read_snapshots()}
    md5 = snapshots.current()
    name = f"snapshot {named[md5]}" if md5 in named else f"{md5}, not a named snapshot"
    if missing := snapshots.missing_inputs():
        return f"{len(missing)} folders are missing", f"dvc pull {' '.join(missing)}"
    if not snapshots.is_unchanged():
        found, mend = f"changed since {name}", "depixel diff HEAD; depixel snapshot publish NAME, or use NAME"
    else:
        found, mend = name, ""
    verdicts = list(rules.load_manifest(layout.MANIFEST)) if layout.MANIFEST.is_file() else []
    if lost.lost(verdicts):
        found = f"{found}. {lost.told(lost.lost(verdicts, lost.committed()))}"
        mend = f"{mend}; get the archives again or delete them, then dvc repro".removeprefix("; ")
    left_out = tracked.told(tracked.left_out(layout.RAW)).replace("\n", " ")
    return ". ".join(filter(None, (found, left_out))), mend


def _remote() -> tuple[str, str]:
    from dvc.repo import Repo

    from depixel.curation import dvc_objects, snapshots

    try:
        with Repo() as repo:
            remote = repo.cloud.get_remote()
            place = remote.fs.unstrip_protocol(remote.path)
            store = repo.cloud.get_remote_odb()
            if bucket := _bucket():
                _stands(store, "0" * 32)  # raises if the remote cannot be reached
                return f"{place}; the photos are in {bucket}", ""
            folder = snapshots.current()
            there = _stands(store, folder)
            photos = [info.value for info in _tree(repo, folder)] if there else []
            lacking = set(photos) - set(store.oids_exist(photos)) if photos else set()
    except Exception as error:  # each kind of remote raises its own
        return f"cannot be reached: {' '.join(str(error).split()) or type(error).__name__}", "dvc remote list"
    if not there or lacking:
        what = f"{place} does not have {f'{len(lacking)} of ' if lacking else ''}the photos of data/raw.dvc"
        if dvc_objects.embedded_store():
            return f"{what}; it is a folder of this repository", _CHOOSE_REMOTE
        return what, "dvc push"
    size = ""
    if embedded := dvc_objects.embedded_store():
        if damaged := [path for path in embedded.rglob("*") if path.is_file() and dvc_objects.is_damaged(path)]:
            return f"{len(damaged)} damaged objects, such as {damaged[0]}", f"git checkout {embedded}"
        size = f", {_bytes(embedded) / 1e6:.1f} of at most {dvc_objects.EMBEDDED_LIMIT / 1e6:.0f} MB"
    return f"{place}{size}", ""


def _stands(store: Any, oid: str) -> bool:  # dvc_data has no types
    """Whether an object is in a store. Raises the store's error if it cannot be reached."""
    try:
        store.fs.info(store.oid_to_path(oid))
    except FileNotFoundError:
        return False
    return True


def _tree(repo: "Repo", folder: str) -> list[Any]:
    """The hashes (`HashInfo`) of a folder's files; empty if the cache does not have the folder."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    cache = repo.cache.local
    if not Path(cache.oid_to_path(folder)).is_file():
        return []
    return [info for _, _, info in Tree.load(cache, HashInfo("md5", folder), hash_name="md5")]


def _cache() -> tuple[str, str]:
    from dvc.repo import Repo

    from depixel.curation.dvc_objects import is_damaged

    with Repo() as repo:
        kinds = repo.cache.local.cache_types
        place = Path(repo.cache.local.path)
    if not place.is_dir():
        return "empty", ""
    damaged = [str(path) for path in place.rglob("*") if path.is_file() and is_damaged(path)]
    if damaged:
        mend = f"rm -f {' '.join(damaged)}; dvc fetch; dvc checkout --relink --force"
        return f"{len(damaged)} damaged objects, and files linked to them", mend
    link = _link_of_photos()
    photos = "" if _bucket() else f"; photos are {link}"
    return f"{_bytes(place) / 1e6:.1f} MB, allowed links {', '.join(kinds)}{photos}", ""


def _link_of_photos() -> str:
    """How the photos in data/raw share disk space with those in the cache."""
    from depixel.photos import tracked

    path = next((found.path for found in tracked.walk(layout.RAW) if not found.left_out), None)
    if path is None:
        return "missing"
    if path.is_symlink():
        return "links to the cache"
    shared = path.stat().st_nlink > 1
    return "hard links to the cache" if shared else "copies, or reflinks if the file system has them"


def _results() -> tuple[str, str]:
    from depixel.photos import tracked

    tracked.check()  # else DVC may hang
    try:
        status = json.loads(dvc("status", "--json"))
    except CommandError as error:
        return f"cannot be checked: {error.reason}", "follow the message of `dvc status`"
    pointers = layout.RAW_POINTER.suffix  # `_photos` checks data
    changed = {stage: causes for stage, causes in status.items() if not stage.endswith(pointers)}
    if changed and _are_only_missing(changed.values()):
        return "committed, but missing here", "dvc pull"
    if changed:
        return f"not up to date: {', '.join(changed)}", "dvc repro"
    if unseen := _unseen_by_git():
        named = " ".join(unseen)
        return f"{named}: differs from the commit, but git does not notice", f"touch {named}; git add {named}"
    return "up to date with the code, the settings and the photos", ""


def _are_only_missing(status: Iterable[Any]) -> bool:
    """Whether outputs of stages are missing and nothing else is changed. `status`: DVC's status of each stage."""
    causes = [cause for of_stage in status for cause in of_stage]
    if not all(isinstance(cause, dict) for cause in causes):  # such as "changed command"
        return False
    found = [one for cause in causes for files in cause.values() for one in files.items()]
    return all(state in ("deleted", "not in cache") and Path(path).parts[0] in _RESULTS for path, state in found)


def _unseen_by_git() -> list[str]:
    """Results that differ from the last commit without being listed by `git diff`.

    git assumes that a file of the same size, written in the same second, is unchanged.
    """
    if not shutil.which("git") or not has_commit():  # DVC also works without git
        return []
    results = [layout.METRICS.as_posix(), _CARD]
    seen = paths_of("diff", "--name-only", "--relative", "HEAD", "--", *results)
    there = [path for path in paths_of("ls-files", *results) if path not in seen and Path(path).is_file()]
    committed = {line.partition("\t")[2]: line.split()[2] for line in paths_of("ls-tree", "-r", "HEAD", *results)}
    hashed = git("hash-object", "--", *there).split() if there else []  # with the filters of .gitattributes
    return [path for path, md5 in zip(there, hashed, strict=True) if committed.get(path, md5) != md5]


def _disk() -> tuple[str, str]:
    free = shutil.disk_usage(".").free
    # it removes from the cache only what no commit and no experiment needs
    mend = "dvc gc --workspace --all-commits --all-experiments" if free < ROOM else ""
    return f"{free / 1e9:.1f} GB free", mend


SUBJECTS: dict[str, Callable[[], tuple[str, str]]] = {
    "environment": _environment,
    "project": _project,
    "photos": _photos,
    "remote": _remote,
    "cache": _cache,
    "results": _results,
    "disk": _disk,
}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
