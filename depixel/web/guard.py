"""Access control: only requests to this machine from its own page, and uploads of limited size.

The page is for one machine. Three rules ensure that, before anything is computed:

- A request must name this machine in `Host`. A foreign name that resolves to it (DNS rebinding) is refused.
- A request from another site's page (`Origin`, `Sec-Fetch-Site`) is refused, except links to the page itself.
- An upload must not exceed `MOST_BYTES` or `UPLOAD_SECONDS`.

Every answer, including a refusal, has `HEADERS`: the page loads nothing from elsewhere, and nobody frames or caches it.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from anyio import fail_after
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 30_000_000
"""Maximum size of an upload, bytes."""
UPLOAD_SECONDS = 30
"""Maximum duration of an upload, seconds."""

PRIVATE: dict[str, Any] = {
    "docs_url": None,  # these pages load their scripts from the internet
    "redoc_url": None,
    "telemetry": dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False),
}
"""Options of a FastAPI application that makes nobody ask the internet for anything."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer, unless its route sets them differently."""
REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'; sandbox"
}
"""Headers of the report: it contains its styles and pictures, and the page shows it in a frame."""

_OTHER_SITE = "Another site's page asked for this; only this page may"


class Guard:
    """An ASGI application that applies the rules of this module to another one.

    Attributes:
        app: the guarded application.
        any_address: whether a request may name any IP address, because the server listens on all addresses.
        names: names and addresses of this machine that a request may name, in small letters.
        pages: paths that links of other sites may lead to.
    """

    def __init__(self, app: ASGIApp, host: str, pages: Collection[str] = ("/",), allowed: Collection[str] = ()):
        """`host` and `allowed` are the names and addresses by which people reach `app`, beside localhost."""
        self.app, self.pages, self.any_address = app, pages, host in ("0.0.0.0", "::", "")  # noqa: S104
        self.names = {"localhost", "127.0.0.1", "::1", host.lower(), *(name.lower() for name in allowed)}
        if self.any_address:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the reason for the refusal."""
        if scope["type"] == "websocket":
            raise RuntimeError("there are no websockets here")
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # uvicorn leaves out the body, because its own scope still says HEAD
        if problem := self._problem(scope["path"], Headers(scope=scope)):
            app = JSONResponse({"problem": problem}, 403)
        await app(scope, receive, send_with_headers)

    def _problem(self, path: str, headers: Headers) -> str:
        """The reason to refuse a request; "" if it is allowed."""
        host = headers.get("host", "")
        if not self._is_known(host):
            return (
                "This page answers to the names of its own machine only. To reach it by another name, such as that of "
                "a proxy, start it with --allowed-host and this name"
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return _OTHER_SITE
        if path not in self.pages and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _OTHER_SITE
        return ""

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.any_address and bool(ipaddress.ip_address(name)))
        except ValueError:
            return False


async def upload(request: Request, keep: bool = True, told: Callable[[int], None] = lambda size: None) -> bytes:
    """Read the body of a request.

    If it is too large, the rest is read and discarded, up to ten times the limit, because a client reads the answer
    only after it has sent everything.

    Args:
        request: the request.
        keep: False to read and discard the body of a request that is refused anyway.
        told: called with the number of bytes that are kept, whenever there are more.

    Returns:
        The body; b"" without `keep`.

    Raises:
        HTTPException: 408 if the upload takes longer than `UPLOAD_SECONDS`; 413 if it is larger than `MOST_BYTES`.
    """
    pieces, size = [], 0
    try:
        with fail_after(UPLOAD_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > 10 * MOST_BYTES:
                    break
                if keep and size <= MOST_BYTES:
                    pieces.append(piece)
                    told(size)
    except TimeoutError:
        raise HTTPException(408, f"The upload took longer than {UPLOAD_SECONDS} s.", {"Connection": "close"}) from None
    if keep and size > MOST_BYTES:
        raise HTTPException(
            413, f"The file has more than {MOST_BYTES // 10**6} MB. Cut out the part to restore, or make it smaller."
        )
    return b"".join(pieces)
