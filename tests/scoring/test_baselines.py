from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from depixel.base.names import photo_ids
from depixel.model.blocks import Blocks
from depixel.model.metrics import rmse_mean
from depixel.model.pixelation import PixelationSettings, draw_areas, prepare_image, uniforms
from depixel.model.predictor import ModelConfiguration, Predictor
from depixel.scoring.baselines import BASELINES, Kriging, cubic, lanczos, triangle
from depixel.scoring.covariance import RANGE

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGURATION = ModelConfiguration(
    network="unet", width=4, size=40, area_width=(4, 32), area_height=(4, 32), block_size=(4, 16), precision="bfloat16"
)
SMOOTH = [name for name in BASELINES if name != "identity"]
KERNELS = ("bilinear", "bicubic", "lanczos")
# x, y, width, height, block_size: inside; cut-off blocks; at corners; one block
GEOMETRIES = [(8, 8, 24, 16, 8), (9, 7, 21, 18, 8), (0, 0, 20, 17, 6), (13, 25, 27, 15, 4), (10, 10, 4, 4, 16)]
NOTHING_KNOWN = [(0, 0, 40, 40, 8), (0, 0, 40, 40, 40)]
AREAS = draw_areas(uniforms(photo_ids([str(i) for i in range(10)]), "areas", 5), 40, PixelationSettings())


def predictor(name: str) -> Predictor:
    return Predictor(BASELINES[name](), CONFIGURATION, "cpu")


def pixelate(images, areas) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Pixelated images (N, H, W) uint8; what they show in the areas, and the truth, flat."""
    prepared = [prepare_image(image[None], *map(int, area)) for image, area in zip(images, areas, strict=True)]
    pixelated = np.concatenate([p for p, _, _ in prepared])
    return pixelated, [p[~known] for p, known, _ in prepared], [target for _, _, target in prepared]


def forward(name: str, image: np.ndarray, area) -> tuple[np.ndarray, np.ndarray]:
    """What a baseline makes of an image (H, W) of exact block means, (H, W) float; and the area, (H, W) bool."""
    tensor = torch.from_numpy(image).float()[None, None]
    blocks = Blocks(torch.tensor([area]), *image.shape)
    shown = torch.where(blocks.unknown, blocks.sums(tensor) / blocks.count, tensor)
    shown -= (blocks.count - 1) / blocks.count / 2 * blocks.unknown  # so that the center is the mean
    return BASELINES[name]()(shown, blocks)[0, 0].numpy(), blocks.unknown[0, 0].numpy()


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    """Ten pictures of 40 x 40 pixels."""
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    return [(128 + 80 * np.sin(x / (5 + k) + k) * np.cos(y / 9)).astype(np.uint8) for k in range(10)]


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    return 20 + 3.0 * x + 2.0 * y


def test_identity_gives_the_pixelated_pixels(waves):
    pixelated, shown, _ = pixelate(waves, AREAS)
    for prediction, pixels in zip(predictor("identity").predict(pixelated, AREAS), shown, strict=True):
        np.testing.assert_array_equal(prediction, pixels)


# from what each reaches here, with some room
@pytest.mark.parametrize(
    ("name", "share"),
    [("bilinear", 0.7), ("bicubic", 0.65), ("lanczos", 0.65), ("interpolation", 0.5), ("kriging", 0.4)],
)
def test_baselines_beat_identity_on_smooth_images(waves, name, share):
    pixelated, shown, targets = pixelate(waves, AREAS)
    assert rmse_mean(predictor(name).predict(pixelated, AREAS), targets) < share * rmse_mean(shown, targets)


@pytest.mark.parametrize("name", BASELINES)
def test_predictions_have_the_block_means_that_are_shown(waves, name):
    pixelated, shown, _ = pixelate(waves, AREAS)
    predicted = pixelated.copy()
    for image, area, prediction in zip(predicted, AREAS, predictor(name).predict(pixelated, AREAS), strict=True):
        x, y, width, height, _ = area
        image[y : y + height, x : x + width] = prediction.reshape(height, width)
    _, again, _ = pixelate(predicted, AREAS)
    for one, other in zip(again, shown, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1  # by rounding pixels


@pytest.mark.parametrize("name", BASELINES)
def test_what_the_baselines_see_does_not_depend_on_the_view(waves, name):
    pixelated, _, _ = pixelate(waves, AREAS)
    one, eight = (predictor(name).predict(pixelated, AREAS, views) for views in (1, 8))
    for a, b in zip(one, eight, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1 and (a != b).mean() < 0.01  # by rounding


@pytest.mark.parametrize("name", BASELINES)
def test_a_batch_gives_what_single_pictures_give(waves, name):
    """Of several geometries, some of them twice."""
    areas = np.array([AREAS[i] for i in (0, 1, 2, 0, 1)])
    images = torch.from_numpy(pixelate(waves[:5], areas)[0]).float()[:, None]
    areas = torch.from_numpy(areas)
    together = BASELINES[name]()(images, Blocks(areas, 40, 40))
    for i in range(5):
        alone = BASELINES[name]()(images[i : i + 1], Blocks(areas[i : i + 1], 40, 40))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("name", "area"), list(product(SMOOTH, [*GEOMETRIES, *NOTHING_KNOWN])))
def test_flat_pictures_stay_flat(name, area):
    found, _ = forward(name, np.full((40, 40), 77.0), area)
    np.testing.assert_allclose(found, 77, atol=2e-3)


@pytest.mark.parametrize("area", GEOMETRIES[:4])
def test_kriging_is_exact_for_ramps(ramp, area):
    found, _ = forward("kriging", ramp, area)
    np.testing.assert_allclose(found, ramp, atol=2e-3)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_exact_for_ramps_on_a_regular_lattice(name):
    """With three cells of known pixels around; but for the sinc, which loses a little where it is cut off."""
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    ramp = 20 + 2.0 * x + y
    found, unknown = forward(name, ramp, (24, 24, 16, 16, 8))
    np.testing.assert_allclose(found[unknown], ramp[unknown], atol=1 if name == "lanczos" else 1e-3)


def test_bilinear_is_between_the_centers_of_cut_off_blocks():
    """Blocks of 4, 4 and 2 pixels, means 10, 20, 50; known pixels 0 on the left and 90 on the right."""
    image = np.repeat([0.0, 10, 20, 50, 90], [4, 4, 4, 2, 4])[None].repeat(4, axis=0)
    found, unknown = forward("bilinear", image, (4, 0, 10, 4, 4))
    expected = np.interp(np.arange(4, 14) + 0.5, [2, 6, 10, 13, 16], [0, 10, 20, 50, 90])
    np.testing.assert_allclose(found[unknown].reshape(4, 10), expected[None].repeat(4, axis=0), atol=1e-4)


@pytest.mark.parametrize("kernel", [triangle, cubic, lanczos])
def test_kernels_interpolate(kernel):
    """They are 1 at their center, 0 at the others', and of the shape that is known."""
    np.testing.assert_allclose(kernel(torch.arange(-4.0, 5)), [0, 0, 0, 0, 1, 0, 0, 0, 0], atol=1e-6)
    half = {triangle: 0.5, cubic: 0.5625, lanczos: 0.6079}[kernel]
    assert kernel(torch.tensor(0.5)).item() == pytest.approx(half, abs=1e-4)


