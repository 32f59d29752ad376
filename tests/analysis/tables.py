"""Tables of photos that differ by chance only, for the tests to plant something in."""

import numpy as np
import pandas as pd

from depixel.analysis import overview, photo_table, sides
from depixel.analysis.photo_table import AnalyzeSettings
from depixel.dataset import splits
from depixel.photos.near_duplicates import Pair

SETTINGS = AnalyzeSettings()


def made(count: int = 240, contributors: int = 24, seed: int = 0) -> pd.DataFrame:
    """A table of photos that differ by chance only; a third of the contributors are on each side."""
    random = np.random.default_rng(seed)
    of = np.arange(count) * contributors // count
    photos = pd.DataFrame(
        {
            "path": [f"k{c:02}/{i}.jpg" for i, c in enumerate(of)],
            "contributor": [f"k{c:02}" for c in of],
            "name": [f"{i}.jpg" for i in range(count)],
            "sha256": [f"{i}" for i in range(count)],
            "side": np.array(splits.SIDES)[of % 3],
            "width": 160,
            "height": 140,
            "short_side": 140,
            "aspect": 1.143,
            "bytes": 9000,
            "quality": 85,
            "camera": "A",
            "cut_off": False,
        }
    )
    for name, middle in (("brightness", 120), ("contrast", 50), ("detail", 25), ("color", 20), ("sharpness", 30)):
        photos[name] = random.normal(middle, middle / 10, count).round(3)
    for name, middle in (("blur", 0.4), ("blockiness", 1.1), ("clipped", 0.02)):
        photos[name] = random.normal(middle, middle / 10, count).round(4)
    return photos


def result_of(photos: pd.DataFrame, found: list[Pair] = [], **others) -> overview.Analysis:  # noqa: B006
    first = overview.first_copies(len(photos), found)
    same_as = np.where(first == np.arange(len(photos)), "", photos.path.to_numpy(object)[first])
    photos = photos.assign(cluster=np.arange(len(photos)) % 3, distance=np.arange(len(photos)) / 10, same_as=same_as)
    parts = {"differences": [], "outstanding": [], "told_apart": {}, "compared": len(photos)} | others
    return overview.Analysis(photos, photo_table.kinds(photos, SETTINGS), found, **parts)


def compare(photos: pd.DataFrame, whole: bool = True) -> list[sides.Difference]:
    are = photo_table.kinds(photos, SETTINGS)
    return sides.differences(photos, are, np.zeros(len(photos), int), whole)
