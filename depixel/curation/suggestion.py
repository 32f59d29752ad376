"""Which of many photos a model would learn most from: what to photograph, or to add, next."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.fft import dctn
from scipy.spatial.distance import cdist

from depixel.analysis.overview import first_copies
from depixel.base.tables import path_of, read_table
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.samples import Photos, fixed_batch, fixed_samples
from depixel.dataset.splits import MADE_BY, Assigned
from depixel.model.blocks import Blocks, cut_windows, turn, turn_back
from depixel.model.pixelation import PixelationSettings, photo_ids
from depixel.model.predictor import VIEWS, Predictor, restore, window_side
from depixel.photos import near_duplicates
from depixel.sheets import contact_sheet, error_picture, fill

AREAS = 4
"""How many areas of each photo are tried."""

MOST_CANDIDATES = 4000
"""Of more photos, those that the model is least sure of are looked at: the search grows with their square."""

COMPONENTS = 16
REACH = 0.1  # of the median squared distance of two photos: where a photo stands for another by 1 / e
BATCH = 64


class Suggestion(NamedTuple):
    """A photo to train on.

    Attributes:
        number: which of the photos, from 0.
        disagreement: gray levels, root mean square: how far the 8 turned views of a picture are from their mean. By so
            much is the error of a view, squared, larger than that of the mean (Krogh & Vedelsby 1995): it can be
            avoided, while grass or gravel that nobody can guess makes all views err alike.
        rmse: gray levels, of the mean of the views. ratio: of that to the identity's; NaN where that makes no error.
        gain: what choosing it adds to what is chosen before it, as a share of all that there is to gain.
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
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Suggestion]:
    """Choose the photos that a model would learn most from, the best first.

    A photo is worth its `Suggestion.disagreement`, and that of the photos that look like it: chosen are, one after the
    other, those that add most to the sum over all photos of disagreement times likeness to the most alike that is
    chosen or known (facility location weighted by uncertainty: Wei, Iyer & Bilmes 2015, "Submodularity in data subset
    selection and active learning"). So neither many photos of one scene are chosen nor what is known. Of photos that
    `copies.find` takes for the same picture only the one that the model is least sure of can be chosen.

    Args:
        photos: to choose from, as they would be prepared. known: (K, S, S) uint8, those that are trained on already.
        pixelation: of the areas that are tried. count: how many to choose.
        progress: wraps the iteration over batches, for a progress bar.
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


def _different(photos: Photos, candidates: np.ndarray) -> np.ndarray:
    """The candidates, ascending, without those that show the same picture as an earlier one."""
    images = photos.images[photos.rows[candidates]]
    everyone = np.arange(len(images))
    pairs = near_duplicates.find(
        images, np.array([near_duplicates.hashes(image) for image in images]), everyone, everyone
    )
    return np.sort(candidates[first_copies(len(images), pairs) == everyone])


def _squares(
    restorer: Predictor, photos: Photos, pixelation: PixelationSettings, progress: Callable[[Iterable], Iterable]
) -> list[np.ndarray]:
    """Mean squares over each photo's areas, (N,) each: the views' variance, error of their mean, identity's error."""
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
    """All photos of a folder of prepared ones, and what they are called."""
    index = load_index(Path(prepared) / "index.csv")
    names = [path_of(photo.contributor, photo.name) for photo in index]
    images = load_images(Path(prepared) / "images.npy", len(index))
    return Photos(images, np.arange(len(index)), photo_ids(names)), names


def split_already(splits: str | Path) -> set[str]:
    """The sha256 of the photos that have a side: to train on those of the test side would spoil the score."""
    return {row.sha256 for row in read_table(splits, Assigned, MADE_BY)} if Path(splits).is_file() else set()


def trained_on(prepared: str | Path, splits: str | Path, size: int) -> np.ndarray:
    """(K, size, size) uint8: the photos of the training side; K = 0 if none are there in this size."""
    if not (Path(splits).is_file() and (Path(prepared) / "index.csv").is_file()):
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
    """The chosen photos with one of their areas each: pixelated, as the model restores it, the truth, the error."""
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
    """(8, B, 1, H, W) float32: the restorations of the 8 turned views, turned back."""
    return torch.stack(
        [
            turn_back(
                restore(restorer.network, turn(pixelated, view), blocks.turned(view), restorer.precision)[:, :1], view
            )
            for view in VIEWS
        ]
    )


def describe(images: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What photos look like, as far as restoring them goes: how strong which frequencies are, and how bright they are.

    The logarithms of the mean squares of the coefficients of the discrete cosine transform of all blocks of 8 x 8
    pixels, standardised over `images`, on the first principal components of these.

    Args:
        images: (N, S, S) uint8, N > 0. known: (K, S, S) uint8.

    Returns:
        (N, C) and (K, C) float32, C at most `COMPONENTS`.
    """
    powers, of_known = _powers(images), _powers(known)
    center, scale = powers.mean(axis=0), powers.std(axis=0) + 1e-6
    powers, of_known = (powers - center) / scale, (of_known - center) / scale
    axes = np.linalg.svd(powers, full_matrices=False)[2][:COMPONENTS].T
    return (powers @ axes).astype(np.float32), (of_known @ axes).astype(np.float32)


def _powers(images: np.ndarray) -> np.ndarray:
    """(N, 64) float64."""
    side = images.shape[-1] // 8 * 8
    found = [
        np.square(dctn(image[:side, :side].reshape(side // 8, 8, side // 8, 8) * 1.0, axes=(1, 3), norm="ortho"))
        for image in images
    ]
    return np.log(np.reshape([power.mean(axis=(0, 2)) for power in found], (-1, 64)) + 1)


def facility_location(
    worth: np.ndarray, described: np.ndarray, known: np.ndarray, count: int
) -> list[tuple[int, float]]:
    """Choose those that stand for most of the worth of all, greedily and lazily (Minoux 1978).

    Maximises sum_i worth_i max_{j chosen or known} likeness_ij, the likeness being exp(-d_ij^2 / (`REACH` m)), with m
    the median of all d^2. That is within 1 - 1/e of the best choice (Nemhauser, Wolsey & Fisher 1978).

    Args:
        worth: (N,) at least 0. described: (N, C), their places. known: (K, C), the places of what is chosen already.
        count: how many; all, if there are fewer.

    Returns:
        The numbers of the chosen, and what each adds as a share of the sum of `worth`.
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
        gain = adds(j)  # what it adds can only have become less
        if heap and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, j))
            continue
        chosen.append((j, gain / total))
        best = np.maximum(best, alike[j])
    return chosen
