"""The queue: each client has its turn, searches do not hold up anything else, and a crowd is asked to come again.

There is a lane for each kind of work, so that a quick request never waits behind a long search. In a lane, the client
with the fewest running jobs is next, and among those the one who had no turn for longest.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from anyio import to_thread
from fastapi import HTTPException, Request

from depixel.web import guard
from depixel.web.jobs import CanceledError, Job, Jobs
from depixel.web.workers import Workers

MOST_INSIDE, MOST_OF_ONE = 16, 12
"""Maximum number of requests that work or wait: of all clients, and of one. Others are asked to try again."""
MOST_BUFFERED = 16 * guard.MOST_BYTES
"""Maximum size of all uploads in memory together, bytes."""
WORK_SECONDS = 90
"""Maximum duration of a search or a restoration, seconds. A search that takes longer answers with the areas so far."""

T = TypeVar("T")


class Lane:
    """The jobs of one kind: some work, the others wait. All methods run in the server's event loop.

    Attributes:
        workers: the processes for the jobs of this lane.
    """

    def __init__(self, at_once: int, of_one: int, nice: int = 0):
        """`at_once`: number of jobs that work at the same time; `of_one`: of one client; `nice`: see `Workers`."""
        self._at_once, self._of_one, self.workers = at_once, of_one, Workers(nice)
        self._working: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns = 0
        self._last: dict[str, int] = {}  # the number of the last turn of each client that works or waits

    @asynccontextmanager
    async def turn(self, job: Job) -> AsyncIterator[None]:
        """Wait for a job's turn, which lasts until the `with` block ends.

        Raises:
            CanceledError: it was cancelled before its turn.
        """
        turn = asyncio.get_running_loop().create_future()
        ahead = self._working.total() + sum(map(len, self._waiting.values()))
        self._waiting.setdefault(job.client, deque()).append(turn)
        job.wait(ahead, lambda: None if turn.done() else turn.set_exception(CanceledError()))
        self._call_next()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came meanwhile
                self._leave(job.client)
            else:
                self._forget(job.client, turn)
            raise
        job.begin()
        try:
            yield
        finally:
            self._leave(job.client)

    def _leave(self, client: str) -> None:
        self._working[client] -= 1
        self._working += Counter()  # without zeros
        self._call_next()

    def _forget(self, client: str, turn: "asyncio.Future[None]") -> None:
        with suppress(KeyError, ValueError):
            self._waiting[client].remove(turn)
            if not self._waiting[client]:
                del self._waiting[client]

    def _call_next(self) -> None:
        while self._waiting and self._working.total() < self._at_once:
            client = min(self._waiting, key=lambda one: (self._working[one], self._last.get(one, 0)))
            if self._working[client] >= self._of_one:
                return
            turn = self._waiting[client].popleft()
            if not self._waiting[client]:
                del self._waiting[client]
            if not turn.done():
                self._turns += 1
                self._working[client], self._last[client] = self._working[client] + 1, self._turns
                turn.set_result(None)
        self._last = {one: last for one, last in self._last.items() if one in self._working or one in self._waiting}


class Queue:
    """The queue of one server. All methods run in the server's event loop.

    Attributes:
        pictures, searches, runs: the lanes. Searches need much memory, so only two run.
        jobs: the jobs that work or wait.
    """

    def __init__(self) -> None:
        self.pictures, self.searches, self.runs = Lane(3, 2), Lane(2, 1, nice=10), Lane(1, 1, nice=5)
        self.jobs = Jobs()
        self._inside: Counter[str] = Counter()
        self._buffered = 0

    def open(self) -> None:
        """Start the first processes in the background."""
        threading.Thread(target=self._warm, daemon=True).start()

    def _warm(self) -> None:
        for lane, count in ((self.pictures, 2), (self.searches, 1)):
            lane.workers.warm(count)

    def close(self) -> None:
        """End the processes."""
        for lane in (self.pictures, self.searches, self.runs):
            lane.workers.close()

    @asynccontextmanager
    async def admitted(
        self, request: Request, name: str | None, upload: bool = True
    ) -> AsyncIterator[tuple[Job, bytes]]:
        """Yield the job of a request and its upload. The job counts as inside until the `with` block ends.

        Args:
            request: the request. If its client disconnects, the job is cancelled.
            name: the name of the job, if it has one. Its part before the last "-" tells the clients of one address
                apart.
            upload: whether the request has a body.

        Raises:
            HTTPException: 503 if too many are inside; 409 if the name is in use; or as in `guard.upload`.
        """
        address = request.client.host if request.client else ""
        job = self.jobs.open(name or "", f"{address} {(name or '').rpartition('-')[0]}")
        size = 0

        def uploaded(count: int) -> None:
            nonlocal size
            self._buffered += count - size
            size = count
            if self._buffered > MOST_BUFFERED:
                raise _crowded()
            length = request.headers.get("content-length", "")
            job.tell(min(1.0, count / int(length)) if length.isdecimal() and int(length) else None)

        gone = None
        try:
            if self._is_full(address):
                await guard.upload(request, keep=False)
                raise _crowded()
            data = await guard.upload(request, told=uploaded) if upload else b""
            if self._is_full(address):
                raise _crowded()
            self._inside[address] += 1
            gone = asyncio.ensure_future(_disconnected(request, job))
            try:
                yield job, data
            finally:
                self._inside[address] -= 1
                self._inside += Counter()
        finally:
            self._buffered -= size
            self.jobs.close(job)
            if gone is not None:
                gone.cancel()

    def _is_full(self, address: str) -> bool:
        return self._inside.total() >= MOST_INSIDE or self._inside[address] >= MOST_OF_ONE

    async def work(self, job: Job, lane: Lane, function: Callable[[], T]) -> T:
        """Run a function in a thread when its turn in a lane has come.

        It should end soon after `job` is cancelled or late, which happens after `WORK_SECONDS`.

        Raises:
            CanceledError: the job was cancelled. Exceptions of the function pass, too.
        """
        async with lane.turn(job):
            timer = asyncio.get_running_loop().call_later(WORK_SECONDS, job.late.set)
            try:
                return await to_thread.run_sync(function)
            finally:
                timer.cancel()


def _crowded() -> HTTPException:
    return HTTPException(503, "Too many at once; try again in a moment.", {"Retry-After": "2"})


async def _disconnected(request: Request, job: Job) -> None:
    """Cancel the job when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.cancel()
