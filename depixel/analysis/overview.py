"""What a collection of photos is like: odd ones, copies, clusters, contributors that stand out, and what is missing.

The table of all photos comes first, a column for each measure of `depixel.analysis.measures`; all else is computed
from it, on one thread and with fixed seeds, so that the same photos give the same bytes.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import sparse, stats
from threadpoolctl import threadpool_limits

from depixel.analysis import measures
from depixel.analysis.measures import OfFile
from depixel.base.errors import DepixelError
from depixel.base.settings import Settings
from depixel.base.tables import path_of
from depixel.dataset.prepared import Photo, load_images, load_index
from depixel.dataset.splits import MADE_BY, SIDES
from depixel.photos import archives, near_duplicates, rules
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError
from depixel.photos.near_duplicates import Copy, Pair
from depixel.photos.preparation import PrepareSettings, prepare
from depixel.photos.processes import each
from depixel.photos.rules import MOST_BYTES, Verdict

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SEED = 0
ALL = "all"
"""Stands for the side of photos that are on none."""

SIGNIFICANT = 0.05  # family-wise: the chance of one false alarm among all tests of a kind
SHUFFLES = 999
_BLOCK = 512  # photos that are compared to all others at a time
_COMPONENTS = 24
_LEAST_PHOTOS = 5  # of a contributor, to say something of it


class AnalyzeSettings(Settings):
    """The section `analyze` of params.yaml; what counts as odd. Gray levels and the like are those of `features`.

    Attributes:
        clusters: into how many the photos are sorted.
        dark, bright: brightness below and above which a photo is. blank: contrast below which it is.
        blurred: blur above which it is. quality: JPEG quality below which it is compressed too much.
    """

    clusters: int = Field(12, ge=2, le=100)
    dark: float = Field(40, ge=0, le=255)
    bright: float = Field(215, ge=0, le=255)
    blank: float = Field(12, ge=0, le=128)
    blurred: float = Field(0.6, ge=0, le=1)
    quality: int = Field(50, ge=0, le=100)


BLOCKY = 2.0
"""Blockiness from which the blocks of an earlier, stronger JPEG compression can be seen."""

LONG = 2.0
"""Aspect from which half of a photo or more is cut off to make it square."""

GRAY = 2.0

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
"""What a photo may be, from the table and the settings."""


class Measure(NamedTuple):
    """How a column of the table is compared between contributors: what it is called, on which scale, how finely."""

    name: str
    scale: Callable[[pd.Series], pd.Series]
    least: float  # differences of contributors' means on this scale below this are no matter


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


def of_files(photos: Iterable[tuple[Entry, str]], workers: int | None = None) -> Iterator[OfFile]:
    """What the file of each photo tells, in order.

    Args:
        photos: as `valid_entries` gives them.

    Raises:
        DepixelError: one is not the one that was validated.
    """
    return each(_of_file, photos, workers, _crashed)


def _of_file(photo: tuple[Entry, str]) -> OfFile:
    entry, _ = photo
    try:
        return measures.of_file(archives.read(entry, MOST_BYTES))
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}. Validate the photos anew: `dvc repro`") from error


def _crashed(photo: tuple[Entry, str], fault: str) -> DepixelError:
    return DepixelError(
        f"{photo[0].path}: its decoding crashed ({fault}). Take it out of the photos, then run `dvc repro`"
    )


def table(
    photos: Sequence[Photo], sides: np.ndarray, verdicts: Sequence[Verdict], files: Sequence[OfFile], images: np.ndarray
) -> pd.DataFrame:
    """The table of all photos, a row each, in order.

    Columns: path, contributor, name, sha256, side (of the split), width and height (upright), short_side, aspect
    (longer to shorter side, 1 or more), bytes, then those of `OfFile` and `OfImages`.

    Args:
        photos: N. sides: (N,) text. verdicts: those on these photos. images: (N, S, S) uint8.
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
    """What each photo is: (N, len(KINDS)) bool, a column for each of `KINDS`."""
    return pd.DataFrame({kind: rule(photos, settings) for kind, rule in KINDS.items()}, dtype=bool)


# Copies


