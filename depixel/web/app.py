"""The page of `depixel serve`, and its HTTP API: restoring pictures in a browser.

The server is for one machine. It answers only requests that name this machine, refuses requests from other sites'
pages, serves no file by name, and stores nothing. A picture is the body of a request, and stays in memory until the
answer is sent. A request passes `guard` (access and upload limits), `queue` (waiting), then `work` or `runs`
(computation); errors pass `problems`. FastAPI and uvicorn are in the extra `serve`.
"""

import threading
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from pydantic import Field

from depixel.areas.area import LENGTH
from depixel.areas.grid import MOST_BLOCK
from depixel.base import layout
from depixel.model.pixelation import LEAST_BLOCK
from depixel.pictures.kinds import READ
from depixel.pictures.restorer import Restorer
from depixel.pictures.tiles import Trust
from depixel.web import guard, problems, runs, work
from depixel.web.problems import PROBLEMS, Problem, Responses
from depixel.web.queue import Queue

_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "PPM": "image/x-portable-anymap",
    "TGA": "image/x-tga",
}
_ENDINGS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "PPM": "ppm", "TGA": "tga"}

_PAGE = (
    ("/", "page.html", "text/html"),
    ("/page.js", "page.js", "text/javascript"),
    ("/page.css", "page.css", "text/css"),
)
"""URL path, name of the file in this folder, and media type of each file of the page."""


# -- requests and answers ----------------------------------------------------------------------------------------------

