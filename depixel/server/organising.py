"""What organisers do: teams, tokens, attempts, deadlines, the end. Each act leaves a line in the trail.

Every function takes the service and `who` acts, a name for the trail.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from depixel.base.console import counted
from depixel.base.errors import DepixelError
from depixel.server import standing, tokens
from depixel.server.service import Service
from depixel.server.storage import trail
from depixel.server.storage.database import locked, state
from depixel.server.storage.schema import Event, Organiser, Rejection, Scored, State, Submission, Team

LONGEST_NAME = 60


class NewTeam(NamedTuple):
    """A team that was added, and its token, which nobody can show again."""

    number: int
    name: str
    token: str


class Listed(NamedTuple):
    """A team in a list."""

    number: int
    name: str
    alias: str | None
    attempts: standing.Attempts
    disqualified: str | None


def checked_name(name: str) -> str:
    """A name or an alias, in one form of Unicode.

    Raises:
        DepixelError: it is empty, too long or cannot be printed.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise DepixelError(f"{name[:LONGEST_NAME]!r} is no name: 1 to {LONGEST_NAME} characters that can be printed")
    return name


def add_team(service: Service, who: str, name: str) -> NewTeam:
    """Add a team. Raises `DepixelError` if the name is taken."""
    name = checked_name(name)
    secret, hashed = tokens.new_secret()
    with _changing(service, f"{name}: there is a team of this name or alias already") as (session, _):
        _refuse_taken(session, name, None)
        team = Team(name=name, token_hash=hashed, created_at=service.clock(), extra_attempts=0)
        session.add(team)
        session.flush()
        trail.note(session, service.clock(), who, "added", team.id)
        return NewTeam(team.id, name, tokens.token_of("team", team.id, secret))


def add_organiser(service: Service, who: str, name: str) -> NewTeam:
    """Add an organiser. Raises `DepixelError` if the name is taken."""
    name = checked_name(name)
    secret, hashed = tokens.new_secret()
    with _changing(service, f"{name}: there is an organiser of this name already") as (session, _):
        organiser = Organiser(name=name, token_hash=hashed)
        session.add(organiser)
        session.flush()
        trail.note(session, service.clock(), who, "organiser added", None, name)
        return NewTeam(organiser.id, name, tokens.token_of("organiser", organiser.id, secret))


def new_token(service: Service, who: str, number: int) -> NewTeam:
    """A new token for a team; the old one, and sessions that began with it, end."""
    secret, hashed = tokens.new_secret()
    with _changing(service) as (session, _):
        team = _team(session, number)
        team.token_hash = hashed
        trail.note(session, service.clock(), who, "new token", number, "The old token is void.", told=True)
        return NewTeam(number, team.name, tokens.token_of("team", number, secret))


def choose_alias(service: Service, number: int, alias: str) -> None:
    """Call a team otherwise in the leaderboard; "": by its name again. Raises `DepixelError` if the alias is taken."""
    alias = checked_name(alias) if alias.strip() else ""
    with _changing(service, f"{alias}: there is a team of this name or alias already") as (session, _):
        team = _team(session, number)
        _refuse_taken(session, alias, number)
        team.alias = alias or None
        trail.note(session, service.clock(), f"team {number}", "alias", number, alias)


def give_attempts(service: Service, who: str, number: int | None, count: int, reason: str) -> None:
    """Give a team, or all (None), more attempts; a negative count takes them back."""
    with _changing(service) as (session, now):
        one: State | Team = now if number is None else _team(session, number)
        one.extra_attempts += count
        told = f"{'gave' if count > 0 else 'took back'} {counted(abs(count), 'attempt')}{reason and f': {reason}'}"
        trail.note(session, service.clock(), who, "attempts", number, told, told=True)


def move_deadline(service: Service, who: str, number: int | None, text: str, reason: str) -> int:
    """Move the deadline of all teams (None), or give one a later one; returns the moment.

    Raises:
        DepixelError: the text names no moment.
    """
    try:
        moment = service.rules.moment(text)
    except ValueError as error:
        raise DepixelError(str(error)) from error
    with _changing(service) as (session, now):
        one: State | Team = now if number is None else _team(session, number)
        if number is not None and standing.challenge_deadline(service.rules, now) is None:
            raise DepixelError("the challenge has no deadline, so that there is none to move for one team")
        one.deadline = moment
        told = f"The deadline is {service.rules.told(moment)}. {reason}".strip()
        trail.note(session, service.clock(), who, "deadline", number, told, told=True)
    return moment


