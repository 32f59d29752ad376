"""Answers to failed requests: for each error an HTTP status and a sentence for people."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from depixel.base.errors import DepixelError
from depixel.photos.decoding import UnreadableError
from depixel.web import guard, queue
from depixel.web.jobs import CanceledError, StoppedError

Responses = dict[int | str, dict[str, Any]]
"""Descriptions of answers by their status, in FastAPI's form."""


class Problem(BaseModel):
    """Why a request was not answered, for people."""

    problem: str


PROBLEMS: Responses = {
    403: {"model": Problem, "description": "Asked by another site, or by a name that is not this machine's."},
    408: {"model": Problem, "description": f"The upload took longer than {guard.UPLOAD_SECONDS} s."},
    409: {"model": Problem, "description": "It was cancelled, or there is a job with its name already."},
    413: {
        "model": Problem,
        "description": f"More than {guard.MOST_BYTES // 10**6} MB, or it would take longer than "
        f"{queue.WORK_SECONDS} s.",
    },
    422: {"model": Problem, "description": "Not a picture, or areas and settings that do not fit it."},
    503: {"model": Problem, "description": "Too many at once; come again after `Retry-After` seconds."},
}
"""The possible errors of requests with a picture."""
_NO_JOB: dict[str, Any] = {"model": Problem, "description": "There is no job of this name, or it is done."}


def only(*statuses: int) -> Responses:
    """Some of `PROBLEMS`, or 404 for a job, by their status."""
    return {status: (PROBLEMS | {404: _NO_JOB})[status] for status in statuses}


_AREA_FORM = "x,y,width,height, with the side of a block behind it or, if the first are cut off, three numbers"


def tell(api: FastAPI) -> None:
    """Register `answer` as an application's handler of all errors."""
    known = (
        HTTPException,
        RequestValidationError,
        DepixelError,
        MemoryError,
        CanceledError,
        StoppedError,
        ClientDisconnect,
    )
    for kind in (*known, Exception):
        api.add_exception_handler(kind, answer)


async def answer(request: Request, error: Exception) -> Response:
    """Answer a request that raised `error`."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # nobody reads it
    if isinstance(error, HTTPException):
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)
    status, told = _told(error)
    return JSONResponse({"problem": told}, status)


def _told(error: Exception) -> tuple[int, str]:
    """The status and the sentence for an error."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        name, told = first["loc"][1] if first["loc"][1:] else "request", first["msg"]
        if first["type"] == "string_pattern_mismatch":
            told = f"{first['input']!r} is not {_AREA_FORM}"
        if first["type"] == "missing" and name == "area":
            told = f"is missing. Name an area, {_AREA_FORM}: ?area=66,38,64,64. POST /api/find finds areas"
        return 422, f"{name}: {told}"
    if isinstance(error, UnreadableError):
        return 422, f"the picture: {error}"
    if isinstance(error, DepixelError):
        return 422, str(error).replace("--ignore-check", "anyway=true").replace("--auto", "/api/find")
    if isinstance(error, MemoryError):
        return 413, "The picture needs more memory than there is here; make it smaller."
    if isinstance(error, CanceledError):
        return 409, "It was cancelled."
    if isinstance(error, StoppedError):
        return 413, (
            f"This takes longer than {queue.WORK_SECONDS} s here. Choose smaller areas, fewer views or a smaller "
            "picture; or draw the areas."
        )
    return 500, "This should not have happened; the terminal says what did."
