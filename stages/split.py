"""Stage 3: decide which photos are for training, validation, test."""

from depixel.base import arithmetic

arithmetic.begin()  # before anything that computes is loaded

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
@path_option("--prepared", "folder", default=layout.PREPARED, help="Prepared photos.")
@path_option("--out", default=layout.SPLIT, help="For the table.")
@path_option("--metrics", default=layout.METRICS, help="For split.json and copies.png.")
@stage("folder")
def main(inputs: Inputs, folder: Path, out: Path, metrics: Path) -> None:
    """Decide which photos are for training, validation, test.

    By contributor (`split.by: contributor`), so that no camera, place or scene is on two sides; or each photo by itself
    (`split.by: photo`). The side follows from the name and `split.seed` alone: adding or removing photos never moves
    another one. `split.validation` and `split.test` are the fractions to expect. All four are in params.yaml.

    A photo for training that shows the same picture as one on another side is left out, as a model could learn it by
    heart: encoded again, resized to half up to double, turned by 90 degrees, mirrored, or cropped by up to 10 %.

    \b
    Reads
      data/prepared            the prepared photos, from stages/prepare.py
    Writes
      data/split.csv           contributor,name,sha256,split for each photo; split: train, validation, test or copy
      data/copies.csv          which photo shows the same as which, and how similar they are (1 = the same)
      data/split.made_by.json  by which code and settings, so that the next run looks only for copies of new photos
      metrics/split.json       counts
      metrics/copies.png       the pairs, to look at

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
        pairs = f"{counted(len(found), 'pair')} on different sides show{'s' * (len(found) == 1)} the same"
        click.echo(f"{pairs}; no copy is trained on: {places}.")


if __name__ == "__main__":
    main()
