"""Commands for pictures: restore them, pixelate them, the page in the browser, the audit, models for elsewhere."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.commands import options
from depixel.commands.models import known_models, offered_models
from depixel.commands.options import path
from depixel.commands.outcomes import Comparison, Done, tell

if TYPE_CHECKING:  # the command starts without NumPy
    import numpy as np

    from depixel.areas.area import Area, ResolvedArea
    from depixel.areas.grid import Pixels
    from depixel.pictures.clipboard import Program
    from depixel.pictures.jobs import Job
    from depixel.pictures.restorer import Restorer
    from depixel.pictures.tiles import Trust
    from depixel.pictures.tools import Tool

_inputs = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=click.Path(readable=False))
_OUTPUT = (
    "Where to write. A name that ends like a picture's (.png, .jpg, ...) is the file of a single picture, unless it is "
    "an existing folder; the suffix chooses the format. Any other name is a folder, where pictures keep their names. - "
    "is standard output."
)
_png = click.option(
    "--format",
    "form",
    type=click.Choice(["png"]),
    help="Write PNGs, which keep every pixel. By default each picture in a folder keeps its format.",
)


def _out(**options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """-o of pictures; `options` are click's."""
    return click.option("-o", "--output", "out", metavar="FILE|FOLDER|-", type=path(), help=_OUTPUT, **options)


