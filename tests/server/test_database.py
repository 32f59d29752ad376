"""The database: migrations, durability, what happens if it is locked, gone or full; backups."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from depixel.base.errors import DepixelError
from tests.conftest import REPOSITORY
from tests.server.conftest import make_folder, new_database, received, serving, submission

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

import requests
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, make_url, select

from depixel.server import exports, leaderboard, organising, rescoring, submissions, tokens
from depixel.server.service import Service
from depixel.server.storage import backup, database
from depixel.server.storage.schema import Base, Scored, Submission

NEXT = '''
"""A column more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "v2", "v1"
def upgrade():
    with op.batch_alter_table("teams") as teams:
        teams.add_column(sa.Column("motto", sa.Text, nullable=False, server_default="none"))
'''


def test_the_migrations_make_the_tables_of_the_code(challenge):
    engine = challenge().database.engine
    with engine.connect() as connection:
        assert (
            compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        )


def test_a_database_of_an_older_version_is_upgraded_and_a_newer_one_refused(challenge, tmp_path):
    service = challenge()
    number = organising.add_team(service, "o", "one").number
    received(service, number, submission(service.folder.root))
    newer = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, newer)
    (newer / "versions/v2.py").write_text(NEXT, encoding="utf-8")
    url = service.database.engine.url.render_as_string(hide_password=False)
    service.database.close()
    upgraded = database.Database(url, newer)
    assert "motto" in {column["name"] for column in inspect(upgraded.engine).get_columns("teams")}
    with upgraded.reading() as session:
        assert session.scalars(select(Submission)).one().team_id == number
    upgraded.close()
    with pytest.raises(DepixelError, match="newer version of depixel"):
        database.Database(url)


def test_a_challenge_by_the_tables_of_the_first_version_goes_on(tmp_path, database_url, clock):
    root, secret = make_folder(tmp_path / "c"), "a-secret-of-the-first-version"
    url = make_url(database_url or f"sqlite:///{root / 'private/challenge.db'}")
    old = create_engine(url.set(drivername="postgresql+psycopg") if database_url else url)
    rows = (REPOSITORY / "tests/stored/challenge_v1.sql").read_text().replace("{hash}", tokens.hash_of(secret))
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "v1")
        for statement in filter(None, map(str.strip, rows.split(";\n"))):
            connection.exec_driver_sql(statement)
    old.dispose()
    service = Service(root, database_url, clock)
    board = leaderboard.leaderboard(service)
    assert [(row.team, row.rmse, row.attempts) for row in board.rows] == [("Noether", 4.0, 1), ("the stars", 7.0, 2)]
    with serving(service) as address:
        mine = requests.get(
            f"{address}/api/team", headers={"Authorization": f"Bearer team-1.{secret}"}, timeout=60
        ).json()
    assert mine["attempts"] == {"used": 2, "left": 6, "allowed": 8} and mine["deadline"] == 2209032000000
    assert [one["text"] for one in mine["messages"] + mine["rejections"]] == ["Well done.", "damaged"]
    assert exports.submissions_csv(service).count("\n") == 1 + 6 and "two accounts" in str(organising.teams(service))
    assert received(service, 2, submission(root, 2)).submission.submission == 4
    assert organising.add_team(service, "o", "new").number == 4
    service.database.close()


def test_what_is_committed_is_on_disk(challenge):
    service = challenge()
    if not service.database.is_sqlite:
        pytest.skip("PostgreSQL does this by itself")
    with service.database.reading() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "not a URL"),
        ("mysql://root@localhost/a", "not supported"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "cannot be used"),
        ("sqlite:////no/such/folder/a.db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url, told):
    with pytest.raises(DepixelError, match=told) as caught:
        database.Database(url)
    assert "secret" not in str(caught.value)


def upload(address, token, data):
    return requests.post(f"{address}/api/submissions", data, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def test_a_locked_database_counts_nothing_and_says_so(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    service = Service(make_folder(tmp_path / "c"), clock=clock)
    team, data = organising.add_team(service, "o", "one"), submission(service.folder.root)
    with serving(service) as address:
        other = sqlite3.connect(service.folder.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = upload(address, team.token, data)
        assert answer.status_code == 503 and answer.headers["Retry-After"] and "Nothing was counted" in answer.text
        other.execute("ROLLBACK")
        answer = upload(address, team.token, data)
        assert answer.status_code == 201 and answer.json()["attempts"]["used"] == 1
    service.database.close()


def test_a_database_that_is_gone_counts_nothing_and_says_so(postgres_url, tmp_path, clock):
    import psycopg

    url = new_database(postgres_url)
    service = Service(make_folder(tmp_path / "c"), url, clock)
    team, data = organising.add_team(service, "o", "one"), submission(service.folder.root)
    name = url.partition("@/")[2].partition("?")[0]
    with serving(service) as address, psycopg.connect(postgres_url.format(name="postgres"), autocommit=True) as admin:
        assert upload(address, team.token, data).status_code == 201
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        answer = upload(address, team.token, submission(service.folder.root, seed=2))
        assert answer.status_code == 503 and "Nothing was counted" in answer.text and "psycopg" not in answer.text
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert upload(address, team.token, submission(service.folder.root, seed=2)).json()["attempts"]["used"] == 2
    service.database.close()


def test_a_database_file_that_is_gone_counts_nothing_and_says_so(tmp_path, clock):
    """Its open connections would go on writing into a file that nobody finds again."""
    service = Service(make_folder(tmp_path / "c"), clock=clock)
    team, root = organising.add_team(service, "o", "one"), service.folder.root
    away = tmp_path / "away"
    away.mkdir()
    with serving(service) as address:
        assert upload(address, team.token, submission(root)).status_code == 201
        for path in service.folder.private.glob("challenge.db*"):
            path.rename(away / path.name)
        answer = upload(address, team.token, submission(root, seed=2))
        assert answer.status_code == 503 and "again" in answer.text and str(root) not in answer.text
        assert requests.get(f"{address}/healthz", timeout=60).status_code == 503
        assert not service.folder.database.exists()  # an empty one would take its place
        for path in away.iterdir():
            path.rename(service.folder.private / path.name)
        assert upload(address, team.token, submission(root, seed=2)).json()["attempts"]["used"] == 2
    service.database.close()


def test_a_full_disk_counts_nothing_and_says_so(tmp_path, clock, monkeypatch):
    service = Service(make_folder(tmp_path / "c"), clock=clock)
    team, data = organising.add_team(service, "o", "one"), submission(service.folder.root)
    with serving(service) as address:
        with monkeypatch.context() as full:
            real = Path.open

            def none_left(path, mode="r", *rest, **more):
                if "w" in mode and service.folder.incoming in path.parents:
                    raise OSError(28, "No space left on device")
                return real(path, mode, *rest, **more)

            full.setattr(Path, "open", none_left)
            assert upload(address, team.token, data).status_code == 507
        with service.database.reading() as session:  # the database can grow by no page more
            pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
        service.database.close()
        from sqlalchemy import event

        limit = lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages}")  # noqa: E731
        event.listen(service.database.engine, "connect", limit)
        codes = [
            upload(address, team.token, submission(service.folder.root, seed=seed)).status_code for seed in range(5)
        ]
        used = submissions.attempts_now(service, team.number).used
        assert set(codes) <= {201, 507} and codes.count(201) == used
        event.remove(service.database.engine, "connect", limit)
        service.database.close()
        assert upload(address, team.token, submission(service.folder.root, 2, seed=9)).status_code in (201, 409)
    service.database.close()


def test_a_rescore_keeps_the_old_scores_and_reaches_a_running_server(challenge, clock):
    service = challenge()
    team, root = organising.add_team(service, "o", "one"), service.folder.root
    with serving(service) as address:
        old = upload(address, team.token, submission(root, 5)).json()["submission"]["score"]["rmse"]
        import numpy as np

        with np.load(root / "private/targets.npz") as file:
            photos, areas = file["photos"], file["areas"]
        np.savez(root / "corrected.npz", photos=255 - photos, areas=areas)
        other = Service(root, service.database.engine.url.render_as_string(hide_password=False), clock)
        assert rescoring.rescore(other, "o", root / "corrected.npz", "they were inverted") == (2, 1)
        other.database.close()
        row = requests.get(f"{address}/api/leaderboard", timeout=60).json()["rows"][0]
        assert row["rmse"] > 2 * old
        seen = upload(address, team.token, submission(root, 5)).json()
        assert seen["repeated"] and seen["submission"]["score"]["rmse"] == row["rmse"]
        assert upload(address, team.token, submission(root, 6)).json()["submission"]["score"]["rmse"] > 2 * old
    with service.database.reading() as session:
        kept = {
            score.revision: score.rmse for score in session.scalars(select(Scored).where(Scored.submission_id == 1))
        }
    assert kept == {1: old, 2: row["rmse"]}


def test_targets_of_another_test_set_are_refused(challenge, tmp_path):
    service = challenge()
    other = make_folder(tmp_path / "other", samples=5)
    with pytest.raises(DepixelError, match="not those of this test set"):
        rescoring.rescore(service, "o", other / "private", "wrong")


def test_a_backup_of_a_running_server_can_be_served_and_moved_to_another_database(challenge, tmp_path, clock, request):
    service = challenge()
    teams = [organising.add_team(service, "o", name) for name in ("one", "two", "gone")]
    root = service.folder.root
    with serving(service) as address:
        for i, team in enumerate(teams):
            assert upload(address, team.token, submission(root, 3 + i)).status_code == 201
        organising.delete_team(service, "o", teams[2].number)
        assert backup.back_up(service, tmp_path / "backup") == 2
        upload(address, teams[0].token, submission(root, 1))
    assert (tmp_path / "backup/private").stat().st_mode & 0o777 == 0o700
    urls = [None]
    if not service.database.is_sqlite:
        urls.append(new_database(request.getfixturevalue("postgres_url")))
    for i, url in enumerate(urls):
        again = tmp_path / f"again{i}"
        backup.restore(tmp_path / "backup", again, url)
        restored = Service(again, url, clock)
        assert [row.team for row in leaderboard.leaderboard(restored).rows] == ["one", "two"]
        assert received(restored, teams[0].number, submission(root, 3)).repeated
        assert organising.add_team(restored, "o", "new").number > teams[2].number  # no number is given twice
        with serving(restored) as address:
            assert upload(address, teams[1].token, submission(root, 2)).status_code == 201  # the tokens still hold
            assert upload(address, teams[2].token, submission(root, 2)).status_code == 401
        restored.database.close()
    with pytest.raises(DepixelError, match="exists already"):
        backup.restore(tmp_path / "backup", tmp_path / "again0")
