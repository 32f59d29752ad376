"""The application: pages, API, and what guards them.

On its way a request passes `web.guard` (names and other sites), `access` (whose it is), `intake` (its upload) and the
routes of `api` and `organiser_api`. If something is wrong, `problems` answers.
"""

from collections.abc import Collection
from functools import partial
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

from depixel.server.http import api, organiser_api, problems
from depixel.server.service import Service
from depixel.server.storage.database import state
from depixel.web.guard import PRIVATE, Guard

_SITE = Path(__file__).parents[1] / "site"
_PAGES = {"/": "board.html", "/team": "team.html", "/organiser": "organiser.html"}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def create_app(service: Service, host: str = "127.0.0.1", allowed: Collection[str] = ()) -> Guard:
    """A challenge as an ASGI application.

    Args:
        host: the name or address that it listens on. allowed: others by which people reach it, such as that of a proxy.
    """
    app = FastAPI(
        title="depixel challenge",
        summary="Submissions, scores and the leaderboard of a depixelation challenge.",
        version=version("depixel"),
        **PRIVATE,
    )
    app.state.context = api.Context(service)
    problems.tell(app)
    app.include_router(api.api)
    app.include_router(organiser_api.api)
    files = {f"/{path.name}": path.name for path in _SITE.glob("*.*") if path.suffix in (".js", ".css")}
    for path, name in (_PAGES | files).items():
        content, kind = (_SITE / name).read_bytes(), _TYPES[Path(name).suffix]
        app.get(path, include_in_schema=False)(partial(_same, content, kind))

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> Response:
        """Whether the server runs and reaches its database, for a health check."""
        with service.database.reading() as session:
            state(session)
        return Response("ok\n", media_type="text/plain")

    return Guard(app, host, tuple(_PAGES), allowed)


async def _same(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind)


def make_server(service: Service, host: str, allowed: Collection[str] = (), proxy: str | None = None) -> uvicorn.Server:
    """The server; `run(sockets=[...])` serves until Ctrl-C and raises `KeyboardInterrupt` then.

    Args:
        host, allowed: as of `create_app`. proxy: the address of a reverse proxy whose X-Forwarded headers are believed.
    """
    for left in service.folder.incoming.iterdir():  # of a server that was killed
        left.unlink(missing_ok=True)
    settings = uvicorn.Config(
        create_app(service, host, allowed),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy or "",
        timeout_graceful_shutdown=10,
        timeout_keep_alive=150,  # longer than Caddy keeps an idle connection, which it would else use while it closes
    )
    return uvicorn.Server(settings)
