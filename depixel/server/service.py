"""A challenge at work: its folder, rules, database and scorer, which all requests and commands share."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sqlalchemy import select

from depixel.base.files import read_json
from depixel.server.rules import read_rules
from depixel.server.scorer import Scorer, Scores
from depixel.server.storage.database import Database, state
from depixel.server.storage.folder import Folder
from depixel.server.storage.schema import Revision


def now() -> int:
    """This moment: milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


class Service:
    """One challenge.

    Args:
        root: the folder of the challenge.
        url: of the database; None: the SQLite database in the folder.
        clock: gives the moment.

    Raises:
        DepixelError: the folder holds no challenge, a rule is wrong, or the database cannot be used.
    """

    def __init__(self, root: str | Path, url: str | None = None, clock: Callable[[], int] = now):
        self.folder, self.clock = Folder.of(root), clock
        self.rules = read_rules(self.folder.rules)
        for folder in (self.folder.submissions, self.folder.incoming):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.database = Database(url or f"sqlite:///{self.folder.database}")
        self._loading = Lock()
        self._loaded: _Loaded | None = None

    def scorer(self) -> tuple[int, Scorer]:
        """The revision of the targets in force, and what scores by them.

        Raises:
            DepixelError: the targets cannot be read or do not fit the test set.
        """
        return self._in_force()[:2]

    def references(self) -> dict[str, Scores]:
        """The scores of the reference rows by the targets in force."""
        return self._in_force().references

    def _in_force(self) -> "_Loaded":
        with self.database.reading() as session:
            number = state(session).revision
            targets = session.scalars(select(Revision.targets).where(Revision.id == number)).one()
        with self._loading:
            if self._loaded is None or self._loaded.revision != number:
                scorer = self.scorer_of(self.folder.private / targets)
                files = sorted(self.folder.references.glob("*.bin"))
                references = {path.stem: scorer.score(path.read_bytes()) for path in files}
                self._loaded = _Loaded(number, scorer, references)
            return self._loaded

    def scorer_of(self, targets: Path) -> Scorer:
        """What scores by these targets. Raises `DepixelError` if they do not fit the test set."""
        return Scorer.load(self.folder.test_set, targets, read_json(self.folder.creation))


class _Loaded(NamedTuple):
    """The targets in force, and the scores of the reference rows."""

    revision: int
    scorer: Scorer
    references: dict[str, Scores]
