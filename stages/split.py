"""Stage 3: split the photos into training, validation and test."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

from pathlib import Path

import click
import numpy as np

from depixel.base import layout
from depixel.base.console import counted, params_option, path_option
from depixel.base.files import replacing, write_json
from depixel.base.reuse import RECORD, made_by
from depixel.base.stage import Inputs, stage
from depixel.base.tables import path_of
from depixel.dataset import prepared
from depixel.dataset.splits import SplitSettings
from depixel.photos import near_duplicates
from depixel.photos.hashes import load_hashes
from depixel.sheets import contact_sheet


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--prepared", "folder", default=layout.PREPARED, help="Folder of prepared photos.")
@path_option("--out", default=layout.SPLIT, help="Output: the table of splits.")
@path_option("--metrics", default=layout.METRICS, help="Output: split.json and copies.png.")
@stage("folder")
def main(inputs: Inputs, folder: Path, out: Path, metrics: Path) -> None:
    """Split the photos into training, validation and test.

    It splits by contributor (`split.by: contributor`), so that no camera, place or scene is on two sides, or by photo
    (`split.by: photo`). The side depends only on the name and `split.seed`, so adding or removing photos never moves
    another one. `split.validation` and `split.test` are the expected fractions. With `split.folds` there are that many
    folds in place of the fractions: fold `split.fold` is for test, the next one for validation. All settings are in
    params.yaml.

    A training photo is left out if a photo on another side shows the same picture, because a model could memorize it.
    This finds copies that were recompressed, resized to between half and double, turned by 90 degrees, mirrored, or
    cropped by up to 10 %.

    \b
    Reads
      data/prepared            the prepared photos, from stages/prepare.py
    Writes
      data/split.csv           contributor,name,sha256,split for each photo; split: train, validation, test or copy
      data/copies.csv          pairs of photos of the same picture, with their similarity (1 = the same pixels)
      data/split.made_by.json  record of code and settings, so that the next run searches only copies of new photos
      metrics/split.json       counts
      metrics/copies.png       contact sheet of the pairs

    \b
    Example
      python stages/split.py
    """
    settings = inputs.section("split", SplitSettings)
    photos = prepared.load_index(folder / "index.csv")
    images = prepared.load_images(folder / "images.npy", len(photos))
    codes = np.asarray(load_hashes(folder / "hashes.npy", len(photos)))
    images_by = made_by(folder / RECORD)
    counts, found = near_duplicates.split(photos, images, codes, images_by, settings, out)
    write_json(metrics / "split.json", counts)
    numbers = {photo.sha256: number for number, photo in enumerate(photos)}
    shown = sorted(found, key=lambda copy: float(copy.similarity))[: near_duplicates.SHOWN]
    panels = [[images[numbers[copy.sha256]], images[numbers[copy.of_sha256]]] for copy in shown]
    captions = [f"{copy.similarity} {copy.split} {path_of(*copy[:2])}"[:40] for copy in shown]
    with replacing(metrics / "copies.png") as beside:
        contact_sheet(panels, ["photo", "shows the same"], captions, across=4).save(beside, format="PNG")
    for side, count in counts.items():
        click.echo(f"{side}: {counted(count['photos'], 'photo')} of {counted(count['contributors'], 'contributor')}")
    if found:
        places = f"{out.with_name(layout.COPIES.name).as_posix()}, {(metrics / 'copies.png').as_posix()}"
        pairs = f"{counted(len(found), 'pair')} of photos on different sides show{'s' * (len(found) == 1)} the same"
        click.echo(f"{pairs} picture; training leaves these copies out. See {places}.")


if __name__ == "__main__":
    main()
