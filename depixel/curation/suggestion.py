"""Active learning: choose the photos from which a model would learn most, to add them next."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from scipy.fft import dctn
from scipy.spatial.distance import cdist
from tqdm import tqdm

from depixel.analysis.overview import first_copies
from depixel.base.errors import DepixelError
from depixel.base.layout import IMAGES, INDEX
from depixel.base.names import photo_ids
from depixel.base.tables import path_of, read_table
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.samples import Photos, fixed_batch, fixed_samples
from depixel.dataset.splits import MADE_BY, Assigned
from depixel.model.blocks import Blocks, cut_windows, turn, turn_back
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor, restore
from depixel.model.windows import VIEWS, window_side
from depixel.photos import archives, near_duplicates, preparation, rules
from depixel.photos.hashes import hashes
from depixel.photos.preparation import PrepareSettings
from depixel.photos.rules import Verdict
from depixel.photos.tracked import Found
from depixel.sheets import contact_sheet, error_picture, fill

AREAS = 4
"""Number of areas that are tried on each photo."""

MOST_CANDIDATES = 4000
"""Maximum number of photos that are compared with each other: those with the highest disagreement. The time grows with
the square of this number."""

COMPONENTS = 16
"""Maximum number of principal components that describe a photo."""

REACH = 0.1
"""The squared distance at which the similarity of two photos is 1 / e, as a share of the median squared distance."""

BATCH = 64
"""Number of photos that are restored at a time."""

Batch: TypeAlias = tuple[str, np.ndarray]
"""The name of a stream of random areas, and (n,) int, the numbers of the photos that get one area each."""


class Suggestion(NamedTuple):
    """A photo to train on.

    Attributes:
        number: row of the photo, from 0.
        disagreement: root mean square distance of the restorations of the 8 turned views from their mean, gray levels.
            Its square is the excess squared error of a view over that of the mean (Krogh & Vedelsby 1995). A model can
            learn to avoid this error. On unpredictable detail, such as grass or gravel, all views err alike.
        rmse: RMSE of the mean of the views, gray levels.
        ratio: rmse / the identity's RMSE; NaN if the identity's is 0.
        gain: what this photo adds to the photos chosen before it, as a share of the total possible gain, 0..1.
    """

    number: int
    disagreement: float
    rmse: float
    ratio: float
    gain: float


def suggest(
    restorer: Predictor,
    photos: Photos,
    known: np.ndarray,
    pixelation: PixelationSettings,
    count: int,
    progress: Callable[[Iterable[Batch]], Iterable[Batch]] = iter,
) -> list[Suggestion]:
    """Choose the photos that a model would learn most from.

    The value of a choice is a sum over all photos: the photo's `Suggestion.disagreement` times its similarity to the
    most similar photo that is chosen or known. Photos are chosen one by one, each time the one that adds most to this
    sum. This is facility location weighted by uncertainty (Wei, Iyer & Bilmes 2015, "Submodularity in data subset
    selection and active learning"). It avoids many photos of one scene, and photos like the known ones. Of photos that
    show the same picture, by `near_duplicates.find`, only the one with the highest disagreement can be chosen.

    Args:
        restorer: the model.
        photos: the candidates, prepared.
        known: (K, S, S) uint8, the training photos.
        pixelation: how the areas are drawn.
        count: number of photos to choose.
        progress: wraps the iteration over batches in a progress bar.

    Returns:
        `count` photos, the best first; fewer if there are fewer different ones.
    """
    disagreed, error, identity = map(np.sqrt, _squares(restorer, photos, pixelation, progress))
    candidates = _different(photos, np.argsort(-disagreed, kind="stable")[:MOST_CANDIDATES])
    described, of_known = describe(photos.images[photos.rows[candidates]], known)
    chosen = facility_location(disagreed[candidates], described, of_known, count)
    found = []
    for place, gain in chosen:
        i = candidates[place]
        ratio = float(error[i] / identity[i]) if identity[i] else float("nan")
        found.append(Suggestion(int(i), float(disagreed[i]), float(error[i]), ratio, gain))
    return found


class Picks(NamedTuple):
    """The photos that were chosen from a folder.

    Attributes:
        found: the chosen photos, the best first; their numbers index `names`.
        names: the names of all valid new photos.
        known: number of training photos.
        invalid: the verdicts on files that are no valid photos.
        left_out: files that DVC would not track; they are skipped.
        picture: the `sheet`, if one was requested.
    """

    found: list[Suggestion]
    names: list[str]
    known: int
    invalid: list[Verdict]
    left_out: list[Found]
    picture: Image.Image | None


def from_folder(
    restorer: Predictor,
    folder: Path,
    count: int,
    prepared: Path,
    splits: Path,
    draw: bool = False,
    progress: Callable[..., Any] = tqdm,
) -> Picks:
    """Choose photos from a folder of new ones: validate and prepare them, then `suggest`.

    Args:
        restorer: the model.
        folder: folder of photos, archives, or folders of these.
        count: number of photos to choose.
        prepared: folder of the photos that the project has prepared; it may be missing.
        splits: the table of splits of these photos; it may be missing.
        draw: whether to draw a `sheet` of the chosen photos.
        progress: makes a progress bar, as `console.progress` does.

    Raises:
        DepixelError: no file in the folder is a valid photo, or the table of splits has all of them.
    """
    trained_for = restorer.configuration
    pixelation = PixelationSettings(
        width=trained_for.area_width, height=trained_for.area_height, block_size=trained_for.block_size
    )
    entries = archives.Entries(folder)
    verdicts = list(progress(rules.validate(entries), total=len(entries), desc="validate", unit=" files"))
    invalid = [verdict for verdict in verdicts if verdict.code]
    if len(invalid) == len(verdicts):
        raise DepixelError(f"{folder}: none of its {len(verdicts)} files is a valid photo ({invalid[0].reason}, ...)")
    there = split_already(splits)
    new = [photo for photo in rules.valid_entries(entries, verdicts) if photo[1] not in there]
    if not new:
        raise DepixelError(
            f"{folder}: all of its valid photos are already in {splits.as_posix()}. Name a folder of new photos"
        )
    known = trained_on(prepared, splits, trained_for.size)
    with TemporaryDirectory() as place, progress(total=len(new), desc="prepare", unit=" photos") as bar:
        preparation.prepare(new, len(new), place, PrepareSettings(size=trained_for.size), on_done=bar.update)
        photos, names = new_photos(place)
        found = suggest(restorer, photos, known, pixelation, count, partial(progress, unit="batch"))
        picture = sheet(restorer, photos, pixelation, found, names) if draw else None
    return Picks(found, names, len(known), invalid, entries.left_out, picture)


def _different(photos: Photos, candidates: np.ndarray) -> np.ndarray:
    """The candidates, ascending; of those that show the same picture, only the first."""
    images = photos.images[photos.rows[candidates]]
    everyone = np.arange(len(images))
    pairs = near_duplicates.find(images, np.array([hashes(image) for image in images]), everyone, everyone)
    return np.sort(candidates[first_copies(len(images), pairs) == everyone])


def _squares(
    restorer: Predictor,
    photos: Photos,
    pixelation: PixelationSettings,
    progress: Callable[[Iterable[Batch]], Iterable[Batch]],
) -> list[np.ndarray]:
    """Mean squares over each photo's areas, (N,) each: variance of the views, error of their mean, identity's error."""
    sides = [int(window_side(extent[1])) for extent in (pixelation.width, pixelation.height)]
    parts = [np.arange(start, min(start + BATCH, len(photos))) for start in range(0, len(photos), BATCH)]
    sums, pixels = np.zeros((3, len(photos))), np.zeros(len(photos))
    for stream, chosen in progress([(f"suggest {k}", part) for part in parts for k in range(AREAS)]):
        images, areas = (tensor.to(restorer.device) for tensor in fixed_batch(photos, chosen, pixelation, stream))
        truth, within = cut_windows(images, areas, *sides)
        blocks = Blocks(within, *truth.shape[2:])
        pixelated = blocks.pixelate(truth)
        with torch.inference_mode():
            views = views_of(restorer, pixelated, blocks)
        squares = views.var(dim=0, correction=0), (views.mean(dim=0) - truth).square(), (pixelated - truth).square()
        sums[:, chosen] += [square.sum(dim=(1, 2, 3)).cpu().numpy() for square in squares]
        pixels[chosen] += blocks.unknown.sum(dim=(1, 2, 3)).cpu().numpy()
    return list(sums / pixels)


def new_photos(prepared: str | Path) -> tuple[Photos, list[str]]:
    """The photos of a folder that stage prepare wrote, and their names. Raises `DepixelError` for other folders."""
    index = load_index(Path(prepared) / INDEX.name)
    names = [path_of(photo.contributor, photo.name) for photo in index]
    images = load_images(Path(prepared) / IMAGES.name, len(index))
    return Photos(images, np.arange(len(index)), photo_ids(names)), names


def split_already(splits: str | Path) -> set[str]:
    """The sha256 of each photo in a table of splits; none if the table is missing.

    These photos are not new, and training on those of the test side would spoil the score.
    """
    return {row.sha256 for row in read_table(splits, Assigned, MADE_BY)} if Path(splits).is_file() else set()


def trained_on(prepared: str | Path, splits: str | Path, size: int) -> np.ndarray:
    """The photos of the training side, (K, size, size) uint8; K = 0 if they are prepared in another size or missing.

    Args:
        prepared: folder of the prepared photos; it may be missing.
        splits: the table of splits; it may be missing.
        size: side of the images, pixels.
    """
    if not (Path(splits).is_file() and (Path(prepared) / INDEX.name).is_file()):
        return np.empty((0, size, size), np.uint8)
    photos = Photos.load(prepared, splits, "train")
    return photos.images[photos.rows] if photos.images.shape[-1] == size else np.empty((0, size, size), np.uint8)


def sheet(
    restorer: Predictor,
    photos: Photos,
    pixelation: PixelationSettings,
    found: Sequence[Suggestion],
    names: Sequence[str],
) -> Image.Image:
    """Draw the chosen photos with one of their areas each: pixelated, the prediction, the truth, the error.

    Args:
        restorer: the model.
        photos: the candidates.
        pixelation: how the areas are drawn.
        found: the chosen photos.
        names: the names of all `photos`.
    """
    chosen = [suggestion.number for suggestion in found]
    some = Photos(photos.images, photos.rows[chosen], photos.ids[chosen])
    samples = fixed_samples(some, pixelation, ["suggest 0"])
    panels = []
    for i, prediction in enumerate(restorer.predict(samples.pixelated, samples.areas, 8)):
        restored = fill(samples.pixelated[i], samples.areas[i], prediction)
        truth = samples.images[i]
        panels.append([samples.pixelated[i], restored, truth, error_picture(restored, truth)])
    captions = [
        f"{place}. {names[one.number]}, disagreement {one.disagreement:.1f}" for place, one in enumerate(found, 1)
    ]
    return contact_sheet(panels, ["pixelated", "prediction", "truth", "error"], captions, across=2)


def views_of(restorer: Predictor, pixelated: torch.Tensor, blocks: Blocks) -> torch.Tensor:
    """Restore the 8 turned views of pixelated windows and turn them back.

    Args:
        restorer: the model.
        pixelated: (B, 1, H, W) float32, 0..255.
        blocks: the blocks of the windows.

    Returns:
        (8, B, 1, H, W) float32, 0..255.
    """
    return torch.stack(
        [
            turn_back(
                restore(restorer.network, turn(pixelated, view), blocks.turned(view), restorer.precision)[:, :1], view
            )
            for view in VIEWS
        ]
    )


def describe(images: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Describe photos by the properties that matter for restoration: the strength of each frequency, and brightness.

    The description is the logarithm of the mean square of each DCT coefficient over all blocks of 8 x 8 pixels,
    standardised over `images`, projected onto its first principal components.

    Args:
        images: (N, S, S) uint8, N > 0.
        known: (K, S, S) uint8.

    Returns:
        (N, C) and (K, C) float32, C at most `COMPONENTS`.
    """
    powers, of_known = _powers(images), _powers(known)
    center, scale = powers.mean(axis=0), powers.std(axis=0) + 1e-6
    powers, of_known = (powers - center) / scale, (of_known - center) / scale
    axes = np.linalg.svd(powers, full_matrices=False)[2][:COMPONENTS].T
    return (powers @ axes).astype(np.float32), (of_known @ axes).astype(np.float32)


def _powers(images: np.ndarray) -> np.ndarray:
    """(N, 64) float64: the logarithm of the mean power of each DCT coefficient."""
    side = images.shape[-1] // 8 * 8
    found = [
        np.square(dctn(image[:side, :side].reshape(side // 8, 8, side // 8, 8) * 1.0, axes=(1, 3), norm="ortho"))
        for image in images
    ]
    return np.log(np.reshape([power.mean(axis=(0, 2)) for power in found], (-1, 64)) + 1)


def facility_location(
    worth: np.ndarray, described: np.ndarray, known: np.ndarray, count: int
) -> list[tuple[int, float]]:
    """Choose the points that represent most of the worth of all points, by the lazy greedy algorithm (Minoux 1978).

    It maximises sum_i worth_i max_{j chosen or known} s_ij with the similarity s_ij = exp(-d_ij^2 / (`REACH` m)), where
    m is the median of all d^2. The greedy choice reaches at least 1 - 1/e of the best sum (Nemhauser, Wolsey & Fisher
    1978).

    Args:
        worth: (N,) float, at least 0.
        described: (N, C) float, the points.
        known: (K, C) float, the points that are already chosen.
        count: number of points to choose; if there are fewer, all are chosen.

    Returns:
        The number of each chosen point, and what it adds as a share of the sum of `worth`.
    """
    squared = cdist(described, described, "sqeuclidean").astype(np.float32)
    reach = REACH * max(float(np.median(squared)), 1e-9)
    alike = np.exp(-squared / reach)
    best = np.zeros(len(worth), np.float32)
    for start in range(0, len(known), 1024):
        squared = cdist(described, known[start : start + 1024], "sqeuclidean")
        best = np.maximum(best, np.exp(-squared / reach).max(axis=1).astype(np.float32))

    def adds(j: int) -> float:
        return float(worth @ np.maximum(alike[j] - best, 0))

    total = float(worth.sum()) or 1.0
    heap = [(-adds(j), j) for j in range(len(worth))]
    heapq.heapify(heap)
    chosen: list[tuple[int, float]] = []
    while heap and len(chosen) < count:
        _, j = heapq.heappop(heap)
        gain = adds(j)  # a gain can only shrink, so a stale one is an upper bound
        if heap and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, j))
            continue
        chosen.append((j, gain / total))
        best = np.maximum(best, alike[j])
    return chosen
