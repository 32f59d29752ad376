"""Regressions of scikit-learn as baselines: each corrects kriging, pixel by pixel, by what is around the pixel.

They see the pixel's surroundings as kriging restores them, the means of the blocks around its own, the known pixels
nearest in its row and column, and where it lies in its block and its area. They learn from the photos for training,
with areas and flips as a network gets them. All gray levels are differences to what kriging predicts, in units of the
window's contrast, and so is what they learn to predict.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.dataset.samples import Photos, training_batch
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.pixelation import PixelationSettings
from depixel.model.threads import cores, each
from depixel.model.windows import window_side
from depixel.scoring.baselines import Kriging

SEED = 0
"""The seed of all that is drawn."""

PIXELS = 0.1
"""The share of an area's pixels that is learned from; neighbours are alike."""

CONTRAST = 8.0
"""Gray levels that are added to the contrast of a window; they keep noise in flat windows small, as in the networks."""

PATCH = 9
"""The side of the surroundings that a regression sees, pixels."""

CELLS = 3
"""The number of blocks that a regression sees along each axis, its own in the middle."""

BATCH = 256
"""The number of photos that are pixelated together."""


class Method(NamedTuple):
    """A regression.

    Attributes:
        make: makes the regression, not fitted.
        pixels: the largest number of pixels that it learns from; of more it takes evenly spaced ones.
    """

    make: Callable[[], RegressorMixin]
    pixels: int


def _scaled(*steps: Any) -> RegressorMixin:
    return make_pipeline(StandardScaler(), *steps)


def _support_vectors() -> LinearSVR:
    return LinearSVR(epsilon=0.05, C=0.01, dual=True, max_iter=200, tol=1e-3, random_state=SEED)


REGRESSIONS = {
    "least_squares": Method(lambda: _scaled(LinearRegression()), 300_000),
    "ridge": Method(lambda: _scaled(Ridge(alpha=1000.0)), 300_000),
    "nearest_neighbours": Method(
        lambda: _scaled(PCA(16, random_state=SEED), KNeighborsRegressor(50, algorithm="brute")), 20_000
    ),
    "decision_tree": Method(lambda: DecisionTreeRegressor(min_samples_leaf=200, random_state=SEED), 100_000),
    "random_forest": Method(
        lambda: RandomForestRegressor(
            30, max_features=0.2, min_samples_leaf=20, max_samples=0.5, n_jobs=cores(), random_state=SEED
        ),
        100_000,
    ),
    "gradient_boosting": Method(
        lambda: HistGradientBoostingRegressor(
            max_iter=200, max_leaf_nodes=63, min_samples_leaf=100, early_stopping=False, random_state=SEED
        ),
        300_000,
    ),
    "svm_linear": Method(lambda: _scaled(_support_vectors()), 100_000),
    "svm_rbf": Method(
        lambda: _scaled(Nystroem(gamma=0.005, n_components=300, random_state=SEED), _support_vectors()), 50_000
    ),
    "mlp": Method(
        lambda: _scaled(MLPRegressor(hidden_layer_sizes=(128, 128), batch_size=512, max_iter=10, random_state=SEED)),
        300_000,
    ),
}
"""Name -> the regression. Another one is another line here."""


class Pixels(NamedTuple):
    """Pixels to learn from: features (P, F) float32, and what kriging lacks (P,) float32, in units of contrast."""

    features: np.ndarray
    lacking: np.ndarray


