"""Commands for photos: get them, analyze them, choose which to add."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depixel.base.console import counted, progress
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import ANALYSIS, ORIGINS, PREPARED, RAW, SPLIT
from depixel.base.tables import path_of
from depixel.commands import options
from depixel.commands.models import known_models

if TYPE_CHECKING:
    from depixel.curation.suggestion import Picks
    from depixel.photos.tracked import Found


@click.command()
@click.argument("folder", type=options.path(file_okay=False))
@click.option("--seed", default=0, show_default=True, help="The same seed generates the same photos, byte for byte.")
@click.option("--contributors", default=12, show_default=True, help="Number of ZIPs.")
@click.option("--photos", default=50, show_default=True, help="Number of photos in each ZIP.")
@click.option(
    "--test-set",
    type=options.path(file_okay=False),
    help="Also write a test set of other photos to this folder.",
)
def sample(folder: Path, seed: int, contributors: int, photos: int, test_set: Path | None) -> None:
    """Generate photos to try the pipeline with.

    Writes ZIPs of generated, photo-like JPEGs into FOLDER, which must be new or empty; each ZIP is a contributor. A few
    files are invalid on purpose, so that the validation rejects some. --test-set writes 40 samples in the challenge's
    format, test_set.pkl, and their true pixels, targets.npz.

    \b
    Example:
      depixel sample data/raw --contributors 3 --photos 10
    """
    from depixel.challenge import test_sets
    from depixel.curation.synthetic import unseen_photos, write_sample

    with progress(total=contributors, unit="contributor") as bar:
        write_sample(folder, seed=seed, contributors=contributors, photos=photos, on_done=bar.update)
    click.echo(f"{folder}: {counted(contributors, 'ZIP')} of contributors with {counted(photos, 'photo')} each")
    if test_set:
        test_sets.write_test_set(test_set, *unseen_photos(seed, count=40))
        click.echo(f"{test_set}: 40 samples of other photos")


@click.command()
@options.as_json
def datasets(as_json: bool) -> None:
    """List the public collections of photos that fetch can get.

    Shows the size, number of photos, terms, source and checksum of each. Read the terms at the source before you use or
    publish one.

    \b
    Example:
      depixel datasets
    """
    from depixel.curation.public import DATASETS

    if as_json:
        click.echo(json.dumps([dataset._asdict() for dataset in DATASETS]))
        return
    for dataset in DATASETS:
        size = f"{dataset.size / 1e6:.0f} MB" if dataset.size else "size unknown"
        click.echo(f"{dataset.name}: {dataset.content}; {dataset.photos} photos, {size}")
        click.echo(f"  terms: {dataset.licence}\n  source: {dataset.source}\n  checksum: {dataset.checksum}")


@click.command()
@click.argument("name", metavar="NAME|URL")
@click.option("--sha256", help="The SHA-256 of the file at URL, as its publisher states it.")
@click.option(
    "--to",
    "raw",
    type=options.path(file_okay=False),
    default=RAW.as_posix(),
    show_default=True,
    help="The folder to write to.",
)
def fetch(name: str, sha256: str | None, raw: Path) -> None:
    """Fetch a public collection of photos into data/raw.

    Downloads the archive, verifies the checksum, and notes the origin in data/origins.csv. It does not unpack the
    archive. A download that broke off continues where it stopped. Instead of a NAME of `depixel datasets`, give the URL
    of any .zip, .tar, .tar.gz or .tgz with photos.

    \b
    Example:
      depixel fetch imagenette
      depixel fetch https://example.org/photos.zip --sha256 2c26b46b...
    """
    from depixel.curation import public
    from depixel.photos import archives, tracked

    tracked.check(raw)
    if "://" in name:
        if not sha256:
            raise DepixelError(f"{name}: a URL needs the checksum of its file. Add --sha256 HASH")
        dataset = public.other(name, sha256.lower())
    else:
        dataset = public.known(name)
    path = public.fetch(dataset, raw, partial(progress, desc=dataset.name))
    entries = archives.Entries(raw)
    click.echo(
        f"{path.as_posix()}: complete, and the checksum is right. {raw.as_posix()} now has {len(entries)} files."
    )
    _tell_left_out(entries.left_out)
    click.echo(
        "The collection is one contributor: if there are few others, set `split.by: photo` in params.yaml. "
        f"{ORIGINS.as_posix()} notes its origin. Next: `depixel snapshot publish NAME`, or `dvc add {RAW.as_posix()}` "
        "and `dvc repro`."
    )


def _tell_left_out(left_out: "list[Found]") -> None:
    """Report the files that DVC does not track and that are therefore not read."""
    from depixel.photos import tracked

    if left_out:
        click.echo(tracked.told(left_out), err=True)


@click.command()
@click.argument("photos", type=options.path(exists=True))
@click.option(
    "-o", "--output", type=options.path(file_okay=False), required=True, help="The folder to write to, new or empty."
)
@click.option(
    "--test-set", type=options.path(dir_okay=False), help="A test set of the challenge to compare the photos with."
)
@options.as_json
def analyze(photos: Path, output: Path, test_set: Path | None, as_json: bool) -> None:
    """Describe the photos in a folder, and find the odd ones.

    PHOTOS is a folder of contributors' ZIPs, folders or JPEGs. The command reports photos that are blank, dark,
    blurred, compressed too much or the same as others, the kinds of photos, and contributors that stand out. Each
    finding says why it matters for the RMSE and what to do. The command writes analysis.csv with a row for each valid
    photo, analysis.json, and the pictures clusters.png and findings.png. The stage `analyze` of the pipeline does the
    same and compares the sides of the split.

    With a test set, the command also reports what the test pictures show more or less often than the photos, and
    which test pictures are unlike all photos. It writes test_set.json, gaps.png and unlike.png. Nothing is trained on
    the test set.

    \b
    Example:
      depixel analyze ~/photos -o findings
      depixel analyze ~/photos -o findings --test-set test_set.pkl
    """
    if output.exists() and any(output.iterdir()):
        raise DepixelError(f"{output}: holds files already. Name a new or empty folder: -o FOLDER")
    from depixel.analysis import findings, outputs, overview
    from depixel.analysis.photo_table import AnalyzeSettings
    from depixel.challenge import test_sets
    from depixel.curation import gaps
    from depixel.photos import rules
    from depixel.photos.archives import Entries

    samples = test_sets.read_test_set(test_set) if test_set else None
    if samples:
        gaps.check_count(len(samples.pixelated), f"{test_set}: pictures")
    settings = AnalyzeSettings()
    entries = Entries(photos)
    _tell_left_out(entries.left_out)
    result, images, verdicts = overview.of_folder(entries, settings, progress=progress)
    exact, broken = rules.exact_copies(verdicts), [verdict for verdict in verdicts if not verdict.name]
    found = findings.findings(result, settings, exact, broken)
    different = result.photos[result.photos.same_as == ""]
    if samples:
        gaps.check_count(len(different), "different photos")
    outputs.write(result, found, exact, images, output / ANALYSIS.name, output)
    report, text = outputs.report(result, found, exact), outputs.readable(result, found, output)
    if samples:
        images = images[different.index]
        beside = gaps.coverage(images, different.contributor, samples, settings)
        gaps.write(beside, samples, images, different.path.tolist(), output)
        report["test_set"] = gaps.report(beside)
        text += f"\n\n{gaps.readable(beside)}"
    click.echo(json.dumps(report) if as_json else text)


@click.command()
@click.argument("folder", type=options.path(file_okay=False))
@click.option(
    "-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="Number of photos to choose."
)
@options.model(options.PIPELINE_MODEL, callback=known_models)
@options.as_json
@click.option("--sheet", type=options.path(dir_okay=False), help="Also draw the chosen photos, as a PNG.")
def suggest(folder: Path, count: int, model: str, as_json: bool, sheet: Path | None) -> None:
    """Choose the new photos on which the model is most unsure.

    FOLDER holds new photos, in any form that data/raw may have. The command chooses photos for which the predictions of
    the turned views disagree, and which look neither like each other nor like the training photos in data/prepared. Of
    several copies of a picture it chooses at most one. It skips photos that data/split.csv lists. It takes about 0.1
    seconds per photo.

    In short trainings, these photos helped no more than as many random ones (docs/how-to/suggest.md). They show which
    photos the model finds hard.

    `gain` is the share of the total gain that a photo adds to the photos before it. `disagreement` and `rmse` are in
    gray levels. `ratio` is the RMSE divided by the RMSE of leaving the blocks as they are.

    \b
    Example:
      depixel suggest new_photos --count 50 --sheet picks.png
    """
    from depixel.curation import suggestion
    from depixel.model.predictor import Predictor

    picks = suggestion.from_folder(
        Predictor.load(model), folder, count, PREPARED, SPLIT, draw=sheet is not None, progress=progress
    )
    if sheet and picks.picture:
        with replacing(sheet) as beside:
            picks.picture.save(beside, "PNG")
    _tell_left_out(picks.left_out)
    if as_json:
        rows = [{key: None if value != value else value for key, value in row.items()} for row in _rows(picks)]
        click.echo(json.dumps(rows))
        return
    _show(picks, count)
    if sheet:
        click.echo(f"Pictures: {sheet}")


def _rows(picks: "Picks") -> list[dict[str, str | float]]:
    """The chosen photos, the best first: photo (its name), disagreement, rmse, ratio, gain."""
    rows: list[dict[str, str | float]] = []
    for number, *values in picks.found:
        named = zip(picks.found[0]._fields[1:], (round(value, 4) for value in values), strict=True)
        rows.append({"photo": picks.names[number], **dict(named)})
    return rows


def _show(picks: "Picks", count: int) -> None:
    """Print the chosen photos as a table, and the skipped ones; `count` photos were requested."""
    rows = _rows(picks)
    width = max(len(str(row["photo"])) for row in rows)
    click.echo(f"     {'photo':{width}}" + "".join(f"{key:>14}" for key in list(rows[0])[1:]))
    for place, (photo, *numbers) in enumerate((row.values() for row in rows), 1):
        click.echo(f"{place:4} {photo:{width}}" + "".join(f"{number:14.3f}" for number in numbers))
    valid = len(picks.names)
    click.echo(f"\n{len(rows)} of {valid} new photos; {picks.known} photos are in the training set already.")
    if len(rows) < min(count, valid):
        click.echo("The other photos show the same pictures as these.")
    if picks.invalid:
        first = picks.invalid[0]
        path = path_of(first.contributor, first.name)
        click.echo(f"{counted(len(picks.invalid), 'file')} skipped as invalid, such as {path}: {first.reason}")
