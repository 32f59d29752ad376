"""Snapshots: named states of data/raw, which anybody can pull, compare and train on.

A snapshot is a hash of DVC, that of data/raw.dvc. The names stand in data/snapshots.csv, which git tracks, because tags
get lost in forks and mirrors; a git revision works wherever a name does.
"""

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, replacing
from depixel.base.tables import read_table, write_table
from depixel.photos.rules import Verdict
from depixel.versioning import reason, run_dvc, run_git

if TYPE_CHECKING:  # DVC takes half a second to load
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

RAW = Path("data/raw")
POINTER = Path("data/raw.dvc")
TABLE = Path("data/snapshots.csv")
WORKSPACE = "workspace"
EMBEDDED_LIMIT = 32_000_000
"""Bytes of data that a git repository may hold: everybody who clones it gets all of them, for ever."""


class Snapshot(NamedTuple):
    """A row of the table of names; text.

    Attributes:
        md5: DVC's hash of the folder, which ends in .dir.
        contributors, photos, valid: how many there are; photos are all files, valid those that keep the rules.
        date: when it was published, UTC, YYYY-MM-DD.
    """

    name: str
    md5: str
    contributors: str
    photos: str
    valid: str
    date: str
    note: str


def read_snapshots() -> list[Snapshot]:
    """The named snapshots, the oldest first. Raises `DepixelError` if the table is damaged."""
    if not TABLE.is_file():
        return []
    if b"<<<<<<<" in TABLE.read_bytes():
        raise DepixelError(f"{TABLE.as_posix()}: two people added names{_CONFLICT}")
    rows = list(read_table(TABLE, Snapshot, "git checkout data/snapshots.csv"))
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DepixelError(
            f"{TABLE.as_posix()}: two snapshots are called {twice[0]}. Give one of them another name there; its hash "
            "stays"
        )
    return rows


def current() -> str:
    """The hash that data/raw.dvc names.

    Raises:
        DepixelError: it is not there, or no such file.
    """
    try:
        return _hash_in(POINTER.read_bytes(), str(POINTER))
    except OSError as error:
        raise DepixelError(
            f"{POINTER}: cannot be read ({error.strerror}). Run from the project's folder; where photos are in {RAW}, "
            f"`dvc add {RAW.as_posix()}` makes it"
        ) from error


def resolve(name: str) -> str:
    """The hash of a snapshot, by its name, or by a git revision in which data/raw.dvc names it.

    Raises:
        DepixelError: there is neither; says what there is.
    """
    named = {snapshot.name: snapshot.md5 for snapshot in read_snapshots()}
    if name in named:
        return named[name]
    shown = run_git("show", f"{name}:./{POINTER.as_posix()}") if not name.startswith("-") else None
    if shown is None or shown.returncode:
        known = ", ".join(named) or "none so far; `depixel snapshot publish NAME` makes one"
        raise DepixelError(
            f"{name}: neither a snapshot nor a git revision with a {POINTER.as_posix()}. Snapshots: {known}. New ones "
            "of others come with `git pull`"
        )
    return _hash_in(shown.stdout, f"{POINTER.as_posix()} of {name}")


def _hash_in(content: bytes, name: str) -> str:
    try:
        md5 = yaml.safe_load(content)["outs"][0]["md5"]
        if re.fullmatch(_FOLDER, md5):
            return md5
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        pass
    conflict = f": two people changed it{_CONFLICT}" if b"<<<<<<<" in content else ""
    raise DepixelError(f"{name}: does not name a folder of photos that DVC knows{conflict}")


_FOLDER = r"[0-9a-f]{32}\.dir"
_CONFLICT = ". How to go on stands in docs/photos.md, in the section on conflicts"


