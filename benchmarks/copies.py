"""Measure the search for copies: recall on planted copies, photos left out without cause, and time.

    python benchmarks/copies.py --photos ../shared/photos

Prepares the photos, and plants changed copies of 500 of them on another side of the split. Every copy is encoded at
quality 50 to 95. Some are also resized to half up to double, turned by 90 degrees or mirrored, or cropped by up to 10 %
of each side. Then it searches. Every other photo that is left out counts as left out without cause, even if the photos
really contain it twice.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np
from PIL import Image

from depixel.dataset import prepared, splits
from depixel.dataset.splits import Assigned
from depixel.photos import archives, near_duplicates, processes
from depixel.photos.archives import Entry
from depixel.photos.decoding import decode, square
from depixel.photos.rules import MOST_BYTES

STAGES = Path(__file__).resolve().parents[1] / "stages"
PLANTED = "planted"
WAYS = ("resized", "turned", "cropped")


def plant(task: tuple[Entry, int]) -> tuple[np.ndarray, np.ndarray, str]:
    """Make a changed copy of a photo: its prepared image, its hashes, and the changes in words."""
    entry, number = task
    random = np.random.default_rng(number)
    image = decode(archives.read(entry, MOST_BYTES))
    ways = [way for way in WAYS if random.random() < 0.5]
    if "cropped" in ways:
        less = [random.uniform(0, 0.1) * side for side in image.size]
        left, top = (random.uniform(0, part) for part in less)
        box = (left, top, left + image.width - less[0], top + image.height - less[1])
        image = image.crop([round(edge) for edge in box])
    if "resized" in ways:
        factor = random.uniform(0.5, 2)
        image = image.resize([round(side * factor) for side in image.size])
    if "turned" in ways:
        image = image.transpose(Image.Transpose(int(random.integers(7))))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(50, 96)))
    pixels = square(decode(file.getvalue()), 64)
    return pixels, near_duplicates.hashes(pixels), " + ".join(["encoded", *ways])


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--count", default=500, show_default=True, help="Number of copies to plant.")
def main(raw: Path, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text("", encoding="utf-8")  # all settings at their defaults
        for stage in ("validate", "prepare"):
            command = [sys.executable, str(STAGES / f"{stage}.py"), "--raw", str(raw.resolve())]
            subprocess.run(command, cwd=folder, check=True)
        measure(raw, Path(folder) / "data/prepared", count)


def measure(raw: Path, folder: Path, count: int) -> None:
    """Plant copies, search, and print the figures."""
    photos = prepared.load_index(folder / "index.csv")
    images = np.array(prepared.load_images(folder / "images.npy", len(photos)))
    start = time.perf_counter()
    codes = np.array(list(processes.each(near_duplicates.hashes, images)))
    hashing = time.perf_counter() - start
    rows = list(splits.split(photos, splits.SplitSettings()))
    start = time.perf_counter()
    before = near_duplicates.left_out(rows, near_duplicates.between_sides(rows, images, codes, [], []))
    searching = time.perf_counter() - start
    click.echo(f"{len(photos)} photos: hashes {hashing:.1f} s, search {searching:.1f} s, {hashing + searching:.1f} s")

    entries = {(entry.contributor, entry.name): entry for entry in archives.Entries(raw)}
    chosen = np.random.default_rng(0).choice(len(photos), count, replace=False)
    tasks = [(entries[photos[number][:2]], int(number)) for number in chosen]
    planted, their_codes, ways = zip(*processes.each(plant, tasks), strict=True)
    for number in chosen.tolist():
        side = "test" if rows[number].split == "train" else "train"
        rows.append(Assigned(PLANTED, str(number), f"{PLANTED} {number}", side))
    found = near_duplicates.between_sides(
        rows, np.concatenate([images, planted]), np.concatenate([codes, their_codes]), [], []
    )
    pairs = {
        (copy.name, copy.of_contributor, copy.of_name) if copy.contributor == PLANTED
        else (copy.of_name, copy.contributor, copy.name)
        for copy in found if PLANTED in (copy.contributor, copy.of_contributor)
    }  # fmt: skip
    hits = [(str(number), *photos[number][:2]) in pairs for number in chosen.tolist()]
    everything, right = Counter(ways), Counter(way for way, hit in zip(ways, hits, strict=True) if hit)
    for way, total in sorted(everything.items()):
        click.echo(f"  {way}: {right[way]} of {total}")
    left = sum(row.split == splits.COPY for row in before)
    trained = sum(row.split == "train" for row in before) + left
    click.echo(f"found {sum(hits)} of {count} copies: {np.mean(hits):.1%}")
    click.echo(f"left out without planted copies: {left} of {trained} photos, {1000 * left / trained:.2f} in 1000")


if __name__ == "__main__":
    main()
