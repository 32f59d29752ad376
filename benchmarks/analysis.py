"""Measure time and memory of the analysis of photos, and how many altered contributors it finds.

    python benchmarks/analysis.py --photos ../shared/photos

Runs validate, prepare, split and analyze, and prints the seconds and the peak memory of all processes together. Then
runs analyze again, and prints whether it wrote the same bytes. Then alters the prepared images of every tenth
contributor, one at a time (brighter by a gamma, blurred, with noise, with half the contrast). Prints how many
contributors stand out unaltered, and how often an altered one stands out in a new measure.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy import ndimage

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]  # the library beside this file, whatever is installed

import data  # noqa: E402
from depixel.analysis import contributors, measures  # noqa: E402
from depixel.dataset import prepared  # noqa: E402


def brighter(images: np.ndarray) -> np.ndarray:
    return np.round(255 * (images / 255) ** 0.5).astype(np.uint8)


def blurred(images: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, 0.8, 0.8))


def noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 15, images.shape)
    return (images + noise).clip(0, 255).round().astype(np.uint8)


def dull(images: np.ndarray) -> np.ndarray:
    return (64 + images * 0.5).round().astype(np.uint8)


def altered(table: pd.DataFrame, images: np.ndarray) -> None:
    """Alter one contributor at a time, and print how often it is found."""
    before = contributors.outstanding(table)
    names = sorted(table.contributor.unique())[::10]
    click.echo(f"unaltered: {len({row.contributor for row in before})} of {table.contributor.nunique()} stand out")
    hits = Counter()
    for name in names:
        rows = np.flatnonzero(table.contributor == name)
        known = {row.what for row in before if row.contributor == name}
        for alter in (brighter, blurred, noisy, dull):
            changed = table.copy()
            for column, values in measures.of_images(alter(np.asarray(images[rows])))._asdict().items():
                changed.loc[rows, column] = values
            found = {row.what for row in contributors.outstanding(changed) if row.contributor == name}
            hits[alter.__name__] += bool(found - known)
    for alteration, count in sorted(hits.items()):
        click.echo(f"  {alteration}: {count} of {len(names)} contributors are found")


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
def main(raw: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        stages = ("validate", "prepare", "split", "analyze", "analyze")
        made = []
        for stage in stages:
            (seconds,), (peak,) = data.run(raw.resolve(), [stage], folder)
            click.echo(f"{stage}: {seconds:.1f} s, {peak:.0f} MB")
            if stage == "analyze":
                made.append({name: digest for name, digest in data.hashes(folder).items() if "prepared" not in name})
        click.echo("the second analysis wrote " + ("the same bytes" if made[0] == made[1] else "OTHER BYTES"))
        table = pd.read_csv(folder / "data/analysis.csv", keep_default_na=False)
        table["short_side"] = table[["width", "height"]].min(axis=1)
        images = prepared.load_images(folder / "data/prepared/images.npy", len(table))
        altered(table, images)


if __name__ == "__main__":
    main()
