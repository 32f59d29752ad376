"""Jobs: requests that are being worked on. Each tells its progress, and can be cancelled.

A client chooses the name of its job, a long random one, and sends it with the request. Whoever knows the name may ask
for progress and cancel. A job is forgotten when its request is answered.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from fastapi import HTTPException
from pydantic import BaseModel, Field

from depixel.web.areas import FoundArea
from depixel.web.runs import Table

NAME = "[A-Za-z0-9_-]{22,64}"
"""Pattern of a job's name: long enough for 128 random bits."""
WAIT_SECONDS = 1.0
"""Time in which a job must begin after somebody asks for its progress, seconds."""
_PAUSE_SECONDS, _ALIVE_SECONDS = 0.1, 1.0  # between two events: at least, at most
_KNOWN_SHARE, _KNOWN_SECONDS = 0.03, 1.0  # of a job, from which on the time left is estimated


class StoppedError(Exception):
    """Work was stopped because it takes too long."""


class CanceledError(Exception):
    """Work was cancelled, or its client went away."""


class Progress(BaseModel):
    """How far a job is."""

    state: Literal["uploading", "waiting", "working"]
    ahead: int = Field(description="number of jobs of this kind that work or wait before it")
    share: float | None = Field(description="share that is done of the upload or of the work, 0..1; null: unknown")
    left: float | None = Field(description="estimated seconds until it is done; null: unknown")
    areas: list[FoundArea] = Field(description="certain areas that a search has found so far")
    tables: list[Table] = Field(description="tables of runs that were read so far")


class Job:
    """A request that is being worked on.

    The server's event loop changes it, except `tell` and the `check` methods, which any thread may call.

    Attributes:
        name: the name that the client chose; "": none, and nobody follows or cancels it.
        client: who asks; each client has its turn.
        canceled, late: set when it was cancelled, or when its time is up.
        ended: whether its request was answered.
    """

    def __init__(self, name: str, client: str):
        self.name, self.client = name, client
        self.canceled, self.late, self.ended = threading.Event(), threading.Event(), False
        self._loop = asyncio.get_running_loop()
        self._changed: set[asyncio.Event] = set()
        self._on_cancel: Callable[[], None] | None = None
        self._state: Literal["uploading", "waiting", "working"] = "uploading"
        self._share: float | None = None
        self._ahead, self._began = 0, time.monotonic()
        self._found: Sequence[BaseModel] = ()

    def tell(self, share: float | None, found: Sequence[BaseModel] = ()) -> None:
        """Note how much is done, 0..1, and what was found so far."""
        self._share, self._found = share, found
        self._loop.call_soon_threadsafe(self._notify)

    def wait(self, ahead: int, on_cancel: Callable[[], None]) -> None:
        """Note that it waits behind `ahead` other jobs, and what to call if it is cancelled meanwhile."""
        self._state, self._ahead, self._share, self._on_cancel = "waiting", ahead, None, on_cancel
        self._notify()

    def begin(self) -> None:
        """Note that its turn has come."""
        self._state, self._ahead, self._began, self._on_cancel = "working", 0, time.monotonic(), None
        self._notify()

    def cancel(self) -> None:
        """Cancel it: its work ends soon."""
        self.canceled.set()
        if self._on_cancel is not None:
            self._on_cancel()

    def end(self) -> None:
        """Note that its request was answered."""
        self.ended = True
        self._notify()

    def check_canceled(self) -> None:
        """Raise `CanceledError` if it was cancelled."""
        if self.canceled.is_set():
            raise CanceledError

    def check(self) -> None:
        """Raise `CanceledError` if it was cancelled, `StoppedError` if its time is up."""
        self.check_canceled()
        if self.late.is_set():
            raise StoppedError

    def progress(self) -> Progress:
        """How far it is now."""
        share, left, took = self._share, None, time.monotonic() - self._began
        if self._state == "working" and share and share > _KNOWN_SHARE and took > _KNOWN_SECONDS:
            left = took * (1 - share) / share
        return Progress(
            state=self._state,
            ahead=self._ahead,
            share=share,
            left=left,
            areas=[one for one in self._found if isinstance(one, FoundArea)],
            tables=[one for one in self._found if isinstance(one, Table)],
        )

    async def events(self) -> AsyncIterator[str]:
        """Its progress as server-sent events, when it changes and at least once a second; then the event `end`."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while not self.ended:
                yield f"data: {self.progress().model_dump_json()}\n\n"
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), _ALIVE_SECONDS)
                except TimeoutError:
                    continue
                except asyncio.TimeoutError:  # another class before Python 3.11
                    continue
                if not self.ended:
                    await asyncio.sleep(_PAUSE_SECONDS)
            yield "event: end\ndata: {}\n\n"
        finally:
            self._changed.discard(changed)

    def _notify(self) -> None:
        for changed in self._changed:
            changed.set()


class Jobs:
    """The jobs of a server that have a name."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def open(self, name: str, client: str) -> Job:
        """Begin a job; the caller calls `close` when its request is answered.

        Raises:
            HTTPException: 409 if there is a job with this name.
        """
        if name in self._jobs:
            raise HTTPException(409, "There is a job with this name already; choose a random one.")
        job = Job(name, client)
        if name:
            self._jobs[name] = job
        return job

    def close(self, job: Job) -> None:
        """Forget a job."""
        self._jobs.pop(job.name, None)
        job.end()

    def named(self, name: str) -> Job:
        """The job of this name.

        Raises:
            HTTPException: 404 if there is none.
        """
        try:
            return self._jobs[name]
        except KeyError:
            raise HTTPException(404, "There is no job of this name, or it is done.") from None

    async def awaited(self, name: str) -> Job:
        """The job of this name, also if it begins within `WAIT_SECONDS`: its request may arrive a little later.

        Raises:
            HTTPException: 404 if there is none.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while name not in self._jobs and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE_SECONDS)
        return self.named(name)