class Regression(nn.Module):
    """A fitted regression with the interface of the networks."""

    def __init__(self, model: RegressorMixin):
        super().__init__()
        self.model = model

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The restored images, (B, 1, H, W) float32, gray levels, not yet projected."""
        features, base, unit = describe(pixelated, blocks)
        correction = torch.from_numpy(self.model.predict(features.numpy())).float()
        return pixelated.masked_scatter(blocks.unknown, base + correction * unit)


def fitted(name: str, pixels: Pixels, most: int = 0) -> RegressorMixin:
    """Fit the regression of this name. The same pixels give the same regression, on any number of cores.

    Args:
        most: the largest number of pixels that it learns from; 0: `Method.pixels`.
    """
    method = REGRESSIONS[name]
    count = len(pixels.lacking)
    some = np.linspace(0, count - 1, min(count, most or method.pixels)).astype(int)
    with threadpool_limits(1), warnings.catch_warnings():  # sums of several threads have other last digits
        warnings.simplefilter("ignore", ConvergenceWarning)  # how long each may take is chosen here
        model = method.make().fit(pixels.features[some], pixels.lacking[some])
    if "n_jobs" in model.get_params():  # `Predictor` has a thread for each core already
        model.set_params(n_jobs=1)
    return model


def training_pixels(
    photos: Photos,
    settings: PixelationSettings,
    samples: int,
    progress: Callable[[list[Any]], Any] = iter,
) -> Pixels:
    """Draw areas in photos, and pixels in these areas.

    Args:
        photos: the photos to learn from.
        settings: the ranges of the areas.
        samples: number of areas; each photo gets equally many, give or take one.
        progress: wraps the iteration over the batches.
    """

    def drawn(batch: tuple[int, str, np.ndarray]) -> Pixels:
        number, stream, chosen = batch
        random = np.random.default_rng([SEED, number])
        images, where = training_batch(photos, chosen, settings, stream, flip=True)
        sides = window_side(where[:, 2:4].numpy())
        features, lacking = [], []
        for width, height in np.unique(sides, axis=0).tolist():  # the windows are those of a prediction
            same = torch.from_numpy((sides == (width, height)).all(axis=1))
            truth, within = cut_windows(images[same], where[same], width, height)
            blocks = Blocks(within, height, width)
            seen, base, unit = describe(blocks.pixelate(truth), blocks)
            keep = random.random(len(base)) < PIXELS
            features.append(seen.numpy()[keep])
            lacking.append(((truth[blocks.unknown] - base) / unit).numpy()[keep])
        return Pixels(np.concatenate(features), np.concatenate(lacking))

    listed = [(number, *batch) for number, batch in enumerate(batches(photos, samples))]
    with threadpool_limits(1, user_api="blas"):
        done = each(drawn, listed)
        found = [next(done) for _ in progress(listed)]
    return Pixels(*map(np.concatenate, zip(*found, strict=True)))


def batches(photos: Photos, samples: int) -> Iterator[tuple[str, np.ndarray]]:
    """The stream and the photos of each batch, in as many epochs as so many samples need."""
    for epoch in range(-(-samples // len(photos))):
        stream = f"baselines {SEED} {epoch}"
        order = photos.order(stream)[: samples - epoch * len(photos)]
        yield from ((stream, order[start : start + BATCH]) for start in range(0, len(order), BATCH))


# -- what a regression sees ------------------------------------------------------------------------------------------


def describe(pixelated: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor, Tensor]:
    """What a regression sees of each pixel of the areas.

    Returns:
        features (P, F) float32, a row for each pixel, in the order of `tensor[blocks.unknown]`; what kriging predicts,
        (P,), gray levels; and the unit of the correction (P,), the contrast of the window, gray levels.
    """
    restored = Kriging()(pixelated, blocks)
    contrast = restored.std(dim=(2, 3), keepdim=True) + CONTRAST
    inside = blocks.unknown[:, 0]
    base, unit = restored[:, 0][inside], contrast.expand_as(restored)[:, 0][inside]
    padded = F.pad(restored, [PATCH // 2] * 4, mode="replicate")[:, 0]
    patch = padded.unfold(1, PATCH, 1).unfold(2, PATCH, 1)[inside].flatten(1)  # (P, PATCH^2)
    nearest, distances = edges(restored, blocks)
    around = torch.cat([cell_means(restored, blocks), nearest], dim=1).movedim(1, 3)[inside]
    gray = (torch.cat([patch, around], dim=1) - base[:, None]) / unit[:, None]
    where = torch.cat([distances, blocks.features()[:, 1:]], dim=1).movedim(1, 3)[inside]
    return torch.cat([gray, where], dim=1), base, unit


def cell_means(image: Tensor, blocks: Blocks) -> Tensor:
    """(B, CELLS^2, H, W): the means of the cells around each pixel's own, of blocks and of known pixels.

    Beyond the end of the image, the last cell again.
    """
    across, down = blocks.cells
    members = [F.one_hot(cell).float() for cell in (down, across)]  # (B, H, cells), (B, W, cells)
    means = members[0].mT @ image[:, 0] @ members[1]
    means /= (members[0].sum(dim=1)[:, :, None] * members[1].sum(dim=1)[:, None]).clamp(min=1)
    sample = torch.arange(len(image))[:, None, None]
    steps = range(-(CELLS // 2), CELLS // 2 + 1)
    rows, columns = (
        [(cell + step).clamp(min=torch.zeros_like(cell), max=cell[:, -1:]) for step in steps] for cell in (down, across)
    )
    return torch.stack([means[sample, row[:, :, None], column[:, None]] for row in rows for column in columns], dim=1)


def edges(image: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """The known pixels left, right, above and below the area in each pixel's row or column.

    Returns:
        (B, 4, H, W) each: their values, or the pixel's own where the image ends; and the distances, pixels / 16.
    """
    values, distances = [], []
    for axis in (3, 2):
        inside = blocks.unknown.any(dim=5 - axis, keepdim=True)  # (B, 1, 1, W), (B, 1, H, 1)
        length = image.shape[axis]
        here = torch.arange(length).view([-1 if i == axis else 1 for i in range(4)])
        first = inside.int().argmax(dim=axis, keepdim=True)
        last = length - 1 - inside.int().flip(axis).argmax(dim=axis, keepdim=True)
        for known, distance in ((first - 1, here - first + 1), (last + 1, last + 1 - here)):
            index = known.clamp(0, length - 1).expand([1 if i == axis else n for i, n in enumerate(image.shape)])
            exists = (known >= 0) & (known < length)
            values.append(torch.where(exists, image.gather(axis, index), image))
            distances.append((distance / 16).expand_as(image))
    return torch.cat(values, dim=1), torch.cat(distances, dim=1)
