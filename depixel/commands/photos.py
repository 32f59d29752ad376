"""Commands for photos: where they come from, what they are like, their named states."""

import json
from functools import partial
from pathlib import Path

import click

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.commands import options


@click.command()
@click.argument("folder", type=options.path(file_okay=False))
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same photos, byte for byte.")
@click.option("--contributors", default=12, show_default=True, help="How many ZIPs.")
@click.option("--photos", default=50, show_default=True, help="How many photos in each.")
@click.option(
    "--test-set", type=options.path(file_okay=False), help="Also write a test set of other photos to this folder."
)
def sample(folder: Path, seed: int, contributors: int, photos: int, test_set: Path | None) -> None:
    """Make photos to try the pipeline with.

    Writes contributors' ZIPs of generated, photo-like JPEGs into FOLDER, which must be new or empty. A few files are
    invalid on purpose, so that the validation has something to say. --test-set writes 40 samples in the challenge's
    format, test_set.pkl, and what they hide, targets.npz.

    \b
    Example:
      depixel sample data/raw --contributors 3 --photos 10
    """
    from depixel.challenge import test_sets
    from depixel.curation.synthetic import unseen_photos, write_sample

    with progress(total=contributors, unit="contributor") as bar:
        write_sample(folder, seed=seed, contributors=contributors, photos=photos, on_done=bar.update)
    click.echo(f"{folder}: {contributors} contributors' ZIPs with {photos} photos each")
    if test_set:
        test_sets.write_test_set(test_set, *unseen_photos(seed, count=40))
        click.echo(f"{test_set}: 40 samples of other photos")


@click.command()
@options.as_json
def datasets(as_json: bool) -> None:
    """List public collections of photos that `depixel fetch` knows.

    With size, number of photos, terms, source and checksum. Read the terms at the source before you use or publish one.

    \b
    Example:
      depixel datasets
    """
    from depixel.curation.public import DATASETS

    if as_json:
        click.echo(json.dumps([dataset._asdict() for dataset in DATASETS]))
        return
    for dataset in DATASETS:
        size = f"{dataset.size / 1e6:.0f} MB" if dataset.size else "size not known"
        click.echo(f"{dataset.name}: {dataset.content}; {dataset.photos} photos, {size}")
        click.echo(f"  terms: {dataset.licence}\n  source: {dataset.source}\n  checksum: {dataset.checksum}")


@click.command()
@click.argument("name", metavar="NAME|URL")
@click.option("--sha256", help="Of the file at URL, as its publisher names it.")
@click.option(
    "--to", "raw", type=options.path(file_okay=False), default="data/raw", show_default=True, help="The folder."
)
def fetch(name: str, sha256: str | None, raw: Path) -> None:
    """Bring a public collection of photos into data/raw.

    Downloads the archive, which is read in place, goes on where an earlier download broke off, checks the checksum, and
    notes the origin in data/origins.csv. URL is that of any other .zip, .tar, .tar.gz or .tgz of photos.

    \b
    Example:
      depixel fetch imagenette
      depixel fetch https://example.org/photos.zip --sha256 2c26b46b...
    """
    from depixel.curation import public as datasets
    from depixel.photos import archives

    if "://" in name:
        if not sha256:
            raise DepixelError(f"{name}: name its checksum, so that what arrives is what was meant: --sha256 HASH")
        dataset = datasets.other(name, sha256.lower())
    else:
        dataset = datasets.known(name)
    path = datasets.fetch(dataset, raw, partial(progress, desc=dataset.name))
    count = len(archives.Entries(raw))
    click.echo(f"{path.as_posix()}: whole, and its checksum is right. {raw.as_posix()} has {count} files now.")
    click.echo(
        "It is one contributor: with few others set `split.by: photo` in params.yaml. Its origin is noted in "
        f"{datasets.ORIGINS.as_posix()}. Next: `depixel snapshot publish NAME`, or `dvc add data/raw` and `dvc repro`"
    )


