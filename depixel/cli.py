"""The `depixel` command: what can be done without the pipeline. Each command imports what it needs when it runs."""

import json
import re
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import TextIO

import click

from depixel.command import PlainGroup, progress
from depixel.errors import DepixelError


def _path(**options) -> click.Path:
    return click.Path(path_type=Path, **options)


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="depixel")
def main() -> None:
    """Restore the pixelated areas of images.

    The pipeline that makes a model out of a folder of photos is run by `dvc repro`. The commands here restore
    pictures, use the model and the files of the Image Depixelation Challenge, and tell differences between models from
    luck:

    \b
      depixel restore photo.png -o restored          restore the pixelated areas of pictures
      depixel pixelate photo.png -o pixelated        pixelate areas of pictures
      depixel serve                                  the same in a browser, on this machine only
      depixel audit --help                           how much would blocks of some size hide?
      depixel sample data/raw                        make photos to try everything out with
      depixel datasets                               public collections of photos
      depixel fetch imagenette                       bring one of them into data/raw
      depixel predict test_set.pkl -o answer.bin     restore a test set: the submission for it
      depixel export-model laptop -o laptop.onnx     a model as ONNX: for other programs, and to start faster
      depixel check answer.bin test_set.pkl          would a server take the submission?
      depixel score answer.bin targets.npz           its error, where the true pixels are known
      depixel compare main                           is the model here better than that of main?
      depixel seeds 5                                how much do scores differ from seed to seed?
      depixel report                                 what the last run reached, as a page for people
      depixel preset debug                           settings for a first try, a notebook or a GPU
      depixel sweep width -S train.width=16,32,48    an experiment for each of many settings
      depixel record width-width=32                  keep its scores in a tracked table
      depixel snapshots                              which named states of the photos there are
      depixel snapshot use v1                        make one of them the photos here; or publish a new one
      depixel diff v1 v2                             which photos came, went, were replaced
      depixel analyze photos -o findings             what photos are like, and which are odd
      depixel inspect attribution PHOTO -o why.png   which pixels around an area mattered
      depixel suggest FOLDER                         which of these photos the model would learn most from
      depixel doctor                                 is everything in order, and if not, what mends it?
      depixel mend                                   DVC was killed and says that its files are corrupted

    `depixel COMMAND --help` says more about each.
    """


class _Area(click.ParamType):
    """x,y,width,height"""

    name = "x,y,w,h"

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        numbers = value.split(",")
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            self.fail(
                f"{value!r} is not x,y,width,height: four whole numbers of pixels with commas between", param, ctx
            )
        return tuple(int(number) for number in numbers)


_pictures = click.argument("inputs", metavar="IN...", nargs=-1, required=True)
_out = click.option("-o", "--output", "out", type=_path(), required=True, help="The folder to write to.")
_over = click.option("--force", is_flag=True, help="Overwrite pictures that are there.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the list.")


