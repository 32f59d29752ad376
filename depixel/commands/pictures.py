"""Commands for pictures: restore them, pixelate them, the page in the browser, the audit, models for elsewhere."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click
from tqdm import tqdm

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.commands import options
from depixel.commands.models import known_models

if TYPE_CHECKING:  # the command starts without NumPy
    import numpy as np

    from depixel.areas.area import Area, ResolvedArea
    from depixel.areas.grid import Pixels
    from depixel.pictures.jobs import Job, Outcome
    from depixel.pictures.restorer import Restorer
    from depixel.pictures.tiles import Trust
    from depixel.pictures.tools import Tool

_inputs = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=click.Path(readable=False))
_out = click.option(
    "-o", "--output", "out", type=options.path(), required=True, help="The folder to write to; - is standard output."
)
_png = click.option(
    "--format",
    "form",
    type=click.Choice(["png"]),
    help="Write PNGs, which keep every pixel, whatever the pictures are. Else each is written in its own format.",
)


@click.command(cls=options.GridCommand)
@_inputs
@_out
@options.areas(
    help="A pixelated area of every picture: its left, top, width and height in pixels of the picture as you see it, "
    "to about 3 pixels. A fifth number is the side of its blocks, 8 or 16x8; two more say how many columns and rows "
    "the first blocks lack. May be given more than once. Without it, a file beside each picture says it.",
)
@click.option("--auto", is_flag=True, help="Find the areas in each picture. Guesses are reported, not restored.")
@click.option("--block", type=options.BlockType(), help="Side of a block, pixels: 8, or 16x8; else it is found.")
@click.option(
    "--mask",
    type=options.path(dir_okay=False),
    help="A picture of the same size, light where the pictures are pixelated: for areas that are no rectangles.",
)
@click.option("--ignore-check", is_flag=True, help="Restore the areas as they are named, whatever the picture shows.")
@options.model(callback=known_models)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=1,
    show_default=True,
    help="How many turned views of each area to average; 8 is best and slowest.",
)
@click.option(
    "--trust",
    type=click.Choice(["exact", "rounded", "linear", "loose", "sampled"]),
    default="rounded",
    show_default=True,
    help="What the value of a block is: the mean of its pixels, truncated as in the challenge, or rounded; their mean "
    "in linear light, as in GIMP; loosely that, give or take 8 gray levels; or a single pixel, sampled from the block, "
    "as after nearest-neighbour resizing.",
)
@click.option(
    "--compare", "sheet", type=options.path(dir_okay=False), help="Also draw the areas before and after, as a PNG."
)
@_png
@options.force
@options.as_json
def restore(
    inputs: tuple[str, ...],
    out: Path,
    areas: "tuple[Area, ...]",
    auto: bool,
    block: "tuple[Pixels, Pixels] | None",
    mask: Path | None,
    ignore_check: bool,
    model: str,
    views: Literal[1, 2, 8],
    trust: "Trust",
    sheet: Path | None,
    form: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Restore the pixelated areas of pictures.

    IN is a picture, a folder of pictures, a pattern, or - for standard input. Each is written to the folder OUT under
    its name, in its format, with its metadata; pixels outside the areas stay as they are, but for what encoding a JPEG
    anew does to them. PNG, JPEG, WebP, TIFF, BMP, PPM and TGA are read and written; AVIF, JPEG 2000, GIF, HEIC and JPEG
    XL are read, with --format png.

    Without --area, the areas of photo.png are those in photo.png.areas.json beside it, which `depixel pixelate` writes:
    {"areas": [[x, y, width, height, block_size], ...]}, with two numbers more where the first blocks lack so many
    columns and rows; with --auto they are found.

    A restoration is a likely picture, not the true one: it is no evidence of who somebody is or of what was written.

    A picture that cannot be restored does not stop the others. Pictures of a folder or a pattern that have no area are
    copied as they are, if any has one or with --auto. Exit code 0 if all were written, 1 if not.

    \b
    Example:
      depixel restore photo.png -o restored --auto
      depixel restore photo.png -o restored --area 40,60,120,80
      depixel restore photos "scans/*.jpg" -o restored --area 0,0,64,64 --block 16 --compare before_after.png
      depixel restore - -o - --auto --format png < photo.jpg > restored.png
    """
    from depixel.pictures import formats, jobs

    if auto and (areas or block or mask):
        raise DepixelError("--auto finds areas and blocks by itself: leave out --area, --block and --mask, or --auto")
    if sheet:
        options.refuse_existing(sheet, force)
    _check_output(out, as_json)
    found = jobs.jobs(inputs, out, force, form == "png")
    if sheet and sheet.resolve() in {path.resolve() for job in found for path in (job.source, job.target)}:
        raise DepixelError(f"--compare {sheet}: is one of the pictures. Name another file for the sheet")
    from depixel.pictures.restorer import Restorer

    comparison = _Comparison(sheet)
    some = auto or any(jobs.areas_beside(job.source).exists() for job in found)
    shape = formats.read(mask).seen() if mask else None
    work = _Restoring(Restorer.load(model), areas, block, shape, ignore_check, auto, views, trust, comparison, some)
    _tell(jobs.each(work, progress(found, unit=" pictures")), as_json, comparison.write)


