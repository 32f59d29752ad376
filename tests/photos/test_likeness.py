"""How alike two pictures are: the fast sums equal the definition, which makes every cut."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from depixel.curation import synthetic
from depixel.photos.decoding import decode, square
from depixel.photos.hashes import turned
from depixel.photos.likeness import likeness

TURNS = range(8)


def band(image):
    pixels = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BOX), np.float64)
    return ndimage.gaussian_filter(pixels, 1) - ndimage.gaussian_filter(pixels, 4)


def cuts(picture):
    """All cuts of a picture of 64 x 64, sampled at 32 x 32 places."""
    samplers = []
    for scale, steps in ((1, 0), (0.975, 1), (0.95, 2), (0.925, 3), (0.9, 4)):
        for offset in np.linspace(0, 1, steps + 1):
            places = (np.arange(32) + 0.5) * 2 * scale + offset * (1 - scale) * 64 - 0.5
            samplers.append(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(64))))
    return [rows @ picture @ columns.T for rows in samplers for columns in samplers]


def by_definition(first, second):
    a, b = band(first), band(second)
    found = []
    for whole, other in ((a, b), (b, a)):
        shown = cuts(other)[0]  # all of it
        found += [np.corrcoef(cut.ravel(), shown.ravel())[0, 1] for cut in cuts(whole)]
    return max(found)


@pytest.fixture(scope="module")
def images():
    return np.stack([square(decode(synthetic.photo(3, number, 1)).resize((320, 320)), 64) for number in range(6)])


@pytest.mark.parametrize("turn", TURNS)
def test_likeness_is_the_best_correlation_of_all_cuts(images, turn):
    first, second = np.array([0, 1, 2, 3]), np.array([0, 4, 2, 5])
    got = likeness(images, first, second, np.full(4, turn))
    expected = [
        by_definition(images[a], np.ascontiguousarray(turned(images[b], turn)))
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_many_pairs_at_once_are_those_one_by_one(images):
    first, second = np.divmod(np.arange(36), 6)
    turns = np.arange(36) % 8
    alone = [likeness(images, first[i : i + 1], second[i : i + 1], turns[i : i + 1])[0] for i in range(36)]
    np.testing.assert_allclose(likeness(images, first, second, turns), alone, atol=1e-6)


def test_a_flat_picture_is_like_nothing(images):
    images = np.concatenate([images[:1], np.full((2, 64, 64), 200, np.uint8)])
    got = likeness(images, np.array([1, 1, 0]), np.array([0, 2, 0]), np.zeros(3, int))
    np.testing.assert_allclose(got, [0, 0, 1], atol=1e-5)


def test_larger_images_are_compared_as_small_ones(images):
    large = np.stack([np.kron(image, np.ones((2, 2), np.uint8)) for image in images])
    rows = np.arange(5)
    np.testing.assert_allclose(likeness(large, rows, rows + 1, rows), likeness(images, rows, rows + 1, rows), atol=1e-5)
