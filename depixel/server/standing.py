"""What the rules say at a moment: who may submit, until when, how often, and which scores may be seen."""

from typing import NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from depixel.server.rules import HOUR, Rules
from depixel.server.storage.schema import State, Submission, Team


class Attempts(BaseModel):
    """A team's attempts: valid submissions that count."""

    used: int = Field(description="Accepted submissions.")
    left: int = Field(description="Submissions that the team may still make.")
    allowed: int = Field(description="By the rules, with what the organisers gave back.")


class Sight(NamedTuple):
    """Which scores anybody but the organisers may see.

    Attributes:
        opened: the results are open: the scores on all samples, of all submissions.
        any: some scores may be seen. before: only those of submissions that began before this moment; None: all.
        why: if some are hidden, why and until when, for people.
    """

    opened: bool
    any: bool
    before: int | None
    why: str

    def shows(self, submission: Submission) -> bool:
        """Whether the score of a submission may be seen."""
        return self.any and (self.before is None or submission.at < self.before)


def challenge_deadline(rules: Rules, state: State) -> int | None:
    """The deadline of all teams that were given no later one."""
    return rules.end() if state.deadline is None else state.deadline


def team_deadline(rules: Rules, state: State, team: Team) -> int | None:
    """The later one of the challenge's deadline and the team's own."""
    common = challenge_deadline(rules, state)
    return common if common is None or team.deadline is None else max(common, team.deadline)


def attempts(session: Session, rules: Rules, state: State, team: Team) -> Attempts:
    """How many attempts a team has used and has left."""
    query = select(func.count()).select_from(Submission).where(Submission.team_id == team.id)
    return attempts_of(session.scalar(query) or 0, rules, state, team)


def attempts_of(used: int, rules: Rules, state: State, team: Team) -> Attempts:
    """The same where the number of accepted submissions is known."""
    allowed = max(rules.attempts + state.extra_attempts + team.extra_attempts, 0)
    return Attempts(used=used, left=max(allowed - used, 0), allowed=allowed)


def barred(rules: Rules, state: State, team: Team, begun: int) -> str:
    """Why a team may not submit, whatever it submits; "" if it may. begun: when the upload began."""
    if team.disqualified is not None:
        return f"This team is disqualified: {team.disqualified}"
    if state.closed_at is not None:
        return "The challenge is closed."
    deadline = team_deadline(rules, state, team)
    if deadline is not None and begun > deadline:
        return f"The deadline was {rules.told(deadline)}; this upload began at {rules.told(begun)}."
    return ""


def ended(session: Session, rules: Rules, state: State, now: int) -> bool:
    """Whether nobody can submit any more."""
    if state.closed_at is not None:
        return True
    deadline = challenge_deadline(rules, state)
    if deadline is None:
        return False
    latest = session.scalar(select(func.max(Team.deadline)).where(Team.disqualified.is_(None)))
    return now > max(deadline, latest or deadline)


def sight(session: Session, rules: Rules, state: State, now: int) -> Sight:
    """Which scores may be seen at a moment."""
    if state.opened_at is not None or (rules.results == "by itself" and ended(session, rules, state, now)):
        return Sight(opened=True, any=True, before=None, why="")
    until = (
        "until nobody can submit any more" if rules.results == "by itself" else "until the organisers open the results"
    )
    if rules.scores == "hidden":
        return Sight(opened=False, any=False, before=None, why=f"Scores are hidden {until}.")
    deadline = challenge_deadline(rules, state)
    if rules.blind_hours and deadline is not None:
        start = deadline - round(rules.blind_hours * HOUR)
        why = f"Scores of submissions from {rules.told(start)} on are hidden {until}."
        return Sight(opened=False, any=True, before=start, why=why)
    return Sight(opened=False, any=True, before=None, why="")
