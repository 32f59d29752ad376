"""Archives that cannot be read, such as uploads that were cut off: whose they are, and how many photos they held."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from depixel.base import layout
from depixel.base.console import counted
from depixel.base.errors import DepixelError
from depixel.photos.rules import Verdict
from depixel.versioning import file_at, hashes_of


class Lost(NamedTuple):
    """A contributor with an archive that cannot be read, or not to its end.

    Attributes:
        contributor: whose archive it is.
        reason: why it cannot be read.
        left: number of valid photos of the contributor that can be read.
        before: number of valid photos that the contributor had before; None if that is not known, or not more.
    """

    contributor: str
    reason: str
    left: int
    before: int | None = None

    @property
    def text(self) -> str:
        """What is lost, as part of a sentence."""
        held = f"; it had {self.before} valid photos before, {self.left} now" if self.before else ""
        return f"{self.contributor} ({self.reason}{held})"


def lost(verdicts: Iterable[Verdict], before: Mapping[str, int] | None = None) -> list[Lost]:
    """The archives that cannot be read, or not to their end, in order.

    Args:
        verdicts: those on all files.
        before: number of valid photos of each contributor before; None if that is not known.
    """
    broken: list[Verdict] = []
    valid: Counter[str] = Counter()
    for verdict in verdicts:
        valid[verdict.contributor] += not verdict.code
        if not verdict.name:
            broken.append(verdict)
    held = {name: count for name, count in (before or {}).items() if count > valid[name]}
    return [Lost(one.contributor, one.reason, valid[one.contributor], held.get(one.contributor)) for one in broken]


def told(found: list[Lost]) -> str:
    """A sentence on all of them, and what to do; "" if there are none."""
    if not found:
        return ""
    return (
        f"LOST: {counted(len(found), 'archive')} cannot be read, or not to the end: "
        f"{', '.join(one.text for one in found)}. Get each again, or delete it from the photos"
    )


def committed() -> dict[str, int] | None:
    """Number of valid photos of each contributor in the results of the last commit; None if they are not here."""
    try:
        md5 = hashes_of(file_at("HEAD", layout.LOCKED_RESULTS) or b"")[layout.INDEX.as_posix()]
        with _in_cache(md5).open(encoding="utf-8", newline="") as index:
            return dict(Counter(row["contributor"] for row in csv.DictReader(index)))
    except (DepixelError, OSError, csv.Error, LookupError, ValueError):  # not in the cache, or no such table
        return None


def _in_cache(md5: str) -> Path:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # half a second, and only where an archive is lost

    try:
        with Repo() as repo:
            return Path(repo.cache.local.oid_to_path(md5))
    except DvcException as error:
        raise DepixelError(str(error)) from error