class _Done(NamedTuple):
    """What was done to a picture: its areas, and notes for people."""

    areas: "list[ResolvedArea]"
    notes: tuple[str, ...]


def _check_output(out: Path, as_json: bool) -> None:
    if as_json and str(out) == "-":
        raise DepixelError("--json and -o - both write to standard output: leave out one of them")


@dataclass
class _Restoring:
    """What `depixel restore` does with a picture; the attributes are its options."""

    restorer: "Restorer"
    areas: "Sequence[Area]"
    block: "tuple[Pixels, Pixels] | None"
    mask: "np.ndarray | None"
    ignore_check: bool
    auto: bool
    views: Literal[1, 2, 8]
    trust: "Trust"
    comparison: "_Comparison"
    some: bool  # have areas: copy the others

    def __call__(self, job: "Job") -> "_Done":
        from depixel.pictures import jobs

        try:
            return self._restored(job)
        except jobs.NoAreaError as error:
            if job.named or not self.some:
                raise
            jobs.keep(job)
            return _Done([], (f"copied as it is: {error}",))

    def _restored(self, job: "Job") -> "_Done":
        from depixel.areas.area import masked
        from depixel.pictures import jobs
        from depixel.pictures.resolve import resolve

        moves: tuple[str, ...] = ()
        if self.auto:
            picture = jobs.read(job)
            found = jobs.find_areas(job.source, picture)
        else:
            named = self.areas or ([] if self.mask is not None else jobs.read_areas(job.source))
            picture = jobs.read(job)
            if self.mask is not None:
                named = masked(self.mask, named, picture.pixels.shape[:2])
            if self.block:
                named = [area.with_blocks(*self.block) for area in named]
            found = resolve(picture.pixels, named, self.ignore_check)
            moves = _moves(named, found)
        before = self.comparison.panels_of(picture.pixels, found)
        restored = self.restorer.restore(picture.pixels, found, self.views, self.trust)
        picture = picture.showing(restored)  # lets go of the old pixels
        jobs.write(job, picture)
        self.comparison.add(job.source.name, before, picture.pixels, found)
        hidden = int(picture.clear().sum()) if self.auto else 0
        unsearched = (f"{hidden} pixels under alpha 0 were not searched",) if hidden else ()
        return _Done(found, moves + picture.notes + unsearched)


def _moves(named: "Sequence[Area]", found: "Sequence[ResolvedArea]") -> tuple[str, ...]:
    """Which areas are elsewhere than they are named."""
    return tuple(
        f"area {area.place} is moved to {real.place}, where blocks of {real.blocks} begin and end"
        for area, real in zip(named, found, strict=True)
        if area.place != real.place
    )


_MOST_PANELS = 100


class _Comparison:
    """Areas before and after, as `--compare` draws them on a sheet."""

    def __init__(self, path: Path | None):
        self.path = path
        self.panels: list[list[np.ndarray]] = []
        self.captions: list[str] = []
        self.left_out = 0

    def panels_of(self, pixels: "np.ndarray", areas: "Sequence[ResolvedArea]") -> "list[np.ndarray]":
        """Pictures of the first areas, as many as there is room for; none without a sheet."""
        from depixel import sheets

        room = max(0, _MOST_PANELS - len(self.panels)) if self.path else 0
        return [sheets.surroundings(pixels, (area.x, area.y, area.width, area.height)) for area in areas[:room]]

    def add(self, name: str, before: "list[np.ndarray]", pixels: "np.ndarray", areas: "Sequence[ResolvedArea]") -> None:
        """Put areas of the picture `name` on the sheet: their panels `before`, and the `pixels` that are restored."""
        after = self.panels_of(pixels, areas)
        self.panels += [list(pair) for pair in zip(before, after, strict=True)]
        self.captions += [f"{name} {area.described()}" for area in areas[: len(before)]]
        self.left_out += len(areas) - len(before) if self.path else 0

    def write(self) -> None:
        """Write the sheet, if there is to be one."""
        from depixel import sheets
        from depixel.base.files import replacing

        if not self.path:
            return
        titles = ["pixelated", "restored"]
        with replacing(self.path) as beside:
            sheets.contact_sheet(self.panels, titles, self.captions, across=1, scale=1).save(beside, format="PNG")
        if self.left_out:
            click.echo(f"{self.path}: shows the first {_MOST_PANELS} areas, and not {self.left_out} more", err=True)


