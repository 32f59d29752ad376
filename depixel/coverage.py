"""How far photos cover what a test set shows: what it has more or less of, and which of its pictures are unlike all.

The blocks of a test set hide a part of each picture. So that both are measured alike, each photo is given the area of
a test picture, one after the other, and all areas are filled with their mean.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from depixel import analysis, challenge, features
from depixel.analysis import KINDS, MEASURES, SEED, SIGNIFICANT, AnalyzeSettings
from depixel.challenge import TestSet
from depixel.features import SIDE
from depixel.files import replacing, write_json
from depixel.findings import Finding, percent
from depixel.pictures import contact_sheet

UNLIKE = 0.05
"""Share of photos that count as unlike those of all others; their distance is that of a test picture unlike all."""

SHOWN = 24
_SEEN = ("brightness", "contrast", "detail", "blur", "clipped")  # measures that need no file
_KINDS = ("blank", "dark", "bright", "blurred", "smooth", "textured")
_LEAST_SHARE = 0.02  # by which shares differ, to be worth a word
_LEAST_SHIFT = 0.2  # by which means differ, in deviations
_REFERENCES = 2000  # photos whose distance from those of others is looked at
_LEAST_CONTRIBUTORS = 5  # to judge by how much they differ
_BATCH = 256


class Gap(NamedTuple):
    """How the pictures of a test set differ from photos in one respect.

    Attributes:
        what: a measure, a kind, or a cluster ("cluster 3"). is_like: of a cluster, in words.
        photos, test_set: the mean of a measure; the share of a kind or cluster.
        p: the chance of such a difference where there is none, times the number of comparisons (Bonferroni). Photos of
            a contributor are alike: their standard errors are cluster-robust (Liang & Zeger 1986).
    """

    what: str
    is_like: str
    photos: float
    test_set: float
    p: float


class Coverage(NamedTuple):
    """How far N photos cover M test pictures.

    Attributes:
        gaps: those that are sure and large enough to matter, the largest first.
        distance: (M,) float64: how far each test picture is from the photo nearest to it, in units of the distance that
            a share `UNLIKE` of the photos has from those of other contributors: above 1 it is unlike all photos.
        nearest: (M,) int64: the row of that photo.
    """

    gaps: list[Gap]
    distance: np.ndarray
    nearest: np.ndarray

    @property
    def unlike(self) -> float:
        """Share of the test pictures that are unlike all photos; `UNLIKE` where they are like photos of others."""
        return float((self.distance > 1).mean())


def coverage(images: np.ndarray, contributors: pd.Series, samples: TestSet, settings: AnalyzeSettings) -> Coverage:
    """Compare photos with the pictures of a test set.

    Args:
        images: (N, SIDE, SIDE) uint8, N at least 2. contributors: (N,) text, whose they are.
    """
    areas = challenge.areas(samples.known)
    shown = np.stack([_small(_filled(image, area)) for image, area in zip(samples.pixelated, areas, strict=True)])
    height, width = samples.pixelated.shape[1:]
    scaled = (areas * SIDE / [width, height, width, height]).round().astype(int)
    scaled[:, 2:] = np.maximum(scaled[:, 2:], 1)
    hidden = np.stack([_filled(image, scaled[i % len(scaled)]) for i, image in enumerate(images)])
    everything = np.concatenate([hidden, shown])
    whose = pd.factorize(contributors)[0]
    if whose.max() + 1 < _LEAST_CONTRIBUTORS:
        whose = np.arange(len(images))
    return Coverage(_gaps(everything, whose, settings), *_distances(everything, whose))


def _filled(image: np.ndarray, area: np.ndarray) -> np.ndarray:
    x, y, width, height = area
    filled = image.copy()
    filled[y : y + height, x : x + width] = image[y : y + height, x : x + width].mean().round()
    return filled


def _small(image: np.ndarray) -> np.ndarray:
    if image.shape == (SIDE, SIDE):
        return image
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))


def _gaps(everything: np.ndarray, whose: np.ndarray, settings: AnalyzeSettings) -> list[Gap]:
    table = pd.DataFrame(features.of_images(everything)._asdict())
    number, _ = analysis.clusters(everything, settings.clusters)
    columns = {name: MEASURES[name].scale(table[name]).to_numpy() for name in _SEEN}
    columns |= {kind: KINDS[kind](table, settings, 0).to_numpy(float) for kind in _KINDS}
    columns |= {f"cluster {k}": (number == k).astype(float) for k in np.unique(number)}
    found = []
    for name, values in columns.items():
        photos, test = values[: len(whose)], values[len(whose) :]
        difference = test.mean() - photos.mean()
        error = np.sqrt(_squared_error(photos, whose) + _squared_error(test, np.arange(len(test)))) + 1e-12
        p = min(1.0, 2 * stats.norm.sf(abs(difference) / error) * len(columns))
        size = abs(difference) / (_LEAST_SHIFT * (values.std() + 1e-12) if name in MEASURES else _LEAST_SHARE)
        if size >= 1 and p <= SIGNIFICANT:
            told = table[name].to_numpy() if name in MEASURES else values
            means = (round(float(side.mean()), 4) for side in (told[: len(whose)], told[len(whose) :]))
            is_like = analysis.words(table, number == int(name.split()[1])) if name.startswith("cluster ") else ""
            found.append((size, Gap(name, is_like, *means, round(p, 4))))
    return [gap for _, gap in sorted(found, key=lambda pair: -pair[0])]


def _squared_error(values: np.ndarray, units: np.ndarray) -> float:
    """Of the mean, where the values of a unit may be alike."""
    sums = np.bincount(units, values - values.mean())
    return float(np.square(sums).sum() / len(values) ** 2 * len(sums) / max(len(sums) - 1, 1))


def _distances(everything: np.ndarray, whose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`Coverage.distance` and `nearest`."""
    from scipy.spatial.distance import cdist

    points = analysis.described(everything)
    photos, test = points[: len(whose)], points[len(whose) :]
    some = np.random.default_rng(SEED).permutation(len(photos))[:_REFERENCES]
    usual = []
    for start in range(0, len(some), _BATCH):
        rows = some[start : start + _BATCH]
        far = cdist(photos[rows], photos)
        far[whose[rows][:, None] == whose] = np.inf
        usual.append(far.min(axis=1))
    limit = np.quantile(np.concatenate(usual), 1 - UNLIKE) + 1e-9
    distance, nearest = np.empty(len(test)), np.empty(len(test), int)
    for start in range(0, len(test), _BATCH):
        far = cdist(test[start : start + _BATCH], photos)
        nearest[start : start + _BATCH], distance[start : start + _BATCH] = far.argmin(axis=1), far.min(axis=1) / limit
    return distance, nearest


