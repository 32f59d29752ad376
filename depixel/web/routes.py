"""The HTTP API of `depixel serve`."""

from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse
from pydantic import Field

from depixel.areas.area import LENGTH
from depixel.areas.grid import MOST_BLOCK
from depixel.model.pixelation import LEAST_BLOCK
from depixel.pictures.kinds import READ
from depixel.pictures.tiles import Trust
from depixel.web import jobs, runs, samples, work
from depixel.web.areas import FoundAreas, is_small, named
from depixel.web.models import Models, OfferedModel
from depixel.web.problems import PROBLEMS, Responses, only
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
_EVENTS_BACK: Responses = {
    200: {
        "description": "Server-sent events, each with a `Progress` in JSON, until the request is answered; then the "
        "event `end`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

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
JobQuery = Annotated[
    str | None,
    Query(
        alias="job",
        pattern=f"^{jobs.NAME}$",
        description="A random name of your choice, under which /api/jobs/{name} tells the progress of this request and "
        "cancels it. Clients of one address that put a name of their own before the last - take turns.",
    ),
]
JobName = Annotated[str, PathParameter(pattern=f"^{jobs.NAME}$", description="The name that the request gave.")]
ModelQuery = Annotated[
    str | None,
    Query(alias="model", max_length=300, description="A name of /api/models; without one, the first there."),
]
AnywayQuery = Annotated[
    bool, Query(description="Restore in the blocks that `area` names even if the pixels contradict.")
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


class Service(NamedTuple):
    """State that the requests of one application share."""

    models: Models
    queue: Queue


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_service)]
api = APIRouter(tags=["api"])


@api.post("/api/restore", response_class=Response, responses=_PICTURE_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def restore_picture(
    request: Request,
    service: Shared,
    area: AreaQuery,
    mask: MaskQuery = None,
    block: BlockQuery = None,
    views: Annotated[Views, Query(description="Turned views to average; 8 is best.")] = "1",
    trust: Annotated[Trust, Query(description="What the value of a block is.")] = "rounded",
    chosen: ModelQuery = None,
    anyway: AnywayQuery = False,
    form: FormatQuery = None,
    name: JobQuery = None,
) -> Response:
    """Restore the pixelated areas of a picture. Missing block sizes are detected."""
    lane = service.queue.pictures

    def restored() -> work.Made:
        areas = named(area, block, mask or ())
        model, restorer = service.models.named(chosen)
        made, spent = work.restore(
            restorer, lane.workers, job, data, areas, _VIEWS[views], trust, form == "png", anyway
        )
        service.models.measured(model, *spent)
        return made

    async with service.queue.admitted(request, name) as (job, data):
        return _picture_back(await service.queue.work(job, lane, restored), "restored")


@api.post("/api/pixelate", response_class=Response, responses=_PICTURE_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def pixelate_picture(
    request: Request,
    service: Shared,
    area: AreaQuery,
    mask: MaskQuery = None,
    block: BlockQuery = 8,
    form: FormatQuery = None,
    name: JobQuery = None,
) -> Response:
    """Pixelate areas of a picture: each block becomes its rounded mean."""
    lane = service.queue.pictures

    def pixelated() -> work.Made:
        areas = named(area, block, mask or ())
        return lane.workers.run(job, work.pixelate, data, areas, form == "png")

    async with service.queue.admitted(request, name) as (job, data):
        return _picture_back(await service.queue.work(job, lane, pixelated), "pixelated")


@api.post("/api/find", response_model=FoundAreas, responses=PROBLEMS, openapi_extra=_PICTURE)
async def find_areas(request: Request, service: Shared, near: NearQuery = None, name: JobQuery = None) -> FoundAreas:
    """Find the pixelated areas of a picture."""
    lane = service.queue.pictures if near and is_small(near) else service.queue.searches
    async with service.queue.admitted(request, name) as (job, data):
        return await service.queue.work(job, lane, lambda: lane.workers.run(job, work.find, data, near))


@api.post("/api/doubt", response_class=Response, responses=_PNG_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def doubt_picture(
    request: Request,
    service: Shared,
    area: AreaQuery,
    mask: MaskQuery = None,
    block: BlockQuery = None,
    chosen: ModelQuery = None,
    anyway: AnywayQuery = False,
    name: JobQuery = None,
) -> Response:
    """Show where the model is unsure: the deviation of the restorations of the 8 turned views from their mean.

    The answer is a gray PNG of the picture's size, in sixteenths of a gray level. It does not show how large the error
    is.
    """
    lane = service.queue.pictures

    def doubted() -> bytes:
        _, restorer = service.models.named(chosen)
        return work.doubt(restorer, lane.workers, job, data, named(area, block, mask or ()), anyway)

    async with service.queue.admitted(request, name) as (job, data):
        return _png_back(await service.queue.work(job, lane, doubted))


@api.post("/api/show", response_class=Response, responses=_PNG_BACK | PROBLEMS, openapi_extra=_PICTURE)
async def show_picture(request: Request, service: Shared, name: JobQuery = None) -> Response:
    """Convert a picture to a PNG that every browser shows: upright, 8 bits, without metadata."""
    lane = service.queue.pictures
    async with service.queue.admitted(request, name) as (job, data):
        return _png_back(await service.queue.work(job, lane, lambda: lane.workers.run(job, work.show, data)))


@api.get("/api/samples/{number}", response_class=Response, responses=_PNG_BACK | only(403, 422))
def sample_picture(number: Annotated[int, PathParameter(ge=0, lt=len(samples.SAMPLES))]) -> Response:
    """A generated picture for a first try: a face, a sign, a landscape, a cat."""
    return _png_back(work.sample(number))


@api.get("/api/models", responses=only(403))
async def list_models(service: Shared) -> list[OfferedModel]:
    """List the models that a restoration may choose, the default first."""
    return service.models.offered()


@api.get("/api/runs", response_model=runs.Runs, responses=only(403, 409, 413, 422, 503))
async def list_runs(request: Request, service: Shared, name: JobQuery = None) -> runs.Runs:
    """List the runs of the project in which the server was started."""
    lane = service.queue.runs
    async with service.queue.admitted(request, name, upload=False) as (job, _):
        return await service.queue.work(job, lane, lambda: lane.workers.run(job, runs.runs))


@api.get("/api/jobs/{name}", response_class=StreamingResponse, responses=_EVENTS_BACK | only(403, 404, 422))
async def follow_job(service: Shared, name: JobName) -> StreamingResponse:
    """Follow the progress of a request, as server-sent events."""
    job = await service.queue.jobs.awaited(name)
    return StreamingResponse(job.events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@api.delete("/api/jobs/{name}", status_code=204, response_class=Response, responses=only(403, 404, 422))
async def cancel_job(service: Shared, name: JobName) -> None:
    """Cancel a request. Its work ends within a second, and it is answered with 409."""
    service.queue.jobs.named(name).cancel()
