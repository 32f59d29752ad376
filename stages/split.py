"""Stage 3: decide which photos are for training, validation, test."""

from pathlib import Path

import click

from depixel import prepared, splits
from depixel.command import params_option
from depixel.files import write_json
from depixel.stage import Inputs, stage
from depixel.tables import read_table

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@click.option("--index", default="data/prepared/index.csv", show_default=True, type=PATH, help="The prepared photos.")
@click.option("--out", default="data/split.csv", show_default=True, type=PATH, help="For the table.")
@click.option("--metrics", default="metrics/split.json", show_default=True, type=PATH, help="For the counts.")
@stage("index")
def main(inputs: Inputs, index: Path, out: Path, metrics: Path) -> None:
    """Decide which photos are for training, validation, test.

    By contributor (`split.by: contributor`), so that no camera, place or scene is on two sides; or each photo by itself
    (`split.by: photo`). The side follows from the name and `split.seed` alone: adding or removing photos never moves
    another one. `split.validation` and `split.test` are the fractions to expect. All four are in params.yaml.

    \b
    Reads
      data/prepared/index.csv   the prepared photos, from stages/prepare.py
    Writes
      data/split.csv            contributor,name,split for each photo
      metrics/split.json        counts

    \b
    Example
      python stages/split.py
    """
    photos = read_table(index, prepared.Photo, prepared.MADE_BY)
    rows = splits.split(photos, inputs.section("split", splits.SplitSettings))
    counts = splits.write_splits(rows, out)
    write_json(metrics, counts)
    for side, count in counts.items():
        click.echo(f"{side}: {count['photos']} photos of {count['contributors']} contributors")


if __name__ == "__main__":
    main()