def _tell(outcomes: "Iterable[Outcome[_Done]]", as_json: bool, end: Callable[[], None] = lambda: None) -> None:
    """Print what became of pictures, `end` it, and exit with 1 if one failed."""
    done, told = [], tqdm.write  # which leaves a progress bar in its line
    for outcome in outcomes:
        done.append(outcome)
        if outcome.problem:
            told(f"Error: {_plain(outcome.problem)}", file=sys.stderr)
        elif outcome.made and not as_json:
            target, areas = str(outcome.job.target), "; ".join(area.described() for area in outcome.made.areas)
            if areas:
                told(f"{_plain(target)}: {areas}", file=sys.stderr if target == "-" else sys.stdout)
            for note in outcome.made.notes:
                told(f"{_plain(str(outcome.job.source))}: {_plain(note)}", file=sys.stderr)
    end()
    if as_json:
        made = [
            {
                "picture": str(o.job.source),
                "output": str(o.job.target),
                "areas": [area.numbers() for area in o.made.areas],
                "notes": list(o.made.notes),
            }
            for o in done
            if o.made
        ]
        failed = [{"picture": str(o.job.source), "problem": o.problem} for o in done if o.problem]
        click.echo(json.dumps({"pictures": made, "failed": failed}))
    if any(outcome.problem for outcome in done):
        raise SystemExit(1)


def _plain(text: str) -> str:
    """Without what a name may hold to move the cursor or to color the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@click.command(cls=options.GridCommand)
@_inputs
@_out
@options.areas(
    required=True,
    help="What to pixelate: left, top, width and height in pixels of the picture as you see it; a fifth number is the "
    "side of its blocks. May be given more than once.",
)
@click.option("--block", type=options.BlockType(), help="Side of a block, pixels: 8, or 16x8.")
@options.like
@_png
@options.force
@options.as_json
def pixelate(
    inputs: tuple[str, ...],
    out: Path,
    areas: "tuple[Area, ...]",
    block: "tuple[Pixels, Pixels] | None",
    like: "Tool | None",
    form: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Pixelate areas of pictures, to try out what comes back.

    IN is a picture, a folder of pictures, a pattern, or - for standard input. Each is written to the folder OUT under
    its name, and beside it a file with the areas, which `depixel restore` reads. Each block becomes the rounded mean of
    its pixels; --like makes the blocks as another tool does. Metadata stays, but for what may show the pixels as they
    were: thumbnails, previews, Photoshop's and cameras' own notes.

    \b
    Example:
      depixel pixelate photo.png -o pixelated --area 40,60,120,80 --block 8
      depixel pixelate photo.png -o pixelated --area 40,60,120,80 --grid 16x12 --like pillow
      depixel restore pixelated/photo.png -o restored
    """
    from depixel.pictures import formats, jobs
    from depixel.pictures.pixels import pixelate

    named = [options.with_blocks(area, block, like) for area in areas]

    def work(job: jobs.Job) -> _Done:
        beside = None if job.target == jobs.STREAM else jobs.areas_beside(job.target)
        if beside and beside.exists() and not force:
            raise DepixelError(f"{beside} exists already. Choose another folder, or overwrite it: --force")
        picture = jobs.read(job)
        data = formats.encoded(picture.hiding(pixelate(picture.pixels, named, like)))
        if beside:
            jobs.write_areas(job.target, named)  # first: its name is the longer one
        jobs.write_bytes(job, data)
        return _Done(named, picture.notes)

    _check_output(out, as_json)
    found = jobs.jobs(inputs, out, force, form == "png")
    _tell(jobs.each(work, progress(found, unit=" pictures")), as_json)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Others than this machine can reach it only if you name another.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@options.model(callback=known_models)
@click.option("--no-browser", is_flag=True, help="Do not open the page in the browser.")
def serve(host: str, port: int, model: str, no_browser: bool) -> None:
    """Restore pictures in the browser.

    Opens a page on this machine: choose a picture, draw the pixelated areas or let them be found, restore, compare, see
    where the model is unsure, download; and the runs of the project in the current folder. Nothing is loaded from the
    internet, nothing that is sent is kept, and other machines cannot reach it unless --host says so. Ctrl-C ends it.

    The page speaks to an HTTP API that anything else may use, too; /openapi.json describes it.

    Needs FastAPI and uvicorn: pip install fastapi uvicorn

    \b
    Example:
      depixel serve
      curl --data-binary @photo.png "http://127.0.0.1:8000/api/restore?area=40,60,120,80" -o restored.png
    """
    try:
        from depixel.web import app, listening
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "starlette", "anyio"):
            raise
        raise DepixelError("the page needs FastAPI and uvicorn: pip install fastapi uvicorn") from error
    import webbrowser

    from depixel.pictures.restorer import Restorer

    with listening.listen(host, port) as socket:
        restorer, address = Restorer.load(model), listening.address(socket, host)
        click.echo(f"{address}    Ctrl-C ends it.")
        if not no_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            app.make_server(restorer, host).run(sockets=[socket])
        click.echo("\nEnded.")


