"""Taking an upload in: to a file, piece by piece, up to a limit of size and of time."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import uuid4

from anyio import fail_after
from fastapi import Request

from depixel.server.refusals import RefusedError
from depixel.server.service import Service
from depixel.server.submissions import Upload

UPLOAD_SECONDS = 300
"""How long an upload may take, in seconds."""
MOST_OF_ONE = 4
"""Uploads of one team that may be under way."""


class TooLargeError(RefusedError):
    """An upload has more bytes than the rules allow."""


class Intake:
    """The uploads that are under way. All methods run in the server's event loop."""

    def __init__(self, service: Service):
        self._service = service
        self._under_way: Counter[int] = Counter()

    @asynccontextmanager
    async def upload(self, request: Request, team: int, begun: int) -> AsyncIterator[Upload]:
        """The body of a request as a file, which is gone when the block ends.

        Raises:
            RefusedError: 408, 413 or 429: it takes too long, is too large, or too many are under way.
            OSError: the disk is full.
        """
        if self._under_way[team] >= MOST_OF_ONE:
            await drain(request, self._service.rules.most_bytes)
            raise RefusedError(429, f"{MOST_OF_ONE} uploads of this team are under way. Wait for them.", 5)
        self._under_way[team] += 1
        path = self._service.folder.incoming / uuid4().hex
        try:
            digest, size, most = hashlib.sha256(), 0, self._service.rules.most_bytes
            with path.open("wb") as file, _in_time():
                async for piece in request.stream():
                    size += len(piece)
                    if size > 10 * most:
                        break
                    if size <= most:
                        digest.update(piece)
                        file.write(piece)
            if size > most:
                raise TooLargeError(
                    413,
                    f"The file has more than {self._service.rules.size_limit_mb} MB, which is the limit. Is it a "
                    "submission? depixel check SUBMISSION TEST_SET",
                )
            yield Upload(path, digest.hexdigest(), begun)
        finally:
            self._under_way[team] -= 1
            if not self._under_way[team]:
                del self._under_way[team]
            with suppress(OSError):
                path.unlink(missing_ok=True)


async def drain(request: Request, most: int) -> None:
    """Read the body of a request that is refused, and throw it away: a client hears why only after it has sent all."""
    size = 0
    with _in_time():
        async for piece in request.stream():
            size += len(piece)
            if size > 10 * most:
                return


@contextmanager
def _in_time() -> Iterator[None]:
    """Ends a block that takes longer than `UPLOAD_SECONDS`."""
    try:
        with fail_after(UPLOAD_SECONDS):
            yield
    except TimeoutError:
        raise RefusedError(408, f"The upload took longer than {UPLOAD_SECONDS} s.") from None
