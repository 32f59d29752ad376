"""What a request hears that is not answered: a status, and a sentence for people. No targets, no paths, no values."""

import errno
import logging
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from depixel.base.errors import DepixelError
from depixel.server.refusals import RefusedError

LOG = logging.getLogger("depixel.challenge")
_MISSING = (Path(__file__).parents[1] / "site/missing.html").read_text(encoding="utf-8")
_FULL = ("database or disk is full", "No space left", "Disk quota")

Responses = dict[int | str, dict[str, Any]]
"""Answers by their status, as FastAPI takes their descriptions."""


class Problem(BaseModel):
    """Why a request was not answered, for people."""

    problem: str


def described(*statuses: int) -> Responses:
    """The descriptions of refusals, and of what any request may hear."""
    return {status: {"model": Problem, "description": _SAID[status]} for status in (*statuses, 403, 422, 503)}


_SAID = {
    401: "No token, or a wrong one.",
    403: "Asked by another site; or not allowed at this moment.",
    404: "There is no such thing.",
    408: "The upload took too long.",
    409: "All attempts are used; or the challenge is not ready for this.",
    413: "The upload is too large.",
    422: "The request or the file is not valid; the reason is told. It used no attempt.",
    429: "Too often; come again after `Retry-After` seconds.",
    503: "The database cannot be used at the moment; nothing was counted. Come again after `Retry-After` seconds.",
    507: "The disk is full; nothing was counted.",
}


def tell(app: FastAPI) -> None:
    """Let an application answer every error as `answer` does."""
    for kind in (
        *(HTTPException, RequestValidationError, DepixelError, OSError, DBAPIError, NoConnectionError),
        *(ClientDisconnect, Exception),
    ):
        app.add_exception_handler(kind, answer)


async def answer(request: Request, error: Exception) -> Response:
    """The answer to a request that raised `error`."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # which nobody reads
    if isinstance(error, HTTPException) and error.status_code == 400:
        return JSONResponse({"problem": "The body of the request is not JSON in UTF-8."}, 422)
    if isinstance(error, HTTPException):
        if error.status_code == 404 and "text/html" in request.headers.get("Accept", ""):  # somebody at a browser
            return HTMLResponse(_MISSING, 404)
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)
    status, told, wait = told_of(error)
    return JSONResponse({"problem": told}, status, {"Retry-After": str(wait)} if wait else None)


def told_of(error: Exception) -> tuple[int, str, int | None]:
    """The status and the sentence of an error, and the seconds to wait before the next try."""
    if isinstance(error, RefusedError):
        return error.status, str(error), error.retry_after
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 422, f"{first['loc'][-1] if first['loc'] else 'request'}: {first['msg']}", None
    if isinstance(error, DepixelError):
        return 409, str(error), None
    LOG.error("%s", error, exc_info=not isinstance(error, OSError | DBAPIError | NoConnectionError))
    if is_full(error):
        return 507, "The server's disk is full. Nothing was counted. The organisers must make room.", None
    if isinstance(error, OSError | DBAPIError | NoConnectionError):
        return 503, "The server cannot store anything at the moment. Nothing was counted; try again.", 5
    return (
        500,
        "This should not have happened, and nothing was counted. The organisers find the cause in the log.",
        None,
    )


def is_full(error: Exception) -> bool:
    """Whether an error says that there is no space left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, DBAPIError) and any(text in str(error.orig) for text in _FULL)
