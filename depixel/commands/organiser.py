"""`depixel challenge`, and what organisers do by it: teams, attempts, deadlines, the end. The page can do the same."""

import csv
import io
import os
from pathlib import Path

import click

from depixel.base.console import PlainGroup, counted
from depixel.base.errors import DepixelError
from depixel.base.files import told_of
from depixel.commands import options, server
from depixel.commands.server import database_option, folder_argument, opened, who

team_argument = click.argument("name", metavar="TEAM")
reason_option = click.option("--reason", default="", help="The teams are told.")
whom_option = click.option("--team", "name", help="The team, by its name, alias or number.  [default: all teams]")


@click.group(cls=PlainGroup)
def team() -> None:
    """Add and manage teams.

    \b
    Example:
      depixel challenge team add course "Team Kepler"
      depixel challenge team import course teams.csv -o tokens.csv
      depixel challenge team list course
    """


@team.command()
@folder_argument
@click.argument("name")
@database_option
def add(folder: Path, name: str, database: str | None) -> None:
    """Add a team, and print its token.

    The token is shown once; the server keeps only its hash. A lost one is replaced by `depixel challenge team token`.

    \b
    Example:
      depixel challenge team add course "Team Kepler"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        click.echo(organising.add_team(service, who(), name).token)


@team.command(name="import")
@folder_argument
@click.argument("table", type=options.path(dir_okay=False))
@click.option("-o", "--output", "out", type=options.path(), required=True, help="The new table with the tokens.")
@database_option
def import_teams(folder: Path, table: Path, out: Path, database: str | None) -> None:
    """Add the teams of a table, and write their tokens.

    TABLE is a CSV with a column `name`. Teams that are there already keep their tokens and are left out. The table with
    the tokens can be read by you only: send each team its own, then delete the table.

    \b
    Example:
      depixel challenge team import course teams.csv -o tokens.csv
    """
    names = _names(table)
    if out.exists():
        raise DepixelError(f"{out}: exists already; name a new table")
    with opened(folder, database) as service, told_of(out):
        from depixel.server import organising

        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["name", "token"])
            there = {row.name for row in organising.teams(service)}
            new = [name for name in dict.fromkeys(map(organising.checked_name, names)) if name not in there]
            for name in new:  # one by one: what was written is what was added
                writer.writerow([name, organising.add_team(service, who(), name).token])
                file.flush()
    click.echo(f"{out}: the tokens of {counted(len(new), 'new team')}")


def _names(table: Path) -> list[str]:
    try:
        rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DepixelError(f"{table}: cannot be read ({error})") from error
    names = [row["name"].strip() for row in rows if row.get("name")]
    if not names:
        raise DepixelError(f"{table}: not a CSV table with a column `name`, a team a row")
    return names


@team.command(name="list")
@folder_argument
@database_option
def list_teams(folder: Path, database: str | None) -> None:
    """List the teams with their attempts.

    \b
    Example:
      depixel challenge team list course
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        for one in organising.teams(service):
            alias = f' alias "{one.alias}"' if one.alias else ""
            out = f"; disqualified: {one.disqualified}" if one.disqualified is not None else ""
            click.echo(
                f"{one.number:4}  {one.name}{alias}  {one.attempts.used} of {one.attempts.allowed} attempts{out}"
            )


@team.command()
@folder_argument
@team_argument
@database_option
def token(folder: Path, name: str, database: str | None) -> None:
    """Give a team a new token; the old one ends.

    \b
    Example:
      depixel challenge team token course "Team Kepler"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        click.echo(organising.new_token(service, who(), organising.find_team(service, name)).token)


@team.command()
@folder_argument
@team_argument
@click.option("--reason", required=True, help="The team is told.")
@database_option
def disqualify(folder: Path, name: str, reason: str, database: str | None) -> None:
    """Take a team out of the leaderboard.

    \b
    Example:
      depixel challenge team disqualify course "Team Kepler" --reason "two accounts"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.disqualify(service, who(), organising.find_team(service, name), reason)
        click.echo(f"{name}: disqualified. `depixel challenge team readmit` undoes it")


