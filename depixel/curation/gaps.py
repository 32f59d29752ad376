"""Coverage of a test set by photos: which kinds the photos have too few or too many of, and which test pictures are
unlike all photos.

A test set hides an area of each picture. To measure both alike, each photo gets the area of a test picture, in turn,
and all areas are filled with their mean.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from depixel.analysis import clusters, measures
from depixel.analysis.findings import Finding, percent
from depixel.analysis.measures import SIDE, small
from depixel.analysis.photo_table import KINDS, MEASURES, SEED, SIGNIFICANT, AnalyzeSettings, words
from depixel.base.errors import DepixelError
from depixel.base.files import replacing, write_json
from depixel.challenge import test_sets
from depixel.challenge.test_sets import TestSet
from depixel.sheets import contact_sheet

UNLIKE = 0.05
"""Share of the photos that count as unlike the photos of all other contributors. A test picture counts as unlike all
photos if it is farther from them than that."""

LEAST = 20
"""Minimum number of photos, and of test pictures, for a comparison."""

SHOWN = 24
"""Maximum number of pictures in unlike.png, which shows test pictures that are unlike all photos."""

EXAMPLES = 12
"""Maximum number of examples of a kind or group in gaps.png."""

_SEEN = ("brightness", "contrast", "detail", "blur", "clipped")  # the measures that need no file
_KINDS = ("blank", "dark", "bright", "blurred", "smooth", "textured")
_LEAST_SHARE = 0.02  # smaller differences of shares are not reported
_LEAST_SHIFT = 0.2  # nor smaller differences of means, in standard deviations
_REFERENCES = 2000  # number of photos whose distance from those of others is measured
_LEAST_CONTRIBUTORS = 5  # with fewer contributors, each photo counts as its own contributor
_BATCH = 256


class Gap(NamedTuple):
    """How the pictures of a test set differ from photos in one respect.

    Attributes:
        what: a measure, a kind, or a group of pictures that look alike ("group A").
        is_like: a description of a group in words; "" for a measure or a kind.
        photos, test_set: the mean of a measure, or the share of a kind or group, in the photos and in the test set.
        p: the p-value times the number of comparisons (Bonferroni).
        examples: rows of pictures of the kind or group, the most typical first. They are rows of the test set if the
            share is larger there, otherwise of the photos.
    """

    what: str
    is_like: str
    photos: float
    test_set: float
    p: float
    examples: list[int]


class Coverage(NamedTuple):
    """How far N photos cover M test pictures.

    Attributes:
        gaps: the differences that are significant and large enough to matter, the largest first.
        distance: (M,) float64: the distance of each test picture from its nearest photo. The unit is the distance to
            photos of other contributors that a share `UNLIKE` of the photos exceeds. Above 1, a picture is unlike all
            photos.
        nearest: (M,) int64: the row of that photo.
    """

    gaps: list[Gap]
    distance: np.ndarray
    nearest: np.ndarray

    @property
    def unlike(self) -> float:
        """Share of the test pictures that are unlike all photos; about `UNLIKE` for pictures of a new contributor."""
        return float((self.distance > 1).mean())


def check_count(count: int, what: str) -> None:
    """Raise `DepixelError` if there are fewer than `LEAST` pictures; the message calls them `what`."""
    if count < LEAST:
        raise DepixelError(f"{what}: {count}, but a comparison needs at least {LEAST}")


def coverage(images: np.ndarray, contributors: pd.Series, samples: TestSet, settings: AnalyzeSettings) -> Coverage:
    """Compare photos with the pictures of a test set. Test pictures count as independent of each other.

    Args:
        images: (N, SIDE, SIDE) uint8, without copies of the same picture.
        contributors: (N,) text, the contributor of each photo.
        samples: the test set.
        settings: the thresholds of the kinds, and the number of groups.

    Raises:
        DepixelError: there are fewer than `LEAST` photos or test pictures.
    """
    check_count(len(samples.pixelated), "pictures of the test set")
    check_count(len(images), "different photos")
    areas = test_sets.areas(samples.known)
    shown = np.stack([small(_filled(image, area)) for image, area in zip(samples.pixelated, areas, strict=True)])
    height, width = samples.pixelated.shape[1:]
    scaled = (areas * SIDE / [width, height, width, height]).round().astype(int)
    scaled[:, 2:] = np.maximum(scaled[:, 2:], 1)
    hidden = np.stack([_filled(image, scaled[i % len(scaled)]) for i, image in enumerate(images)])
    everything = np.concatenate([hidden, shown])
    whose = pd.factorize(contributors)[0]
    if whose.max() + 1 < _LEAST_CONTRIBUTORS:
        whose = np.arange(len(images))
    points = clusters.described(everything)
    return Coverage(_gaps(everything, points, whose, settings), *_distances(points, whose))


def _filled(image: np.ndarray, area: np.ndarray) -> np.ndarray:
    x, y, width, height = area
    filled = image.copy()
    filled[y : y + height, x : x + width] = image[y : y + height, x : x + width].mean().round()
    return filled


def _gaps(everything: np.ndarray, points: np.ndarray, whose: np.ndarray, settings: AnalyzeSettings) -> list[Gap]:
    count = len(whose)
    table = pd.DataFrame(measures.of_images(everything)._asdict())
    group, distance = clusters.clusters(points, settings.clusters)
    columns = {name: MEASURES[name].scale(table[name]).to_numpy() for name in _SEEN}
    columns |= {kind: KINDS[kind](table, settings).to_numpy(float) for kind in _KINDS}
    columns |= {f"group {_letter(k)}": (group == k).astype(float) for k in np.unique(group)}
    found = []
    for name, values in columns.items():
        sides = values[:count], values[count:]
        difference = sides[1].mean() - sides[0].mean()
        p = min(1.0, _chance(*sides, whose, name not in MEASURES) * len(columns))
        size = abs(difference) / (_LEAST_SHIFT * (values.std() + 1e-12) if name in MEASURES else _LEAST_SHARE)
        if size < 1 or p > SIGNIFICANT:
            continue
        told = table[name].to_numpy() if name in MEASURES else values
        of_photos, of_test = (round(float(side.mean()), 4) for side in (told[:count], told[count:]))
        is_like, examples = "", []
        if name not in MEASURES:
            begin, end = (count, len(values)) if difference > 0 else (0, count)
            rows = begin + np.flatnonzero(values[begin:end])
            examples = (clusters.typical(distance, rows, EXAMPLES) - begin).tolist()
            is_like = words(table, values > 0) if name.startswith("group ") else ""
        found.append((size, Gap(name, is_like, of_photos, of_test, round(p, 4), examples)))
    return [gap for _, gap in sorted(found, key=lambda pair: -pair[0])]


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number)


def _chance(photos: np.ndarray, test: np.ndarray, whose: np.ndarray, share: bool) -> float:
    """The p-value of the difference of two means, by Welch's t-test.

    Photos of a contributor are alike, so their standard error is cluster-robust (Liang & Zeger 1986), with one degree
    of freedom less than there are contributors. For a share, each side gets one more picture of the kind and one that
    is not (Agresti & Caffo 2000); otherwise a few pictures that are all of one kind would seem certain.
    """
    if share:
        photos, test = (np.append(side, [0.0, 1.0]) for side in (photos, test))
        whose = np.append(whose, [whose.max() + 1, whose.max() + 2])
    errors = _squared_error(photos, whose), _squared_error(test, np.arange(len(test)))
    free = (len(np.unique(whose)) - 1, len(test) - 1)
    total = sum(errors) + 1e-12
    degrees = total**2 / (sum(e**2 / n for e, n in zip(errors, free, strict=True)) + 1e-24)
    return float(2 * stats.t.sf(abs(test.mean() - photos.mean()) / np.sqrt(total), max(degrees, 1)))


def _squared_error(values: np.ndarray, units: np.ndarray) -> float:
    """The squared standard error of the mean of values, if values of the same unit may be alike."""
    sums = np.bincount(units, values - values.mean())
    return float(np.square(sums).sum() / len(values) ** 2 * len(sums) / max(len(sums) - 1, 1))


def _distances(points: np.ndarray, whose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`Coverage.distance` and `Coverage.nearest`."""
    from scipy.spatial.distance import cdist

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
    """Yield findings: kinds of pictures of which the photos have too few or too many for this test set."""
    count = len(found.distance)
    unlike = int((found.distance > 1).sum())
    if stats.binomtest(unlike, count, UNLIKE, alternative="greater").pvalue <= SIGNIFICANT:
        yield Finding(
            f"{percent(found.unlike)} of the {count} pictures of the test set are unlike all of these photos; with "
            f"suitable photos, {percent(UNLIKE)} would be.",
            "A network restores pictures worst if it was trained on nothing like them, and they weigh in the score.",
            "Look at unlike.png, which shows each beside its nearest photo, and collect photos of such subjects.",
            unlike,
        )
    for gap in found.gaps:
        if gap.what in MEASURES:
            yield Finding(
                f"The test set differs in {MEASURES[gap.what].name}: {gap.test_set:.4g} on average, in these photos "
                f"{gap.photos:.4g}.",
                "A network is best on pictures like those it was trained on, and the score is of different pictures.",
                "Collect photos like those of the test set.",
                count,
            )
            continue
        less = gap.photos < gap.test_set
        yield Finding(
            f"These photos have a {'smaller' if less else 'larger'} share of {_name(gap)} than the test set: "
            f"{percent(gap.photos)} against {percent(gap.test_set)}. gaps.png shows examples.",
            "A network restores a kind of picture worse if training has few of them, and here they weigh in the score."
            if less
            else "Much of the training goes into pictures that hardly count in the score.",
            "Collect such photos." if less else "Nothing, or leave some of them out.",
            round(gap.test_set * count),
        )


