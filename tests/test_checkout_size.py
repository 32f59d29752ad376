"""What somebody downloads who clones the project: small, and nothing in it that no result needs."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

LIMIT = 48_000_000
"""Bytes of all tracked files together, the embedded store included."""


def tracked(folder: str = ".") -> list[Path]:
    """The tracked files that are there, relative to the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=REPOSITORY, capture_output=True, check=True)
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if (REPOSITORY / path).is_file()]


def committed(path: Path) -> str:
    """What a tracked file holds in the last commit, or in the one that is being prepared."""
    command = ["git", "show", f":{path.as_posix()}"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()


def object_of(md5: str) -> Path:
    """Where the embedded store keeps what has this hash."""
    return Path("data/store/files/md5") / md5[:2] / md5[2:]


def named(content: object) -> set[str]:
    """All hashes that DVC's files name, anywhere in this content."""
    if isinstance(content, dict):
        own = {content["md5"]} if isinstance(content.get("md5"), str) else set()
        return own.union(*map(named, content.values()))
    return set().union(*map(named, content)) if isinstance(content, list) else set()


def needed() -> set[str]:
    """The hashes of all that this commit's pipeline, pointers and snapshots name; of folders, their files', too.

    Those of the commit, not of the folder: after a run on other photos, the store has what the commit needs as before.
    """
    places = [path for path in tracked() if path.name == "dvc.lock" or path.suffix == ".dvc"]
    hashes = set().union(*(named(yaml.safe_load(committed(path))) for path in places))
    hashes.update(row["md5"] for row in csv.DictReader(committed(Path("data/snapshots.csv")).splitlines()))
    for folder in sorted(hash for hash in hashes if hash.endswith(".dir")):
        listing = REPOSITORY / object_of(folder)
        if listing.is_file():
            hashes.update(named(json.loads(listing.read_text(encoding="utf-8"))))
    return hashes


def test_the_checkout_is_small():
    sizes = {path: (REPOSITORY / path).stat().st_size for path in tracked()}
    largest = sorted(sizes, key=sizes.get, reverse=True)[:10]
    assert sum(sizes.values()) <= LIMIT, [f"{sizes[path]} {path}" for path in largest]


def test_every_object_of_the_store_is_needed():
    """`git rm` removes the others. (`dvc gc --cloud` would remove the snapshots' photos, too.)"""
    wanted = {object_of(md5) for md5 in needed()}
    others = [path for path in tracked("data/store") if path not in wanted]
    assert not others, [f"{(REPOSITORY / path).stat().st_size} {path}" for path in others]


@pytest.mark.parametrize("place", ["data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", "data/snapshots.csv"])
def test_the_store_has_what_a_clone_begins_with(place):
    text = (REPOSITORY / place).read_text(encoding="utf-8")
    if place.endswith(".csv"):
        folders = [row["md5"] for row in csv.DictReader(text.splitlines())]
    else:
        folders = sorted(named(yaml.safe_load(text)))
    for folder in folders:
        listing = json.loads((REPOSITORY / object_of(folder)).read_text(encoding="utf-8"))
        missing = [entry["relpath"] for entry in listing if not (REPOSITORY / object_of(entry["md5"])).is_file()]
        assert not missing, f"{place}: {missing} are not in the store: `dvc push`"