@team.command()
@folder_argument
@team_argument
@database_option
def readmit(folder: Path, name: str, database: str | None) -> None:
    """Put a disqualified team back.

    \b
    Example:
      depixel challenge team readmit course "Team Kepler"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.readmit(service, who(), organising.find_team(service, name))
        click.echo(f"{name}: back in the leaderboard")


@team.command()
@folder_argument
@team_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def delete(folder: Path, name: str, yes: bool, database: str | None) -> None:
    """Delete all data of a team.

    Its name, token, submissions, scores and messages go.

    It cannot be undone. Backups keep the data until you delete them, too.

    \b
    Example:
      depixel challenge team delete course "Team Kepler" --yes
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        number = organising.find_team(service, name)
        if not yes:
            click.confirm(f"Delete all data of team {number}, {name}?", abort=True)
        organising.delete_team(service, who(), number)
        click.echo(f"team {number}: deleted")


@click.command()
@folder_argument
@click.argument("name")
@database_option
def organiser(folder: Path, name: str, database: str | None) -> None:
    """Add an organiser, and print the token for /organiser.

    \b
    Example:
      depixel challenge organiser course "Ada"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        click.echo(organising.add_organiser(service, who(), name).token)


@click.command(context_settings={"ignore_unknown_options": True})  # a negative number is no option
@folder_argument
@click.argument("count", type=int)
@whom_option
@reason_option
@database_option
def attempts(folder: Path, count: int, name: str | None, reason: str, database: str | None) -> None:
    """Give teams more attempts. A negative COUNT takes them back.

    \b
    Example:
      depixel challenge attempts course 1 --team "Team Kepler" --reason "the network failed"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        number = organising.find_team(service, name) if name else None
        organising.give_attempts(service, who(), number, count, reason)
        click.echo(f"{name or 'all teams'}: {count:+d}")


@click.command()
@folder_argument
@click.argument("moment")
@whom_option
@reason_option
@database_option
def deadline(folder: Path, moment: str, name: str | None, reason: str, database: str | None) -> None:
    """Move the deadline of all teams, or give one team a later one.

    MOMENT is in the time zone of the rules, or has an offset of its own.

    \b
    Example:
      depixel challenge deadline course "2030-12-24 20:00" --reason "the network failed"
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        number = organising.find_team(service, name) if name else None
        moved = organising.move_deadline(service, who(), number, moment, reason)
        click.echo(f"{name or 'all teams'}: {service.rules.told(moved)}")


@click.command()
@folder_argument
@click.argument("text")
@whom_option
@database_option
def message(folder: Path, text: str, name: str | None, database: str | None) -> None:
    """Tell a team, or all, something on its page.

    \b
    Example:
      depixel challenge message course "The last lecture is about the results."
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.message(service, who(), organising.find_team(service, name) if name else None, text)
        click.echo(f"{name or 'all teams'}: told")


@click.command()
@folder_argument
@database_option
def close(folder: Path, database: str | None) -> None:
    """End the challenge now.

    \b
    Example:
      depixel challenge close course
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.close(service, who())
        click.echo(f"{folder}: closed")


@click.command()
@folder_argument
@database_option
def reopen(folder: Path, database: str | None) -> None:
    """Undo `close` and `open`.

    \b
    Example:
      depixel challenge reopen course
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.reopen(service, who())
        click.echo(f"{folder}: open for submissions again, as far as deadlines allow")


@click.command(name="open")
@folder_argument
@database_option
def open_results(folder: Path, database: str | None) -> None:
    """Open the results: show all scores, on all samples.

    \b
    Example:
      depixel challenge open course
    """
    with opened(folder, database) as service:
        from depixel.server import organising

        organising.open_results(service, who())
        click.echo(f"{folder}: the results are open")


@click.group(cls=PlainGroup)
def challenge() -> None:
    """Run a challenge, or take part in one.

    A challenge has a public test set of pixelated pictures; the true pixels stay on the server. Teams submit
    restorations, and the leaderboard shows the best score of each. The handbook for organisers is
    docs/how-to/challenge.md.

    \b
    Example:
      depixel challenge create photos -o course         the test set, and the true pixels, kept apart
      depixel challenge team add course "Team Kepler"   prints the team's token
      depixel challenge serve course                    the page, and the API behind it
      depixel challenge submit answer.bin --server https://challenge.example.org
    """


challenge.add_section("Take part", server.submit, server.leaderboard)
challenge.add_section("Run a challenge", server.create, team, organiser, server.serve, attempts, deadline, message)
challenge.add_section("The end", close, open_results, reopen, server.rescore, server.export)
challenge.add_section("Copies", server.backup, server.restore)