@click.command()
@click.argument("photos", type=options.path(exists=True))
@click.option(
    "-o", "--output", type=options.path(file_okay=False), required=True, help="A new or empty folder to write to."
)
@click.option(
    "--test-set", type=options.path(dir_okay=False), help="A test set of the challenge, to compare them with."
)
@options.as_json
def analyze(photos: Path, output: Path, test_set: Path | None, as_json: bool) -> None:
    """Say what the photos in a folder are like, and which are odd.

    PHOTOS is a folder of contributors' ZIPs, folders or JPEGs, before or after it is trained on. Says which photos are
    blank, dark, blurred, compressed too much or the same as others, what kinds of photos there are, which contributors
    stand out from all others; for each, why it matters for the RMSE and what to do. Writes analysis.csv, a row for each
    valid photo; analysis.json; and clusters.png and findings.png to look at. The pipeline does the same in its stage
    `analyze`, and compares the sides of its split.

    With a test set, also what its pictures show more or less of than the photos, and which of them are unlike all
    photos: test_set.json, gaps.png and unlike.png. Nothing is trained on them by that.

    \b
    Example:
      depixel analyze ~/photos -o findings
      depixel analyze ~/photos -o findings --test-set test_set.pkl
    """
    if output.exists() and any(output.iterdir()):
        raise DepixelError(f"{output}: has files in it. Name another folder for what is found: -o FOLDER")
    from depixel.analysis import findings, overview
    from depixel.challenge import test_sets
    from depixel.curation import gaps

    samples = test_sets.read_test_set(test_set) if test_set else None
    if samples:
        gaps.check_count(len(samples.pixelated), f"{test_set}: pictures")
    settings = overview.AnalyzeSettings()
    result, images, exact = overview.of_folder(photos, settings, progress=progress)
    found = findings.findings(result, settings, exact)
    if samples:
        different = result.photos[result.photos.same_as == ""]
        gaps.check_count(len(different), "different photos")
    findings.write(result, found, exact, images, output / "analysis.csv", output)
    report, text = findings.report(result, found, exact), findings.readable(result, found)
    if samples:
        images = images[different.index]
        beside = gaps.coverage(images, different.contributor, samples, settings)
        gaps.write(beside, samples, images, different.path.tolist(), output)
        report["test_set"] = gaps.report(beside)
        text += f"\n\n{gaps.readable(beside)}"
    click.echo(json.dumps(report) if as_json else text)


@click.command()
@click.argument("folder", type=options.path(file_okay=False))
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="How many photos.")
@options.model(options.PIPELINE_MODEL)
@options.as_json
@click.option("--sheet", type=options.path(dir_okay=False), help="Also draw the chosen photos, as a PNG.")
def suggest(folder: Path, count: int, model: str, as_json: bool, sheet: Path | None) -> None:
    """Say which photos the model would learn most from.

    FOLDER holds new photos, in any way that data/raw may hold them. Chosen are photos on which the turned views of a
    picture disagree, which says that the model is unsure where it need not be, and which look neither like each other
    nor like the photos for training in data/prepared, if there are any. Of photos that show the same picture at most
    one is chosen; those that are in data/split.csv already are left out. It takes about a tenth of a second for each
    photo.

    In short trainings such picks were no better than as many photos picked at random (docs/experiments.md): they tell
    what the model finds hard rather than what would make it better soon.

    `gain` is what a photo adds to those before it, as a share of all that there is to gain; `disagreement` and `rmse`
    are in gray levels; `ratio` is to leaving the blocks as they are.

    \b
    Example:
      depixel suggest new_photos --count 50 --sheet picks.png
    """
    from tempfile import TemporaryDirectory

    from depixel.base.files import replacing
    from depixel.base.tables import path_of
    from depixel.curation import suggestion
    from depixel.model.pixelation import PixelationSettings
    from depixel.model.predictor import Predictor
    from depixel.photos import archives, preparation, rules

    restorer = Predictor.load(model)
    trained_for = restorer.configuration
    pixelation = PixelationSettings(
        width=trained_for.area_width, height=trained_for.area_height, block_size=trained_for.block_size
    )
    entries = archives.Entries(folder)
    verdicts = list(progress(rules.validate(entries), total=len(entries), desc="validate", unit=" files"))
    invalid = [verdict for verdict in verdicts if verdict.code]
    if len(invalid) == len(verdicts):
        raise DepixelError(f"{folder}: none of its {len(verdicts)} files is a valid photo ({invalid[0].reason}, ...)")
    there = suggestion.split_already("data/split.csv")
    chosen = [pair for pair in rules.valid_entries(entries, verdicts) if pair[1] not in there]
    valid = len(chosen)
    if not valid:
        raise DepixelError(f"{folder}: all of its {len(verdicts)} files are in data/split.csv already; name new photos")
    known = suggestion.trained_on("data/prepared", "data/split.csv", trained_for.size)
    with TemporaryDirectory() as prepared, progress(total=valid, desc="prepare", unit=" photos") as bar:
        settings = preparation.PrepareSettings(size=trained_for.size)
        preparation.prepare(chosen, valid, prepared, settings, on_done=lambda: bar.update())
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
    click.echo(f"\n{len(rows)} of {valid} new photos, beside {len(known)} that are for training already.")
    if len(rows) < min(count, valid):
        click.echo("The others show the same pictures as these.")
    if invalid:
        first = path_of(invalid[0].contributor, invalid[0].name)
        click.echo(f"{len(invalid)} files are no valid photos, such as {first}: {invalid[0].reason}")
    if sheet:
        click.echo(f"Pictures: {sheet}")


