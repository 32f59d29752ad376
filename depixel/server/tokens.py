"""Tokens: what a team or an organiser shows to be let in. Each is shown once; the database keeps its hash.

A token is `team-12.SECRET` or `organiser-1.SECRET`. Its secret has 256 random bits, so that a fast hash is enough.
"""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Literal

from sqlalchemy.orm import Session

from depixel.server.refusals import RefusedError
from depixel.server.storage.schema import Organiser, Team

Kind = Literal["team", "organiser"]
_FORM = re.compile(r"(team|organiser)-([0-9]{1,9})\.([A-Za-z0-9_-]{20,100})")

WINDOW = 600
"""Seconds for which a wrong token is remembered."""
MOST_OF_ONE = 10
"""Wrong tokens of one team or organiser from one address within `WINDOW`."""
MOST_OF_ADDRESS = 200
"""Wrong tokens from one address within `WINDOW`: many teams may share an address."""
_MOST_KEYS = 20_000


def new_secret() -> tuple[str, str]:
    """A new secret, and the hash of it that the database keeps."""
    secret = secrets.token_urlsafe(32)
    return secret, hash_of(secret)


def hash_of(secret: str) -> str:
    """The hash that the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_of(kind: Kind, number: int, secret: str) -> str:
    """The token as a person gets it."""
    return f"{kind}-{number}.{secret}"


def owner(session: Session, token: str) -> Team | Organiser | None:
    """Whose token it is; None if it is nobody's. It takes the same time whether or not the number is known."""
    found = _FORM.fullmatch(token)
    kind, number, secret = found.groups() if found else ("team", "0", "")
    row = session.get(Team, int(number)) if kind == "team" else session.get(Organiser, int(number))
    is_right = hmac.compare_digest(hash_of(secret), row.token_hash if row else hash_of("nobody"))
    return row if is_right and found else None


class Tries:
    """Counts wrong tokens, so that nobody can try many.

    Args:
        clock: seconds, which never run back.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock, self._lock = clock, Lock()
        self._failed: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def admit(self, address: str, token: str) -> None:
        """Raise `RefusedError` if too many wrong tokens came from an address, in all or of this team."""
        with self._lock:
            for key, most in self._keys(address, token):
                times = self._recent(key)
                if len(times) >= most:
                    wait = round(times[0] + WINDOW - self._clock()) + 1
                    raise RefusedError(429, f"Too many wrong tokens. Try again in {wait} seconds.", wait)

    def failed(self, address: str, token: str) -> None:
        """Count a wrong token."""
        with self._lock:
            for key, _ in self._keys(address, token):
                self._failed.setdefault(key, deque()).append(self._clock())
                self._failed.move_to_end(key)
            while len(self._failed) > _MOST_KEYS:
                self._failed.popitem(last=False)

    def _recent(self, key: tuple[str, str]) -> "deque[float]":
        times = self._failed.get(key, deque())
        while times and times[0] <= self._clock() - WINDOW:
            times.popleft()
        return times

    @staticmethod
    def _keys(address: str, token: str) -> list[tuple[tuple[str, str], int]]:
        found = _FORM.fullmatch(token)
        whose = f"{found[1]}-{found[2]}" if found else "no token"
        return [((address, ""), MOST_OF_ADDRESS), ((address, whose), MOST_OF_ONE)]
