"""After stage 3: describe the photos, and report odd and missing ones."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

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
from depixel.photos.bucket import Bucket, place
from depixel.photos.hashes import load_hashes
from depixel.photos.near_duplicates import Copy


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--raw", default=layout.RAW, place=place, help="Folder of the photos, or s3://BUCKET/PREFIX.")
@path_option("--manifest", default=layout.MANIFEST, help="Table of valid files.")
@path_option("--prepared", "folder", default=layout.PREPARED, help="Folder of prepared photos.")
@path_option("--split", "split", default=layout.SPLIT, help="Table of splits.")
@path_option("--copies", "known", default=layout.COPIES, help="Table of copies between sides.")
@path_option("--out", default=layout.ANALYSIS, help="Output: the table of all photos.")
@path_option("--metrics", default=layout.METRICS, help="Output: findings and contact sheets.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one per core]")
@stage("raw", "manifest", "folder/hashes.npy", "folder/images.npy", "folder/index.csv", "split", "known")
def main(
    inputs: Inputs,
    raw: Path | Bucket,
    manifest: Path,
    folder: Path,
    split: Path,
    known: Path,
    out: Path,
    metrics: Path,
    workers: int | None,
) -> None:
    """Describe the photos, and report odd and missing ones.

    It measures brightness, contrast, detail and blur of each photo, and the JPEG quality, blockiness, size and camera
    of its file. It finds photos of the same picture, clusters of similar photos, unusual contributors, and differences
    between the test side and training. Each finding says why it matters for the RMSE and what to do. The limits for
    dark, blank or blurred photos are in params.yaml, section `analyze`. This stage removes no photo.

    \b
    Reads
      data/raw, data/validated   the photos and their verdicts
      data/prepared              images and hashes, from stages/prepare.py
      data/split.csv, copies.csv from stages/split.py
    Writes
      data/analysis.csv          a row per photo: all measures, its cluster, its kinds, the photo it repeats
      metrics/analysis.json      the findings, and statistics of each side
      metrics/clusters.png       contact sheet of the clusters
      metrics/findings.png       contact sheet of the findings
      data/analysis.made_by.json record of code, settings and inputs, so that nothing is computed twice

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
        click.echo(f"{out.as_posix()}: up to date (same code, settings and photos).")
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
