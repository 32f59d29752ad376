"""After stage 3: find out what the photos are like, which are odd, and what is missing."""

from depixel.base import arithmetic

arithmetic.begin()  # before anything that computes is loaded

from pathlib import Path

import click
import numpy as np

from depixel.analysis import findings, outputs, overview, photo_table
from depixel.base import layout
from depixel.base.console import params_option, path_option, progress
from depixel.base.reuse import RECORD
from depixel.base.stage import Inputs, stage
from depixel.base.tables import read_table
from depixel.dataset import prepared, splits
from depixel.photos import archives, rules
from depixel.photos.hashes import load_hashes
from depixel.photos.near_duplicates import Copy


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--raw", default=layout.RAW, help="Where the photos are.")
@path_option("--manifest", default=layout.MANIFEST, help="The valid ones.")
@path_option("--prepared", "folder", default=layout.PREPARED, help="Prepared photos.")
@path_option("--split", "split", default=layout.SPLIT, help="Their sides.")
@path_option("--copies", "known", default=layout.COPIES, help="Copies between sides.")
@path_option("--out", default=layout.ANALYSIS, help="For the table of all photos.")
@path_option("--metrics", default=layout.METRICS, help="For the findings and the sheets.")
@click.option("--workers", type=click.IntRange(min=1), help="How many processes.  [default: one for each core]")
@stage("raw", "manifest", "folder/hashes.npy", "folder/images.npy", "folder/index.csv", "split", "known")
def main(
    inputs: Inputs,
    raw: Path,
    manifest: Path,
    folder: Path,
    split: Path,
    known: Path,
    out: Path,
    metrics: Path,
    workers: int | None,
) -> None:
    """Find out what the photos are like, which are odd, and what is missing.

    Light, contrast, detail and blur of each; JPEG quality and blockiness, size, camera of its file; which photos are
    the same picture; clusters of similar photos; contributors that stand out from all others; how the test side differs
    from training. Each finding says why it matters for the RMSE and what to do. What counts as dark, blank or blurred
    is in params.yaml, section `analyze`. This stage leaves out nothing.

    \b
    Reads
      data/raw, data/validated   the photos and which are valid
      data/prepared              images and hashes, from stages/prepare.py
      data/split.csv, copies.csv from stages/split.py
    Writes
      data/analysis.csv          a row for each photo: all measures, its cluster, what it is, which photo it repeats
      metrics/analysis.json      the findings, and the photos of each side in numbers
      metrics/clusters.png       the clusters, to look at
      metrics/findings.png       the photos of the findings, to look at
      data/analysis.made_by.json by which code, settings and inputs, so that nothing is done twice

    \b
    Example
      python stages/analyze.py
    """
    settings = inputs.section("analyze", photo_table.AnalyzeSettings)
    photos = prepared.load_index(folder / "index.csv")
    images = prepared.load_images(folder / "images.npy", len(photos))
    codes = np.asarray(load_hashes(folder / "hashes.npy", len(photos)))
    sides = splits.load_splits(split, photos)
    made = (out, *(metrics / name for name in outputs.FILES))
    verdicts = list(rules.load_manifest(manifest))
    exact, broken = rules.exact_copies(verdicts), [verdict for verdict in verdicts if not verdict.name]
    entries = list(rules.valid_entries(archives.Entries(raw), verdicts))
    if inputs.reusable(out.with_suffix(f".{RECORD}"), without=[raw]):
        click.echo(f"{out.as_posix()}: is of this very code, these settings and photos; it stays as it is.")
        return
    files = list(progress(photo_table.of_files(entries, workers), total=len(photos), desc="analyze", unit=" photos"))
    verdicts = [verdict for verdict in verdicts if verdict.code == 0]
    table = photo_table.table(photos, sides, verdicts, files, images)
    result = overview.analyze(table, images, codes, read_table(known, Copy, splits.MADE_BY), settings, workers)
    found = findings.findings(result, settings, exact, broken)
    outputs.write(result, found, exact, images, out, metrics)
    inputs.made(*made)
    click.echo(outputs.readable(result, found, metrics))


if __name__ == "__main__":
    main()
