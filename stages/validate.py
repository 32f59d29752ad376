"""Stage 1: find out which files are photos to learn from."""

from depixel.base import arithmetic

arithmetic.begin()  # before anything that computes is loaded

from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import counted, path_option, progress
from depixel.base.files import write_json
from depixel.base.stage import Inputs, stage
from depixel.photos import archives, lost, rules, tracked

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@path_option("--raw", default=layout.RAW, help="Where the photos are.")
@path_option("--out", default=layout.VALIDATED, help="For manifest and log; replaced.")
@path_option("--metrics", default=layout.VALIDATION, help="For the counts.")
@click.option("--workers", type=click.IntRange(min=1), help="How many processes.  [default: one for each core]")
@click.option("--copy-to", metavar="DIR", type=PATH, help="Copy the valid photos there too, numbered.")
@click.option("--name-format", default="07d", show_default=True, help="07d: 0000000.jpg; d: 0.jpg.")
@stage("raw")
def main(
    inputs: Inputs, raw: Path, out: Path, metrics: Path, workers: int | None, copy_to: Path | None, name_format: str
) -> None:
    """Find out which files are photos to learn from.

    Looks at every file in data/raw: contributors' ZIPs (read in place, nothing is unpacked), folders, single files,
    nested as they like. A file is valid if it passes six rules; the first that it breaks is its code:

    \b
      1  its name ends in .jpg, .JPG, .jpeg or .JPEG
      2  it has at most 250 000 bytes
      3  it can be read as an image
      4  it is RGB or grayscale, with at least 100 pixels on each side
      5  it is not all one value
      6  it is not the same, byte for byte, as an earlier valid file

    What DVC does not track, such as what .dvcignore names and links to folders, is left out and reported.

    \b
    Writes
      data/validated/manifest.csv   one row for each file: its verdict (code 0 = valid) and what is known of it
      data/validated/invalid.log    contributor/name,CODE for each invalid file
      data/validated/made_by.json   by which code, so that the next run looks only at files that are new or changed
      metrics/validation.json       counts

    \b
    Examples
      python stages/validate.py
      python stages/validate.py --raw ~/photos --copy-to ~/valid_photos
    """
    if copy_to:
        rules.check_copies(copy_to, name_format)
    entries = archives.Entries(raw)
    verdicts = progress(
        rules.validate(entries, workers, rules.known_verdicts(out)),
        total=len(entries),
        desc="validate",
        unit=" files",
    )
    counts = rules.write_verdicts(verdicts, out, raw)
    write_json(metrics, counts)
    if copy_to:
        photos = rules.valid_entries(entries, rules.load_manifest(out / "manifest.csv"))
        copies = rules.copy_valid(photos, copy_to, name_format, workers)
        for _ in progress(copies, total=counts["valid"], desc="copy", unit=" photos"):
            pass
    contributors = counted(counts["contributors"], "contributor")
    click.echo(f"{counts['valid']} of {counts['files']} files from {contributors} are valid.")
    if counts["valid"] < counts["files"]:
        click.echo(f"Why the others are not: {out.as_posix()}/manifest.csv, column reason.")
    if entries.left_out:
        click.echo(tracked.told(entries.left_out))
    if counts["unreadable_archives"]:
        found = lost.lost(rules.load_manifest(out / layout.MANIFEST.name), lost.committed())
        click.secho(f"{lost.told(found)}.", fg="red")


if __name__ == "__main__":
    main()
