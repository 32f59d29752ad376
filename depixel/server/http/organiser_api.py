"""The HTTP API of the organisers. Each act leaves a line in the trail."""

from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from sqlalchemy import select
from starlette.background import BackgroundTask

from depixel.server import exports, organising
from depixel.server import leaderboard as boards
from depixel.server.http.access import Caller
from depixel.server.http.api import Shared, csv_back
from depixel.server.http.problems import described
from depixel.server.leaderboard import Leaderboard
from depixel.server.organising import NewTeam
from depixel.server.refusals import RefusedError
from depixel.server.service import Service
from depixel.server.standing import Attempts, Sight, attempts_of, team_deadline
from depixel.server.storage import trail
from depixel.server.storage.database import state
from depixel.server.storage.schema import Team
from depixel.server.team_view import Facts, facts

Text = Annotated[str, Field(max_length=2000)]
Number = Annotated[int, PathParameter(ge=1, lt=2**31)]
Whom = Annotated[int | None, Field(ge=1, lt=2**31, description="Number of the team; null: all teams.")]


class TeamRow(BaseModel):
    """A team, for the organisers. Scores are those on all samples, whether they are hidden or not."""

    team: int
    name: str
    alias: str | None
    attempts: Attempts
    deadline_told: str = Field(description="Its deadline, if it was given one of its own; else empty.")
    disqualified: str | None
    rmse: float | None
    ratio: float | None


class Line(BaseModel):
    """A line of the trail."""

    at: int
    who: str
    action: str
    team: int | None
    detail: str


class Overview(BaseModel):
    """The whole challenge, for the organisers."""

    facts: Facts
    closed: bool
    teams: list[TeamRow]
    trail: list[Line] = Field(description="The newest 200 lines, the newest first.")


class NewName(BaseModel):
    """A team to add."""

    name: str = Field(min_length=1, max_length=200)


class TokenOf(BaseModel):
    """A team and its token, which nobody can show again."""

    team: int
    name: str
    token: str


class Given(BaseModel):
    """Attempts to give; negative: to take back."""

    team: Whom
    count: int = Field(ge=-1000, le=1000)
    reason: Text = ""


class Deadline(BaseModel):
    """A deadline: `2026-12-24 18:00` in the challenge's time zone, or with an offset."""

    team: Whom
    deadline: str = Field(max_length=60)
    reason: Text = ""


class Told(BaseModel):
    """A message."""

    team: Whom
    text: Text


class Reason(BaseModel):
    """Why a team is disqualified; the team is told."""

    reason: Text


def organiser(request: Request, context: Shared) -> Caller:
    """The organiser that asks."""
    caller = context.access.caller(request)
    if caller.kind != "organiser":
        raise RefusedError(403, "This is for organisers; the token is a team's.")
    return caller


ByOrganiser = Annotated[Caller, Depends(organiser)]
api = APIRouter(prefix="/api/organiser", tags=["organiser"])
_ACT = described(401, 409, 429)
_DONE = _ACT | {204: {"description": "Done."}}


@api.get("", response_model=Overview, responses=_ACT)
def overview(caller: ByOrganiser, context: Shared) -> Overview:
    """Teams, scores and the trail."""
    service = context.service
    with service.database.reading() as session:
        now = state(session)
        best, used = boards.bests(session, now, Sight(opened=True, any=True, before=None, why=""))
        rows = []
        for team in session.scalars(select(Team).order_by(Team.id)):
            deadline = team_deadline(service.rules, now, team) if team.deadline is not None else None
            one = best.get(team.id)
            rows.append(
                TeamRow(
                    team=team.id,
                    name=team.name,
                    alias=team.alias,
                    attempts=attempts_of(used.get(team.id, 0), service.rules, now, team),
                    deadline_told=service.rules.told(deadline) if deadline is not None else "",
                    disqualified=team.disqualified,
                    rmse=one.rmse if one else None,
                    ratio=one.ratio if one else None,
                )
            )
        lines = [
            Line(at=event.at, who=event.who, action=event.action, team=event.team_id, detail=event.detail)
            for event in trail.everything(session)[:200]
        ]
        closed = now.closed_at is not None
    return Overview(facts=facts(service), closed=closed, teams=rows, trail=lines)


@api.get("/leaderboard", response_model=Leaderboard, responses=_ACT)
def leaderboard(caller: ByOrganiser, context: Shared) -> Leaderboard:
    """The leaderboard with all scores, on all samples."""
    return boards.leaderboard(context.service, everything=True)