@click.command(cls=options.GridCommand)
@_inputs
@_out()
@options.areas(
    help="A pixelated area of every picture: its left, top, width and height, in pixels of the picture as you see it, "
    "accurate to about 3 pixels. A fifth number is the side of its blocks, such as 8 or 16x8. If the first blocks are "
    "cut off, two more numbers say how many columns and rows they lack. Repeat the option for more areas.",
)
@click.option("--auto", is_flag=True, help="Search each picture for areas. Uncertain ones are reported, not restored.")
@click.option(
    "--block", type=options.BlockType(), help="Side of a block in pixels, such as 8 or 16x8. By default it is found."
)
@click.option(
    "--mask",
    type=path(dir_okay=False),
    help="A picture of the same size that is light where the pictures are pixelated, for areas of any shape.",
)
@click.option("--ignore-check", is_flag=True, help="Restore the areas you name even if they do not look pixelated.")
@options.model(callback=known_models)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=1,
    show_default=True,
    help="Number of turned views of each area to average; 8 is best and slowest.",
)
@click.option(
    "--trust",
    type=click.Choice(["exact", "rounded", "linear", "loose", "sampled"]),
    default="rounded",
    show_default=True,
    help="The value of a block. exact: the mean of its pixels, truncated, as in the challenge. rounded: the mean, "
    "rounded. linear: the mean in linear light, as in GIMP. loose: the mean give or take 8 gray levels. sampled: a "
    "single pixel, as after nearest-neighbour resizing.",
)
@click.option("--compare", "sheet", type=path(dir_okay=False), help="Also draw the areas before and after, as a PNG.")
@click.option("--copy", is_flag=True, help="Put the restored picture on the clipboard. -o is optional then.")
@_png
@options.force
@options.as_json
def restore(
    inputs: tuple[str, ...],
    out: Path | None,
    areas: "tuple[Area, ...]",
    auto: bool,
    block: "tuple[Pixels, Pixels] | None",
    mask: Path | None,
    ignore_check: bool,
    model: str,
    views: Literal[1, 2, 8],
    trust: "Trust",
    sheet: Path | None,
    copy: bool,
    form: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Restore the pixelated areas of pictures.

    IN is a picture, a folder of pictures, a pattern, or - for standard input. A restored picture keeps its metadata.
    Pixels outside the areas stay as they are, except that a JPEG is encoded again. PNG, JPEG, WebP, TIFF, BMP, PPM and
    TGA are read and written. AVIF, JPEG 2000, GIF, HEIC and JPEG XL are read: write them to a file that ends in .png,
    or with --format png.

    The areas come from --area, --mask or --auto. Without these, photo.png.areas.json beside photo.png lists them:
    {"areas": [[x, y, width, height, block_size], ...]}. `depixel pixelate` writes such files. Without any, the command
    asks at a terminal whether to search.

    A restoration is a likely picture, not the true one. It is no evidence of who somebody is or of what was written.

    If a picture cannot be restored, the command goes on with the others. From a folder or a pattern, it copies pictures
    without an area, provided that another one has an area, or with --auto. The exit code is 0 if all pictures were
    written, otherwise 1.

    \b
    Example:
      depixel restore photo.png -o restored.png --auto
      depixel restore photo.png -o restored.png --area 40,60,120,80
      depixel restore photo.png --auto --copy
      depixel restore photos "scans/*.jpg" -o restored --area 0,0,64,64 --block 16 --compare before_after.png
      depixel restore - -o - --auto --format png < photo.jpg > restored.png
    """
    from depixel.pictures import clipboard, formats, jobs

    if out is None and not copy:
        raise click.UsageError("Missing option '-o'. Name a file or a folder, such as -o restored.png; or try --copy.")
    if auto and (areas or block or mask):
        raise DepixelError("--auto finds areas and blocks by itself: leave out --area, --block and --mask, or --auto")
    if sheet:
        options.refuse_existing(sheet, force)
    _check_output(out, as_json)
    found = jobs.jobs(inputs, jobs.NOWHERE if out is None else out, force, form == "png")
    if copy and len(found) != 1:
        raise DepixelError(f"--copy: the clipboard takes one picture, and these are {len(found)}. Name one")
    program = clipboard.find() if copy else None
    if sheet and sheet.resolve() in {path.resolve() for job in found for path in (job.source, job.target)}:
        raise DepixelError(f"--compare {sheet}: is one of the pictures. Name another file for the sheet")
    from depixel.pictures.restorer import Restorer

    comparison = Comparison(sheet)
    some = any(jobs.areas_beside(job.source).exists() for job in found)
    if not (auto or areas or block or mask or some) and not all(job.problem for job in found):
        auto = _wants_search()
    shape = formats.read(mask).seen() if mask else None
    work = _Restoring(
        *(Restorer.load(model), areas, block, shape, ignore_check, auto, views, trust),
        *(comparison, program, auto or some),
    )
    tell(jobs.each(work, progress(found, unit=" pictures")), as_json, comparison.write)


def _wants_search() -> bool:
    """Ask, if there is somebody to ask, whether to search for the areas that nobody named."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return click.confirm("No area is named. Search for pixelated areas?", default=True, err=True)


def _check_output(out: Path | None, as_json: bool) -> None:
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
    comparison: Comparison
    program: "Program | None"  # for the clipboard
    some: bool  # have areas: copy the others

    def __call__(self, job: "Job") -> "Done":
        from depixel.pictures import jobs

        try:
            return self._restored(job)
        except jobs.NoAreaError as error:
            if job.named or not self.some:
                raise
            jobs.keep(job)
            return Done([], (f"copied as it is: {error}",))

    def _restored(self, job: "Job") -> "Done":
        from depixel.areas.area import masked
        from depixel.pictures import clipboard, formats, jobs
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
        if self.program:
            clipboard.copy(formats.encoded(formats.as_format(picture, "PNG")), self.program)
        self.comparison.add(job.source.name, before, picture.pixels, found)
        hidden = int(picture.clear().sum()) if self.auto else 0
        unsearched = (f"{hidden} pixels under alpha 0 were not searched",) if hidden else ()
        return Done(found, moves + picture.notes + unsearched, copied=self.program is not None)


def _moves(named: "Sequence[Area]", found: "Sequence[ResolvedArea]") -> tuple[str, ...]:
    """Which areas are elsewhere than they are named."""
    return tuple(
        f"area {area.place} is moved to {real.place}, where blocks of {real.blocks} begin and end"
        for area, real in zip(named, found, strict=True)
        if area.place != real.place
    )


@click.command(cls=options.GridCommand)
@_inputs
@_out(required=True)
@options.areas(
    required=True,
    help="An area to pixelate: its left, top, width and height, in pixels of the picture as you see it. A fifth number "
    "is the side of its blocks. Repeat the option for more areas.",
)
@click.option("--block", type=options.BlockType(), help="Side of a block in pixels, such as 8 or 16x8.")
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
    """Pixelate areas of pictures.

    IN is a picture, a folder of pictures, a pattern, or - for standard input. Beside each result, NAME.areas.json lists
    its areas; `depixel restore` reads that file. Each block becomes the rounded mean of its pixels. With --like, the
    blocks are those of another tool. The result keeps the metadata, except what may show the old pixels: thumbnails,
    previews, and the notes of Photoshop and cameras.

    \b
    Example:
      depixel pixelate photo.png -o pixelated.png --area 40,60,120,80 --block 8
      depixel pixelate photos -o pixelated --area 40,60,120,80 --grid 16x12 --like pillow
      depixel restore pixelated.png -o restored.png
    """
    from depixel.pictures import formats, jobs
    from depixel.pictures.pixels import pixelate

    named = [options.with_blocks(area, block, like) for area in areas]

    def work(job: jobs.Job) -> Done:
        beside = None if job.target == jobs.STREAM else jobs.areas_beside(job.target)
        if beside and beside.exists() and not force:
            raise DepixelError(f"{beside} exists already. Choose another name, or overwrite it: --force")
        picture = jobs.read(job)
        data = formats.encoded(picture.hiding(pixelate(picture.pixels, named, like)))
        if beside:
            jobs.write_areas(job.target, named)  # first: its name is the longer one
        jobs.write_bytes(job, data)
        return Done(named, picture.notes)

    _check_output(out, as_json)
    found = jobs.jobs(inputs, out, force, form == "png")
    tell(jobs.each(work, progress(found, unit=" pictures")), as_json)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. With the default, only this machine can reach the page.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 is any free one."
)
@options.model(callback=known_models)
@click.option(
    "--allowed-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A further name by which people reach the page, such as that of a proxy. May be given more than once.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in the browser.")
