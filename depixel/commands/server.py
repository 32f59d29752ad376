"""Commands of `depixel challenge`: make a challenge, serve it, take part in one. `organiser` has the others."""

import ipaddress
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depixel.base.console import counted
from depixel.base.errors import DepixelError
from depixel.commands import options

if TYPE_CHECKING:
    from depixel.server.service import Service

_PACKAGES = ("alembic", "itsdangerous", "jinja2", "requests", "sqlalchemy")

folder_argument = click.argument("folder", type=options.path(file_okay=False))
database_option = click.option(
    "--database",
    envvar="DEPIXEL_DATABASE",
    metavar="URL",
    help="A PostgreSQL database instead of the SQLite one in FOLDER, such as postgresql://user@host/name. With a "
    "password in it, set the variable DEPIXEL_DATABASE instead.",
)
server_option = click.option("--server", required=True, metavar="URL", help="The address of the challenge's server.")


@contextmanager
def opened(folder: Path, database: str | None) -> Iterator["Service"]:
    """The challenge in a folder, with its database.

    Raises:
        DepixelError: there is none, it cannot be used, or a package is missing.
    """
    with installed():
        from sqlalchemy.exc import DBAPIError

        from depixel.server.service import Service
    service = Service(folder, database)
    try:
        yield service
    except DBAPIError as error:
        raise DepixelError(f"{service.database.place}: the database cannot be used ({error.orig})") from error
    finally:
        service.database.close()


