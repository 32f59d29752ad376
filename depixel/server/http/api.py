"""The HTTP API of teams and of everybody: the challenge, the leaderboard, sessions, submissions."""

from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field

from depixel.server import leaderboard as boards
from depixel.server import organising, submissions, team_view
from depixel.server.http.access import COOKIE, Access, Caller
from depixel.server.http.intake import Intake, TooLargeError, drain
from depixel.server.http.problems import Problem, described
from depixel.server.leaderboard import Leaderboard
from depixel.server.refusals import RefusedError
from depixel.server.service import Service
from depixel.server.standing import Attempts
from depixel.server.submissions import Answer
from depixel.server.team_view import Facts, TeamView

AT_ONCE = 2
"""Submissions that are checked and scored at a time."""

T = TypeVar("T")


class Context:
    """What the requests of one application share."""

    def __init__(self, service: Service):
        self.service, self.access, self.intake = service, Access(service), Intake(service)
        # Threads of its own: each thread that has scored keeps the memory it needed
        self.scoring = ThreadPoolExecutor(AT_ONCE, "scoring")
        self._board: tuple[str, str] = ("", "")

    def board(self) -> tuple[str, str]:
        """The version of the leaderboard, and the leaderboard as JSON."""
        version = boards.version(self.service)
        if self._board[0] != version:
            self._board = (version, boards.leaderboard(self.service).model_dump_json())
        return self._board


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Shared = Annotated[Context, Depends(_context)]


def team(request: Request, context: Shared) -> Caller:
    """The team that asks."""
    caller = context.access.caller(request)
    if caller.kind != "team":
        raise RefusedError(403, "This is for teams; the token is an organiser's.")
    return caller


ByTeam = Annotated[Caller, Depends(team)]
api = APIRouter(tags=["challenge"])


@api.get("/api/challenge", response_model=Facts, responses=described())
def challenge(context: Shared) -> Facts:
    """The challenge: its test set, attempts, deadline, and what is hidden."""
    return team_view.facts(context.service)


@api.get("/test_set.pkl", response_class=FileResponse, responses=described())
def test_set(context: Shared) -> FileResponse:
    """The test set: a pickle in the challenge's format."""
    return FileResponse(context.service.folder.test_set, media_type="application/octet-stream", filename="test_set.pkl")


@api.get("/api/leaderboard", response_model=Leaderboard, responses=described() | {304: {"description": "Unchanged."}})
def leaderboard(context: Shared, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The leaderboard. With `If-None-Match` and its `ETag` it is sent only if it has changed."""
    version, content = context.board()
    headers = {"ETag": f'"{version}"', "Cache-Control": "no-cache"}
    if if_none_match and if_none_match.strip().removeprefix("W/") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


@api.get("/api/leaderboard.csv", response_class=Response, responses=described() | {200: {"content": {"text/csv": {}}}})
def leaderboard_csv(context: Shared) -> Response:
    """The leaderboard as a table."""
    return csv_back(boards.as_csv(boards.leaderboard(context.service), context.service.rules), "leaderboard.csv")


def csv_back(text: str, name: str) -> Response:
    """A table as a file to keep."""
    return Response(text, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


# -- sessions of the page ----------------------------------------------------------------------------------------------


class SignIn(BaseModel):
    """What begins a session."""

    token: str = Field(min_length=1, max_length=200)


class Who(BaseModel):
    """Who is signed in, and what the page must send as X-CSRF-Token with whatever changes something."""

    kind: str = Field(description="team, organiser, or empty.")
    name: str
    csrf: str


@api.post("/api/session", response_model=Who, responses=described(401, 429))
def sign_in(body: SignIn, request: Request, response: Response, context: Shared) -> Who:
    """Begin a session of the page, kept by a cookie."""
    caller = context.access.sign_in(body.token, request, response)
    return Who(kind=caller.kind, name=caller.name, csrf="")


@api.get("/api/session", response_model=Who, responses=described(429))
def session(request: Request, context: Shared) -> Who:
    """Who is signed in."""
    cookie = request.cookies.get(COOKIE, "")
    try:
        caller = context.access.caller(request)
    except RefusedError as error:
        if error.status != 401:
            raise
        return Who(kind="", name="", csrf="")
    return Who(kind=caller.kind, name=caller.name, csrf=context.access.csrf(cookie) if cookie else "")


@api.delete("/api/session", status_code=204, response_class=Response, responses=described())
def sign_out() -> Response:
    """End the session."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


# -- teams -------------------------------------------------------------------------------------------------------------


class Alias(BaseModel):
    """How the leaderboard calls a team; empty: by its name."""

    alias: str = Field(max_length=200)


class Refusal(Problem):
    """Why a submission was refused, and what attempts are left."""

    attempts: Attempts | None = Field(None, description="None, or missing, if the request itself was not valid.")


_FILE = {
    "requestBody": {
        "description": "The bytes of the submission, plain or packed by bz2, gzip, xz or zip.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_REFUSED = {
    status: description | {"model": Refusal}
    for status, description in described(408, 409, 413, 429).items()
    if status != 503
}


@api.get("/api/team", response_model=TeamView, responses=described(401, 429))
def own_team(caller: ByTeam, context: Shared) -> TeamView:
    """The team that asks: attempts, submissions, messages."""
    return team_view.team_view(context.service, caller.number)


@api.put("/api/team/alias", response_model=TeamView, responses=described(401, 409, 429))
def alias(body: Alias, caller: ByTeam, context: Shared) -> TeamView:
    """Choose how the leaderboard calls the team."""
    organising.choose_alias(context.service, caller.number, body.alias)
    return team_view.team_view(context.service, caller.number)


@api.post(
    "/api/submissions",
    response_model=Answer,
    responses=described(401, 507) | _REFUSED | {201: {"model": Answer, "description": "An attempt was used."}},
    openapi_extra=_FILE,
)
async def submit(
    request: Request,
    context: Shared,
    dry_run: Annotated[bool, Query(description="Only check; no attempt is used.")] = False,
) -> JSONResponse:
    """Submit a restoration of the test set. The moment at which the upload begins is the one that counts."""
    service, begun = context.service, context.service.clock()
    try:
        caller = await _in_thread(partial(team, request, context))
    except RefusedError:
        await drain(request, service.rules.most_bytes)
        raise
    try:
        async with context.intake.upload(request, caller.number, begun) as upload:
            work = partial(submissions.receive, service, caller.number, upload, dry_run)
            answer = await get_running_loop().run_in_executor(context.scoring, work)
    except TooLargeError as error:
        noted = partial(submissions.reject, service, caller.number, str(error), status=error.status)
        return await _in_thread(partial(_refusal, service, caller.number, await _in_thread(noted)))
    except RefusedError as error:
        return await _in_thread(partial(_refusal, service, caller.number, error))
    return JSONResponse(answer.model_dump(), 201 if answer.accepted and not answer.repeated else 200)


def _refusal(service: Service, number: int, error: RefusedError) -> JSONResponse:
    """The answer to a submission that is refused; it says what attempts are left."""
    left = submissions.attempts_now(service, number)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(Refusal(problem=str(error), attempts=left).model_dump(), error.status, headers)


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)
