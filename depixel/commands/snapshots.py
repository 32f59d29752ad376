"""Commands for snapshots, the named states of the photos: list, use, publish and compare them."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depixel.base.console import PlainGroup, counted, progress
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import PARAMS, RAW, RAW_POINTER, VALIDATED
from depixel.commands import options

if TYPE_CHECKING:
    from depixel.photos.rules import Verdict


@click.command()
@options.as_json
def snapshots(as_json: bool) -> None:
    """List the snapshots, which are named states of the photos.

    data/snapshots.csv holds them. `*` marks the snapshot that data/raw.dvc names now.

    \b
    Example:
      depixel snapshots
    """
    from depixel.curation import snapshots

    rows = snapshots.read_snapshots()
    if not rows and not RAW_POINTER.is_file():
        snapshots.current()  # says that this is not the project's folder
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))
        return
    now = snapshots.current() if RAW_POINTER.is_file() else ""
    columns = ("name", "contributors", "photos", "valid", "date", "note")
    cells = [("", *columns), *(("*" if row.md5 == now else "", *(getattr(row, c) for c in columns)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if now not in (row.md5 for row in rows):
        pointer = RAW_POINTER.as_posix()
        click.echo(f"The photos that {pointer} names are in no snapshot. `depixel snapshot publish NAME` makes one.")


@click.group(cls=PlainGroup)
def snapshot() -> None:
    """Use a snapshot of the photos, or publish a new one.

    \b
    Example:
      depixel snapshot use v1                 make data/raw the photos of v1
      depixel snapshot publish v3             publish the photos in data/raw as v3
    """


@snapshot.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Discard files in data/raw that no snapshot holds.")
def use(name: str, force: bool) -> None:
    """Make data/raw the photos of a snapshot.

    NAME is a snapshot or a git revision. The command fetches missing photos from the remote and changes data/raw and
    data/raw.dvc. `dvc repro` then trains on these photos. If their training is among the last three, its checkpoint is
    reused.

    \b
    Example:
      depixel snapshot use v1
    """
    from depixel.curation import snapshots

    snapshots.use(name, force)
    missing = snapshots.missing_inputs()
    first = f"`dvc pull {' '.join(missing)}` fetches what else a training needs; then " if missing else ""
    click.echo(f"{RAW.as_posix()} now holds the photos of {name}. {first}`dvc repro` trains on them.")


@snapshot.command()
@click.argument("name")
@click.option("-m", "--note", default="", help="What is new in the snapshot.")
@click.option(
    "--positions",
    type=click.Choice(["strip", "keep"]),
    help="What to do with GPS positions in photos: strip them, which changes no pixel, or publish them too.",
)
def publish(name: str, note: str, positions: str | None) -> None:
    """Publish the photos in data/raw as a snapshot.

    Adds the photos to DVC, pushes them to its remote, and writes the name into data/snapshots.csv. A name can be used
    only once. If JPEGs carry GPS positions, the command stops until you choose with --positions: anyone who pulls the
    photos learns where they were taken.

    \b
    Example:
      depixel snapshot publish v3 --note "two more contributors"
    """
    from depixel.curation import snapshots
    from depixel.photos import tracked

    before = snapshots.check_name(name)
    tracked.check(RAW)
    if positions != "keep":
        _handle_positions(strip=positions == "strip")
    verdicts = _verdicts(RAW, "validate")
    made = snapshots.publish(name, note, verdicts)
    for other in before:
        if other.md5 == made.md5:
            click.echo(f"The snapshot {other.name} holds the same photos.")
    contributors = counted(int(made.contributors), "contributor")
    click.echo(f"{name}: {made.valid} valid of {made.photos} photos from {contributors}, pushed.")
    _tell_lost(verdicts)
    click.echo(f'To share it, type: git add data && git commit -m "Photos {name}" && git push -u origin HEAD')


def _handle_positions(strip: bool) -> None:
    """Strip GPS positions from the photos in data/raw; or raise `DepixelError` if there are some."""
    from depixel.curation import gps
    from depixel.photos.archives import Entries

    found = list(progress(gps.located(Entries(RAW)), desc="look for GPS positions", unit=" photos"))
    if found and not strip:
        raise DepixelError(
            f"{len(found)} photos carry GPS positions, such as {found[0].path}: anyone who pulls them learns where "
            "they were taken. Nothing is published yet. Strip the positions: --positions strip. Or publish them too: "
            "--positions keep"
        )
    for path in dict.fromkeys(entry.source for entry in found):
        gps.strip(Path(path))
    if found:
        click.echo(f"Stripped the GPS positions from {counted(len(found), 'photo')}.")


def _verdicts(root: Path, name: str) -> "list[Verdict]":
    """The verdicts on all files in a folder; the progress bar shows `name`. Reports files that DVC does not track."""
    from depixel.photos import archives, rules, tracked

    entries = archives.Entries(root)
    if entries.left_out:
        click.echo(f"{name}. {tracked.told(entries.left_out)}", err=True)
    found = rules.validate(entries, None, rules.known_verdicts(VALIDATED))
    return list(progress(found, total=len(entries), desc=name, unit=" files"))


def _tell_lost(verdicts: "list[Verdict]", before: "list[Verdict] | None" = None) -> None:
    """Report in red which archives cannot be read; `before`: the verdicts on an earlier state."""
    from depixel.photos import lost

    held = None if before is None else Counter(verdict.contributor for verdict in before if not verdict.code)
    if gone := lost.lost(verdicts, held):
        click.secho(f"{lost.told(gone)}.", fg="red", err=True)


@click.command()
@click.argument("before")
@click.argument("after", default="workspace")
@options.as_json
@click.option("--sheet", type=options.path(dir_okay=False), help="Also draw the photos, before and after, as a PNG.")
def diff(before: str, after: str, as_json: bool, sheet: Path | None) -> None:
    """List the photos that were added, removed or replaced.

    BEFORE and AFTER are each a snapshot or a git revision. `workspace` means data/raw as it is now; it is also the
    default of AFTER. `valid_before` and `valid_after` count the changed files that keep the rules. `side` is the side
    of the split that params.yaml assigns them to.

    \b
    Example:
      depixel diff v1 v2 --sheet changes.png
      depixel diff v2                         the changes since v2
    """
    from depixel.base.settings import read_section
    from depixel.curation import diff as changes
    from depixel.curation import snapshots
    from depixel.dataset.splits import SplitSettings
    from depixel.photos.archives import Entries

    settings = read_section(str(PARAMS), "split", SplitSettings)
    with snapshots.opened(before) as first, snapshots.opened(after) as second:
        old, new = _verdicts(first, before), _verdicts(second, after)
        found = changes.changes(old, new, settings)
        if sheet:
            with replacing(sheet) as beside:
                changes.sheet(found, Entries(first), Entries(second)).save(beside, format="PNG")
    valid = [sum(not verdict.code for verdict in of) for of in (old, new)]
    _tell_lost(new, old)
    if as_json:
        contributors = changes.by_contributor(found, old, new).to_dict("records")
        listed = [change._asdict() for change in found]
        click.echo(json.dumps({"valid": valid, "contributors": contributors, "changes": listed}))
        return
    if found:
        click.echo(changes.by_contributor(found, old, new).to_string(index=False))
    click.echo(f"{len(found)} files differ; valid photos: {valid[0]} in {before}, {valid[1]} in {after}")
    if sheet:
        some = f" of {changes.SHOWN}, evenly chosen" if len(found) > changes.SHOWN else ""
        click.echo(f"Pictures{some}: {sheet}")