@contextmanager
def installed() -> Iterator[None]:
    """Turn a missing package of the server into a `DepixelError` that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise DepixelError("a challenge needs more packages: pip install 'depixel[challenge]'") from error


def who() -> str:
    """Who acts, for the trail."""
    try:
        return f"{getuser()} (command line)"
    except (KeyError, OSError):  # a user without a name, as in a container
        return "command line"


@click.command()
@click.argument("photos", type=options.path(exists=True))
@click.option(
    "-o", "--output", "out", type=options.path(file_okay=False), required=True, help="The new folder of the challenge."
)
@click.option("--pictures", type=click.IntRange(min=1), help="Number of photos to draw.  [default: all]")
@click.option(
    "--areas", type=click.IntRange(1, 100), default=1, show_default=True, help="Number of areas of each photo."
)
@click.option("--width", type=(int, int), default=(4, 32), show_default=True, help="Least and most width of an area.")
@click.option("--height", type=(int, int), default=(4, 32), show_default=True, help="Least and most height.")
@click.option("--block", type=(int, int), default=(4, 16), show_default=True, help="Least and most side of a block.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="What is drawn.  [default: a new one, kept in the private folder]"
)
@click.option(
    "--shown",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the samples whose score is shown before the results are opened.",
)
@click.option(
    "--without",
    type=options.path(exists=True),
    multiple=True,
    help="A folder or archive of photos that the teams have: photos that show the same picture are left out.",
)
@click.option("--references/--no-references", default=True, help="Restore the test set by baselines and known models.")
def create(
    photos: Path,
    out: Path,
    pictures: int | None,
    areas: int,
    width: tuple[int, int],
    height: tuple[int, int],
    block: tuple[int, int],
    seed: int | None,
    shown: float,
    without: tuple[Path, ...],
    references: bool,
) -> None:
    """Make a challenge from photos.

    PHOTOS is a folder of photos, of archives or of folders, such as a fetched collection in data/raw; or one archive;
    or data/split.csv for the test side of the project in the current folder. FOLDER/public gets the test set in the
    challenge's format. FOLDER/private, which only you can read, gets the true pixels and the restorations of the
    reference rows: identity, interpolation, kriging, and laptop and basic_cnn if their weights are at hand. The rules
    are in FOLDER/rules.yaml: edit them before you serve.

    \b
    Example:
      depixel challenge create photos -o course --pictures 2000
      depixel challenge create photos -o course --without students.zip --shown 0.5
      depixel challenge create data/split.csv -o course
    """
    with installed():
        from depixel.server import creation
    plan = creation.Plan(pictures, areas, width, height, block, seed, shown)
    made = creation.create(photos, out, plan, without, references)
    click.echo(f"{out}: {counted(made.samples, 'sample')} of {counted(made.photos, 'photo')}")
    if without:
        click.echo(f"{counted(made.copies, 'photo')} left out: copies of photos that the teams have")
    if made.references:
        click.echo(f"Reference rows: {', '.join(made.references)}")
    click.echo(f"Next: edit {out / 'rules.yaml'}, add teams with `depixel challenge team add {out} NAME`, and yourself")
    click.echo(f"with `depixel challenge organiser {out} NAME`; then `depixel challenge serve {out}`")


def _address_or_network(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            ipaddress.ip_network(value)
        except ValueError:
            raise DepixelError(
                f"--proxy {value}: not an IP address or a network, such as 127.0.0.1 or 172.30.0.0/24"
            ) from None
    return value


@click.command()
@folder_argument
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; behind a proxy, the default.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option(
    "--allowed-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A further name by which people reach the server, such as that of a proxy. May be given more than once.",
)
@click.option(
    "--proxy",
    metavar="ADDRESS",
    callback=_address_or_network,
    help="The address or network of a reverse proxy. The server believes what it says about who asks.",
)
@database_option
def serve(
    folder: Path, host: str, port: int, allowed: tuple[str, ...], proxy: str | None, database: str | None
) -> None:
    """Serve the challenge in FOLDER.

    The leaderboard is at /, a team's page at /team, the organisers' at /organiser; /openapi.json describes the API.
    Requests must name this machine or an --allowed-host. Ctrl-C ends it; no accepted attempt is lost, even if the power
    fails.

    \b
    Example:
      depixel challenge serve course
      depixel challenge serve course --allowed-host challenge.example.org --proxy 127.0.0.1
    """
    with opened(folder, database) as service:
        with installed():
            from depixel.server.http import app
        from depixel.web import listening

        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        service.scorer()  # what is wrong with the targets is told at once
        with listening.listen(host, port) as socket:
            click.echo(f"{listening.address(socket, host)}    Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                app.make_server(service, host, allowed, proxy).run(sockets=[socket])
        click.echo("\nEnded.")


@click.command()
@click.argument("submission", type=options.path())
@server_option
@click.option("--token-file", type=options.path(), help="A file with the team's token.  [default: DEPIXEL_TOKEN]")
@click.option("--dry-run", is_flag=True, help="Only check; no attempt is used.")
@options.as_json
def submit(submission: Path, server: str, token_file: Path | None, dry_run: bool, as_json: bool) -> None:
    """Submit a restoration of the test set.

    The token is in a file or in the variable DEPIXEL_TOKEN, never on the command line, which other users of the machine
    can read. If the connection breaks, submit the same file again: it costs no second attempt.

    \b
    Example:
      depixel challenge submit answer.bin --server https://challenge.example.org --token-file token.txt
    """
    with installed():
        from depixel.server import client

    status, content = client.submit(server, submission, client.token(token_file), dry_run)
    if as_json:
        click.echo(json.dumps({"status": status, **content}))
        return
    attempts = content["attempts"]
    if not content["accepted"]:
        click.echo(f"{submission}: valid. It was only checked.")
    elif score := content["submission"]["score"]:
        click.echo(f"RMSE {score['rmse']:.3f}, mean {score['rmse_mean']:.3f}, ratio to identity {score['ratio']:.3f}")
    else:
        click.echo(f"Accepted. {content['submission']['hidden']}")
    if content["repeated"]:
        click.echo("Your team has submitted this before; no attempt was used.")
    click.echo(f"Attempts: {attempts['used']} used, {attempts['left']} left")


@click.command()
@server_option
@options.as_json
def leaderboard(server: str, as_json: bool) -> None:
    """Show the leaderboard of a challenge.

    \b
    Example:
      depixel challenge leaderboard --server https://challenge.example.org
    """
    with installed():
        from depixel.server import client

    board = client.leaderboard(server)
    if as_json:
        click.echo(json.dumps(board))
        return
    facts = client.facts(server)
    click.echo(facts["name"])
    click.echo(f"Deadline: {facts['deadline_told'] or 'none'}")
    if note := "Final scores." if board["final"] else board["hidden"]:
        click.echo(note)
    width = max([len(row["team"]) for row in board["rows"]] + [4])
    click.echo(f"rank  {'team':{width}}      RMSE     mean   ratio  attempts")
    for row in board["rows"]:
        scores = f"{_cell(row['rmse'], 8, 3)} {_cell(row['rmse_mean'], 8, 3)} {_cell(row['ratio'], 7, 3)}"
        click.echo(f"{_cell(row['rank'], 4)}  {row['team']:{width}}  {scores}  {_cell(row['attempts'], 8)}")


def _cell(value: Any, width: int, decimals: int = 0) -> str:
    return f"{'' if value is None else f'{value:.{decimals}f}':>{width}}"


@click.command()
@folder_argument
@click.option("-o", "--output", "out", type=options.path(), required=True, help="The new folder of the backup.")
@database_option
def backup(folder: Path, out: Path, database: str | None) -> None:
    """Copy a challenge while it runs.

    The copy is a challenge's folder with a SQLite database, as it was at one moment. It holds the true pixels and the
    hashes of all tokens: keep it as safe as FOLDER.

    \b
    Example:
      depixel challenge backup course -o course-backup
    """
    with opened(folder, database) as service:
        from depixel.server.storage.backup import back_up

        count = back_up(service, out)
        click.echo(f"{out}: {counted(count, 'file')} of submissions, and the database of that moment")


@click.command()
@click.argument("backup", type=options.path(file_okay=False, exists=True))
@click.option("-o", "--output", "out", type=options.path(), required=True, help="The new folder of the challenge.")
@database_option
def restore(backup: Path, out: Path, database: str | None) -> None:
    """Make a challenge's folder from a backup.

    With --database, the rows go into that database, which must be empty: so a challenge moves to PostgreSQL.

    \b
    Example:
      depixel challenge restore course-backup -o course-again
    """
    with installed():
        from depixel.server.storage import backup as backups

    backups.restore(backup, out, database)
    click.echo(f"{out}: restored. Serve it with `depixel challenge serve {out}`")


@click.command()
@folder_argument
@click.argument("targets", type=options.path(exists=True))
@click.option("--reason", required=True, help="What was wrong. The teams are told.")
@database_option
def rescore(folder: Path, targets: Path, reason: str, database: str | None) -> None:
    """Score all submissions anew, by corrected targets.

    TARGETS is a targets.npz for the same test set. All scores change at one moment, also in a running server; the old
    ones stay in the database and in the organisers' table.

    \b
    Example:
      depixel challenge rescore course corrected.npz --reason "two photos were swapped"
    """
    with opened(folder, database) as service:
        from depixel.server.rescoring import rescore

        revision, count = rescore(service, who(), targets, reason)
        click.echo(f"{folder}: {counted(count, 'submission')} scored by revision {revision} of the targets")


@click.command()
@folder_argument
@click.option("-o", "--output", "out", type=options.path(), required=True, help="A new folder.")
@database_option
def export(folder: Path, out: Path, database: str | None) -> None:
    """Write tables, all submissions and the final page.

    Writes leaderboard.csv and leaderboard.json with the scores on all samples, submissions.csv, trail.csv and
    submissions.zip; and leaderboard.html, a read-only copy to publish, if the results are open.

    \b
    Example:
      depixel challenge export course -o results
    """
    if out.exists():
        raise DepixelError(f"{out}: exists already; name a new folder")
    with opened(folder, database) as service:
        from depixel.base.files import replacing
        from depixel.server import exports
        from depixel.server import leaderboard as boards

        board = boards.leaderboard(service, everything=True)
        texts = {
            "leaderboard.csv": boards.as_csv(board, service.rules),
            "leaderboard.json": board.model_dump_json(indent=2) + "\n",
            "submissions.csv": exports.submissions_csv(service),
            "trail.csv": exports.trail_csv(service),
        }
        missing = ""
        try:
            texts["leaderboard.html"] = exports.read_only_copy(service)
        except DepixelError as error:
            missing = f"; without leaderboard.html: {error}"
        with replacing(out) as beside:
            beside.mkdir()
            for name, text in texts.items():
                (beside / name).write_text(text, encoding="utf-8", newline="\n")
            exports.write_zip(service, beside / "submissions.zip")
    click.echo(f"{out}: {', '.join([*texts, 'submissions.zip'])}{missing}")