@click.command()
@options.as_json
def snapshots(as_json: bool) -> None:
    """List the named states of the photos.

    They stand in data/snapshots.csv. `*` marks the one that data/raw.dvc names now.

    \b
    Example:
      depixel snapshots
    """
    from depixel.curation import snapshots

    rows = snapshots.read_snapshots()
    if not rows and not snapshots.POINTER.is_file():
        snapshots.current()  # says that this is not the project's folder
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


@click.group()
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
    from depixel.curation import snapshots

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
    from depixel.curation import snapshots
    from depixel.curation.gps import located, strip
    from depixel.photos import archives, rules

    snapshots.check_name(name)
    entries = archives.Entries(snapshots.RAW)
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
            entries = archives.Entries(snapshots.RAW)
    known = rules.known_verdicts("data/validated")
    verdicts = progress(rules.validate(entries, None, known), total=len(entries), desc="validate", unit=" files")
    before = snapshots.read_snapshots()
    made = snapshots.publish(name, note, verdicts)
    for other in before:
        if other.md5 == made.md5:
            click.echo(f"The same photos are called {other.name}, too.")
    click.echo(f"{name}: {made.valid} valid of {made.photos} photos from {made.contributors} contributors, pushed.")
    click.echo(f'For the others: git add data && git commit -m "Photos {name}" && git push')


@click.command()
@click.argument("before")
@click.argument("after", default="workspace")
@options.as_json
@click.option("--sheet", type=options.path(dir_okay=False), help="Also draw the photos, before and after, as a PNG.")
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
    from depixel.base.files import replacing
    from depixel.base.settings import read_section
    from depixel.curation import diff as changes
    from depixel.curation import snapshots
    from depixel.dataset import splits
    from depixel.photos import archives, rules

    settings = read_section("params.yaml", "split", splits.SplitSettings)
    with snapshots.opened(before) as first, snapshots.opened(after) as second:
        entries = [archives.Entries(root) for root in (first, second)]
        verdicts = []
        for name, files in zip((before, after), entries, strict=True):
            found = rules.validate(files, None, rules.known_verdicts("data/validated"))
            verdicts.append(list(progress(found, total=len(files), desc=name, unit=" files")))
        found = changes.changes(*verdicts, settings)
        if sheet:
            with replacing(sheet) as beside:
                changes.sheet(found, *entries).save(beside, format="PNG")
    valid = [sum(not verdict.code for verdict in of) for of in verdicts]
    if as_json:
        contributors = changes.by_contributor(found, *verdicts).to_dict("records")
        listed = [change._asdict() for change in found]
        click.echo(json.dumps({"valid": valid, "contributors": contributors, "changes": listed}))
        return
    if found:
        click.echo(changes.by_contributor(found, *verdicts).to_string(index=False))
    click.echo(f"{len(found)} files differ; valid photos: {valid[0]} in {before}, {valid[1]} in {after}")
    if sheet:
        some = f" of {changes.SHOWN}, evenly chosen" if len(found) > changes.SHOWN else ""
        click.echo(f"Pictures{some}: {sheet}")
