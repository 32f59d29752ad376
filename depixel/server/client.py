"""What a team's computer does: send a submission to a server, and show the leaderboard."""

import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from depixel.base.errors import DepixelError

TOKEN = "DEPIXEL_TOKEN"  # noqa: S105  the name of a variable
TIMEOUT = (10, 120)
"""Seconds to wait for a connection, and for the answer to an upload."""

_AWAY = "the server behind its proxy is away. Try again later; the same file costs no second attempt"
_OF_A_PROXY = {413: "the file is too large for the proxy in front of the server", 502: _AWAY, 503: _AWAY, 504: _AWAY}


class Sent(NamedTuple):
    """The answer to a submission. status: of HTTP. content: as the API describes it."""

    status: int
    content: dict[str, Any]


def token(file: Path | None) -> str:
    """The team's token: from a file, else from the variable DEPIXEL_TOKEN. It is never taken from the command line.

    Raises:
        DepixelError: there is none, or the file cannot be read.
    """
    if file is None:
        if found := os.environ.get(TOKEN, "").strip():
            return found
        raise DepixelError(
            f"no token. The organiser gave your team one: put it into a file and name that with --token-file, or set "
            f"the variable {TOKEN}"
        )
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DepixelError(f"{file}: cannot be read ({error})") from error
    if not found or len(found.split()) > 1:
        raise DepixelError(f"{file}: must hold a token and nothing else")
    return found


def submit(server: str, path: Path, secret: str, dry_run: bool) -> Sent:
    """Send a submission.

    Raises:
        DepixelError: the server cannot be reached or refuses the submission; says why, and what attempts are left.
    """
    most = facts(server, secret)["most_bytes"]
    try:
        if path.stat().st_size > most:
            raise DepixelError(f"{path}: has more than {most // 10**6} MB, which is the limit. Nothing was sent")
        with path.open("rb") as file:
            answer = _ask(
                "POST", server, "/api/submissions", secret, data=file, params={"dry_run": str(dry_run).lower()}
            )
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    content = _content(answer, server)
    if answer.status_code not in (200, 201):
        left = content.get("attempts")
        more = f"\nAttempts: {left['used']} used, {left['left']} left. This one was not counted." if left else ""
        raise DepixelError(f"{path}: refused: {content.get('problem', answer.reason)}{more}")
    return Sent(answer.status_code, content)


def leaderboard(server: str) -> dict[str, Any]:
    """The leaderboard of a server. Raises `DepixelError` if it cannot be had."""
    return _read(server, "/api/leaderboard")


def facts(server: str, secret: str = "") -> dict[str, Any]:
    """The challenge of a server. Raises `DepixelError` if it cannot be had, or a token must not be sent to it."""
    return _read(server, "/api/challenge", secret)


def _read(server: str, path: str, secret: str = "") -> dict[str, Any]:
    answer = _ask("GET", server, path, secret)
    content = _content(answer, server)
    if answer.status_code != 200:
        raise DepixelError(f"{server}: {content.get('problem', answer.reason)}")
    return content


def _ask(method: str, server: str, path: str, secret: str = "", **options: Any) -> requests.Response:
    address = urlsplit(server)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise DepixelError(f"--server {server}: not an address such as https://challenge.example.org")
    if secret and address.scheme == "http" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise DepixelError(f"--server {server}: a token is sent by https only, or to this machine")
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    try:
        return requests.request(
            method, server.rstrip("/") + path, headers=headers, timeout=TIMEOUT, allow_redirects=not secret, **options
        )
    except requests.RequestException as error:
        more = ". The attempt may have been counted. Send the same file again: that costs none, and you get the answer"
        raise DepixelError(f"{server}: cannot be reached ({error}){more if method == 'POST' else ''}") from error


def _content(answer: requests.Response, server: str) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        status = answer.status_code
        raise DepixelError(f"{server}: {_OF_A_PROXY.get(status, 'no server of a challenge')} (status {status})")
    return content