def serve(host: str, port: int, model: str, allowed: tuple[str, ...], no_browser: bool) -> None:
    """Restore pictures in the browser.

    Opens a page on this machine. Choose a picture, draw its pixelated areas or search for them, restore it, compare,
    see where the model is unsure, and download the result. Another tab shows the runs of the project in the current
    folder. The page loads nothing from the internet and keeps no picture. Other machines cannot reach it unless --host
    says so. Ctrl-C ends it.

    Other programs can use the HTTP API of the page; /openapi.json describes it.

    \b
    Example:
      depixel serve
      depixel pixelate docs/photo.png -o ../pixelated.png --area 66,38,64,64 --block 8
      curl --fail-with-body --data-binary @../pixelated.png -o ../restored.png \
        "http://127.0.0.1:8000/api/restore?area=66,38,64,64"
    """
    import webbrowser

    from depixel.web import app, listening
    from depixel.web.models import Models

    with listening.listen(host, port) as socket:
        models, address = Models(offered_models(model)), listening.address(socket, host)
        models.probe()  # a fault of the model is told now
        click.echo(f"{address}    Ctrl-C ends it.")
        if not no_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            app.make_server(models, host, allowed).run(sockets=[socket])
        click.echo("\nEnded.")


@click.command(cls=options.GridCommand)
@click.argument("photo", type=path(dir_okay=False))
@click.option("--area", type=options.AreaType(), required=True, metavar="X,Y,W,H", help="The area to hide, in pixels.")
@options.grid
@click.option("--block", type=options.BlockType(), help="Side of a block in pixels, such as 8 or 16x8.")
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
    """Measure how much a pixelation would hide.

    For anyone who pixelates to protect somebody. The command pixelates an area of PHOTO, which must be the original, in
    blocks of this size and of larger ones, and restores it. It prints how much of the hidden detail comes back, as a
    share of the squared error, and the block size that would show as much as the restored area. As a rule of thumb, at
    most 4 such blocks should be left along the shorter side of the area. Twice as many have sufficed to recognize
    faces.

    This is the power of a general model. Anyone who knows the candidates, such as number plates, words in a known font
    or a few faces, can pixelate each and compare. No block size helps against that. A plain bar hides; a pixelation
    does not.

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
    click.echo("blocks   hidden, gray levels   left after restoration   comes back (squared error)   seen as blocks of")
    for size in found:
        returned = f"{size.returned:.0%}" if size.returned > 0 else "nothing"
        click.echo(
            f"{size.blocks():>6}   {size.hidden:19.1f}   {size.left:22.1f}   {returned:>26}   "
            f"{size.blocks(size.seen_as):>17}"
        )
    if any(size.returned < -1 for size in found):
        click.echo(
            "The restoration is far worse than the blocks: is this the original? The table says nothing about a "
            "picture that is already pixelated."
        )
    click.echo(
        f"Blocks of {found[0].blocks(enough)} pixels would be large enough against a model like this one."
        if enough
        else "None of these is large enough, even against a model like this one."
    )
    click.echo("Anyone who can compare candidates needs no model: a plain bar is safer than any blocks.")


@click.command()
@click.argument("model", metavar="NAME|PATH", callback=known_models)
@click.option("-o", "--output", "out", type=path(dir_okay=False), required=True, help="The file to write, NAME.onnx.")
@click.option("--int8", is_flag=True, help="Quantize it to 8 bits: smaller, faster, a little worse.")
@options.force
def export_model(model: str, out: Path, int8: bool, force: bool) -> None:
    """Write a model as an ONNX file.

    The file runs in any program that reads ONNX; depixel/onnx/reading.py describes its inputs and outputs. `depixel
    restore --model FILE.onnx` restores with it and starts without PyTorch. The command compares the predictions of the
    file and the model on generated photos before it keeps the file. Needs onnx and onnxscript.

    \b
    Example:
      depixel export-model laptop -o laptop.onnx
      depixel export-model models/depixel.safetensors -o small.onnx --int8
      depixel restore photo.png -o restored.png --model small.onnx --area 40,60,120,80
    """
    if out.suffix.lower() != ".onnx":
        raise DepixelError(f"{out}: the name must end in .onnx. Type -o {out.with_suffix('.onnx')}")
    options.refuse_existing(out, force)
    from depixel.model.predictor import Predictor
    from depixel.onnx.writing import export

    check = export(Predictor.load(model, "cpu"), out, int8)
    click.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB. On generated photos its RMSE is {check.rmse:.3f}, that of the "
        f"model is {check.rmse_torch:.3f}. No pixel differs by more than {check.largest:.2g} gray levels."
    )
