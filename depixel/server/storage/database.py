"""The database of a challenge: SQLite in WAL mode, or PostgreSQL by a URL; brought up to date by migrations.

`reading` gives a session that changes nothing. `writing` gives one whose changes are on disk when its block ends, or
not made at all. On SQLite there is one writer at a time. On PostgreSQL a writer locks the rows that its decision rests
on (`locked`).
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from depixel.base.errors import DepixelError
from depixel.server.storage.schema import Base, State

MIGRATIONS = Path(__file__).with_name("migrations")
PATIENCE = 10
"""How long a writer waits for another one, in seconds."""
_MIGRATING = 0x6465706978656C  # the number of a lock

Row = TypeVar("Row", bound=Base)


class Database:
    """A database whose tables are those of this version.

    Args:
        url: of SQLAlchemy; `postgresql://` means the driver psycopg.
        migrations: the folder of the migrations.

    Raises:
        DepixelError: the URL names no database that can be reached, or a newer version of depixel made it.
    """

    def __init__(self, url: str, migrations: Path = MIGRATIONS):
        try:
            named = make_url(url)
        except ArgumentError as error:
            raise DepixelError("--database: not a URL such as postgresql://user:password@host/name") from error
        self.is_sqlite = named.get_backend_name() == "sqlite"
        if named.drivername in ("postgresql", "postgres"):
            named = named.set(drivername="postgresql+psycopg")
        if not self.is_sqlite and named.get_backend_name() != "postgresql":
            raise DepixelError(f"--database: {named.drivername} is not supported; sqlite and postgresql are")
        self.place = named.render_as_string(hide_password=True)
        try:
            self.engine = _sqlite(url) if self.is_sqlite else create_engine(named, pool_size=10, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise DepixelError("PostgreSQL needs psycopg: pip install 'depixel[challenge]'") from error
        self._writing = self.engine.execution_options(writing=True)
        try:
            self._bring_up_to_date(migrations)
        except DBAPIError as error:
            self.engine.dispose()
            raise DepixelError(f"{self.place}: the database cannot be used ({_first_line(error)})") from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees the database as it is at its first query. Raises `OSError` if its file is gone."""
        self._find_file()
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are on disk when the block has ended; after an error none is made.

        Raises:
            OSError: the file of the database is gone.
        """
        self._find_file()
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _find_file(self) -> None:
        """Connections that are open would go on with a file that was moved or deleted."""
        if self.is_sqlite and not Path(str(self.engine.url.database)).is_file():
            raise FileNotFoundError(errno.ENOENT, "the database is gone", self.engine.url.database)

    def _bring_up_to_date(self, migrations: Path) -> None:
        config = Config()
        config.set_main_option("script_location", str(migrations).replace("%", "%%"))
        newest = ScriptDirectory.from_config(config)
        with self._writing.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATING})
            found = MigrationContext.configure(connection).get_current_revision()
            if found == newest.get_current_head():
                return
            if found is not None and found not in {script.revision for script in newest.walk_revisions()}:
                raise DepixelError(
                    f"{self.place}: a newer version of depixel made this database ({found}). Install that version"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": PATIENCE})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed is on disk
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    """A writer takes its place at once: what it reads cannot be overtaken before it writes."""
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def state(session: Session, lock: bool | None = None) -> State:
    """The state of the challenge. lock: True if it will be changed, False if it must not change meanwhile."""
    query = select(State)
    if lock is not None:
        query = query.with_for_update(read=not lock)
    return session.scalars(query).one()


def locked(session: Session, kind: type[Row], number: int) -> Row | None:
    """The row of this number, which nobody else changes until the session ends; None if there is none."""
    return session.get(kind, number, with_for_update=True)


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
