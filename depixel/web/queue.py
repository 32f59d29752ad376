"""Who works and who waits: a few pictures at a time, a few more in line, everyone else is asked to come again."""

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
"""How many pictures are worked on at the same time."""
MOST_INSIDE = 16
"""How many requests with a picture are worked on or wait. The others are sent away, to come again."""
WORK_SECONDS = 90
"""How long a search or a restoration may take, in seconds. A search that takes longer answers what it has so far."""

T = TypeVar("T")


class Queue:
    """The requests of one server that have a picture. All of its methods run in the server's event loop."""

    def __init__(self) -> None:
        self._inside, self._places = 0, asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[bytes]:
        """The upload of a request, which counts as inside until the block ends.

        Raises:
            HTTPException: 503, `MOST_INSIDE` are inside; or as `guard.upload`.
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
        """Run a function in a thread as soon as fewer than `AT_ONCE` run.

        Args:
            request: whose work it is. If its client goes before the function's turn comes, the function is not called.
            function: its argument is set when the time is up or the client goes; it should end soon then.

        Returns:
            What the function returns.

        Raises:
            ClientDisconnect: the client went before the function's turn. And what the function raises.
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