def _name(gap: Gap) -> str:
    return f"{gap.what} ({gap.is_like})" if gap.is_like else f"{gap.what} pictures"


def readable(found: Coverage) -> str:
    """The findings as a list, as text for a terminal."""
    lines = [
        f"Compared with the test set: {percent(found.unlike)} of its {len(found.distance)} pictures are unlike all of "
        f"these photos. For pictures by one more contributor, {percent(UNLIKE)} would be."
    ]
    if not found.gaps:
        lines.append("No measured property differs by more than chance.")
    for finding in findings(found):
        lines += [f"\n- {finding.what}", f"  Why it matters: {finding.why}", f"  What to do: {finding.do}"]
    return "\n".join(lines)


def report(found: Coverage) -> dict[str, Any]:
    """The comparison for tools: the content of test_set.json.

    Returns:
        pictures: number of test pictures.
        unlike: see `Coverage.unlike`.
        gaps: a list of `Gap`s as dictionaries.
        most_unlike: rows, from 0, of the test pictures that are unlike all photos, the most unlike first; at most
            `SHOWN`.
    """
    order = np.argsort(-found.distance, kind="stable")
    return {
        "pictures": len(found.distance),
        "unlike": round(found.unlike, 4),
        "gaps": [gap._asdict() for gap in found.gaps],
        "most_unlike": order[found.distance[order] > 1][:SHOWN].tolist(),
    }


