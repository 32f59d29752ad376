"""Archives that cannot be read, such as incomplete uploads: their contributors and numbers of lost photos."""

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
    """A contributor's archive that cannot be read, or not to its end.

    Attributes:
        contributor: the contributor.
        reason: the reason why the archive cannot be read.
        left: the contributor's number of valid photos now.
        before: the contributor's number of valid photos before; None if it is unknown or not larger.
    """

    contributor: str
    reason: str
    left: int
    before: int | None = None

    @property
    def text(self) -> str:
        """The loss as part of a sentence."""
        held = f"; it had {self.before} valid photos before, {self.left} now" if self.before else ""
        return f"{self.contributor} ({self.reason}{held})"


def lost(verdicts: Iterable[Verdict], before: Mapping[str, int] | None = None) -> list[Lost]:
    """The archives that cannot be read, or not to their end, in order.

    Args:
        verdicts: the verdicts on all files.
        before: contributor -> number of valid photos before; None if unknown.
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
    """A message about all lost archives, with advice; "" if there are none."""
    if not found:
        return ""
    return (
        f"LOST: {counted(len(found), 'archive')} cannot be read, or not to the end: "
        f"{', '.join(one.text for one in found)}. Fetch each again, or delete it from the photos"
    )


def committed() -> dict[str, int] | None:
    """Contributor -> number of valid photos in the results of the last commit; None if the cache lacks them."""
    try:
        md5 = hashes_of(file_at("HEAD", layout.LOCKED_RESULTS) or b"")[layout.INDEX.as_posix()]
        with _in_cache(md5).open(encoding="utf-8", newline="") as index:
            return dict(Counter(row["contributor"] for row in csv.DictReader(index)))
    except (DepixelError, OSError, csv.Error, LookupError, ValueError):  # not in the cache, or not such a table
        return None


def _in_cache(md5: str) -> Path:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # takes half a second, and is needed only if an archive is lost

    try:
        with Repo() as repo:
            return Path(repo.cache.local.oid_to_path(md5))
    except DvcException as error:
        raise DepixelError(str(error)) from error