@main.command()
@_pictures
@_out
@click.option(
    "--area",
    "areas",
    type=_Area(),
    multiple=True,
    metavar="X,Y,W,H",
    help="A pixelated area of every picture: its left, top, width and height in pixels of the picture as you see it. "
    "Blocks begin at its upper left corner. May be given more than once. Else a file beside each picture says it.",
)
@click.option("--auto", is_flag=True, help="Find the areas in each picture; a guess is told, not restored.")
@click.option("--block", type=click.IntRange(2, 200), help="Side of a block, pixels; else it is found.")
@click.option(
    "--model",
    default="laptop",
    show_default=True,
    metavar="NAME|PATH",
    help="A pretrained model by its name, any other by its path.",
)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=1,
    show_default=True,
    help="How many turned views of each area to average; 8 is best and slowest.",
)
@click.option(
    "--trust",
    type=click.Choice(["exact", "rounded", "linear"]),
    default="rounded",
    show_default=True,
    help="What the value of a block is: the mean of its pixels, truncated as in the challenge, or rounded; or their "
    "mean in linear light, as in GIMP.",
)
@click.option("--compare", "sheet", type=_path(dir_okay=False), help="Also draw the areas before and after, as a PNG.")
@_over
@_as_json
def restore(
    inputs: tuple[str, ...],
    out: Path,
    areas: tuple[tuple[int, ...], ...],
    auto: bool,
    block: int | None,
    model: str,
    views: int,
    trust: str,
    sheet: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Restore the pixelated areas of pictures.

    IN is a picture (PNG, JPEG, WebP, TIFF), a folder of pictures or a pattern. Each is written to the folder OUT under
    its name, in its format, with its metadata; pixels outside the areas stay as they are, but for what encoding a JPEG
    anew does to them. Without --area, the areas of photo.png are those in photo.png.areas.json beside it, which
    `depixel pixelate` writes: {"areas": [[x, y, width, height, block_size], ...]}; with --auto they are found.

    A restoration is a likely picture, not the true one: it is no evidence of who somebody is or of what was written.

    A picture that cannot be restored does not stop the others. Exit code 0 if all were restored, 1 if not.

    \b
    Example:
      depixel restore photo.png -o restored --auto
      depixel restore photo.png -o restored --area 40,60,120,80
      depixel restore photos "scans/*.jpg" -o restored --area 0,0,64,64 --block 16 --compare before_after.png
    """
    from depixel import formats, jobs, pictures
    from depixel.files import replacing

    if auto and (areas or block):
        raise DepixelError("--auto finds areas and blocks by itself: leave out --area and --block, or --auto")
    if sheet and sheet.exists() and not force:
        raise DepixelError(f"{sheet}: exists already. Choose another name, or overwrite it: --force")
    found = jobs.jobs(inputs, out, force)
    from depixel import fullsize

    restorer, panels, captions = fullsize.Restorer.load(model), [], []

    def work(job: jobs.Job) -> list[fullsize.Area]:
        if auto:
            picture = formats.read(job.source)
            named = jobs.find_areas(job.source, picture)
        else:
            given = [(*area, block) for area in areas]
            named = given or [(*a[:4], block or (a[4:] or (None,))[0]) for a in jobs.read_areas(job.source)]
            picture = formats.read(job.source)
        found = fullsize.resolve(picture.pixels, named)
        restored = restorer.restore(picture.pixels, found, views, trust)
        formats.write(job.target, picture.showing(restored))
        for area in found if sheet else ():
            if len(panels) < _MOST_PANELS:
                panels.append([pictures.surroundings(pixels, area) for pixels in (picture.pixels, restored)])
                captions.append(f"{job.source.name} {','.join(map(str, area[:4]))}, blocks of {area.block_size}")
        return found

    def end() -> None:
        if sheet:
            with replacing(sheet) as beside:
                titles = ["pixelated", "restored"]
                pictures.contact_sheet(panels, titles, captions, across=1, scale=1).save(beside, format="PNG")

    _tell(jobs.each(work, progress(found, unit=" pictures")), as_json, end)


_MOST_PANELS = 100


def _tell(outcomes, as_json: bool, end: Callable[[], None] = lambda: None) -> None:
    """Print what became of pictures, `end` it, and exit with 1 if one failed."""
    done = []
    for outcome in outcomes:
        done.append(outcome)
        if outcome.problem:
            click.echo(f"Error: {outcome.problem}", err=True)
        elif not as_json:
            listed = "; ".join(f"{','.join(map(str, a[:4]))} in blocks of {a[4]}" for a in outcome.made)
            click.echo(f"{outcome.job.target}: {listed}")
    end()
    if as_json:
        made = [
            {"picture": str(o.job.source), "output": str(o.job.target), "areas": [list(area) for area in o.made]}
            for o in done
            if not o.problem
        ]
        failed = [{"picture": str(o.job.source), "problem": o.problem} for o in done if o.problem]
        click.echo(json.dumps({"pictures": made, "failed": failed}))
    if any(outcome.problem for outcome in done):
        raise SystemExit(1)


@main.command()
@_pictures
@_out
@click.option(
    "--area",
    "areas",
    type=_Area(),
    multiple=True,
    required=True,
    metavar="X,Y,W,H",
    help="What to pixelate: left, top, width and height in pixels of the picture as you see it. May be given more than "
    "once.",
)
@click.option("--block", type=click.IntRange(2, 200), required=True, help="Side of a block, pixels.")
@_over
@_as_json
def pixelate(
    inputs: tuple[str, ...], out: Path, areas: tuple[tuple[int, ...], ...], block: int, force: bool, as_json: bool
) -> None:
    """Pixelate areas of pictures, to try out what comes back.

    IN is a picture (PNG, JPEG, WebP, TIFF), a folder of pictures or a pattern. Each is written to the folder OUT under
    its name, and beside it a file with the areas, which `depixel restore` reads. Each block becomes the rounded mean of
    its pixels.

    \b
    Example:
      depixel pixelate photo.png -o pixelated --area 40,60,120,80 --block 8
      depixel restore pixelated/photo.png -o restored
    """
    from depixel import formats, jobs
    from depixel.fullsize import pixelate

    named = [(*area, block) for area in areas]

    def work(job: jobs.Job) -> list[tuple[int, ...]]:
        if (beside := jobs.areas_beside(job.target)).exists() and not force:
            raise DepixelError(f"{beside} exists already. Choose another folder, or overwrite it: --force")
        picture = formats.read(job.source)
        formats.write(job.target, picture.showing(pixelate(picture.pixels, named)))
        jobs.write_areas(job.target, named)
        return named

    _tell(jobs.each(work, progress(jobs.jobs(inputs, out, force), unit=" pictures")), as_json)


@main.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Others than this machine can reach it only if you name another.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option(
    "--model",
    default="laptop",
    show_default=True,
    metavar="NAME|PATH",
    help="A pretrained model by its name, any other by its path.",
)
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
        from depixel import server
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "starlette", "anyio"):
            raise
        raise DepixelError("the page needs FastAPI and uvicorn: pip install fastapi uvicorn") from error
    import webbrowser

    from depixel.fullsize import Restorer

    with server.listen(host, port) as listening:
        restorer, address = Restorer.load(model), server.address(listening, host)
        click.echo(f"{address}    Ctrl-C ends it.")
        if not no_browser:
            webbrowser.open(address)
        try:
            server.make_server(restorer, host).run(sockets=[listening])
        except KeyboardInterrupt:
            click.echo("\nEnded.")


@main.command()
@click.argument("photo", type=_path(dir_okay=False))
@click.option("--area", type=_Area(), required=True, metavar="X,Y,W,H", help="What is to be hidden, pixels.")
@click.option("--block", type=click.IntRange(2, 200), required=True, help="Side of a block, pixels.")
@click.option(
    "--model",
    default="laptop",
    show_default=True,
    metavar="NAME|PATH",
    help="What restores: a pretrained model by its name, any other by its path.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def audit(photo: Path, area: tuple[int, ...], block: int, model: str, as_json: bool) -> None:
    """How much would a pixelation hide?

    For who pixelates to protect. Pixelates an area of PHOTO, which must be the original, in blocks of this size and of
    larger ones, restores it, and says how much of the hidden detail comes back (its share of the squared error), and as
    blocks of which size the restored area could be seen. As a rule of thumb blocks are large enough if then at most 4
    are left along the shorter side of the area, half of what has sufficed to recognize faces.

    That is what a general model restores. Who knows what may be there, a number plate, a word in a known font, one of
    these faces, can try all and compare: against that no block size helps. A plain bar hides; a pixelation does not.

    \b
    Example:
      depixel audit photo.jpg --area 40,60,120,80 --block 12
    """
    from depixel import formats, fullsize
    from depixel.audit import audit as audited

    pixels = formats.read(photo).seen()
    found = audited(fullsize.Restorer.load(model), pixels, area, block)
    enough = next((size.block_size for size in found if size.enough), None)
    if as_json:
        click.echo(json.dumps({"sizes": [size._asdict() for size in found], "enough": enough}))
        return
    click.echo("blocks   hidden, gray levels   left after restoration   comes back   seen as blocks of")
    for size in found:
        click.echo(
            f"{size.block_size:6}   {size.hidden:19.1f}   {size.left:22.1f}   {size.returned:10.0%}   {size.seen_as:17}"
        )
    click.echo(
        f"Blocks of {enough} pixels would be large enough against a model like this one."
        if enough
        else "None of these is large enough, even against a model like this one."
    )
    click.echo("Who can compare candidates needs no model: a plain bar is safer than any blocks.")


@main.command()
@click.argument("folder", type=_path(file_okay=False))
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same photos, byte for byte.")
@click.option("--contributors", default=12, show_default=True, help="How many ZIPs.")
@click.option("--photos", default=50, show_default=True, help="How many photos in each.")
@click.option("--test-set", type=_path(file_okay=False), help="Also write a test set of other photos to this folder.")
def sample(folder: Path, seed: int, contributors: int, photos: int, test_set: Path | None) -> None:
    """Make photos to try the pipeline with.

    Writes contributors' ZIPs of generated, photo-like JPEGs into FOLDER, which must be new or empty. A few files are
    invalid on purpose, so that the validation has something to say. --test-set writes 40 samples in the challenge's
    format, test_set.pkl, and what they hide, targets.npz.

    \b
    Example:
      depixel sample data/raw --contributors 3 --photos 10
    """
    from depixel import challenge
    from depixel.sample import unseen_photos, write_sample

    with progress(total=contributors, unit="contributor") as bar:
        write_sample(folder, seed=seed, contributors=contributors, photos=photos, on_done=bar.update)
    click.echo(f"{folder}: {contributors} contributors' ZIPs with {photos} photos each")
    if test_set:
        challenge.write_test_set(test_set, *unseen_photos(seed, count=40))
        click.echo(f"{test_set}: 40 samples of other photos")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the list.")
def datasets(as_json: bool) -> None:
    """List public collections of photos that `depixel fetch` knows.

    With size, number of photos, terms, source and checksum. Read the terms at the source before you use or publish one.

    \b
    Example:
      depixel datasets
    """
    from depixel.datasets import DATASETS

    if as_json:
        click.echo(json.dumps([dataset._asdict() for dataset in DATASETS]))
        return
    for dataset in DATASETS:
        size = f"{dataset.size / 1e6:.0f} MB" if dataset.size else "size not known"
        click.echo(f"{dataset.name}: {dataset.content}; {dataset.photos} photos, {size}")
        click.echo(f"  terms: {dataset.licence}\n  source: {dataset.source}\n  checksum: {dataset.checksum}")


@main.command()
@click.argument("name", metavar="NAME|URL")
@click.option("--sha256", help="Of the file at URL, as its publisher names it.")
@click.option("--to", "raw", type=_path(file_okay=False), default="data/raw", show_default=True, help="The folder.")
def fetch(name: str, sha256: str | None, raw: Path) -> None:
    """Bring a public collection of photos into data/raw.

    Downloads the archive, which is read in place, goes on where an earlier download broke off, checks the checksum, and
    notes the origin in data/origins.csv. URL is that of any other .zip, .tar, .tar.gz or .tgz of photos.

    \b
    Example:
      depixel fetch imagenette
      depixel fetch https://example.org/photos.zip --sha256 2c26b46b...
    """
    from depixel import datasets, sources

    if "://" in name:
        if not sha256:
            raise DepixelError(f"{name}: name its checksum, so that what arrives is what was meant: --sha256 HASH")
        dataset = datasets.other(name, sha256.lower())
    else:
        dataset = datasets.known(name)
    path = datasets.fetch(dataset, raw, partial(progress, desc=dataset.name))
    count = len(sources.Entries(raw))
    click.echo(f"{path.as_posix()}: whole, and its checksum is right. {raw.as_posix()} has {count} files now.")
    click.echo(
        "It is one contributor: with few others set `split.by: photo` in params.yaml. Its origin is noted in "
        f"{datasets.ORIGINS.as_posix()}. Next: `depixel snapshot publish NAME`, or `dvc add data/raw` and `dvc repro`"
    )


@main.command()
@click.argument("photos", type=_path(exists=True))
@click.option("-o", "--output", type=_path(file_okay=False), required=True, help="A new or empty folder to write to.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the text.")
def analyze(photos: Path, output: Path, as_json: bool) -> None:
    """Say what the photos in a folder are like, and which are odd.

    PHOTOS is a folder of contributors' ZIPs, folders or JPEGs, before or after it is trained on. Says which photos are
    blank, dark, blurred, compressed too much or the same as others, what kinds of photos there are, which contributors
    stand out from all others; for each, why it matters for the RMSE and what to do. Writes analysis.csv, a row for each
    valid photo; analysis.json; and clusters.png and findings.png to look at. The pipeline does the same in its stage
    `analyze`, and compares the sides of its split.

    \b
    Example:
      depixel analyze ~/photos -o findings
    """
    if output.exists() and any(output.iterdir()):
        raise DepixelError(f"{output}: has files in it. Name another folder for what is found: -o FOLDER")
    from depixel import analysis, findings

    settings = analysis.AnalyzeSettings()
    result, images, exact = analysis.of_folder(photos, settings, progress=progress)
    found = findings.findings(result, settings, analysis.TRAIN_SIZE, exact)
    findings.write(result, found, exact, images, output / "analysis.csv", output)
    click.echo(json.dumps(findings.report(result, found, exact)) if as_json else findings.readable(result, found))


@main.command()
@click.argument("test_set", type=_path())
@click.option("-o", "--output", "submission", type=_path(), required=True, help="The submission to write.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|PATH",
    default=["models/depixel.safetensors"],
    show_default=True,
    help="The model: the pipeline's, a pretrained one by its name, or any other by its path. Given more than once, the "
    "predictions of all are averaged.",
)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=8,
    show_default=True,
    help="How many turned views of each picture to average; 8 is best and slowest.",
)
@click.option(
    "--projection",
    type=click.Choice(["interval", "center"]),
    default="interval",
    show_default=True,
    help="What the mean of each block is moved onto: what the truth can be, or the middle of that.",
)
@click.option("--force", is_flag=True, help="Overwrite an earlier submission.")
def predict(
    test_set: Path, submission: Path, models: tuple[str, ...], views: int, projection: str, force: bool
) -> None:
    """Restore a test set and write the submission for it.

    TEST_SET is a pickle in the challenge's format; no code in it is run. The block sizes, which it does not say, are
    found from the pixels.

    \b
    Example:
      depixel predict test_set.pkl -o answer.bin
      depixel predict test_set.pkl -o answer.bin --model laptop      pretrained, from `dvc pull`
    """
    if submission.exists() and not force:
        raise DepixelError(f"{submission}: exists already. Choose another name, or overwrite it: --force")
    from depixel.challenge import areas, read_test_set, write_submission
    from depixel.restoration import Restorer

    samples = read_test_set(test_set)
    restorer = Restorer.averaging([Restorer.load(model) for model in models])
    predictions = restorer.predict(
        samples.pixelated, areas(samples.known), views, progress=partial(progress, unit="batch"), projection=projection
    )
    write_submission(submission, predictions)
    click.echo(f"{submission}: {_amount(predictions)}")


@main.command()
@click.argument("model", metavar="NAME|PATH")
@click.option("-o", "--output", "out", type=_path(dir_okay=False), required=True, help="The file, NAME.onnx.")
@click.option("--int8", is_flag=True, help="Quantize it to 8 bits: smaller, faster, a little worse.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def export_model(model: str, out: Path, int8: bool, force: bool) -> None:
    """Write a model as an ONNX file.

    One file with all that is needed to run it, in any program that reads ONNX: depixel/exported.py says what goes in
    and comes out. `depixel restore --model FILE.onnx` restores with it, and starts without PyTorch. Before it is kept,
    its predictions are compared with those of the model on generated photos. Needs onnx, onnxscript and onnxruntime.

    \b
    Example:
      depixel export-model laptop -o laptop.onnx
      depixel export-model models/depixel.safetensors -o small.onnx --int8
      depixel restore photo.png -o restored --model small.onnx --area 40,60,120,80
    """
    if out.suffix.lower() != ".onnx":
        raise DepixelError(f"{out}: the name of the file ends in .onnx")
    if out.exists() and not force:
        raise DepixelError(f"{out}: exists already. Choose another name, or overwrite it: --force")
    from depixel.exporting import export
    from depixel.restoration import Restorer

    check = export(Restorer.load(model, "cpu"), out, int8)
    click.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB. On generated photos its RMSE is {check.rmse:.3f}, that of the "
        f"model {check.rmse_torch:.3f}; no pixel differs by more than {check.largest:.2g} gray levels"
    )


@main.command()
@click.argument("submission", type=_path())
@click.argument("test_set", type=_path())
def check(submission: Path, test_set: Path) -> None:
    """Say whether a server would take a submission.

    Attempts there are few: this tells before one is spent whether SUBMISSION is intact and has as many predictions as
    TEST_SET has samples, and each as many pixels as are unknown. Exit code 0 if so, 1 if not.

    \b
    Example:
      depixel check answer.bin test_set.pkl
    """
    from depixel import challenge

    predictions = challenge.read_submission(submission)
    if problems := challenge.check(predictions, challenge.read_test_set(test_set)):
        raise DepixelError("\n  ".join([f"{submission}: a server would not take it for {test_set}:", *problems]))
    click.echo(f"{submission}: {_amount(predictions)}, as {test_set} asks for; a server would take it")


@main.command()
@click.argument("submission", type=_path())
@click.argument("targets", type=_path())
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def score(submission: Path, targets: Path, as_json: bool) -> None:
    """Score a submission where the true pixels are known.

    TARGETS is a targets.npz, or the folder that holds it: `photos`, uint8 (P, H, W), and `areas`, integers (N, 5): x,
    y, width, height, block size; sample i is photo i modulo P. The ratios compare to the identity, which leaves the
    pixelated areas as they are: 1 is useless, 0 is perfect.

    \b
    Example:
      depixel score answer.bin targets.npz
    """
    from depixel import challenge

    predictions = challenge.read_submission(submission)
    scores = {
        key: round(value, 4) for key, value in challenge.score(predictions, *challenge.read_targets(targets)).items()
    }
    if as_json:
        click.echo(json.dumps(scores))
        return
    click.echo(f"{'':20}{'all pixels pooled':>20}{'mean over images':>20}")
    click.echo(f"{'RMSE':20}{scores['rmse_pooled']:20.4f}{scores['rmse_mean']:20.4f}")
    click.echo(f"{'ratio to identity':20}{scores['ratio_pooled']:20.4f}{scores['ratio_mean']:20.4f}")


@main.command()
@click.argument("a")
@click.argument("b", default="workspace")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def compare(a: str, b: str, as_json: bool) -> None:
    """Say whether one model is better than another, or whether it was luck.

    A and B are each a git revision, the name of a DVC experiment, or the path of a samples.csv, as an evaluation writes
    it; `workspace`, and B if it is not given, is the metrics/samples.csv here. Both are compared on the samples that
    both were scored on.

    The brackets are 95 % confidence intervals over the choice of test photos: how far other photos could move the
    ratios to the identity, and their difference. If the interval of the difference holds 0, other photos might reverse
    it. The seed of the training is luck, too, which these intervals do not show: `depixel seeds`.

    \b
    Example:
      depixel compare main                    that of main and the one here
      depixel compare narrow wide             two experiments of `dvc exp run --name`
    """
    from depixel import comparison, evaluation

    tables = [comparison.read_samples(source) for source in (a, b)]
    result = comparison.compare(*tables)
    if as_json:
        rows = result.ratios.set_index("model").to_dict("index")
        counts = {"samples": result.samples, "photos": result.photos}
        click.echo(json.dumps({**rows, **counts, "verdict": result.verdict()}))
        return
    click.echo(f"A: {a}\nB: {b}\n")
    click.echo(evaluation.readable(result.ratios).to_string(index=False))
    of = "" if result.samples == max(map(len, tables)) else f", of {len(tables[0])} of A and {len(tables[1])} of B"
    click.echo(f"\n{result.verdict()}\nOn {result.samples} samples of {result.photos} photos, which both have{of}.")
    click.echo("In brackets: 95 % confidence intervals over the choice of test photos.")


@main.command()
@click.argument("count", metavar="N", type=click.IntRange(min=2))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def seeds(count: int, as_json: bool) -> None:
    """Train with N seeds and say how much the scores differ.

    Trains and scores the present settings and photos with `train.seed` of params.yaml and the N - 1 seeds after it, on
    the same test photos. Prints the scores of each, their mean, their standard deviation, and the 95 % confidence
    interval of the mean. A difference between two settings that is not larger than this spread can be luck.

    Everything is written to seeds/: a folder for each seed, and seeds.csv. The project's own model and metrics stay.
    After an interruption the same command goes on where it was.

    \b
    Example:
      depixel seeds 5
    """
    from depixel.seeds import run_seeds

    table = run_seeds(count, tell=partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps(table.to_dict("index")))
        return
    click.echo(table.to_string(float_format="{:.4f}".format))


@main.command()
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Set params.yaml to settings that have a name.

    Writes the values of a preset into params.yaml and leaves comments and all other settings as they are. They stand in
    presets.yaml; without NAME, prints that. `dvc repro` or `dvc exp run` then runs with them; `git checkout
    params.yaml` takes them back.

    \b
    Example:
      depixel preset debug
    """
    from depixel import parameters

    if name is None:
        click.echo(parameters.PRESETS.read_text(encoding="utf-8"), nl=False)
        return
    for key, value in parameters.use_preset(name).items():
        click.echo(f"{key}: {value}")


@main.command()
@click.argument("name")
@click.option(
    "-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUES", help="As of `dvc exp run`; see above."
)
@click.option("--list", "variants", type=click.File(encoding="utf-8"), help="A file of experiments, a line each.")
@click.option("--trials", type=click.IntRange(min=1), help="Search with so many experiments, instead of running all.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="So many at a time.")
@click.option("--no-prune", is_flag=True, help="Train all to their end, also those that fall behind.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def sweep(
    name: str, settings: tuple[str, ...], variants: TextIO, trials: int, jobs: int, no_prune: bool, as_json: bool
) -> None:
    """Run an experiment for each of many settings.

    Each becomes an experiment of DVC, called NAME and what it differs in, from the last commit. The table at the end is
    sorted by the validation RMSE, lowest first; the scores beside it are of the test photos. Needs Optuna: `pip install
    optuna`.

    \b
    Values, in the grammar of `dvc exp run`:
      -S train.epochs=20                            the same for all
      -S train.width=16,32,48                       each of them
      -S "train.width=range(16,65,16)"              from 16 in steps of 16 to below 65
      -S "train.learning_rate=interval(1e-4,1e-2)"  anything between; with --trials only

    Several -S are multiplied out: all combinations. In the file of --list each line is an experiment, its settings
    separated by spaces. With --trials a Bayesian search (Optuna, TPE) chooses so many of the combinations, each with
    what it has learned from those before; over an interval whose ends are a factor of 10 apart it looks by factors.

    Once four have finished, one whose validation RMSE is above the median that others had after the same epoch is
    ended, but not in the first quarter of its epochs.

    After a kill or Ctrl-C the same command goes on: what has finished is not run again, and trainings go on from their
    checkpoints. Everything until then is in sweeps/NAME/. With --jobs 2 on two cores, set train.threads=1.

    \b
    Example:
      depixel sweep width -S train.width=16,32,48
      depixel sweep grid -S train.width=16,32 -S train.dropout=0,0.1 --jobs 2
      depixel sweep rate -S "train.learning_rate=interval(1e-4,1e-2)" --trials 20
      depixel sweep week --list variants.txt
    """
    from depixel import experiments, sweep

    lines = [line.split("#")[0].strip() for line in variants or ()]
    plan = sweep.Plan(name, settings, [line for line in lines if line], trials)
    outcome = sweep.run(plan, jobs, not no_prune, tell=partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps({"finished": outcome.finished.to_dict("records"), "others": outcome.others}))
    else:
        if len(outcome.finished):
            click.echo(experiments.readable(outcome.finished, by="validation_rmse").to_string(index=False))
        for experiment, why in outcome.others.items():
            click.echo(f"{experiment}: {why}")
    if outcome.failed:
        raise SystemExit(1)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-m", "--note", default="", help="Why they matter.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def record(names: tuple[str, ...], note: str, as_json: bool) -> None:
    """Keep experiments in a tracked table.

    DVC's experiments do not travel with a clone; metrics/experiments.csv does. Adds the experiments, or git revisions,
    NAME with all their settings, scores with 95 % confidence intervals over the test photos, the commit of the code (+
    if the experiment changed it), the snapshot of the photos, date and note. Then, or without NAME, prints the table,
    lowest ratio_mean first, with the settings that differ.

    \b
    Example:
      depixel record width-width=48 --note "wider is better"
      depixel record
    """
    from depixel import experiments

    if names:
        experiments.record(names, note)
    table = experiments.read_table()
    if as_json:
        click.echo(json.dumps(table.sort_values("ratio_mean").to_dict("records")))
    elif len(table):
        click.echo(experiments.readable(table, by="ratio_mean").to_string(index=False))
    else:
        click.echo(f"{experiments.TABLE.as_posix()}: no experiment so far. `depixel record NAME` adds one")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def snapshots(as_json: bool) -> None:
    """List the named states of the photos.

    They stand in data/snapshots.csv. `*` marks the one that data/raw.dvc names now.

    \b
    Example:
      depixel snapshots
    """
    from depixel import snapshots

    rows = snapshots.read_snapshots()
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))
        return
    now = snapshots.current() if snapshots.POINTER.is_file() else ""
    columns = ("name", "contributors", "photos", "valid", "date", "note")
    cells = [("", *columns), *(("*" if row.md5 == now else "", *(getattr(row, c) for c in columns)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if now not in (row.md5 for row in rows):
        click.echo("The photos that data/raw.dvc names now are in no snapshot: `depixel snapshot publish NAME`")


@main.command()
@click.option("-o", "--out", default="report.html", show_default=True, type=_path(dir_okay=False), help="The page.")
def report(out: Path) -> None:
    """Write what the last run reached as one HTML page.

    Scores beside the baselines and earlier runs, what changed since the last tagged run, errors by class, restorations,
    curves, photos, how to make it again. The page needs no network and no other file; it can be mailed and printed.

    \b
    Example:
      depixel report -o report.html
    """
    from depixel.files import replacing
    from depixel.report import report as written

    with progress(total=None, bar_format="{desc}") as bar:
        page = written(bar.set_description_str)
    with replacing(out) as beside:
        beside.write_text(page, encoding="utf-8", newline="\n")
    click.echo(f"{out.as_posix()}: open it in a browser")


@main.group()
def snapshot() -> None:
    """Change to a named state of the photos, or name the present one.

    \b
    Example:
      depixel snapshot use v1                 data/raw as it was
      depixel snapshot publish v3             the photos that are in data/raw now
    """


@snapshot.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Even if data/raw has files that no snapshot holds, which are lost.")
def use(name: str, force: bool) -> None:
    """Make the photos those of a snapshot.

    NAME is a snapshot or a git revision. Fetches what is not here from the remote, and changes data/raw and
    data/raw.dvc. `dvc repro` then trains on these photos, or takes the training from its checkpoint if it still has it.

    \b
    Example:
      depixel snapshot use v1
    """
    from depixel import snapshots

    snapshots.use(name, force)
    click.echo(f"data/raw and data/raw.dvc are those of {name}. `dvc repro` trains on them.")


@snapshot.command()
@click.argument("name")
@click.option("-m", "--note", default="", help="What is new in it.")
@click.option(
    "--positions",
    type=click.Choice(["strip", "keep"]),
    help="What to do with GPS positions in photos: take them out first (no pixel changes), or publish them too.",
)
def publish(name: str, note: str, positions: str | None) -> None:
    """Name the photos that are in data/raw now, and push them.

    Adds them to DVC, pushes them to its remote, and writes the name into data/snapshots.csv. A name can be used once.
    Where JPEGs carry GPS positions you are warned, and nothing is done until you say what to do with them: whoever
    pulls the photos learns where they were taken.

    \b
    Example:
      depixel snapshot publish v3 --note "two more contributors"
    """
    from depixel import snapshots, sources, validation
    from depixel.positions import located, strip

    snapshots.check_name(name)
    entries = sources.Entries(snapshots.RAW)
    if positions != "keep":
        found = list(progress(located(entries), desc="look for GPS positions", unit=" photos"))
        if found and not positions:
            raise DepixelError(
                f"{len(found)} photos carry GPS positions, such as {found[0].path}: whoever pulls them learns where "
                "they were taken. Nothing is published yet. Take the positions out: --positions strip; or not: "
                "--positions keep"
            )
        for path in dict.fromkeys(entry.source for entry in found):
            strip(Path(path))
        if found:
            click.echo(f"Took the GPS positions out of {len(found)} photos.")
            entries = sources.Entries(snapshots.RAW)
    known = validation.known_verdicts("data/validated")
    verdicts = progress(validation.validate(entries, None, known), total=len(entries), desc="validate", unit=" files")
    made = snapshots.publish(name, note, verdicts)
    click.echo(f"{name}: {made.valid} valid of {made.photos} photos from {made.contributors} contributors, pushed.")
    click.echo(f'For the others: git add data && git commit -m "Photos {name}" && git push')


@main.command()
@click.argument("before")
@click.argument("after", default="workspace")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--sheet", type=_path(dir_okay=False), help="Also draw the photos, before and after, as a PNG.")
def diff(before: str, after: str, as_json: bool, sheet: Path | None) -> None:
    """Say which photos came, went or were replaced.

    BEFORE and AFTER are each a snapshot or a git revision; `workspace`, and AFTER if it is not given, is data/raw as it
    is now. `valid` says how many of the changed files keep the rules, before and after; `side` where the split of
    params.yaml has them.

    \b
    Example:
      depixel diff v1 v2 --sheet changes.png
      depixel diff v2                         what has changed here since
    """
    from depixel import changes, snapshots, sources, splits, validation
    from depixel.files import replacing
    from depixel.settings import read_section

    settings = read_section("params.yaml", "split", splits.SplitSettings)
    with snapshots.opened(before) as first, snapshots.opened(after) as second:
        entries = [sources.Entries(root) for root in (first, second)]
        verdicts = []
        for name, files in zip((before, after), entries, strict=True):
            found = validation.validate(files, None, validation.known_verdicts("data/validated"))
            verdicts.append(list(progress(found, total=len(files), desc=name, unit=" files")))
        found = changes.changes(*verdicts, settings)
        if sheet:
            with replacing(sheet) as beside:
                changes.sheet(found, *entries).save(beside, format="PNG")
    valid = [sum(not verdict.code for verdict in of) for of in verdicts]
    if as_json:
        click.echo(json.dumps({"valid": valid, "changes": [change._asdict() for change in found]}))
        return
    if found:
        click.echo(changes.by_contributor(found, *verdicts).to_string(index=False))
    click.echo(f"{len(found)} files differ; valid photos: {valid[0]} in {before}, {valid[1]} in {after}")
    if sheet:
        click.echo(f"Pictures: {sheet}")


@main.group()
def inspect() -> None:
    """Look inside a model; each command draws a picture.

    \b
    Example:
      depixel inspect attribution k01/IMG_1.jpg -o why.png       which pixels around an area mattered
      depixel inspect features k01/IMG_1.jpg -o maps.png         what a layer makes of it
      depixel inspect filters -o filters.png                     what the first layer looks for
    """


_LOOKED_AT = (
    click.argument("photo", required=False),
    click.option("--test-set", type=_path(dir_okay=False), help="Look at a sample of this test set, not at a photo."),
    click.option(
        "--number", default=0, show_default=True, help="Which of the photo's areas, or of the test set's samples."
    ),
)
_DRAWN = (
    click.option("-o", "--output", type=_path(dir_okay=False), required=True, help="The picture to write, a PNG."),
    click.option(
        "--model",
        metavar="NAME|PATH",
        default="models/depixel.safetensors",
        show_default=True,
        help="The model: the pipeline's, a pretrained one by its name, or any other by its path.",
    ),
    click.option("--force", is_flag=True, help="Overwrite an earlier picture."),
)


def _with(*options: Callable) -> Callable:
    """Decorate a command with options that others have, too."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _looked_at(photo: str | None, test_set: Path | None, number: int, block_size: tuple[int, int]):
    """The sample that a command is to look at."""
    from depixel import evaluation, inspection
    from depixel.pixelation import PixelationSettings
    from depixel.settings import read_section

    if (photo is None) == (test_set is None):
        raise DepixelError("name a test photo, CONTRIBUTOR/NAME as in data/split.csv, or a test set: --test-set FILE")
    if test_set:
        return inspection.of_test_set(test_set, number, block_size)
    evaluate = read_section("params.yaml", "evaluate", evaluation.EvaluateSettings)
    pixelation = read_section("params.yaml", "pixelation", PixelationSettings)
    return inspection.of_test_photo(photo, number, "data/prepared", "data/split.csv", evaluate, pixelation)


def _save(picture, output: Path) -> None:
    from depixel.files import replacing

    with replacing(output) as beside:
        picture.save(beside, "PNG")
    click.echo(f"Picture: {output}")


def _not_there(output: Path, force: bool) -> None:
    if output.exists() and not force:
        raise DepixelError(f"{output}: exists already. Choose another name, or overwrite it: --force")


@inspect.command()
@_with(*_LOOKED_AT, *_DRAWN)
@click.option("--block", metavar="COLUMN,ROW", help="Only of this block of the area, counted from 0.")
def attribution(
    photo: str | None,
    test_set: Path | None,
    number: int,
    output: Path,
    model: str,
    force: bool,
    block: str | None,
) -> None:
    """Draw which pixels a restoration came from.

    By integrated gradients: how much each pixel around the area, and each block, had to do with the detail that the
    model put into the blocks. Red speaks for that detail, blue against it. PHOTO is a test photo of the pipeline,
    CONTRIBUTOR/NAME as in data/split.csv.

    Needs Captum: pip install captum.

    \b
    Example:
      depixel inspect attribution k01/IMG_1.jpg -o why.png --number 2 --block 0,1
      depixel inspect attribution --test-set test_set.pkl --number 7 -o why.png --model laptop
    """
    _not_there(output, force)
    from depixel import inspection
    from depixel.restoration import Restorer, model_path

    if block is not None and not re.fullmatch(r"\d+,\d+", block):
        raise DepixelError(f"--block {block}: must be column and row, such as 0,1")
    restorer = Restorer.load(model_path(model))
    sample = _looked_at(photo, test_set, number, restorer.configuration.block_size)
    chosen = tuple(map(int, block.split(","))) if block else None
    values = inspection.attribution(restorer, sample, chosen)
    _save(inspection.attribution_picture(restorer, sample, values), output)


@inspect.command()
@_with(*_LOOKED_AT, *_DRAWN)
@click.option("--layer", help="Its name; by default the first. A wrong one is answered with all names.")
def features(
    photo: str | None, test_set: Path | None, number: int, output: Path, model: str, force: bool, layer: str | None
) -> None:
    """Draw what a layer makes of a picture.

    One map for each channel, each on its own scale: red above 0, blue below, white 0. PHOTO is a test photo of the
    pipeline, CONTRIBUTOR/NAME as in data/split.csv.

    \b
    Example:
      depixel inspect features k01/IMG_1.jpg -o maps.png --layer stages.3
    """
    _not_there(output, force)
    from depixel import inspection
    from depixel.restoration import Restorer, model_path

    restorer = Restorer.load(model_path(model))
    sample = _looked_at(photo, test_set, number, restorer.configuration.block_size)
    maps = inspection.feature_maps(restorer, sample, layer or inspection.layers(restorer.network)[0])
    _save(inspection.maps_picture(maps), output)


@inspect.command()
@_with(*_DRAWN)
def filters(output: Path, model: str, force: bool) -> None:
    """Draw the filters of the first layer.

    Each is a row: what it weighs in each of the planes that the network sees, on its own scale: red above 0, blue
    below, white 0.

    \b
    Example:
      depixel inspect filters -o filters.png --model laptop
    """
    _not_there(output, force)
    from depixel import inspection
    from depixel.restoration import Restorer, model_path

    network = Restorer.load(model_path(model)).network
    _save(inspection.filters_picture(inspection.first_filters(network), network.PLANES), output)


@main.command()
@click.argument("folder", type=_path(file_okay=False))
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="How many photos.")
@click.option(
    "--model",
    metavar="NAME|PATH",
    default="models/depixel.safetensors",
    show_default=True,
    help="The model that is to learn: the pipeline's, a pretrained one by its name, or any other by its path.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
@click.option("--sheet", type=_path(dir_okay=False), help="Also draw the chosen photos, as a PNG.")
def suggest(folder: Path, count: int, model: str, as_json: bool, sheet: Path | None) -> None:
    """Say which photos the model would learn most from.

    FOLDER holds new photos, in any way that data/raw may hold them. Chosen are photos on which the turned views of a
    picture disagree, which says that the model is unsure where it need not be, and which look neither like each other
    nor like the photos for training in data/prepared, if there are any.

    `gain` is what a photo adds to those before it, as a share of all that there is to gain; `disagreement` and `rmse`
    are in gray levels; `ratio` is to leaving the blocks as they are.

    \b
    Example:
      depixel suggest new_photos --count 50 --sheet picks.png
    """
    from tempfile import TemporaryDirectory

    from depixel import preparation, sources, suggestion, validation
    from depixel.files import replacing
    from depixel.pixelation import PixelationSettings
    from depixel.restoration import Restorer, model_path
    from depixel.tables import path_of

    restorer = Restorer.load(model_path(model))
    trained_for = restorer.configuration
    pixelation = PixelationSettings(
        width=trained_for.area_width, height=trained_for.area_height, block_size=trained_for.block_size
    )
    entries = sources.Entries(folder)
    verdicts = list(progress(validation.validate(entries), total=len(entries), desc="validate", unit=" files"))
    invalid = [verdict for verdict in verdicts if verdict.code]
    valid = len(verdicts) - len(invalid)
    if not valid:
        raise DepixelError(f"{folder}: none of its {len(verdicts)} files is a valid photo ({invalid[0].reason}, ...)")
    known = suggestion.trained_on("data/prepared", "data/split.csv", trained_for.size)
    with TemporaryDirectory() as prepared, progress(total=valid, desc="prepare", unit=" photos") as bar:
        settings = preparation.PrepareSettings(size=trained_for.size, train_size=0)
        preparation.prepare(
            validation.valid_entries(entries, verdicts), valid, prepared, settings, on_done=lambda: bar.update()
        )
        photos, names = suggestion.new_photos(prepared)
        found = suggestion.suggest(restorer, photos, known, pixelation, count, partial(progress, unit="batch"))
        picture = sheet and suggestion.sheet(restorer, photos, pixelation, found, names)
    if sheet:
        with replacing(sheet) as beside:
            picture.save(beside, "PNG")
    rows = []
    for number, *values in found:
        named = zip(suggestion.Suggestion._fields[1:], (round(value, 4) for value in values), strict=True)
        rows.append({"photo": names[number], **dict(named)})
    if as_json:
        click.echo(json.dumps([{key: None if value != value else value for key, value in row.items()} for row in rows]))
        return
    width = max(len(row["photo"]) for row in rows)
    click.echo(f"     {'photo':{width}}" + "".join(f"{key:>14}" for key in list(rows[0])[1:]))
    for place, (photo, *numbers) in enumerate((row.values() for row in rows), 1):
        click.echo(f"{place:4} {photo:{width}}" + "".join(f"{number:14.3f}" for number in numbers))
    click.echo(f"\n{len(rows)} of {valid} photos, beside {len(known)} that are for training already.")
    if invalid:
        first = path_of(invalid[0].contributor, invalid[0].name)
        click.echo(f"{len(invalid)} files are no valid photos, such as {first}: {invalid[0].reason}")
    if sheet:
        click.echo(f"Pictures: {sheet}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the page.")
def doctor(as_json: bool) -> None:
    """Say whether everything is in order, and if not, what mends it.

    Looks at the environment, the project's files, the photos, the remote, the cache, the results and the disk; changes
    nothing. Exit code 0 if all is in order, 1 if not.

    \b
    Example:
      depixel doctor
    """
    from depixel.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            click.echo(f"{'  ' if not finding.mend else '! '}{finding.subject:12} {finding.found}")
            if finding.mend:
                click.echo(f"{'':14} -> {finding.mend}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    elif all(not finding.mend for finding in findings):
        click.echo("All is in order.")
    if any(finding.mend for finding in findings):
        raise SystemExit(1)


@main.command()
def mend() -> None:
    """Put right what a kill or a power cut did to DVC's own files.

    The stages never leave anything half-written, but DVC itself can be cut off while it writes dvc.lock or
    .dvc/tmp/rwlock, and then refuses to work. Restores the one from the last commit and removes the other; whole files
    stay as they are. Then run `dvc repro` again.

    \b
    Example:
      depixel mend                            then `dvc repro`
    """
    from depixel.mend import mend

    for sentence in mend(Path()) or ["Nothing to mend: dvc.lock and .dvc/tmp/rwlock are whole."]:
        click.echo(sentence)


def _amount(predictions: list) -> str:
    return f"{len(predictions)} predictions, {sum(map(len, predictions))} pixels"


if __name__ == "__main__":
    main()
