"""Stage 2: make square gray images of the valid photos."""

from depixel.base import arithmetic

arithmetic.begin()  # before anything that computes is loaded

from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import params_option, path_option, progress
from depixel.base.stage import Inputs, stage
from depixel.photos import archives, preparation, rules


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--raw", default=layout.RAW, help="Where the photos are.")
@path_option("--manifest", default=layout.MANIFEST, help="Which of them are valid.")
@path_option("--out", default=layout.PREPARED, help="For the arrays and the index.")
@click.option("--workers", type=click.IntRange(min=1), help="How many processes.  [default: one for each core]")
@stage("raw", "manifest")
def main(inputs: Inputs, raw: Path, manifest: Path, out: Path, workers: int | None) -> None:
    """Make square gray images of the valid photos.

    Each photo is turned upright, resized so that its short side has `prepare.size` pixels, cut to its centre, and made
    gray as the challenge defines it.

    \b
    Reads
      data/raw                    the photos
      data/validated/manifest.csv which of them are valid, from stages/validate.py
    Writes
      data/prepared/images.npy    all images in one NumPy array (N, size, size), uint8
      data/prepared/hashes.npy    perceptual hashes of each image, by which stages/split.py finds copies
      data/prepared/index.csv     which photo each row of the arrays is
      data/prepared/made_by.json  by which code and settings, so that the next run prepares only new photos

    \b
    Example
      python stages/prepare.py
    """
    settings = inputs.section("prepare", preparation.PrepareSettings)
    count = sum(verdict.code == 0 for verdict in rules.load_manifest(manifest))
    photos = rules.valid_entries(archives.Entries(raw), rules.load_manifest(manifest))
    with progress(total=count, desc="prepare", unit=" photos") as bar:
        preparation.prepare(photos, count, out, settings, workers, on_done=bar.update)
    click.echo(f"{count} photos are prepared in {out.as_posix()}.")


if __name__ == "__main__":
    main()