def test_kriging_is_what_the_textbook_says(waves):
    """Built for single pixels and without tables: the covariance matrix of all pixels, averaged over blocks."""
    image, (x, y, width, height, size) = waves[0].astype(float), (9, 7, 11, 6, 4)
    found, unknown = forward("kriging", image, (x, y, width, height, size))
    ring = np.zeros_like(unknown)
    ring[y - Kriging.RING : y + height + Kriging.RING, x - Kriging.RING : x + width + Kriging.RING] = True
    pixels = np.argwhere(ring)
    covariance = np.exp(-cdist(pixels, pixels) / RANGE)
    values, inside = image[ring], unknown[ring]
    block = np.where(inside, (pixels[:, 0] - y) // size * 100 + (pixels[:, 1] - x) // size, -1)
    observed = np.stack(
        [np.arange(len(pixels)) == i for i in np.flatnonzero(~inside)]
        + [(block == b) / (block == b).sum() for b in np.unique(block[inside])]
    ).astype(float)
    drift = observed @ np.column_stack([np.ones(len(pixels)), pixels])
    # the equations of universal kriging with Lagrange multipliers
    count = len(observed)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = observed @ covariance @ observed.T
    system[:count, count:], system[count:, :count] = drift, drift.T
    right = np.concatenate([observed @ covariance, np.column_stack([np.ones(len(pixels)), pixels]).T])
    weights = np.linalg.solve(system, right)[:count]
    expected = weights.T @ (observed @ values)
    np.testing.assert_allclose(found[unknown], expected[inside], atol=1e-3)


def test_kriging_keeps_the_block_means(waves):
    found, _ = forward("kriging", waves[0].astype(float), GEOMETRIES[1])
    blocks = Blocks(torch.tensor([GEOMETRIES[1]]), 40, 40)
    kept, true = (blocks.sums(torch.from_numpy(np.array(i)).float()[None, None]) for i in (found, waves[0]))
    torch.testing.assert_close(kept / blocks.count, true / blocks.count, rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn_nothing(name):
    assert not list(BASELINES[name]().parameters())