def pairs(images: np.ndarray, codes: np.ndarray, sides: np.ndarray, workers: int | None = None) -> list[Pair]:
    """All pairs of photos on the same side that are the same picture; those on different sides `split` has found.

    Args:
        images, codes: as those of `copies.find`. sides: (N,) text.
    """
    tasks = []
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        tasks += [(rows[start:], rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)]
    few = -(-len(tasks) // 16)
    tasks = [task for first in range(few) for task in tasks[first::few]]  # each process gets long ones and short ones
    found = each(partial(_search, images, codes), tasks, workers)
    return sorted(pair for some in found for pair in some)


def _search(images: np.ndarray, codes: np.ndarray, task: tuple[np.ndarray, np.ndarray]) -> list[Pair]:
    found = near_duplicates.find(images, codes, *task)
    return [Pair(b, a, similarity) for a, b, similarity in found if a > b]  # within the block each is found twice


def first_copies(count: int, found: Iterable[Pair]) -> np.ndarray:
    """(count,) int: for each photo the first one that shows the same picture, itself where it is the first."""
    ends = np.array([pair[:2] for pair in found], int).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    return np.unique(groups, return_index=True)[1][groups]


def between_sides(photos: pd.DataFrame, table: Iterable[Copy]) -> list[Pair]:
    """The rows of the pairs that `split` has found. Raises `DepixelError` if they are of other photos."""
    rows = {sha256: row for row, sha256 in enumerate(photos.sha256)}
    try:
        return [Pair(*sorted((rows[c.sha256], rows[c.of_sha256])), float(c.similarity)) for c in table]
    except KeyError as error:
        raise DepixelError(f"the table of copies is of other photos. Make it anew with `{MADE_BY}`") from error


# Clusters


def described(images: np.ndarray) -> np.ndarray:
    """Places of images, near each other where they show the like, coarsely.

    Args:
        images: (N, S, S) uint8, N > 0.

    Returns:
        (N, C) float32, C at most `_COMPONENTS`.
    """
    if len(images) < 2:
        return np.zeros((len(images), 1), np.float32)
    from sklearn.decomposition import PCA  # takes a second to load, which those who only read the settings save

    with threadpool_limits(1):
        # each of the three descriptions weighs the same
        parts = [part - part.mean(axis=0) for part in measures.descriptors(images)]
        points = np.concatenate([part / np.sqrt(part.var(axis=0).sum() + 1e-9) for part in parts], axis=1)
        return PCA(min(_COMPONENTS, *points.shape), svd_solver="covariance_eigh").fit_transform(points)


def clusters(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort photos into clusters of similar ones, by k-means of where they are `described`, (N, C) float32.

    Returns:
        (N,) int: the cluster of each, the largest is 0. (N,) float: its distance from the centre.
    """
    from sklearn.cluster import KMeans  # as above

    with threadpool_limits(1):
        fitted = KMeans(min(count, len(points)), n_init=4, random_state=SEED).fit(points)
    order = np.argsort(-np.bincount(fitted.labels_), kind="stable")
    number = np.argsort(order)[fitted.labels_]
    return number, np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)


def _standard(values: pd.Series) -> np.ndarray:
    return ((values - values.mean()) / (values.std(ddof=0) + 1e-9)).to_numpy()


_WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("of less contrast", "of more contrast"),
    "detail": ("smoother", "more textured"),
    "blur": ("crisper", "softer"),
    "color": ("grayer", "more colorful"),
    "clipped": ("less clipped", "more clipped"),
}


def words(photos: pd.DataFrame, chosen: np.ndarray) -> str:
    """How the chosen photos differ from all, in a few words, the strongest first: those by half a deviation or more, or
    else the strongest; by the measures that the table has."""
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


def typical(distances: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows of a cluster to show it by: from the one nearest to its centre to half of all."""
    nearest = rows[np.argsort(distances[rows], kind="stable")]
    return nearest[np.unique(np.linspace(0, (len(nearest) - 1) / 2, count).astype(int))] if len(rows) else rows


# Sides


class Difference(NamedTuple):
    """How the test side differs from the training side in one respect.

    Attributes:
        what: a measure, a kind, or a cluster ("cluster 3").
        train, test: the median of a measure; the share of a kind or cluster.
        ks: the Kolmogorov-Smirnov statistic: of a share, the difference.
        p: how often sides drawn at random differ as much in anything at all.
    """

    what: str
    train: float
    test: float
    ks: float
    p: float


def differences(photos: pd.DataFrame, are: pd.DataFrame, cluster: np.ndarray, whole: bool) -> list[Difference]:
    """Compare the test side with the training side in all measures, kinds and clusters; the surest first.

    Photos of a contributor are alike, so that a test that takes them as independent finds differences everywhere. Here
    the sides are shuffled as they were drawn, contributor by contributor, and the statistics compared with those of the
    shuffled sides; p is adjusted for the number of comparisons (Westfall and Young, 1993: the largest of all).

    Args:
        whole: contributors are on one side as a whole; otherwise photo by photo.

    Returns:
        Nothing where there are not both sides, or only one way to draw them.
    """
    both = photos.side.isin(("train", "test")).to_numpy()
    units = pd.factorize(photos.contributor[both])[0] if whole else np.arange(both.sum())
    is_test = (photos.side[both] == "test").to_numpy()
    of_unit = np.zeros(units.max(initial=-1) + 1, bool)
    of_unit[units[is_test]] = True
    if not 0 < of_unit.sum() < len(of_unit) or len(of_unit) < 3:
        return []
    columns = {name: photos[name].to_numpy(float) for name in MEASURES}
    columns |= {kind: are[kind].to_numpy(float) for kind in are}
    columns |= {f"cluster {number}": (cluster == number).astype(float) for number in np.unique(cluster)}
    columns = {name: values[both] for name, values in columns.items() if np.ptp(values[both])}
    random = np.random.default_rng(SEED)
    drawn = [of_unit, *(random.permutation(of_unit) for _ in range(SHUFFLES))]
    found = np.column_stack([_ks(values, units, drawn) for values in columns.values()])
    standard = (found - found.mean(axis=0)) / (found.std(axis=0) + 1e-12)
    p = (standard.max(axis=1)[:, None] >= standard[0] - 1e-9).mean(axis=0)
    rows = []
    for (name, values), ks, chance in zip(columns.items(), found[0], p, strict=True):
        middle = np.median if name in MEASURES else np.mean
        sides = (round(float(middle(values[side])), 4) for side in (~is_test, is_test))
        rows.append(Difference(name, *sides, round(float(ks), 4), round(float(chance), 3)))
    return sorted(rows, key=lambda row: (row.p, -row.ks))


def _ks(values: np.ndarray, units: np.ndarray, drawn: Sequence[np.ndarray]) -> np.ndarray:
    """(len(drawn),) float64: the statistic for each way to draw the units of the test side."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]), 1))  # of equal values
    units = units[order]
    place, found = np.arange(1, len(units) + 1)[last], []
    for of_unit in drawn:
        test = np.cumsum(of_unit[units], dtype=np.int32)
        total = test[-1]
        found.append(np.abs(test[last] / max(total, 1) - (place - test[last]) / max(len(units) - total, 1)).max())
    return np.array(found)


# Contributors


class Outstanding(NamedTuple):
    """A contributor whose photos differ from those of all others in one measure.

    Attributes:
        what: the measure. mean: that of its photos. others: the median of the contributors' means.
        z: by how many deviations of the contributors.
    """

    contributor: str
    side: str
    photos: int
    what: str
    mean: float
    others: float
    z: float


def outstanding(photos: pd.DataFrame) -> list[Outstanding]:
    """Contributors that stand out from all others: batch effects; the most outstanding first.

    The generalized extreme Studentized deviate test (Rosner, 1983) on the contributors' means of each measure: the one
    furthest from the mean of the others is taken out, then the next, up to a tenth of all, so that several do not hide
    each other. The chance that any is named where all are alike is `SIGNIFICANT`, over all measures (Bonferroni). The
    deviation allowed is wider for a contributor of few photos, by the variance of photos within contributors, and no
    narrower than `Measure.least`.
    """
    sizes = photos.groupby("contributor", sort=True).size()
    sizes = sizes[sizes >= _LEAST_PHOTOS]
    if len(sizes) < 5:  # no others to speak of
        return []
    groups = photos[photos.contributor.isin(sizes.index)].groupby("contributor", sort=True)
    sides = groups.side.agg(lambda side: "/".join(side.unique()))
    fewer = (1 / sizes - 1 / sizes.median()).clip(lower=0)
    found = []
    for name, measure in MEASURES.items():
        values = measure.scale(photos[name].astype(float)).groupby(photos.contributor, sort=True)
        means = values.mean()[sizes.index]
        extra = values.var()[sizes.index].median() * fewer
        plain = groups[name].mean()
        for contributor, z in _extreme(means, extra, measure.least):
            others = plain.drop(contributor).median()
            row = (contributor, sides[contributor], int(sizes[contributor]), name)
            found.append(Outstanding(*row, round(float(plain[contributor]), 3), round(float(others), 3), round(z, 1)))
    return sorted(found, key=lambda row: (-abs(row.z), row.contributor))


def _extreme(means: pd.Series, extra: pd.Series, least: float) -> list[tuple[str, float]]:
    """The contributors whose means are extreme, and by how many deviations.

    Args:
        extra: variance of each mean beyond that of a contributor with the usual number of photos.
    """
    left, found, extremes = means, [], 0
    for _ in range(-(-len(means) // 10)):
        n = len(left)
        deviations = (left - left.mean()) / np.sqrt(max(left.std(), least) ** 2 + extra[left.index])
        furthest = deviations.abs().idxmax()
        found.append((furthest, float(deviations[furthest])))
        t = stats.t.isf(SIGNIFICANT / (2 * n * len(MEASURES)), n - 2)
        if abs(deviations[furthest]) > t * (n - 1) / np.sqrt(n * (n - 2 + t**2)):
            extremes = len(found)
        left = left.drop(furthest)
    return found[:extremes]


def told_apart(photos: pd.DataFrame) -> dict[str, float]:
    """How well a classifier says from the measures of a photo whose it is: batch effects, all measures together.

    Linear discriminant analysis, cross-validated in three parts; contributors with fewer than `_LEAST_PHOTOS` photos
    are left out.

    Returns:
        accuracy, and chance: that of always naming the contributor with the most photos. Empty for fewer than two.
    """
    sizes = photos.contributor.value_counts()
    chosen = photos[photos.contributor.isin(sizes.index[sizes >= _LEAST_PHOTOS])]
    names, numbers = np.unique(chosen.contributor.to_numpy(str), return_inverse=True)
    if len(names) < 2:
        return {}
    points = np.column_stack(
        [_standard(measure.scale(chosen[name].astype(float))) for name, measure in MEASURES.items()]
    )
    points = points[:, points.std(axis=0) > 0]
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # as above
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    parts = StratifiedKFold(3, shuffle=True, random_state=SEED)
    model = LinearDiscriminantAnalysis(priors=np.full(len(names), 1 / len(names)))
    with threadpool_limits(1):
        said = cross_val_predict(model, points, numbers, cv=parts)
    chance = np.bincount(numbers).max() / len(numbers)
    return {"accuracy": round(float((said == numbers).mean()), 4), "chance": round(float(chance), 4)}


# All of it


class Analysis(NamedTuple):
    """What is known of the photos.

    Attributes:
        photos: the table, see `table`, with the columns cluster, distance (from its centre), same_as (the path of the
            first photo that shows the same picture, or "") and kinds (those of `KINDS`, separated by blanks).
        are: which photo is of which kind.
        found: pairs that are the same picture, on one side and on different ones.
        differences, outstanding, told_apart: as the functions of these names return them.
    """

    photos: pd.DataFrame
    are: pd.DataFrame
    found: list[Pair]
    differences: list[Difference]
    outstanding: list[Outstanding]
    told_apart: dict[str, float]


def analyze(
    photos: pd.DataFrame,
    images: np.ndarray,
    codes: np.ndarray,
    known: Iterable[Copy],
    settings: AnalyzeSettings,
    workers: int | None = None,
) -> Analysis:
    """Analyze photos.

    Args:
        photos: a `table`. images: (N, S, S) uint8. codes: (N, HASHES) uint64, the `copies.hashes` of each.
        known: copies on different sides.
    """
    are = kinds(photos, settings)
    # what was left out of training as a copy was for training
    sides = photos.side.replace(near_duplicates.COPY, "train").to_numpy(str)
    found = sorted(pairs(images, codes, sides, workers) + between_sides(photos, known))
    first = first_copies(len(photos), found)
    cluster, distance = clusters(described(images), settings.clusters)
    photos = photos.assign(
        cluster=cluster,
        distance=distance.round(4),
        same_as=np.where(first == np.arange(len(photos)), "", photos.path.to_numpy(object)[first]),
        kinds=[" ".join(are.columns[row]) for row in are.to_numpy()],
    )
    divided = photos[photos.side.isin(SIDES)].groupby("contributor").side.nunique().gt(1).any()
    return Analysis(
        photos,
        are,
        found,
        differences(photos, are, cluster, whole=not divided),
        outstanding(photos),
        told_apart(photos),
    )


def of_folder(
    raw: str | Path,
    settings: AnalyzeSettings,
    workers: int | None = None,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> tuple[Analysis, np.ndarray, int]:
    """Analyze the photos in a folder that no pipeline has seen: they are validated and prepared on the way.

    Args:
        progress: wraps an iterable in a bar, as `command.progress` does.

    Returns:
        The analysis, where all photos are on side `ALL`; their images, (N, 64, 64) uint8; the number of exact copies.
    """
    sizes = PrepareSettings(size=measures.SIDE)
    with tempfile.TemporaryDirectory() as place:
        validated, prepared = Path(place) / "validated", Path(place) / "prepared"
        entries = archives.Entries(raw)
        judged = progress(rules.validate(entries, workers), total=len(entries), desc="validate", unit=" files")
        counts = rules.write_verdicts(judged, validated, raw)
        verdicts = list(rules.load_manifest(validated / "manifest.csv"))
        valid = list(rules.valid_entries(entries, verdicts))
        prepare(progress(valid, desc="prepare", unit=" photos"), len(valid), prepared, sizes, workers)
        photos = load_index(prepared / "index.csv")
        images = np.array(load_images(prepared / "images.npy", len(photos)))
        codes = np.array(near_duplicates.load_hashes(prepared / "hashes.npy", len(photos)))
    files = list(progress(of_files(valid, workers), total=len(valid), desc="analyze", unit=" photos"))
    sides = np.full(len(photos), ALL)
    found = table(photos, sides, [verdict for verdict in verdicts if verdict.code == 0], files, images)
    result = analyze(found, images, codes, [], settings, workers)
    return result, images, counts["invalid"]["6 duplicate"]
