"""Measure the search for copies: recall on planted copies, photos left out without cause, and time.

    python benchmarks/copies.py --photos ../shared/photos

Prepares the photos, and plants changed copies of 500 of them on another side of the split. Every copy is encoded at
quality 50 to 95. Some are also resized to half up to double, turned by 90 degrees or mirrored, or cropped by up to 10 %
of each side. Then it searches. Every other photo that is left out counts as left out without cause, even if the photos
really contain it twice. Finally it estimates time and memory of a search among a million photos.
"""

import io
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from PIL import Image

from depixel.dataset import prepared, splits
from depixel.dataset.splits import Assigned
from depixel.photos import archives, near_duplicates, processes
from depixel.photos.archives import Entry
from depixel.photos.decoding import decode, square
from depixel.photos.hashes import hashes
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
    return pixels, hashes(pixels), " + ".join(["encoded", *ways])


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--count", default=500, show_default=True, help="Number of copies to plant.")
@click.option("--million", default=1_000_000, show_default=True, help="Photos of the estimated search; 0: skip it.")
def main(raw: Path, count: int, million: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text("", encoding="utf-8")  # all settings at their defaults
        for stage in ("validate", "prepare"):
            command = [sys.executable, str(STAGES / f"{stage}.py"), "--raw", str(raw.resolve())]
            subprocess.run(command, cwd=folder, check=True)
        measure(raw, Path(folder) / "data/prepared", count, million)


def measure(raw: Path, folder: Path, count: int, million: int) -> None:
    """Plant copies, search, and print the figures."""
    photos = prepared.load_index(folder / "index.csv")
    images = np.array(prepared.load_images(folder / "images.npy", len(photos)))
    start = time.perf_counter()
    codes = np.array(list(processes.each(hashes, images)))
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
    if million:
        print_million(images, codes, million)


def print_million(images: np.ndarray, codes: np.ndarray, count: int, share: float = 0.01) -> None:
    """Estimate time and memory of the search among `count` photos from a share of it; all blocks take about the same.

    The hashes are real ones, repeated with about 14 flipped bits, more than those of a copy. Random hashes would have
    fewer candidates. A repeated photo keeps its picture.
    """
    random = np.random.default_rng(0)
    rows = np.arange(count) % len(codes)
    many = codes[rows]
    places = random.integers(0, 64, (16, count), np.uint64)
    many ^= np.bitwise_or.reduce(np.uint64(1) << places, axis=0)[:, None]
    sides = np.array([row.split for row in splits.split(named(count), splits.SplitSettings(by="photo"))])
    tasks = []
    for first, second in combinations(splits.SIDES, 2):
        a, b = (np.flatnonzero(sides == side) for side in (first, second))
        tasks.append((random.choice(a, round(share * len(a)), replace=False), b))
    start = time.perf_counter()
    found = near_duplicates.search(Repeated(images), many, tasks, 1)
    seconds = time.perf_counter() - start
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    click.echo(
        f"{count} photos: {seconds / share / 3600:.1f} core-hours (from {share:.0%} of the search, {seconds:.0f} s), "
        f"{children:.2f} GB, {len(found)} pairs found in that share"
    )


class Repeated:
    """An array that repeats another one without end."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self.images[row % len(self.images)])


def named(count: int) -> list[prepared.Photo]:
    """Photos with numbers as names."""
    return [prepared.Photo("all", f"{number:08}", f"{number:08}") for number in range(count)]


if __name__ == "__main__":
    main()
