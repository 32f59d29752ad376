"""Stage 1: check which files are valid photos."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import counted, path_option, progress
from depixel.base.files import write_json
from depixel.base.stage import Inputs, stage
from depixel.photos import archives, lost, rules, tracked
from depixel.photos.bucket import Bucket, place

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@path_option("--raw", default=layout.RAW, place=place, help="Folder of the photos, or s3://BUCKET/PREFIX.")
@path_option("--out", default=layout.VALIDATED, help="Output: manifest and log; replaced.")
@path_option("--metrics", default=layout.VALIDATION, help="Output: the counts.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one per core]")
@click.option("--copy-to", metavar="DIR", type=PATH, help="Also copy the valid photos there, numbered.")
@click.option("--name-format", default="07d", show_default=True, help="Number format: 07d is 0000000.jpg, d is 0.jpg.")
@stage("raw")
def main(
    inputs: Inputs,
    raw: Path | Bucket,
    out: Path,
    metrics: Path,
    workers: int | None,
    copy_to: Path | None,
    name_format: str,
) -> None:
    """Check which files are valid photos.

    It checks every file in data/raw: in contributors' ZIPs and tars (without unpacking them), in folders at any depth,
    and single files. A file is valid if it passes six rules. Its code is the first rule that it breaks:

    \b
      1  its name ends in .jpg, .JPG, .jpeg or .JPEG
      2  it has at most 250 000 bytes
      3  it can be read as an image
      4  it is RGB or grayscale, with at least 100 pixels on each side
      5  its pixels do not all have the same value
      6  no earlier valid file has the same bytes

    Files that DVC ignores are left out and reported: files that match .dvcignore, links to folders, and others.

    \b
    Writes
      data/validated/manifest.csv   a row per file: the verdict (code 0 = valid) and the file's properties
      data/validated/invalid.log    contributor/name,CODE for each invalid file
      data/validated/made_by.json   record of the code, so that the next run checks only new and changed files
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
        click.echo(f"For the reasons of the others, see column reason of {out.as_posix()}/manifest.csv.")
    if entries.left_out:
        click.echo(tracked.told(entries.left_out))
    if counts["unreadable_archives"]:
        found = lost.lost(rules.load_manifest(out / layout.MANIFEST.name), lost.committed())
        click.secho(f"{lost.told(found)}.", fg="red")


if __name__ == "__main__":
    main()
