"""The queue: a few requests run at the same time, a few more wait, and all others are asked to try again later."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import to_thread
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from depixel.web import guard

AT_ONCE = 2
"""Number of pictures that are processed at the same time."""
MOST_INSIDE = 16
"""Maximum number of requests with a picture that run or wait. Others are refused with the advice to try again."""
WORK_SECONDS = 90
"""Maximum duration of a search or a restoration, seconds. A search that takes longer answers with the areas so far."""

T = TypeVar("T")


class Queue:
    """The queue of one server's requests with a picture. All methods run in the server's event loop."""

    def __init__(self) -> None:
        self._inside, self._places = 0, asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the upload of a request, which counts as inside until the `with` block ends.

        Raises:
            HTTPException: 503 if `MOST_INSIDE` requests are inside; or as in `guard.upload`.
        """
        if self._inside >= MOST_INSIDE:
            await guard.upload(request, keep=False)
            raise HTTPException(503, "Too many at once; try again in a moment.", {"Retry-After": "2"})
        self._inside += 1
        try:
            yield await guard.upload(request)
        finally:
            self._inside -= 1

    async def work(self, request: Request, function: Callable[[threading.Event], T]) -> T:
        """Run a function in a thread, as soon as fewer than `AT_ONCE` functions run.

        Args:
            request: the request. If its client disconnects before the function's turn, the function is not called.
            function: its argument is set when the time is up or the client disconnects; it should then end soon.

        Returns:
            The result of the function.

        Raises:
            ClientDisconnect: the client disconnected before the function's turn. Exceptions of the function pass, too.
        """
        async with self._places:
            if await request.is_disconnected():
                raise ClientDisconnect
            stop, end = threading.Event(), time.monotonic() + WORK_SECONDS
            task = asyncio.ensure_future(to_thread.run_sync(function, stop))
            try:
                while not (await asyncio.wait({task}, timeout=0.5))[0]:
                    if time.monotonic() > end or await request.is_disconnected():
                        stop.set()
            finally:
                stop.set()
            return task.result()
