"""The table of all photos: a row for each photo, a column for each measure; and the kinds of odd photos.

All comparisons start from this table (`depixel.analysis.sides`, `contributors`, `clusters`). They run on one thread and
with fixed seeds, so that the same photos give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from depixel.analysis import measures
from depixel.analysis.measures import OfFile
from depixel.base.errors import DepixelError
from depixel.base.settings import Settings
from depixel.base.tables import path_of
from depixel.dataset.prepared import Photo
from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError
from depixel.photos.processes import each
from depixel.photos.rules import MOST_BYTES, Verdict

ALL = "all"
"""The side of photos that have no split."""

SEED = 0
"""The seed of everything random in the analysis."""

SIGNIFICANT = 0.05
"""Family-wise error rate: the chance of at least one false alarm among all tests of a kind."""

ENOUGH = 100_000
"""Maximum number of photos from which clusters are learned and by which sides are compared."""


class AnalyzeSettings(Settings):
    """The section `analyze` of params.yaml: thresholds for odd photos, on the measures of `analysis.measures`.

    Attributes:
        clusters: number of clusters, 2..100.
        dark: brightness below which a photo is dark, gray levels.
        bright: brightness above which a photo is bright, gray levels.
        blank: contrast below which a photo is blank, gray levels.
        blurred: blur above which a photo is blurred, 0..1.
        quality: JPEG quality below which a photo is compressed too much, 0..100.
    """

    clusters: int = Field(default=12, ge=2, le=100)
    dark: float = Field(default=40, ge=0, le=255)
    bright: float = Field(default=215, ge=0, le=255)
    blank: float = Field(default=12, ge=0, le=128)
    blurred: float = Field(default=0.6, ge=0, le=1)
    quality: int = Field(default=50, ge=0, le=100)


BLOCKY = 2.0
"""Blockiness above which the blocks of an earlier, stronger JPEG compression are visible."""

LONG = 2.0
"""Ratio of longer to shorter side from which cropping to a square loses at least half of the photo."""

GRAY = 2.0
"""Color, in gray levels, below which a photo looks gray."""

KINDS: dict[str, Callable[[pd.DataFrame, AnalyzeSettings], pd.Series]] = {
    "blank": lambda t, s: t.contrast < s.blank,
    "dark": lambda t, s: t.brightness < s.dark,
    "bright": lambda t, s: t.brightness > s.bright,
    "blurred": lambda t, s: (t.blur > s.blurred) & (t.contrast >= s.blank),
    "compressed": lambda t, s: (t.quality < s.quality) | (t.blockiness > BLOCKY),
    "long": lambda t, s: t.aspect >= LONG,
    "gray": lambda t, s: t.color < GRAY,
    "smooth": lambda t, s: t.detail <= t.detail.quantile(0.1),
    "textured": lambda t, s: t.detail >= t.detail.quantile(0.9),
}
"""The kinds of photos: for each name a rule, which takes the table and the settings and returns a bool per photo."""


class Measure(NamedTuple):
    """How a column of the table is compared between contributors.

    Attributes:
        name: its name in findings.
        scale: converts the values to the scale of the comparison.
        least: lower limit of the standard deviation of the contributors' means, on that scale. Smaller differences do
            not matter.
    """

    name: str
    scale: Callable[[pd.Series], pd.Series]
    least: float


MEASURES = {
    "brightness": Measure("brightness", lambda v: v, 4),
    "contrast": Measure("contrast", lambda v: v, 3),
    "detail": Measure("detail", np.log1p, 0.08),
    "blur": Measure("blur", lambda v: v, 0.02),
    "clipped": Measure("clipped share", lambda v: v, 0.01),
    "blockiness": Measure("blockiness", np.log, 0.05),
    "quality": Measure("JPEG quality", lambda v: v, 2),
    "color": Measure("color", np.log1p, 0.1),
    "short_side": Measure("short side", np.log, 0.1),
    "aspect": Measure("aspect", np.log, 0.08),
}
"""The columns of the table that are compared between sides and between contributors."""


def of_files(photos: Iterable[tuple[Entry, str]], workers: int | None = None) -> Iterator[OfFile]:
    """Yield the measures of each photo's file, in order.

    Args:
        photos: as `valid_entries` yields them.
        workers: number of processes; None: one for each core. It changes no result.

    Raises:
        DepixelError: a file can no longer be read, or crashes the decoder.
    """
    return each(_of_file, photos, workers, _crashed)


def _of_file(photo: tuple[Entry, str]) -> OfFile:
    entry, _ = photo
    try:
        return measures.of_file(archives.read(entry, MOST_BYTES))
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}. Validate the photos again: `dvc repro`") from error


def _crashed(photo: tuple[Entry, str], fault: str) -> DepixelError:
    return DepixelError(f"{photo[0].path}: decoding crashed ({fault}). Remove it from the photos, then run `dvc repro`")


def table(
    photos: Sequence[Photo], sides: np.ndarray, verdicts: Sequence[Verdict], files: Sequence[OfFile], images: np.ndarray
) -> pd.DataFrame:
    """Make the table of all photos: a row for each photo, in order.

    Columns: path, contributor, name, sha256, side, width and height (upright, pixels), short_side (pixels), aspect
    (longer to shorter side, 1 or more), bytes; then the fields of `OfFile` and `OfImages`.

    Args:
        photos: N rows of the index.
        sides: (N,) text, the side of each photo, or `ALL`.
        verdicts: the N verdicts on these photos.
        files: the measures of their N files.
        images: (N, S, S) uint8, prepared.
    """
    turned = np.array([(verdict.orientation or 1) >= 5 for verdict in verdicts], bool)
    stored = np.array([(verdict.width, verdict.height) for verdict in verdicts]).reshape(-1, 2)
    upright = np.where(turned[:, None], stored[:, ::-1], stored)
    return pd.DataFrame(
        {
            "path": [path_of(photo.contributor, photo.name) for photo in photos],
            "contributor": [photo.contributor for photo in photos],
            "name": [photo.name for photo in photos],
            "sha256": [photo.sha256 for photo in photos],
            "side": sides,
            "width": upright[:, 0],
            "height": upright[:, 1],
            "short_side": upright.min(axis=1),
            "aspect": (upright.max(axis=1) / upright.min(axis=1)).round(3),
            "bytes": [verdict.bytes for verdict in verdicts],
            **{name: [getattr(file, name) for file in files] for name in OfFile._fields},
            **measures.of_images(images)._asdict(),
        }
    )


def kinds(photos: pd.DataFrame, settings: AnalyzeSettings) -> pd.DataFrame:
    """Whether each of N photos is of each kind: (N, len(KINDS)) bool, a column for each of `KINDS`.

    Args:
        photos: the table, with the columns that the rules of `KINDS` read.
        settings: the thresholds.
    """
    return pd.DataFrame({kind: rule(photos, settings) for kind, rule in KINDS.items()}, dtype=bool)


_WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("lower contrast", "higher contrast"),
    "detail": ("smoother", "more textured"),
    "blur": ("crisper", "softer"),
    "color": ("grayer", "more colorful"),
    "clipped": ("less clipped", "more clipped"),
}


def words(photos: pd.DataFrame, chosen: np.ndarray) -> str:
    """Describe in a few words how some photos differ from all, the strongest difference first.

    The text names each difference of means of at least half a standard deviation. If there is none, it names the
    strongest difference as a slight one. It compares only measures that the table has.

    Args:
        photos: the table, N rows.
        chosen: (N,) bool, the photos to describe.
    """
    found = []
    for name, (low, high) in _WORDS.items():
        if name not in photos:
            continue
        values = MEASURES[name].scale(photos[name])
        difference = (values[chosen].mean() - values.mean()) / (values.std(ddof=0) + 1e-9)
        found.append((-abs(round(difference, 6)), high if difference > 0 else low))
    found.sort()
    strong = [word for strength, word in found if strength <= -0.5]
    slight = [f"slightly {word}" for strength, word in found[:1] if strength < -0.1]
    return ", ".join(strong or slight) or "like the average"
