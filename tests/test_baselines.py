import numpy as np
import pytest

from depixel.baselines import BASELINES
from depixel.metrics import rmse_mean
from depixel.pixelation import PixelationSettings, draw_areas, photo_ids, prepare_image, uniforms
from depixel.restoration import ModelConfiguration, Restorer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def restored():
    """(predictions of each baseline, pixelated pixels, targets) of ten waves of 40 x 40 pixels."""
    areas = draw_areas(uniforms(photo_ids([str(i) for i in range(10)]), "areas", 5), 40, PixelationSettings())
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    waves = [(128 + 80 * np.sin(x / (5 + k) + k) * np.cos(y / 9)).astype(np.uint8)[None] for k in range(10)]
    prepared = [prepare_image(wave, *area) for wave, area in zip(waves, areas, strict=True)]
    pixelated = np.concatenate([p for p, _, _ in prepared])
    configuration = ModelConfiguration(
        network="unet", width=4, size=40, area_width=(4, 32), area_height=(4, 32), block_size=(4, 16)
    )
    predictions = {
        name: Restorer(make(), configuration, "cpu").predict(pixelated, areas) for name, make in BASELINES.items()
    }
    return predictions, [p[~known] for p, known, _ in prepared], [target for _, _, target in prepared]


def test_identity_gives_the_pixelated_pixels(restored):
    predictions, shown, _ = restored
    for prediction, pixels in zip(predictions["identity"], shown, strict=True):
        np.testing.assert_array_equal(prediction, pixels)


def test_interpolation_beats_identity_on_smooth_images(restored):
    predictions, _, targets = restored
    assert rmse_mean(predictions["interpolation"], targets) < 0.6 * rmse_mean(predictions["identity"], targets)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn_nothing(name):
    assert not list(BASELINES[name]().parameters())