_PICTURE = {
    "requestBody": {
        "description": f"The bytes of a picture file, at most 50 megapixels. {READ}.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE_BACK: Responses = {
    200: {
        "content": dict.fromkeys(_TYPES.values(), _BINARY),
        "description": "The picture with its metadata: as a PNG if `format` says so, or if its own format is not one "
        "of these; else in its own format.",
        "headers": {
            "Areas": {
                "description": "The areas with their block sizes: x,y,width,height,block;...",
                "schema": {"type": "string"},
            },
            "Notes": {
                "description": "What the file that was sent also holds and this one does not, and what is wrong with "
                "it; only if there is something.",
                "schema": {"type": "string"},
            },
        },
    }
}
_PNG_BACK: Responses = {200: {"content": {"image/png": _BINARY}}}

_BLOCKS = rf"(@[0-9]{{1,5}}x[0-9]{{1,5}}|,{LENGTH}(x{LENGTH})?(,{LENGTH},{LENGTH})?)"
AreaText = Annotated[str, Field(pattern=rf"^[0-9]{{1,6}}(,[0-9]{{1,6}}){{3}}{_BLOCKS}?$")]
AreaQuery = Annotated[
    list[AreaText],
    Query(
        alias="area",
        min_length=1,
        max_length=100,
        description="x,y,width,height or x,y,width,height,block in pixels of the upright picture, from its upper left "
        "corner; may be given more than once. A block is 8, or 16x8 if it is not square; x,y,width,height@16x12 says "
        "how many blocks there are across and down. Blocks begin at the area's upper left corner; if the first ones "
        "are cut off, two numbers more say how many columns and rows they lack.",
    ),
]
MaskQuery = Annotated[
    list[Annotated[str, Field(pattern="^[A-Za-z0-9_-]*$", max_length=60_000)]] | None,
    Query(
        alias="mask",
        max_length=100,
        description="The shapes of the areas, one for each `area` and in their order: empty for a rectangle, else a "
        "picture of the area's size, such as a PNG, in base64url, light where the area is pixelated.",
    ),
]
BlockQuery = Annotated[
    int | None, Query(ge=LEAST_BLOCK, le=MOST_BLOCK, description="Side of a block, of areas that do not say it.")
]
NearQuery = Annotated[AreaText | None, Query(description="x,y,width,height: look there only, and half as much around.")]
FormatQuery = Annotated[
    Literal["png"] | None, Query(alias="format", description="Answer with a PNG, which keeps every pixel.")
]
Views = Literal["1", "2", "8"]
_VIEWS: dict[Views, Literal[1, 2, 8]] = {"1": 1, "2": 2, "8": 8}


def _picture_back(made: work.Made, stem: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{stem}.{_ENDINGS[made.kind]}"', "Areas": made.areas}
    if made.notes:
        headers["Notes"] = "; ".join(made.notes)
    return Response(made.content, media_type=_TYPES[made.kind], headers=headers)


def _png_back(content: bytes) -> Response:
    return Response(content, media_type="image/png")


# -- routes ------------------------------------------------------------------------------------------------------------


class _Service(NamedTuple):
    """State that the requests of one application share. asking: a lock held while DVC is asked, which takes a while."""

    restorer: Restorer
    queue: Queue
    asking: threading.Lock


def _service(request: Request) -> _Service:
    service: _Service = request.app.state.service
    return service


Service = Annotated[_Service, Depends(_service)]
api = APIRouter(tags=["api"])
page = APIRouter(include_in_schema=False)


@api.post("/api/restore", response_class=Response, responses=_PICTURE_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def restore_picture(
    request: Request,
    service: Service,
    area: AreaQuery,
    mask: MaskQuery = None,
    block: BlockQuery = None,
    views: Annotated[Views, Query(description="Turned views to average; 8 is best.")] = "1",
    trust: Annotated[Trust, Query(description="What the value of a block is.")] = "rounded",
    form: FormatQuery = None,
) -> Response:
    """Restore the pixelated areas of a picture. Missing block sizes are detected."""

    def restored(stop: threading.Event) -> work.Made:
        restorer = work.watched(service.restorer, stop)
        return work.restore(restorer, data, work.named(area, block, mask or ()), _VIEWS[views], trust, form == "png")

    async with service.queue.admitted(request) as data:
        return _picture_back(await service.queue.work(request, restored), "restored")


@api.post("/api/pixelate", response_class=Response, responses=_PICTURE_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def pixelate_picture(
    request: Request,
    service: Service,
    area: AreaQuery,
    mask: MaskQuery = None,
    block: BlockQuery = 8,
    form: FormatQuery = None,
) -> Response:
    """Pixelate areas of a picture: each block becomes its rounded mean."""

    def pixelated(stop: threading.Event) -> work.Made:
        return work.pixelate(data, work.named(area, block, mask or ()), form == "png")

    async with service.queue.admitted(request) as data:
        made = await service.queue.work(request, pixelated)
        return _picture_back(made, "pixelated")


@api.post("/api/find", response_model=work.FoundAreas, responses=PROBLEMS, openapi_extra=_PICTURE)
async def find_areas(request: Request, service: Service, near: NearQuery = None) -> work.FoundAreas:
    """Find the pixelated areas of a picture."""
    async with service.queue.admitted(request) as data:
        return await service.queue.work(request, lambda stop: work.find(data, near, stop))


@api.post("/api/doubt", response_class=Response, responses=_PNG_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def doubt_picture(request: Request, service: Service, area: AreaQuery, block: BlockQuery = None) -> Response:
    """Show where the model is unsure: the deviation of the restorations of the 8 turned views from their mean.

    The answer is a gray PNG of the picture's size, in sixteenths of a gray level. It does not show how large the error
    is.
    """

    def doubted(stop: threading.Event) -> bytes:
        return work.doubt(work.watched(service.restorer, stop), data, work.named(area, block))

    async with service.queue.admitted(request) as data:
        return _png_back(await service.queue.work(request, doubted))


@api.post("/api/show", response_class=Response, responses=_PNG_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def show_picture(request: Request, service: Service) -> Response:
    """Convert a picture to a PNG that every browser shows: upright, 8 bits, without metadata."""
    async with service.queue.admitted(request) as data:
        return _png_back(await service.queue.work(request, lambda stop: work.show(data)))


@api.get("/api/samples/{number}", response_class=Response, responses=_PNG_BACK | {422: PROBLEMS[422]})
def sample_picture(number: Annotated[int, PathParameter(ge=0, lt=len(work.SAMPLES))]) -> Response:
    """A generated photo for a first try."""
    return _png_back(work.sample_photo(number))


@api.get("/api/runs", response_model=runs.Runs, responses={503: PROBLEMS[503]})
def list_runs(service: Service) -> runs.Runs:
    """List the runs of the project in which the server was started."""
    if not service.asking.acquire(blocking=False):
        raise HTTPException(503, "DVC is being asked already; try again in a moment.", {"Retry-After": "2"})
    try:
        return runs.runs()
    finally:
        service.asking.release()


@page.get("/report", responses={404: {"model": Problem}})
def report() -> Response:
    """The report of the project in the current folder."""
    try:
        return Response(layout.REPORT.read_bytes(), media_type="text/html", headers=guard.REPORT_HEADERS)
    except OSError:
        raise HTTPException(404, "There is no report here. `depixel report` makes it.") from None


# -- the server --------------------------------------------------------------------------------------------------------


def create_app(restorer: Restorer, host: str = "127.0.0.1") -> guard.Guard:
    """The page and its API as an ASGI application.

    Args:
        restorer: the restorer. Several threads call it at once.
        host: the name or address by which people reach it, beside localhost. One that means all addresses of this
            machine, such as 0.0.0.0, allows any address.
    """
    app = FastAPI(
        title="depixel",
        summary="Restores the pixelated areas of pictures.",
        description="A restoration is the most likely pixels, not the true ones: it cannot show who somebody is or "
        "what was written. Nothing that is sent here is kept.",
        docs_url=None,  # these pages load their scripts from the internet
        redoc_url=None,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.service = _Service(restorer, Queue(), threading.Lock())
    problems.tell(app)
    app.include_router(api)
    app.include_router(page)
    for path, name, kind in _PAGE:
        content = Path(__file__).with_name(name).read_bytes()
        app.get(path, include_in_schema=False)(partial(_same, content, kind))
    return guard.Guard(app, host)


async def _same(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind)


def make_server(restorer: Restorer, host: str) -> uvicorn.Server:
    """Make the server. Its `run(sockets=[...])` serves until Ctrl-C, and then raises `KeyboardInterrupt`.

    Args:
        restorer, host: as for `create_app`.
    """
    settings = uvicorn.Config(
        create_app(restorer, host),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=15,
    )
    return uvicorn.Server(settings)
