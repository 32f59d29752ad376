import numpy as np

from depixel.dataset import kinds


def test_measures_by_hand():
    flat, stripes = np.full((16, 16), 50, np.uint8), np.tile(np.array([0, 200], np.uint8), (16, 8))
    halves = np.zeros((16, 16), np.uint8)
    halves[:, 8:] = 200  # blocks of 8 x 8 hide nothing of it
    found = kinds.measures(np.stack([halves, flat, stripes]), np.array([1, 2, 0]))
    pixels, blocks = 16 * 16, 4 * 64**2
    assert found.tolist() == [
        [pixels * 50, 0, 0],
        [pixels * 100, pixels**2 * 100**2, blocks * 100**2],
        [pixels * 100, pixels**2 * 100**2, 0],
    ]


def test_measures_are_those_of_floats_and_do_not_depend_on_the_chunks(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (20, 20, 20), dtype=np.uint8)
    whole = kinds.measures(images, np.arange(20))
    pixels = images[:, :16, :16].astype(float)
    blocks = pixels.reshape(20, 2, 8, 2, 8)
    np.testing.assert_allclose(whole[:, 0], pixels.mean(axis=(1, 2)) * 256)
    np.testing.assert_allclose(whole[:, 1], pixels.var(axis=(1, 2)) * 256**2)
    np.testing.assert_allclose(whole[:, 2], blocks.var(axis=(2, 4)).mean(axis=(1, 2)) * 4 * 64**2)
    monkeypatch.setattr(kinds, "CHUNK", 3)
    assert np.array_equal(kinds.measures(images, np.arange(20)), whole)


def test_thirds_are_as_large_as_they_can_be_and_equal_values_stay_together():
    assert kinds.thirds(np.array([5, 1, 3, 0, 4, 2])).tolist() == [2, 0, 1, 0, 2, 1]
    assert kinds.thirds(np.array([7, 7, 7, 9])).tolist() == [0, 0, 0, 2]
    assert kinds.thirds(np.array([7])).tolist() == [0]
