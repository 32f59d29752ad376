"""The page of `depixel serve`, and its HTTP API: restoring pictures in a browser.

The server is for one machine. It answers only requests that name this machine, refuses requests from other sites'
pages, serves no file by name, and stores nothing. A picture is the body of a request, and stays in memory until the
answer is sent. A request passes `guard` (access and upload limits), `routes` (the API), `queue` (waiting), then `work`
or `runs` (computation, mostly in the processes of `workers`); `jobs` tell how far it is, and errors pass `problems`.
"""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Response

from depixel.base import layout
from depixel.web import guard, problems, routes
from depixel.web.models import Models
from depixel.web.problems import Problem
from depixel.web.queue import Queue

MOST_CONNECTIONS = 400
"""Maximum number of connections at once. Others are answered with 503."""
MOST_HEADERS = 256 * 1024
"""Maximum size of the head of a request, bytes: 100 masks in its query may be long."""

page = APIRouter(include_in_schema=False)


@page.get("/healthz")
async def healthz() -> Response:
    """Whether the server runs, for a health check."""
    return Response("ok\n", media_type="text/plain")


@page.get("/report", responses={404: {"model": Problem}})
def report() -> Response:
    """The report of the project in the current folder."""
    try:
        return Response(layout.REPORT.read_bytes(), media_type="text/html", headers=guard.REPORT_HEADERS)
    except OSError:
        raise HTTPException(404, "There is no report here. `depixel report` makes it.") from None


# -- the server --------------------------------------------------------------------------------------------------------


def create_app(models: Models, host: str = "127.0.0.1", allowed: Collection[str] = ()) -> guard.Guard:
    """The page and its API as an ASGI application.

    Args:
        models: the models that it offers.
        host: the name or address by which people reach it, beside localhost. One that means all addresses of this
            machine, such as 0.0.0.0, allows any address.
        allowed: further names by which people reach it, such as that of a proxy.
    """
    queue = Queue()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.open()
        yield
        queue.close()

    app = FastAPI(
        lifespan=lifespan,
        title="depixel",
        version=version("depixel"),
        summary="Restores the pixelated areas of pictures.",
        description="A restoration is the most likely pixels, not the true ones: it cannot show who somebody is or "
        "what was written. Nothing that is sent here is kept.",
        **guard.PRIVATE,
    )
    app.state.service = routes.Service(models, queue)
    problems.tell(app)
    app.include_router(routes.api)
    app.include_router(page)
    for path, content, kind in _page_files():
        app.get(path, include_in_schema=False)(partial(_same, content, kind))
    return guard.Guard(app, host, allowed=allowed)


def _page_files() -> Iterator[tuple[str, bytes, str]]:
    """URL path, content and media type of each file of the page; other files are not served."""
    folder = Path(__file__).parent
    yield "/", (folder / "page.html").read_bytes(), "text/html"
    yield "/page.css", (folder / "page.css").read_bytes(), "text/css"
    for file in sorted((folder / "page").glob("*.js")):
        yield f"/page/{file.name}", file.read_bytes(), "text/javascript"


async def _same(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind)


def make_server(models: Models, host: str, allowed: Collection[str] = ()) -> uvicorn.Server:
    """Make the server. Its `run(sockets=[...])` serves until Ctrl-C, and then raises `KeyboardInterrupt`.

    Args:
        models, host, allowed: as for `create_app`.
    """
    settings = uvicorn.Config(
        create_app(models, host, allowed),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=15,
    )
    return uvicorn.Server(settings)