@click.command(cls=options.GridCommand)
@click.argument("photo", type=options.path(dir_okay=False))
@click.option("--area", type=options.AreaType(), required=True, metavar="X,Y,W,H", help="What is to be hidden, pixels.")
@options.grid
@click.option("--block", type=options.BlockType(), help="Side of a block, pixels: 8, or 16x8.")
@options.like
@options.model(callback=known_models)
@options.as_json
def audit(
    photo: Path,
    area: "Area",
    block: "tuple[Pixels, Pixels] | None",
    like: "Tool | None",
    model: str,
    as_json: bool,
) -> None:
    """How much would a pixelation hide?

    For anyone who pixelates to protect somebody. The command pixelates an area of PHOTO in blocks of this size and of
    larger ones, and restores it. PHOTO must be the original. It prints how much of the hidden detail comes back (its
    share of the squared error), and as blocks of which size the restored area could be seen. As a rule of thumb, at
    most 4 such blocks should be left along the shorter side of the area. That is half of what has sufficed to
    recognize faces.

    That is what a general model restores. Who knows what may be there, a number plate, a word in a known font, one of
    these faces, can try all and compare: against that no block size helps. A plain bar hides; a pixelation does not.

    \b
    Example:
      depixel audit photo.jpg --area 40,60,120,80 --block 12
      depixel audit photo.jpg --area 40,60,120,80 --grid 16x12 --like pillow
    """
    from depixel.pictures import audit as audits
    from depixel.pictures import formats
    from depixel.pictures.restorer import Restorer

    pixels = formats.read(photo).seen()
    named = options.with_blocks(area, block, like)
    found = audits.audit(Restorer.load(model), pixels, named, like=like)
    enough = audits.enough(found)
    if as_json:
        click.echo(json.dumps({"sizes": [size._asdict() for size in found], "enough": enough}))
        return
    click.echo("blocks   hidden, gray levels   left after restoration   comes back   seen as blocks of")
    for size in found:
        returned = f"{size.returned:.0%}" if size.returned > 0 else "nothing"
        click.echo(
            f"{size.blocks():>6}   {size.hidden:19.1f}   {size.left:22.1f}   {returned:>10}   "
            f"{size.blocks(size.seen_as):>17}"
        )
    if any(size.returned < -1 for size in found):
        click.echo(
            "The restoration is far worse than the blocks: is this the original? Of a picture that is pixelated "
            "already this says nothing."
        )
    click.echo(
        f"Blocks of {found[0].blocks(enough)} pixels would be large enough against a model like this one."
        if enough
        else "None of these is large enough, even against a model like this one."
    )
    click.echo("Anyone who can compare candidates needs no model: a plain bar is safer than any blocks.")


@click.command()
@click.argument("model", metavar="NAME|PATH", callback=known_models)
@click.option("-o", "--output", "out", type=options.path(dir_okay=False), required=True, help="The file, NAME.onnx.")
@click.option("--int8", is_flag=True, help="Quantize it to 8 bits: smaller, faster, a little worse.")
@options.force
def export_model(model: str, out: Path, int8: bool, force: bool) -> None:
    """Write a model as an ONNX file.

    One file with all that is needed to run it, in any program that reads ONNX: depixel/onnx/reading.py says what goes
    in and comes out. `depixel restore --model FILE.onnx` restores with it, and starts without PyTorch. Before it is
    kept, its predictions are compared with those of the model on generated photos. Needs onnx and onnxscript.

    \b
    Example:
      depixel export-model laptop -o laptop.onnx
      depixel export-model models/depixel.safetensors -o small.onnx --int8
      depixel restore photo.png -o restored --model small.onnx --area 40,60,120,80
    """
    if out.suffix.lower() != ".onnx":
        raise DepixelError(f"{out}: the name of the file ends in .onnx")
    options.refuse_existing(out, force)
    from depixel.model.predictor import Predictor
    from depixel.onnx.writing import export

    check = export(Predictor.load(model, "cpu"), out, int8)
    click.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB. On generated photos its RMSE is {check.rmse:.3f}, that of the "
        f"model {check.rmse_torch:.3f}; no pixel differs by more than {check.largest:.2g} gray levels"
    )