def objects(md5: str, damaged: set[tuple[int, int]] | None = None) -> dict[str, Path]:
    """Where the files of a snapshot lie in DVC's cache, by their path below data/raw; fetched if they were not there,
    or were damaged.

    Args:
        damaged: gets the device and inode of each object that was, by which links to it are known.

    Raises:
        DepixelError: they are not in the remote either, or it cannot be reached, or the cache is damaged; or one of
            them would lie outside of data/raw.
    """
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if not re.fullmatch(_FOLDER, md5):
        raise DepixelError(f"{md5}: no hash of a folder; {TABLE.as_posix()} is damaged")
    folder = HashInfo("md5", md5)
    try:
        with Repo() as repo, _heard() as said:
            cache = repo.cache.local
            damaged = set() if damaged is None else damaged
            _pull(repo, [folder], damaged)
            tree = {"/".join(key): info for key, _, info in Tree.load(cache, folder, hash_name="md5")}
            paths = {name: Path(cache.oid_to_path(info.value)) for name, info in tree.items()}
            _pull(repo, list(tree.values()), damaged)
            gone = [name for name, path in paths.items() if not path.is_file()]
            place = _in_store(repo, tree[gone[0]].value) if gone else ""
    except MemoryError:
        raise
    except Exception as error:  # each kind of remote raises its own
        raise DepixelError(_cannot_fetch(md5, " ".join(str(error).split()) or type(error).__name__)) from error
    if outside := [name for name in paths if ".." in name.split("/") or name.startswith("/") or ":" in name]:
        raise DepixelError(f"{md5}: names a file outside of its folder: {outside[0]}. Nothing was changed")
    if gone:
        missing = f"{len(gone)} of {len(paths)} files, such as {gone[0]}"
        raise DepixelError(_cannot_fetch(md5, f"{missing}: {said[0]}" if said else f"{missing}, are missing", place))
    return paths


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What DVC logs as errors: why a file was not transferred, which it does not raise."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            said.append(" ".join(str(error or record.getMessage()).split()))

    listener = Listener(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield said
    finally:
        for logger in loggers:
            logger.removeHandler(listener)


def _in_store(repo: "Repo", oid: str) -> str:
    """Where an object stands in the default remote, which then is damaged there; "" if it does not."""
    try:
        store = repo.cloud.get_remote_odb()
        return store.fs.unstrip_protocol(store.oid_to_path(oid)) if store.exists(oid) else ""
    except Exception:  # each kind of remote raises its own
        return ""


def _pull(repo: "Repo", hashes: list["HashInfo"], damaged: set[tuple[int, int]]) -> None:
    """Bring into the cache what is not there or is damaged, from the default remote or else from the others: older
    snapshots may be where photos were pushed before. Raises what the last remote raised if something is missing."""
    places = [Path(repo.cache.local.oid_to_path(info.value)) for info in hashes]
    for place in places:
        if place.is_file() and is_damaged(place):
            damaged.add(_inode(place))
            place.unlink()
    failure = None
    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of what only the next remote has
    for remote in (None, *repo.config["remote"]):
        missing = [info for info, place in zip(hashes, places, strict=True) if not place.is_file()]
        if not missing:
            return
        try:
            repo.cloud.pull(missing, remote=remote)
        except Exception as error:  # each kind of remote raises its own
            failure = error
    if failure and not all(map(Path.is_file, places)):
        raise failure


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def is_damaged(path: Path) -> bool:
    """Whether an object of DVC, in a cache or in a store on this disk, is not what its name says."""
    expected = (path.parent.name + path.name).removesuffix(".dir")
    return bool(re.fullmatch("[0-9a-f]{32}", expected)) and hash_of(path, "md5") != expected


_ADVICE = (
    (
        "forbidden|denied|credential|signature|access.?key|unauthorized|40[13]",
        "the remote does not let you in: give it your keys, `dvc remote modify --local NAME access_key_id ...` and "
        "`secret_access_key`, where `dvc remote list` says the NAME",
    ),
    (
        "connect|resolve|timed? ?out|refused|unreachable|name or service",
        "the remote does not answer: is the network there, and is its address in `dvc remote list` right?",
    ),
    (
        "no space|too large|quota|disk i/o|errno 2[78]",
        "the disk is full: make room, and run it again; what has arrived stays",
    ),
)
_OTHER_ADVICE = "`dvc remote list` names the remote; who published them has them still, and can `dvc push` them again"


def _cannot_fetch(md5: str, reason: str, damaged: str = "") -> str:
    advice = next((text for causes, text in _ADVICE if re.search(causes, reason, re.IGNORECASE)), _OTHER_ADVICE)
    if damaged and advice == _OTHER_ADVICE:
        advice = (
            f"{damaged} is damaged: take it away there (in a git repository: get it back, `git checkout data/store`)"
        )
        advice += "; who published the photos has it still, and can `dvc push` it again"
    return f"the photos of {md5} cannot be fetched ({reason}). {advice[0].upper()}{advice[1:]}"


@contextmanager
def opened(name: str) -> Iterator[Path]:
    """A folder with the photos of a snapshot, to read; of `workspace`, data/raw itself. Raises as `objects`."""
    if name == WORKSPACE:
        yield RAW
        return
    files = objects(resolve(name))
    with tempfile.TemporaryDirectory(dir=".dvc/tmp", prefix="snapshot-") as folder:
        for path, place in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(place, target)  # the cache is on this file system, mostly
            except OSError:
                shutil.copy(place, target)
        yield Path(folder)


def use(name: str, force: bool = False) -> None:
    """Make data/raw and data/raw.dvc those of a snapshot.

    Args:
        force: even if data/raw holds what no snapshot has.

    Raises:
        DepixelError: there is no such snapshot, or data/raw has changes that would be lost; then all is as it was.
    """
    md5 = resolve(name)
    if not force and POINTER.is_file() and not _is_named(now := current()) and now != md5:
        raise DepixelError(_unpublished(f"{POINTER.as_posix()} names photos that no snapshot and no commit does", name))
    damaged: set[tuple[int, int]] = set()
    files = objects(md5, damaged)
    for path in list(RAW.rglob("*")) if damaged else ():  # what is linked to a damaged object is damaged
        if path.is_file() and _inode(path) in damaged:
            path.unlink()
    force = force or is_unchanged()  # DVC refuses, too, where what was there is in no cache, but in a remote
    before = POINTER.read_bytes() if POINTER.is_file() else None
    _write_pointer(md5, files)
    done = run_dvc("checkout", POINTER.as_posix(), *(["--force"] if force else []))
    if done.returncode:
        if before is not None:
            POINTER.write_bytes(before)
        if "unsaved" in done.stderr:
            raise DepixelError(_unpublished(f"{RAW.as_posix()} has files that no snapshot holds", name))
        raise DepixelError(f"{RAW.as_posix()} cannot be changed to {name}: {reason(done)}")


def _is_named(md5: str) -> bool:
    """Whether a state of the photos is a snapshot, or that of the last commit."""
    with suppress(DepixelError):
        return md5 in (row.md5 for row in read_snapshots()) or md5 == resolve("HEAD")
    return False


def is_unchanged() -> bool:
    """Whether data/raw is what data/raw.dvc says."""
    done = run_dvc("status", "--json", POINTER.as_posix())
    with suppress(ValueError, AttributeError):
        return not re.search('"(modified|new|deleted)"', json.dumps(json.loads(done.stdout)))
    return False


def _unpublished(what: str, name: str) -> str:
    return f"{what}. Keep them: `depixel snapshot publish NAME`; or lose them: `depixel snapshot use {name} --force`"


def _write_pointer(md5: str, files: dict[str, Path]) -> None:
    """data/raw.dvc as `dvc add` writes it."""
    size = sum(path.stat().st_size for path in files.values())
    out = {"md5": md5, "size": size, "nfiles": len(files), "hash": "md5", "path": RAW.name}
    with replacing(POINTER) as beside:
        beside.write_text(yaml.safe_dump({"outs": [out]}, sort_keys=False), encoding="utf-8", newline="\n")


def check_name(name: str) -> list[Snapshot]:
    """The snapshots so far, after a check that another may be called so. Raises `DepixelError` if not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name == WORKSPACE:
        raise DepixelError(f"{name!r}: a name has letters, digits, dots, _ and -, and is not {WORKSPACE}")
    known = read_snapshots()
    if name in (snapshot.name for snapshot in known):
        raise DepixelError(f"{name}: is the name of a snapshot already; names are for ever. `depixel snapshots`")
    if not (revision := run_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")).returncode:
        commit = revision.stdout.decode()[:10]
        raise DepixelError(f"{name}: is a git branch, tag or commit ({commit}), so it would have two meanings")
    return known


def publish(name: str, note: str, verdicts: Iterable[Verdict]) -> Snapshot:
    """Name the photos that are in data/raw now, and push them to the remote.

    The name is written last: a push that broke off is repeated by the same call.

    Args:
        verdicts: on the files in data/raw.

    Raises:
        DepixelError: the name is taken or no name, see `check_name`; the embedded store would become too large; DVC
            cannot add or push.
    """
    known = check_name(name)
    verdicts = list(verdicts)
    before = POINTER.read_bytes() if POINTER.is_file() else None
    if before and b"<<<<<<<" in before:
        _hash_in(before, str(POINTER))
    if (done := run_dvc("add", RAW.as_posix())).returncode:
        raise DepixelError(f"`dvc add {RAW.as_posix()}`: {reason(done)}")
    md5 = current()
    try:
        _check_room(objects(md5))
    except DepixelError:
        if before is not None:
            POINTER.write_bytes(before)
        else:
            POINTER.unlink(missing_ok=True)
        raise
    if (done := run_dvc("push", POINTER.as_posix())).returncode:
        raise DepixelError(
            f"the photos are added here, but not pushed: {reason(done)}. Once that is mended, the same command goes on"
        )
    snapshot = Snapshot(
        name,
        md5,
        contributors=str(len({v.contributor for v in verdicts if not v.code})),
        photos=str(len(verdicts)),
        valid=str(sum(not v.code for v in verdicts)),
        date=datetime.now(timezone.utc).date().isoformat(),
        note=" ".join(note.split()),
    )
    write_table(TABLE, Snapshot, [*known, snapshot])
    return snapshot


def _check_room(files: dict[str, Path]) -> None:
    """Raise `DepixelError` if the default remote is within the project, in git, and would become too large."""
    store = embedded_store()
    if store is None:
        return
    has = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    new = {path for path in files.values() if not (store / "files/md5" / path.parent.name / path.name).is_file()}
    size = sum(path.stat().st_size for path in new)
    if has + size > EMBEDDED_LIMIT:
        raise DepixelError(
            f"{size / 1e6:.1f} MB are new, and the store in this repository has {has / 1e6:.1f} of at most "
            f"{EMBEDDED_LIMIT / 1e6:.0f} MB: everybody who clones it gets all of it, for ever. Add a remote elsewhere "
            "first, a folder, a server or a bucket, and publish again:\n"
            "  dvc remote add --default photos /path/to/folder      (or s3://bucket/folder, ssh://...)"
        )


def embedded_store() -> Path | None:
    """The folder of the default remote if it is within the project."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            remote = repo.cloud.get_remote()
            path = Path(remote.path) if remote.fs.protocol == "local" else None
            return path if path and path.is_relative_to(repo.root_dir) else None
    except Exception as error:  # each kind of remote raises its own
        raise DepixelError(
            f"DVC has no remote to push to ({' '.join(str(error).split())}). `dvc remote add --default NAME URL`"
        ) from error
