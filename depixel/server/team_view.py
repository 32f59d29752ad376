"""What a team sees of itself, and everybody of the challenge."""

from pydantic import BaseModel, Field
from sqlalchemy import select

from depixel.server.refusals import RefusedError
from depixel.server.service import Service
from depixel.server.standing import Attempts, attempts, barred, challenge_deadline, ended, sight, team_deadline
from depixel.server.storage import trail
from depixel.server.storage.database import state
from depixel.server.storage.schema import Event, Rejection, Submission, Team
from depixel.server.submissions import GONE, Shown, shown


class Facts(BaseModel):
    """The challenge, for everybody."""

    name: str
    samples: int = Field(description="Number of pictures of the test set.")
    attempts: int = Field(description="Valid submissions that a team has.")
    deadline: int | None = Field(description="Milliseconds since 1970 in UTC; None if there is none.")
    deadline_told: str = Field(description="The deadline with its time zone, for people.")
    time_zone: str
    now: int = Field(description="The server's clock: milliseconds since 1970 in UTC.")
    most_bytes: int = Field(description="Bytes of the largest upload.")
    ended: bool = Field(description="Nobody can submit any more.")
    opened: bool = Field(description="The results are open.")
    hidden: str = Field(description="Which scores are hidden, and until when; empty if none is.")


class Message(BaseModel):
    """Something that a team is told."""

    at: int
    text: str


class TeamView(BaseModel):
    """A team, for itself."""

    team: int = Field(description="Its number.")
    name: str
    alias: str | None
    attempts: Attempts
    deadline: int | None
    deadline_told: str
    barred: str = Field(description="Why it may not submit; empty if it may.")
    submissions: list[Shown] = Field(description="The newest first.")
    rejections: list[Message] = Field(description="Invalid uploads, the newest first. They used no attempt.")
    messages: list[Message] = Field(description="The newest first.")


def facts(service: Service) -> Facts:
    """The challenge at this moment."""
    rules, moment = service.rules, service.clock()
    _, scorer = service.scorer()
    with service.database.reading() as session:
        now = state(session)
        deadline, seen = challenge_deadline(rules, now), sight(session, rules, now, moment)
        return Facts(
            name=rules.name,
            samples=len(scorer.lengths),
            attempts=max(rules.attempts + now.extra_attempts, 0),
            deadline=deadline,
            deadline_told=rules.told(deadline) if deadline is not None else "",
            time_zone=rules.time_zone,
            now=moment,
            most_bytes=rules.most_bytes,
            ended=ended(session, rules, now, moment),
            opened=seen.opened,
            hidden=seen.why,
        )


def team_view(service: Service, number: int) -> TeamView:
    """A team at this moment. Raises `RefusedError` if it does not exist."""
    rules = service.rules
    with service.database.reading() as session:
        now, team = state(session), session.get(Team, number)
        if team is None:
            raise RefusedError(401, GONE)
        deadline = team_deadline(rules, now, team)
        mine = select(Submission).where(Submission.team_id == number).order_by(Submission.id.desc())
        invalid = select(Rejection).where(Rejection.team_id == number).order_by(Rejection.id.desc()).limit(50)
        return TeamView(
            team=number,
            name=team.name,
            alias=team.alias,
            attempts=attempts(session, rules, now, team),
            deadline=deadline,
            deadline_told=rules.told(deadline) if deadline is not None else "",
            barred=barred(rules, now, team, service.clock()),
            submissions=[shown(session, service, one, now) for one in session.scalars(mine)],
            rejections=[Message(at=one.at, text=one.reason) for one in session.scalars(invalid)],
            messages=[Message(at=one.at, text=_told(one)) for one in trail.messages(session, number)],
        )


def _told(event: Event) -> str:
    lead = {"disqualified": "Disqualified: ", "readmitted": "Readmitted. ", "attempts": "The organisers "}
    return f"{lead.get(event.action, '')}{event.detail}".strip()