def write(found: Coverage, samples: TestSet, images: np.ndarray, paths: list[str], folder: Path) -> None:
    """Write the report and two sheets.

    test_set.json holds the `report`. unlike.png shows the test pictures most unlike all photos, each beside its nearest
    photo. gaps.png shows a row of examples for each gap that has some.

    Args:
        found: the comparison.
        samples: the test set.
        images: (N, S, S) uint8, the photos.
        paths: the N names of the photos.
        folder: the folder for the files.

    Raises:
        DepixelError: a file cannot be written.
    """
    told = report(found)
    write_json(folder / "test_set.json", told)
    panels, captions = [], []
    for i in told["most_unlike"]:
        photo = found.nearest[i]
        panels.append([small(samples.pixelated[i]), small(images[photo])])
        captions.append(f"{i}, {found.distance[i]:.2f} times as far: {paths[photo]}")
    sheets = {"unlike.png": contact_sheet(panels, ["test set", "nearest photo"], captions, across=4)}
    gaps, rows = [gap for gap in found.gaps if gap.examples], []
    for gap in gaps:
        source = samples.pixelated if gap.photos < gap.test_set else images
        rows.append([small(source[i]) for i in gap.examples])
    captions = [
        f"too {'few' if gap.photos < gap.test_set else 'many'}: {_name(gap)}, {percent(gap.photos)}, "
        f"test set {percent(gap.test_set)}"
        for gap in gaps
    ]
    sheets["gaps.png"] = contact_sheet(rows, [""] * EXAMPLES, captions, across=1, scale=1)
    for name, sheet in sheets.items():
        with replacing(folder / name) as beside:
            sheet.save(beside, format="PNG")
