"""The page of `depixel serve`, and the HTTP API behind it: restoring pictures in a browser.

Made for one machine: it answers who speaks to it by the names it was given, takes nothing from other sites' pages,
serves no file by name, and keeps nothing. A picture is the body of a request and lives in memory until it is answered.
FastAPI and uvicorn are in the extra `serve`.
"""

import asyncio
import io
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import uvicorn
from anyio import fail_after, to_thread
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import MOST_BLOCK
from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.detection import search
from depixel.detection.jpeg import BLOCK
from depixel.experiments import records
from depixel.model.pixelation import LEAST_BLOCK
from depixel.photos.decoding import decode
from depixel.pictures import formats
from depixel.pictures.pixels import pixelate as pixelate_areas
from depixel.pictures.resolve import resolve
from depixel.pictures.restorer import Model, Restorer, disagreement
from depixel.pictures.tiles import Trust
from depixel.scoring import scores
from depixel.versioning import reason, run_dvc

MOST_BYTES = 30_000_000
"""Of an upload."""
AT_ONCE = 2
"""How many pictures are worked on at the same time."""
MOST_INSIDE = 16
"""How many requests with a picture are worked on or wait; others are sent away, to come again."""
UPLOAD_SECONDS = 30
WORK_SECONDS = 90
"""After so long a search or a restoration is given up; a JPEG of 12 megapixels takes 38 to 127 s on two cores."""
MOST_SEARCHED = 13_000_000
"""Pixels of a picture, or of the part of a larger one, in which areas are looked for."""

_SEARCHING = threading.Lock()  # a search needs some hundred bytes a pixel of a tile: one at a time

REPORT = Path("report.html")
SAMPLES = ((11, 1), (9, 3), (16, 1), (13, 3))
"""Contributor and number of generated photos that are offered to try."""

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "TIFF": "image/tiff"}
_ENDINGS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REPORT_HEADERS = {  # the report has its styles and pictures within it, and is shown in a frame of the page
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'; sandbox"
}
_EXPERIMENTS = ("exp", "show", "--csv", "--only-changed", "--hide-workspace", "--num", "10", "--drop")
_NO_COLUMNS = r"rev|typ|parent|State|Executor|rmse_.*|.*\.(csv|json|yaml|npy|py|lock|safetensors)|data/.*|models/.*"

T = TypeVar("T")


class Problem(BaseModel):
    """Why a request was not answered, for people."""

    problem: str


