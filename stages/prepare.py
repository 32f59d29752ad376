"""Stage 2: make square gray images of the valid photos."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import params_option, path_option, progress
from depixel.base.stage import Inputs, stage
from depixel.photos import archives, preparation, rules
from depixel.photos.bucket import Bucket, place


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--raw", default=layout.RAW, place=place, help="Folder of the photos, or s3://BUCKET/PREFIX.")
@path_option("--manifest", default=layout.MANIFEST, help="Table of valid files.")
@path_option("--out", default=layout.PREPARED, help="Output: the arrays and the index.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one per core]")
@stage("raw", "manifest")
def main(inputs: Inputs, raw: Path | Bucket, manifest: Path, out: Path, workers: int | None) -> None:
    """Make square gray images of the valid photos.

    It turns each photo upright, resizes it to a short side of `prepare.size` pixels, crops its center, and makes it
    gray as the challenge defines.

    \b
    Reads
      data/raw                    the photos
      data/validated/manifest.csv the verdicts, from stages/validate.py
    Writes
      data/prepared/images.npy    all images in one NumPy array (N, size, size), uint8
      data/prepared/hashes.npy    perceptual hashes of each image; stages/split.py finds copies with them
      data/prepared/index.csv     the photo in each row of the arrays
      data/prepared/made_by.json  record of code and settings, so that the next run prepares only new photos

    \b
    Example
      python stages/prepare.py
    """
    settings = inputs.section("prepare", preparation.PrepareSettings)
    count = sum(verdict.code == 0 for verdict in rules.load_manifest(manifest))
    photos = rules.valid_entries(archives.Entries(raw), rules.load_manifest(manifest))
    with progress(total=count, desc="prepare", unit=" photos") as bar:
        preparation.prepare(photos, count, out, settings, workers, on_done=bar.update)
    click.echo(f"{out.as_posix()}: {count} prepared photos.")


if __name__ == "__main__":
    main()
