"""Regressions as baselines: what they see of a pixel, what they learn from, and that they learn."""

import numpy as np
import pytest
import torch

from depixel.base.names import photo_ids
from depixel.curation.synthetic import unseen_photos
from depixel.dataset.samples import Photos, fixed_samples
from depixel.model.blocks import Blocks
from depixel.model.metrics import rmse_mean
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor
from depixel.scoring import regressions
from depixel.scoring.baselines import Interpolation
from tests.conftest import tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 1200


def some(images: np.ndarray, start: int, end: int) -> Photos:
    ids = photo_ids([str(i) for i in range(start, end)])
    return Photos(images, np.arange(start, end), ids)


@pytest.fixture(scope="module")
def photos() -> tuple[Photos, Photos]:
    """To learn from and held out: the photos of six and of two contributors of the sample's kind."""
    images, _ = unseen_photos(seed=1, count=80)
    return some(images, 0, 60), some(images, 60, 80)


@pytest.fixture(scope="module")
def pixels(photos):
    return regressions.training_pixels(photos[0], PixelationSettings(), SAMPLES)


@pytest.fixture(scope="module", params=regressions.REGRESSIONS)
def regression(request, pixels) -> Predictor:
    model = regressions.fitted(request.param, pixels)
    return Predictor(regressions.Regression(model), tiny_model().configuration, "cpu")


@pytest.fixture(scope="module")
def held_out(photos):
    return fixed_samples(photos[1], PixelationSettings(), [f"held out {i}" for i in range(4)])


def test_regressions_beat_the_interpolation_on_photos_held_out(regression, held_out):
    """Kriging, which they correct, takes more photos than these to be beaten by all."""
    other = Predictor(Interpolation(), regression.configuration, "cpu")
    ours, others = (
        rmse_mean(one.predict(held_out.pixelated, held_out.areas), held_out.targets) for one in (regression, other)
    )
    assert ours < others


def test_regressions_keep_the_block_means(regression, held_out):
    found = regression.predict(held_out.pixelated, held_out.areas)
    restored = held_out.pixelated.copy()
    for image, (x, y, width, height, _), prediction in zip(restored, held_out.areas, found, strict=True):
        image[y : y + height, x : x + width] = prediction.reshape(height, width)
    blocks = Blocks(torch.from_numpy(held_out.areas), 64, 64)
    restored = torch.from_numpy(restored).float()[:, None]
    unclipped = blocks.sums(((restored == 0) | (restored == 255)).float()) == 0
    difference = blocks.pixelate(restored)[:, 0].numpy() - held_out.pixelated
    assert np.abs(difference[unclipped[:, 0]]).max() <= 1  # by rounding pixels
    assert unclipped.float().mean() > 0.9


def test_a_batch_gives_what_single_pictures_give(regression, held_out):
    few = slice(0, 3)
    together = regression.predict(held_out.pixelated[few], held_out.areas[few])
    for i in range(3):
        (alone,) = regression.predict(held_out.pixelated[i : i + 1], held_out.areas[i : i + 1])
        assert np.abs(alone.astype(int) - together[i]).max() <= 1


def test_the_same_pixels_are_learnt_from_each_time(photos, pixels):
    features, lacking = regressions.training_pixels(photos[0], PixelationSettings(), SAMPLES)
    np.testing.assert_array_equal(features, pixels[0])
    np.testing.assert_array_equal(lacking, pixels[1])
    assert np.isfinite(features).all() and features.dtype == np.float32
    # a tenth of the 18 x 18 pixels of an average area
    assert len(features) == len(lacking) == pytest.approx(SAMPLES * 0.1 * 18 * 18, rel=0.1)


def test_as_many_samples_are_drawn_as_asked_for(photos):
    drawn = list(regressions.batches(photos[0], 150))
    assert [len(chosen) for _, chosen in drawn] == [60, 60, 30]
    assert len({stream for stream, _ in drawn}) == 3
    assert all(len(set(chosen.tolist())) == len(chosen) for _, chosen in drawn)


X, Y = np.meshgrid(np.arange(24.0), np.arange(24.0))


def seen(function, area=(8, 8, 10, 8, 4)) -> tuple[np.ndarray, ...]:
    """What a function of the image and its blocks gives for a ramp, without the batch's axis."""
    image = torch.from_numpy(100 + X + 10 * Y).float()[None, None]
    found = function(image, Blocks(torch.tensor([area]), 24, 24))
    return tuple(f[0].numpy() for f in (found if isinstance(found, tuple) else (found,)))


def test_the_means_of_the_cells_around():
    """Of columns 4-7, 8-11, 12-15, 16-17, 18-21, and of rows 4-7, 8-11, 12-15, 16-19."""
    (means,) = seen(regressions.cell_means)
    at = means[:, 9, 13].reshape(3, 3)  # in the first row of blocks and the second column
    np.testing.assert_allclose(at, 100 + np.array([9.5, 13.5, 16.5]) + 10 * np.array([[5.5], [9.5], [13.5]]))
    at = means[:, 14, 17].reshape(3, 3)
    np.testing.assert_allclose(at, 100 + np.array([13.5, 16.5, 19.5]) + 10 * np.array([[9.5], [13.5], [17.5]]))


def test_the_known_pixels_nearest():
    values, distances = seen(regressions.edges)
    # left, right, above, below of row 9, column 13
    np.testing.assert_allclose(values[:, 9, 13], [100 + 7 + 90, 100 + 18 + 90, 100 + 13 + 70, 100 + 13 + 160])
    np.testing.assert_allclose(distances[:, 9, 13] * 16, [6, 5, 2, 7])
    values, _ = seen(regressions.edges, (0, 16, 10, 8, 4))  # at the left and the lower end: its own value there
    np.testing.assert_allclose(values[:, 17, 3], [100 + 3 + 170, 100 + 10 + 170, 100 + 3 + 150, 100 + 3 + 170])