class FoundArea(BaseModel):
    """A pixelated area. Pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int
    block_size: int
    offset_x: int = Field(description="columns that the first blocks lack; 0 if blocks begin at the left side")
    offset_y: int = Field(description="rows that the first blocks lack")
    certain: bool = Field(description="the evidence is beyond what untouched photos show")


class FoundAreas(BaseModel):
    width: int = Field(description="of the picture, upright")
    height: int
    areas: list[FoundArea] = Field(description="likeliest first, none overlapping")


class Table(BaseModel):
    title: str
    columns: list[str]
    rows: list[list[str]]


class Runs(BaseModel):
    tables: list[Table]
    problems: list[str] = Field(description="why a table is missing")
    report: bool = Field(description="whether /report is there")


class StoppedError(Exception):
    """Work was given up: it takes too long, or nobody waits for it."""


# -- the work --------------------------------------------------------------------------------------------------------


def restore(
    restorer: Restorer, data: bytes, areas: list[Area], views: Literal[1, 2, 8], trust: Trust
) -> tuple[bytes, str, list[ResolvedArea]]:
    """A picture file restored: its bytes, its format, its areas with the block sizes that were found."""
    picture = formats.decoded(data)
    resolved = resolve(picture.pixels, areas)
    restored = restorer.restore(picture.pixels, resolved, views, trust)
    return formats.encoded(picture.showing(restored)), picture.format, resolved


def pixelate(data: bytes, areas: list[Area]) -> tuple[bytes, str, list[Area]]:
    """A picture file pixelated, as `restore` returns it, without thumbnails of what was there."""
    picture = formats.decoded(data)
    pixelated = pixelate_areas(picture.pixels, areas)
    return formats.encoded(picture.hiding(pixelated)), picture.format, areas


def find(data: bytes, near: Area | None, stop: threading.Event) -> FoundAreas:
    """The pixelated areas of a picture file; with `near` those in it and half as much around.

    Raises:
        StoppedError: `stop` was set.
    """

    def check() -> None:
        if stop.is_set():
            raise StoppedError

    pixels = formats.decoded(data).seen()
    height, width = pixels.shape[:2]
    left = top = 0
    if near:
        x, y, wide, high = near.x, near.y, near.width, near.height
        left, top = (  # where a JPEG's blocks begin
            max(start - extent // 2 - MOST_BLOCK // 10, 0) // BLOCK * BLOCK for start, extent in ((x, wide), (y, high))
        )
        pixels = pixels[top : y + high + high // 2 + MOST_BLOCK // 10, left : x + wide + wide // 2 + MOST_BLOCK // 10]
        if not pixels.size:
            raise DepixelError(f"near: not inside the picture, which is {width} pixels wide and {height} high")
    if pixels.shape[0] * pixels.shape[1] > MOST_SEARCHED:
        raise DepixelError(
            f"areas are looked for in at most {MOST_SEARCHED // 10**6} megapixels; draw them roughly, and what is "
            "there is found more exactly"
        )
    with _SEARCHING:
        found = search.find(np.ascontiguousarray(pixels), check)
    areas = [_found_area(one.area.moved(left, top), one.certain) for one in found]
    return FoundAreas(width=width, height=height, areas=areas)


def _found_area(area: ResolvedArea, certain: bool) -> FoundArea:
    x, y, width, height, size, offset_x, offset_y = area.columns()
    return FoundArea(
        x=x, y=y, width=width, height=height, block_size=size, offset_x=offset_x, offset_y=offset_y, certain=certain
    )


def doubt(restorer: Restorer, data: bytes, areas: list[Area]) -> bytes:
    """`disagreement` in a picture file as a gray PNG: sixteenths of a gray level."""
    found = disagreement(restorer, formats.decoded(data).pixels, areas)
    return _png((16 * found).clip(0, 255).round().astype(np.uint8))


def show(data: bytes) -> bytes:
    """A picture file as a PNG that every browser shows: upright, 8 bits, without metadata."""
    pixels = formats.decoded(data).pixels
    return _png(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))


@lru_cache(maxsize=len(SAMPLES))
def sample_photo(number: int) -> bytes:
    """A generated photo as a PNG."""
    contributor, photo = SAMPLES[number]
    return _png(np.asarray(decode(synthetic.photo(0, synthetic.STRANGER + contributor, photo)).convert("RGB")))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def runs() -> Runs:
    """What is known of the runs of the project in the current folder."""
    tables, problems = [], []
    for title, read in (
        ("The last run", _last_run),
        ("Runs that were recorded", _recorded),
        ("Experiments of DVC", _experiments),
    ):
        try:
            table = read()
        except DepixelError as error:
            problems.append(f"{title}: {error}")
        else:
            rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
            tables += [Table(title=title, columns=[str(c) for c in table.columns], rows=rows)] if rows else []
    return Runs(tables=tables, problems=problems, report=REPORT.is_file())


def _last_run() -> pd.DataFrame:
    try:
        return scores.readable(pd.read_csv("metrics/comparison.csv").round(3))
    except FileNotFoundError:
        raise DepixelError("there is none in this folder. `dvc repro` makes one") from None
    except (OSError, ValueError, KeyError) as error:
        raise DepixelError(f"metrics/comparison.csv cannot be read ({error}). `dvc repro` makes it") from error


def _recorded() -> pd.DataFrame:
    table = records.read_table()
    return records.readable(table, by="ratio_mean") if len(table) else table


def _experiments() -> pd.DataFrame:
    """Those that started from the last ten commits, lowest ratio first."""
    done = run_dvc(*_EXPERIMENTS, _NO_COLUMNS)
    if done.returncode:
        raise DepixelError(reason(done))
    if not done.stdout.strip():
        return pd.DataFrame()
    table = pd.read_csv(io.StringIO(done.stdout))
    if "Experiment" not in table:  # all of it is the same, and so dropped: there are only commits
        return pd.DataFrame()
    table = table[table["Experiment"].notna()]
    by = [column for column in table if column.endswith("ratio_mean")]
    return table.sort_values(by, ignore_index=True).round(4).fillna("")


# -- requests --------------------------------------------------------------------------------------------------------


def _areas(given: Iterable[str], block: int | None = None) -> list[Area]:
    areas = [Area.of([int(number) for number in area.split(",")]) for area in given]
    return [area.with_block_size(block) if block and area.block_size is None else area for area in areas]


_PICTURE = {
    "requestBody": {
        "description": "The bytes of a picture file: PNG, JPEG, WebP or TIFF, at most 50 megapixels.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PROBLEMS = {
    403: {"model": Problem, "description": "Asked by another site, or by a name that is not this machine's."},
    408: {"model": Problem, "description": f"The upload took longer than {UPLOAD_SECONDS} s."},
    413: {
        "model": Problem,
        "description": f"More than {MOST_BYTES // 10**6} MB, or it would take longer than {WORK_SECONDS} s.",
    },
    422: {"model": Problem, "description": "Not a picture, or areas and settings that do not fit it."},
    503: {"model": Problem, "description": "Too many at once; come again after `Retry-After` seconds."},
}
_PICTURE_BACK = {
    200: {
        "content": dict.fromkeys(_TYPES.values(), _BINARY),
        "description": "The picture, in its format, with its metadata.",
        "headers": {
            "Areas": {
                "description": "The areas with their block sizes: x,y,width,height,block;...",
                "schema": {"type": "string"},
            }
        },
    }
}
_PNG_BACK = {200: {"content": {"image/png": _BINARY}}}

_AREA_FORM = "x,y,width,height, with the side of a block behind it or, if the first are cut off, three numbers"
_AreaText = Annotated[str, Field(pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){3}(,[0-9]{1,3}|(,[0-9]{1,3}){3})?$")]
AreaQuery = Annotated[
    list[_AreaText],
    Query(
        alias="area",
        min_length=1,
        max_length=100,
        description="x,y,width,height or x,y,width,height,block in pixels of the upright picture, from its upper left "
        "corner; may be given more than once. Blocks begin at the area's upper left corner; if the first ones are cut "
        "off, two numbers more say how many columns and rows they lack.",
    ),
]
BlockQuery = Annotated[
    int | None, Query(ge=LEAST_BLOCK, le=MOST_BLOCK, description="Side of a block, of areas that do not say it.")
]


class _House:
    """Who works and who waits."""

    def __init__(self) -> None:
        self._inside, self._places = 0, asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def picture(self, request: Request):
        """The upload of a request, which is let in, or sent away."""
        if self._inside >= MOST_INSIDE:
            await _upload(request, keep=False)
            raise HTTPException(503, "Too many at once; try again in a moment.", {"Retry-After": "2"})
        self._inside += 1
        try:
            yield await _upload(request)
        finally:
            self._inside -= 1

    async def work(self, request: Request, function: Callable[[threading.Event], T]) -> T:
        """Run a function in a thread when its turn comes; `StoppedError` if that takes too long, or the client went."""
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


async def _upload(request: Request, keep: bool = True) -> bytes:
    """The body of a request; read on if it is too large, within limits, so that the client hears why."""
    pieces, size = [], 0
    try:
        with fail_after(UPLOAD_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > 10 * MOST_BYTES:
                    break
                if keep and size <= MOST_BYTES:
                    pieces.append(piece)
    except TimeoutError:
        raise HTTPException(408, f"The upload took longer than {UPLOAD_SECONDS} s.", {"Connection": "close"}) from None
    if keep and size > MOST_BYTES:
        raise HTTPException(
            413, f"The file has more than {MOST_BYTES // 10**6} MB. Cut out the part to restore, or make it smaller."
        )
    return b"".join(pieces)


class _Watched(NamedTuple):
    """A model that looks at `stop` before each batch of windows."""

    model: Model
    stop: threading.Event

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int]) -> np.ndarray:
        if self.stop.is_set():
            raise StoppedError
        return self.model.predict_windows(windows, areas, views)


def _watched(restorer: Restorer, stop: threading.Event) -> Restorer:
    return Restorer(_Watched(restorer.model, stop))


class _Guard:
    """Lets in who asks for this machine by its name, and pages of its own only; adds the headers."""

    def __init__(self, app, host: str):
        self.app, self.any_address = app, host in ("0.0.0.0", "::", "")  # noqa: S104
        self.names = {"localhost", "127.0.0.1", "::1", host.lower()}
        if self.any_address:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            raise RuntimeError("there are no websockets here")
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        if problem := self._problem(scope["path"], Headers(scope=scope)):
            app = JSONResponse({"problem": problem}, 403)
        return await app(scope, receive, send_with_headers)

    def _problem(self, path: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if not self._is_known(host):
            return (
                "This page answers to the names of its own machine only. To reach it from another, start it with "
                "--host and the name or address by which it is to be reached"
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return "Another site's page asked for this; only this page may"
        if path != "/" and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "Another site's page asked for this; only this page may"
        return ""

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.any_address and bool(ipaddress.ip_address(name)))
        except ValueError:
            return False


def create_app(restorer: Restorer, host: str = "127.0.0.1") -> _Guard:
    """The page and its API as an ASGI application.

    Args:
        restorer: what restores. host: the name or address that it is reached by, beside localhost; one that stands for
            all of the machine's, as 0.0.0.0, lets in any address.
    """
    api = FastAPI(
        title="depixel",
        summary="Restores the pixelated areas of pictures.",
        description="A restoration is the most likely pixels, not the true ones: it cannot show who somebody is or "
        "what was written. Nothing that is sent here is kept.",
        docs_url=None,  # these pages load their scripts from the internet
        redoc_url=None,
        telemetry=dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False),
    )
    house = _House()

    @api.exception_handler(AnyHTTPException)
    async def _refused(request: Request, error: AnyHTTPException):
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)

    @api.exception_handler(RequestValidationError)
    async def _wrong(request: Request, error: RequestValidationError):
        first = error.errors()[0]
        told = first["msg"] if first["type"] != "string_pattern_mismatch" else f"{first['input']!r} is not {_AREA_FORM}"
        return JSONResponse({"problem": f"{first['loc'][1] if first['loc'][1:] else 'request'}: {told}"}, 422)

    @api.exception_handler(DepixelError)
    async def _problem(request: Request, error: DepixelError):
        return JSONResponse({"problem": str(error)}, 422)

    @api.exception_handler(MemoryError)
    async def _too_large(request: Request, error: MemoryError):
        return JSONResponse({"problem": "The picture needs more memory than there is here; make it smaller."}, 413)

    @api.exception_handler(StoppedError)
    async def _stopped(request: Request, error: StoppedError):
        text = (
            f"This takes longer than {WORK_SECONDS} s here. Choose smaller areas, fewer views or a smaller picture; "
            "or draw the areas."
        )
        return JSONResponse({"problem": text}, 413)

    @api.exception_handler(Exception)
    async def _broken(request: Request, error: Exception):
        return JSONResponse({"problem": "This should not have happened; the terminal says what did."}, 500)

    @api.exception_handler(ClientDisconnect)
    async def _gone(request: Request, error: ClientDisconnect):
        return Response(status_code=499)  # which nobody reads

    def picture_back(made: tuple[bytes, str, Sequence[Area]], stem: str) -> Response:
        content, kind, areas = made
        headers = {
            "Content-Disposition": f'attachment; filename="{stem}.{_ENDINGS[kind]}"',
            "Areas": ";".join(",".join(map(str, area.numbers())) for area in areas),
        }
        return Response(content, media_type=_TYPES[kind], headers=headers)

    def png_back(content: bytes) -> Response:
        return Response(content, media_type="image/png")

    @api.post(
        "/api/restore",
        response_class=Response,
        responses=_PICTURE_BACK | _PROBLEMS,
        openapi_extra=_PICTURE,
        tags=["api"],
    )
    async def restore_picture(
        request: Request,
        area: AreaQuery,
        block: BlockQuery = None,
        views: Annotated[Literal["1", "2", "8"], Query(description="Turned views to average; 8 is best.")] = "1",
        trust: Annotated[Trust, Query(description="What the value of a block is.")] = "rounded",
    ) -> Response:
        """Restore the pixelated areas of a picture. Block sizes that are not given are found."""
        async with house.picture(request) as data:
            work = lambda stop: restore(_watched(restorer, stop), data, _areas(area, block), int(views), trust)  # noqa: E731
            return picture_back(await house.work(request, work), "restored")

    @api.post(
        "/api/pixelate",
        response_class=Response,
        responses=_PICTURE_BACK | _PROBLEMS,
        openapi_extra=_PICTURE,
        tags=["api"],
    )
    async def pixelate_picture(request: Request, area: AreaQuery, block: BlockQuery = 8) -> Response:
        """Pixelate areas of a picture: each block becomes its rounded mean."""
        async with house.picture(request) as data:
            made = await house.work(request, lambda stop: pixelate(data, _areas(area, block)))
            return picture_back(made, "pixelated")

    @api.post("/api/find", response_model=FoundAreas, responses=_PROBLEMS, openapi_extra=_PICTURE, tags=["api"])
    async def find_areas(
        request: Request,
        near: Annotated[
            _AreaText | None, Query(description="x,y,width,height: look there only, and half as much around.")
        ] = None,
    ) -> FoundAreas:
        """Find the pixelated areas of a picture."""
        async with house.picture(request) as data:
            within = _areas([near])[0] if near else None
            return await house.work(request, lambda stop: find(data, within, stop))

    @api.post(
        "/api/doubt", response_class=Response, responses=_PNG_BACK | _PROBLEMS, openapi_extra=_PICTURE, tags=["api"]
    )
    async def doubt_picture(request: Request, area: AreaQuery, block: BlockQuery = None) -> Response:
        """Where the model is unsure: how far the restorations of the 8 turned views are from their mean.

        A gray PNG of the picture's size, in sixteenths of a gray level. It says where, not by how much it is off.
        """
        async with house.picture(request) as data:
            work = lambda stop: doubt(_watched(restorer, stop), data, _areas(area, block))  # noqa: E731
            return png_back(await house.work(request, work))

    @api.post(
        "/api/show", response_class=Response, responses=_PNG_BACK | _PROBLEMS, openapi_extra=_PICTURE, tags=["api"]
    )
    async def show_picture(request: Request) -> Response:
        """A picture as a PNG that every browser shows: upright, 8 bits, without metadata."""
        async with house.picture(request) as data:
            return png_back(await house.work(request, lambda stop: show(data)))

    @api.get(
        "/api/samples/{number}", response_class=Response, responses=_PNG_BACK | {422: _PROBLEMS[422]}, tags=["api"]
    )
    def sample_picture(number: Annotated[int, PathParameter(ge=0, lt=len(SAMPLES))]) -> Response:
        """A generated photo to try with."""
        return png_back(sample_photo(number))

    @api.get("/api/runs", response_model=Runs, responses={503: _PROBLEMS[503]}, tags=["api"])
    def list_runs() -> Runs:
        """What is known of the runs of the project that this was started in."""
        if not looking.acquire(blocking=False):
            raise HTTPException(503, "DVC is being asked already; try again in a moment.", {"Retry-After": "2"})
        try:
            return runs()
        finally:
            looking.release()

    @api.get("/report", responses={404: {"model": Problem}}, include_in_schema=False)
    def report() -> Response:
        try:
            return Response(REPORT.read_bytes(), media_type="text/html", headers=_REPORT_HEADERS)
        except OSError:
            raise HTTPException(404, "There is no report here. `depixel report` makes it.") from None

    looking = threading.Lock()  # DVC is asked once at a time
    for path, (content, kind) in _page().items():
        api.get(path, include_in_schema=False)(partial(_same, content, kind))
    return _Guard(api, host)


async def _same(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind)


def _page() -> dict[str, tuple[bytes, str]]:
    """The files of the page, by the path that they are served at."""
    return {
        path: ((Path(__file__).parent / name).read_bytes(), kind)
        for path, name, kind in (
            ("/", "page.html", "text/html"),
            ("/page.js", "page.js", "text/javascript"),
            ("/page.css", "page.css", "text/css"),
        )
    }


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free. Raises `DepixelError` if it cannot, and says what would do."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise DepixelError(f"--host {host}: no name or address of this machine") from error
        raise DepixelError(
            f"{host}, port {port}: {error.strerror or error}. Another program, or another `depixel serve`, may use it: "
            f"choose another with --port, such as {port + 1 if 0 < port < 65535 else 8001}, or any free one: --port 0"
        ) from error


def address(listening: socket.socket, host: str) -> str:
    """What to type into a browser."""
    name = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{listening.getsockname()[1]}/"


def make_server(restorer: Restorer, host: str) -> uvicorn.Server:
    """The server; `run(sockets=[...])` serves until Ctrl-C and raises `KeyboardInterrupt` then."""
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