def findings(found: Coverage) -> Iterator[Finding]:
    """What the photos lack for this test set, and what they have too much of."""
    count = len(found.distance)
    unlike = int((found.distance > 1).sum())
    if stats.binomtest(unlike, count, UNLIKE, alternative="greater").pvalue <= SIGNIFICANT:
        yield Finding(
            f"{percent(found.unlike)} of the {count} pictures of the test set are unlike all of these photos; of "
            f"photos by somebody else {percent(UNLIKE)} would be.",
            "What a network has seen nothing like is restored worst, and weighs in the score.",
            "Look at test_set.png, which shows the most unlike ones, and photograph such things.",
            unlike,
        )
    for gap in found.gaps:
        if gap.what in MEASURES:
            yield Finding(
                f"The test set differs in {MEASURES[gap.what].name}: {gap.test_set:.4g} on average, in these photos "
                f"{gap.photos:.4g}.",
                "A network is best at what it saw most, and the score is of pictures that are different.",
                "Collect photos like those of the test set; train.crop, in params.yaml, changes how much detail "
                "training sees.",
                count,
            )
            continue
        less = gap.photos < gap.test_set
        name = f"{gap.what} ({gap.is_like})" if gap.is_like else f"{gap.what} pictures"
        yield Finding(
            f"These photos have {'less' if less else 'more'} of {name} than the test set: {percent(gap.photos)}, "
            f"there {percent(gap.test_set)}.",
            "A network is best at what it saw most: what it lacks is restored worse, and weighs in the score."
            if less
            else "Much of the training goes into what hardly counts in the score.",
            "Collect such photos." if less else "Nothing, or leave some of them out.",
            round(gap.test_set * count),
        )


def readable(found: Coverage) -> str:
    """The findings as a list, for a terminal."""
    lines = [
        f"Beside the test set: {percent(found.unlike)} of its {len(found.distance)} pictures are unlike all of these "
        f"photos ({percent(UNLIKE)} if they were photos of others)."
    ]
    for letter, finding in zip("abcdefghijklmnopqrstuvwxyz", findings(found), strict=False):
        lines.append(f"\n{letter}. {finding.what}")
        lines += [f"   Why it matters: {finding.why}", f"   What to do: {finding.do}"]
    return "\n".join(lines)


def report(found: Coverage) -> dict:
    """For tools: what test_set.json holds.

    Keys:
        pictures: of the test set. unlike: see `Coverage`. gaps: a list of `Gap`s, as dictionaries.
        most_unlike: numbers of test pictures, from 0, the most unlike first.
    """
    return {
        "pictures": len(found.distance),
        "unlike": round(found.unlike, 4),
        "gaps": [gap._asdict() for gap in found.gaps],
        "most_unlike": np.argsort(-found.distance, kind="stable")[:SHOWN].tolist(),
    }


def write(found: Coverage, samples: TestSet, images: np.ndarray, paths: list[str], folder: Path) -> None:
    """Write test_set.json, and test_set.png: the most unlike test pictures, each beside the photo nearest to it.

    Args:
        images: (N, S, S) uint8, those of the photos. paths: (N,) what they are called.
    """
    write_json(folder / "test_set.json", report(found))
    numbers = report(found)["most_unlike"]
    panels = [[_small(samples.pixelated[i]), _small(images[found.nearest[i]])] for i in numbers]
    captions = [f"{i}, {found.distance[i]:.2f}: {paths[found.nearest[i]]}" for i in numbers]
    with replacing(folder / "test_set.png") as beside:
        contact_sheet(panels, ["test set", "nearest photo"], captions, across=4).save(beside, format="PNG")
