"""A copy of a challenge while it runs, and the way back.

A backup is a challenge's folder with a SQLite database, whatever database the server uses. So it can be served as it
is, and it moves a challenge from SQLite to PostgreSQL or back.
"""

import shutil
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.server.service import Service
from depixel.server.storage.database import Database
from depixel.server.storage.folder import Folder
from depixel.server.storage.schema import Base, Submission


def back_up(service: Service, out: Path) -> int:
    """Copy a challenge into a new folder, as it is at one moment; returns the number of submissions.

    Raises:
        DepixelError: the folder is there already, or cannot be written.
    """
    if out.exists():
        raise DepixelError(f"{out}: exists already; name a new folder for the backup")
    with replacing(out) as beside:
        beside.mkdir(mode=0o700)
        copy = Folder(beside)
        copy.private.mkdir(mode=0o700)
        copy.submissions.mkdir(mode=0o700)
        target = Database(f"sqlite:///{copy.database}")
        try:
            _copy_database(service.database, target)
            with target.reading() as session:
                names = session.scalars(select(Submission.sha256).distinct()).all()
        finally:
            target.close()
        # files stand before the rows that name them: none of the rows is newer than the files
        source = service.folder
        shutil.copy2(source.rules, copy.rules)
        shutil.copytree(source.public, copy.public)
        for path in [*source.private.glob("targets*.npz"), source.creation, source.private / "secret"]:
            if path.is_file():
                shutil.copy2(path, copy.private / path.name)
        if source.references.is_dir():
            shutil.copytree(source.references, copy.references)
        for name in names:
            shutil.copy2(source.submission(name), copy.submission(name))
    return len(names)


def restore(backup: Path, root: Path, url: str | None = None) -> None:
    """Make a challenge's folder, and fill its database, from a backup.

    Args:
        root: a new folder. url: of an empty database; None: the SQLite database in the folder.

    Raises:
        DepixelError: there is no backup, the folder is there already, or the database is not empty.
    """
    source = Folder.of(backup)
    if not source.database.is_file():
        raise DepixelError(f"{backup}: not a backup, because {source.database.relative_to(backup)} is missing")
    if root.exists():
        raise DepixelError(f"{root}: exists already; name a new folder")
    kept = Database(f"sqlite:///{source.database}")
    try:
        with replacing(root) as beside:
            shutil.copytree(backup, beside, ignore=shutil.ignore_patterns(f"{source.database.name}*"))
            target = Database(url or f"sqlite:///{Folder(beside).database}")
            try:
                _copy_database(kept, target)
            finally:
                target.close()
    finally:
        kept.close()


def _copy_database(source: Database, target: Database) -> None:
    """Copy all rows, as they are at one moment, into a database that holds none."""
    level = {} if source.is_sqlite else {"isolation_level": "REPEATABLE READ"}
    tables = Base.metadata.sorted_tables
    with (
        source.engine.execution_options(**level).connect() as old,
        target.engine.execution_options(writing=True).begin() as new,
    ):
        for table in tables:
            if table.name not in ("state", "revisions") and new.scalar(select(func.count()).select_from(table)):
                raise DepixelError(f"{target.place}: the database is not empty; name another one")
        for table in reversed(tables):
            new.execute(table.delete())
        for table in tables:
            for rows in old.execute(select(table)).mappings().partitions(1000):
                new.execute(insert(table), [dict(row) for row in rows])
        _continue_numbers(old, new, source.is_sqlite, target.is_sqlite)


def _continue_numbers(old: Connection, new: Connection, from_sqlite: bool, to_sqlite: bool) -> None:
    """Let new rows be numbered after all that there ever were: the number of a deleted one is not given again."""
    for table in Base.metadata.sorted_tables:
        if not table.dialect_options["sqlite"]["autoincrement"]:
            continue
        if from_sqlite:
            query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
            last = old.scalar(query, {"name": table.name}) or 0
        else:
            last = old.scalar(text(f"SELECT last_value FROM {table.name}_id_seq")) or 0  # noqa: S608  our own names
        if to_sqlite:
            new.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            new.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"),
                {"name": table.name, "last": last},
            )
        elif last:
            new.execute(text("SELECT setval(:sequence, :last)"), {"sequence": f"{table.name}_id_seq", "last": last})
