"""The files of a snapshot as DVC objects in its cache and remotes: fetch them and check them.

An object is a file named after the MD5 of its content. A folder is an object that lists such names; its hash ends in
.dir.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.layout import SNAPSHOTS, STORE

if TYPE_CHECKING:  # DVC takes half a second to load
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

FOLDER = r"[0-9a-f]{32}\.dir"
"""The pattern of a folder's hash."""

EMBEDDED_LIMIT = 32_000_000
"""Maximum size in bytes of a DVC store within the git repository, because every clone downloads all of it, for ever."""


def objects(md5: str, damaged: set[tuple[int, int]] | None = None) -> dict[str, Path]:
    """Find the files of a snapshot in DVC's cache, and fetch missing or damaged ones from remotes.

    Args:
        md5: DVC's hash of the folder.
        damaged: receives (device, inode) of each damaged object that was replaced, to find links to it.

    Returns:
        The path of each file in the cache, keyed by its path below data/raw.

    Raises:
        DepixelError: no remote has some of the files, a remote cannot be reached, the cache is damaged, or a file
            would lie outside data/raw.
    """
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if not re.fullmatch(FOLDER, md5):
        raise DepixelError(
            f"{md5}: not the hash of a folder, so {SNAPSHOTS.as_posix()} is damaged. `git checkout "
            f"{SNAPSHOTS.as_posix()}` restores it"
        )
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
        raise DepixelError(f"{md5}: lists a file outside its folder: {outside[0]}. Nothing was changed")
    if gone:
        missing = f"{len(gone)} of {len(paths)} files, such as {gone[0]}"
        raise DepixelError(_cannot_fetch(md5, f"{missing}: {said[0]}" if said else f"{missing}, are missing", place))
    return paths


def file(md5: str) -> Path:
    """Find one file in DVC's cache by its MD5, and fetch it from remotes if it is missing or damaged.

    Raises:
        DepixelError: no remote has the file, or a remote cannot be reached.
    """
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    try:
        with Repo() as repo, _heard() as said:
            path = Path(repo.cache.local.oid_to_path(md5))
            _pull(repo, [HashInfo("md5", md5)], set())
    except MemoryError:
        raise
    except Exception as error:  # each kind of remote raises its own
        raise DepixelError(f"{md5}: cannot be fetched ({' '.join(str(error).split())})") from error
    if not path.is_file():
        raise DepixelError(f"{md5}: no remote has this file{f' ({said[0]})' if said else ''}")
    return path


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect the errors that DVC logs, because it logs transfer errors instead of raising them."""
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
    """The address of an object in the default remote; "" if it is not there. If it is there, it must be damaged."""
    try:
        store = repo.cloud.get_remote_odb()
        return store.fs.unstrip_protocol(store.oid_to_path(oid)) if store.exists(oid) else ""
    except Exception:  # each kind of remote raises its own
        return ""


def _pull(repo: "Repo", hashes: list["HashInfo"], damaged: set[tuple[int, int]]) -> None:
    """Fetch missing and damaged objects into the cache.

    The default remote comes first, then the others, because older snapshots may be in an earlier remote. Raises the
    last remote's error if an object is still missing.
    """
    places = [Path(repo.cache.local.oid_to_path(info.value)) for info in hashes]
    for place in places:
        if place.is_file() and is_damaged(place):
            damaged.add(inode(place))
            place.unlink()
    failure = None
    logging.getLogger("dvc").setLevel(logging.ERROR)  # else it warns about files that only the next remote has
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


def inode(path: Path) -> tuple[int, int]:
    """Device and inode of a file; all hard links to it share them."""
    found = path.stat()
    return found.st_dev, found.st_ino


def is_damaged(path: Path) -> bool:
    """Whether the content of an object, in a cache or a store on this disk, does not match the hash in its name."""
    expected = (path.parent.name + path.name).removesuffix(".dir")
    return bool(re.fullmatch("[0-9a-f]{32}", expected)) and hash_of(path, "md5") != expected


NO_PERMISSION = (
    "the cache is shared, and the permissions of this file keep you out. Its owner types `chmod -R g+rwX FOLDER` with "
    "the cache as FOLDER; each user types `dvc config --local cache.shared group`"
)
"""Advice for a shared cache in which another user's umask denies access."""

_ADVICE = (
    (r"errno 13\b", NO_PERMISSION),
    (
        "forbidden|denied|credential|signature|access.?key|unauthorized|40[13]",
        "the remote denies access. Set your keys: `dvc remote modify --local NAME access_key_id ...` and "
        "`dvc remote modify --local NAME secret_access_key ...`. `dvc remote list` prints the NAME",
    ),
    (
        "connect|resolve|timed? ?out|refused|unreachable|name or service",
        "the remote does not answer. Check the network, and its address in `dvc remote list`",
    ),
    (
        "no space|too large|quota|disk i/o|errno 2[78]",
        "the disk is full. Free some space and run the command again; it keeps the files that have arrived",
    ),
)
_OTHER_ADVICE = (
    "`dvc remote list` shows the remote. The person who published the photos still has them and can `dvc push` them "
    "again"
)


def _cannot_fetch(md5: str, reason: str, damaged: str = "") -> str:
    advice = next((text for causes, text in _ADVICE if re.search(causes, reason, re.IGNORECASE)), _OTHER_ADVICE)
    if damaged and advice == _OTHER_ADVICE:
        advice = (
            f"{damaged} is damaged. Delete it there (if it is in this git repository, restore it: "
            f"`git checkout {STORE.as_posix()}`)"
        )
        advice += ". The person who published the photos still has it and can `dvc push` it again"
    return f"the photos of {md5} cannot be fetched ({reason}). {advice[0].upper()}{advice[1:]}"


def check_room(files: dict[str, Path]) -> None:
    """Check that these files fit into the default remote if that is a store within the git repository.

    Args:
        files: the files, as `objects` returns them.

    Raises:
        DepixelError: the store would exceed `EMBEDDED_LIMIT`.
    """
    store = embedded_store()
    if store is None:
        return
    has = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    new = {path for path in files.values() if not (store / "files/md5" / path.parent.name / path.name).is_file()}
    size = sum(path.stat().st_size for path in new)
    if has + size > EMBEDDED_LIMIT:
        raise DepixelError(
            f"{size / 1e6:.1f} MB are new, and the store in this repository has {has / 1e6:.1f} of at most "
            f"{EMBEDDED_LIMIT / 1e6:.0f} MB, because every clone downloads all of it, for ever. Add a remote outside "
            "the repository (a folder, a server or a bucket), then publish again:\n"
            "  dvc remote add --default photos /path/to/folder      (or s3://bucket/folder, ssh://...)"
        )


def embedded_store() -> Path | None:
    """The folder of the default remote if it is within the project; else None.

    Raises:
        DepixelError: there is no default remote.
    """
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            remote = repo.cloud.get_remote()
            path = Path(remote.path) if remote.fs.protocol == "local" else None
            return path if path and path.is_relative_to(repo.root_dir) else None
    except Exception as error:  # each kind of remote raises its own
        raise DepixelError(
            f"DVC has no remote to push to ({' '.join(str(error).split())}). Add one: `dvc remote add --default NAME "
            "URL`"
        ) from error