@api.post("/teams", response_model=TokenOf, status_code=201, responses=_ACT)
def add_team(body: NewName, caller: ByOrganiser, context: Shared) -> TokenOf:
    """Add a team; its token is shown once."""
    return _token(organising.add_team(context.service, caller.name, body.name))


@api.post("/teams/{team}/token", response_model=TokenOf, responses=_ACT)
def new_token(team: Number, caller: ByOrganiser, context: Shared) -> TokenOf:
    """A new token for a team; the old one ends."""
    return _token(organising.new_token(context.service, caller.name, team))


def _token(made: NewTeam) -> TokenOf:
    return TokenOf(team=made.number, name=made.name, token=made.token)


@api.post("/attempts", status_code=204, response_class=Response, responses=_DONE)
def give_attempts(body: Given, caller: ByOrganiser, context: Shared) -> None:
    """Give a team, or all, more attempts."""
    organising.give_attempts(context.service, caller.name, body.team, body.count, body.reason)


@api.post("/deadline", status_code=204, response_class=Response, responses=_DONE)
def move_deadline(body: Deadline, caller: ByOrganiser, context: Shared) -> None:
    """Move the deadline of all teams, or give one a later one."""
    organising.move_deadline(context.service, caller.name, body.team, body.deadline, body.reason)


@api.post("/message", status_code=204, response_class=Response, responses=_DONE)
def message(body: Told, caller: ByOrganiser, context: Shared) -> None:
    """Tell a team, or all, something on its page."""
    organising.message(context.service, caller.name, body.team, body.text)


@api.post("/teams/{team}/disqualify", status_code=204, response_class=Response, responses=_DONE)
def disqualify(team: Number, body: Reason, caller: ByOrganiser, context: Shared) -> None:
    """Take a team out of the leaderboard."""
    organising.disqualify(context.service, caller.name, team, body.reason)


@api.post("/teams/{team}/readmit", status_code=204, response_class=Response, responses=_DONE)
def readmit(team: Number, caller: ByOrganiser, context: Shared) -> None:
    """Put a disqualified team back."""
    organising.readmit(context.service, caller.name, team)


@api.delete("/teams/{team}", status_code=204, response_class=Response, responses=_DONE)
def delete_team(team: Number, caller: ByOrganiser, context: Shared) -> None:
    """Delete all data of a team."""
    organising.delete_team(context.service, caller.name, team)


@api.post("/state/{change}", status_code=204, response_class=Response, responses=_DONE)
def change_state(change: Literal["close", "reopen", "open"], caller: ByOrganiser, context: Shared) -> None:
    """Close the challenge, reopen it, or open the results."""
    acts = {"close": organising.close, "reopen": organising.reopen, "open": organising.open_results}
    acts[change](context.service, caller.name)


# -- files to keep -----------------------------------------------------------------------------------------------------

_CSV = _ACT | {200: {"content": {"text/csv": {}}}}


@api.get("/submissions.csv", response_class=Response, responses=_CSV)
def submissions_csv(caller: ByOrganiser, context: Shared) -> Response:
    """Every submission with all its scores."""
    return csv_back(exports.submissions_csv(context.service), "submissions.csv")


@api.get("/leaderboard.csv", response_class=Response, responses=_CSV)
def leaderboard_csv(caller: ByOrganiser, context: Shared) -> Response:
    """The leaderboard with all scores, on all samples."""
    board = boards.leaderboard(context.service, everything=True)
    return csv_back(boards.as_csv(board, context.service.rules), "leaderboard.csv")


@api.get("/trail.csv", response_class=Response, responses=_CSV)
def trail_csv(caller: ByOrganiser, context: Shared) -> Response:
    """Who did what."""
    return csv_back(exports.trail_csv(context.service), "trail.csv")


@api.get("/submissions.zip", response_class=FileResponse, responses=_ACT | {200: {"content": {"application/zip": {}}}})
def submissions_zip(caller: ByOrganiser, context: Shared) -> FileResponse:
    """All submissions."""
    service: Service = context.service
    path = service.folder.incoming / f"{uuid4().hex}.zip"
    exports.write_zip(service, path)
    return FileResponse(path, filename="submissions.zip", background=BackgroundTask(path.unlink))


@api.get("/copy.html", response_class=Response, responses=_ACT | {200: {"content": {"text/html": {}}}})
def read_only_copy(caller: ByOrganiser, context: Shared) -> Response:
    """The final leaderboard as one file that needs no server."""
    content = exports.read_only_copy(context.service)
    headers = {"Content-Disposition": 'attachment; filename="leaderboard.html"'}
    return Response(content, media_type="text/html", headers=headers)
