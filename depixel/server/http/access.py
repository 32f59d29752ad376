"""Who asks: a team or an organiser, by a token or by a session of the page.

A program sends its token with each request: `Authorization: Bearer TOKEN`. The page sends the token once; it gets a
signed cookie that scripts cannot read and other sites cannot send. With the cookie, whatever changes something must
also carry `X-CSRF-Token`, which only the page knows. A new token ends the sessions that began with the old one.
"""

import hashlib
import hmac
import time
from typing import Literal, NamedTuple

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy.orm import Session

from depixel.server import tokens
from depixel.server.refusals import RefusedError
from depixel.server.service import Service
from depixel.server.storage.schema import Organiser, Team

COOKIE = "depixel_session"
SESSION_SECONDS = 14 * 86_400
"""How long a session lasts, in seconds."""
_SAFE = ("GET", "HEAD", "OPTIONS")


class Caller(NamedTuple):
    """Who asks. kind: team or organiser. number, name: of the team, as others see it, or of the organiser."""

    kind: Literal["team", "organiser"]
    number: int
    name: str


class Access:
    """Lets callers in.

    Args:
        service: the challenge.
    """

    def __init__(self, service: Service):
        self._service, self._key = service, service.folder.secret()
        self._signer = URLSafeTimedSerializer(self._key, salt="session")
        self._tries = tokens.Tries(time.monotonic)

    def caller(self, request: Request) -> Caller:
        """Who sends a request.

        Raises:
            RefusedError: 401, nobody that is known; 403, the page's own proof is missing; 429, too many wrong tokens.
        """
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise RefusedError(401, "Send your token like this: Authorization: Bearer TOKEN")
            return self._by_token(token.strip(), request)
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            raise RefusedError(401, "This needs a token: sign in on the page, or send Authorization: Bearer TOKEN")
        caller = self._by_cookie(cookie)
        sent = request.headers.get("x-csrf-token", "")
        if request.method not in _SAFE and not hmac.compare_digest(sent.encode(), self.csrf(cookie).encode()):
            raise RefusedError(403, "This page is out of date: load it again")
        return caller

    def sign_in(self, token: str, request: Request, response: Response) -> Caller:
        """Begin a session. Raises `RefusedError` if the token is wrong, or too many were."""
        caller = self._by_token(token.strip(), request)
        with self._service.database.reading() as session:
            row = _row(session, caller.kind, caller.number)
            mark = row.token_hash[:16] if row else ""
        response.set_cookie(
            COOKIE,
            self._signer.dumps([caller.kind, caller.number, mark]),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return caller

    def csrf(self, cookie: str) -> str:
        """What the page sends beside the cookie."""
        return hmac.new(self._key, b"csrf " + cookie.encode(), hashlib.sha256).hexdigest()

    def _by_token(self, token: str, request: Request) -> Caller:
        address = request.client.host if request.client else ""
        self._tries.admit(address, token)
        with self._service.database.reading() as session:
            found = tokens.owner(session, token)
            if found:
                return _caller(found)
        self._tries.failed(address, token)
        raise RefusedError(401, "This token is wrong, or a newer one has replaced it.")

    def _by_cookie(self, cookie: str) -> Caller:
        try:
            kind, number, mark = self._signer.loads(cookie, max_age=SESSION_SECONDS)
        except (BadSignature, ValueError, TypeError):
            raise RefusedError(401, "The session has ended: sign in again.") from None
        with self._service.database.reading() as session:
            row = _row(session, kind, number)
            if row and hmac.compare_digest(row.token_hash[:16], mark):
                return _caller(row)
        raise RefusedError(401, "The session has ended: sign in again.")


def _row(session: Session, kind: str, number: int) -> Team | Organiser | None:
    return session.get(Team, number) if kind == "team" else session.get(Organiser, number)


def _caller(row: Team | Organiser) -> Caller:
    if isinstance(row, Team):
        return Caller("team", row.id, row.shown_name)
    return Caller("organiser", row.id, row.name)