def disqualify(service: Service, who: str, number: int, reason: str) -> None:
    """Take a team out of the leaderboard. Raises `DepixelError` without a reason."""
    if not reason.strip():
        raise DepixelError("name the reason: the team is told")
    with _changing(service) as (session, _):
        _team(session, number).disqualified = reason
        trail.note(session, service.clock(), who, "disqualified", number, reason, told=True)


def readmit(service: Service, who: str, number: int) -> None:
    """Undo `disqualify`."""
    with _changing(service) as (session, _):
        _team(session, number).disqualified = None
        trail.note(session, service.clock(), who, "readmitted", number, "", told=True)


def message(service: Service, who: str, number: int | None, text: str) -> None:
    """Tell a team, or all (None), something on its page."""
    if not text.strip():
        raise DepixelError("the message is empty")
    with _changing(service) as (session, _):
        if number is not None:
            _team(session, number)
        trail.note(session, service.clock(), who, "message", number, text.strip(), told=True)


def close(service: Service, who: str) -> None:
    """End the challenge now: nobody can submit any more."""
    with _changing(service) as (session, now):
        if now.closed_at is None:
            now.closed_at = service.clock()
            trail.note(session, service.clock(), who, "closed", None, "The challenge is closed.", told=True)


def reopen(service: Service, who: str) -> None:
    """Undo `close` and `open_results`: teams can submit again as far as deadlines allow."""
    with _changing(service) as (session, now):
        now.closed_at = now.opened_at = None
        trail.note(session, service.clock(), who, "reopened", None, "The challenge is open again.", told=True)


def open_results(service: Service, who: str) -> None:
    """Show all scores, on all samples. Raises `DepixelError` as long as somebody can submit."""
    with _changing(service) as (session, now):
        if not standing.ended(session, service.rules, now, service.clock()):
            raise DepixelError("teams can still submit. Close the challenge first, or wait for the last deadline")
        if now.opened_at is None:
            now.opened_at = service.clock()
            trail.note(session, service.clock(), who, "results opened", None, "The results are open.", told=True)


def delete_team(service: Service, who: str, number: int) -> None:
    """Delete all data of a team: name, token, submissions, scores, messages. The trail keeps its number only."""
    with _changing(service) as (session, _):
        team = _team(session, number)
        mine = select(Submission.id).where(Submission.team_id == number)
        files = session.scalars(select(Submission.sha256).where(Submission.team_id == number)).all()
        session.execute(delete(Scored).where(Scored.submission_id.in_(mine)))
        for table in (Submission, Rejection, Event):
            session.execute(delete(table).where(table.team_id == number))
        session.delete(team)
        trail.note(session, service.clock(), who, "deleted", number)
    with _changing(service) as (session, _):  # nobody counts a submission meanwhile
        for sha256 in files:
            if not session.scalar(select(func.count()).where(Submission.sha256 == sha256)):
                with suppress(OSError):
                    service.folder.submission(sha256).unlink(missing_ok=True)


def find_team(service: Service, name: str) -> int:
    """The number of a team by its name, its alias or its number. Raises `DepixelError` if there is none."""
    with service.database.reading() as session:
        called = or_(Team.name == name, Team.alias == name)
        if name.isdecimal():
            called = or_(called, Team.id == int(name))
        if found := session.scalars(select(Team.id).where(called)).first():
            return found
    raise DepixelError(f"{name}: there is no such team. `depixel challenge team list FOLDER` lists them")


def teams(service: Service) -> list[Listed]:
    """All teams, by their numbers."""
    with service.database.reading() as session:
        now = state(session)
        return [
            Listed(one.id, one.name, one.alias, standing.attempts(session, service.rules, now, one), one.disqualified)
            for one in session.scalars(select(Team).order_by(Team.id))
        ]


@contextmanager
def _changing(service: Service, taken: str = "") -> Iterator[tuple[Session, State]]:
    """A session that nobody else writes beside; `taken` is told if a name is there twice."""
    try:
        with service.database.writing() as session:
            yield session, state(session, lock=True)
    except IntegrityError as error:
        if not taken:
            raise
        raise DepixelError(taken) from error


def _team(session: Session, number: int) -> Team:
    team = locked(session, Team, number)
    if team is None:
        raise DepixelError(f"there is no team {number}")
    return team


def _refuse_taken(session: Session, name: str, own: int | None) -> None:
    """Names and aliases of teams are one set: nobody can pose as another team."""
    wanted = name.casefold()
    for team in session.scalars(select(Team)) if name else ():
        if team.id != own and wanted in (team.name.casefold(), (team.alias or "").casefold()):
            raise DepixelError(f"{name}: there is a team of this name or alias already")
