"""What an area of any picture shows."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.areas.grid import block_counts, block_means, fits_blocks, shown_block_size, spread
from depixel.model.pixelation import prepare_image


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def pixelated_photo(block: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A photo-like picture of 160 pixels a side, and the same with blocks from (16, 24) on in an area of 96 x 104."""
    coarse = np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((160, 160), Image.Resampling.BICUBIC))
    return photo, prepare_image(photo[None], 16, 24, 96, 104, block)[0][0]


@pytest.mark.parametrize("quality", [None, 95, 75, 60])
@pytest.mark.parametrize("block", [6, 8, 13, 16, 24])
def test_the_block_size_of_an_area_is_seen(block, quality):
    """Also after it was saved as JPEG, whose own blocks of 8 begin elsewhere."""
    _, shown = pixelated_photo(block)
    area = (shown if quality is None else saved(shown, quality))[24:128, 16:112]
    assert shown_block_size(area) == block
    assert fits_blocks(area, block) and not fits_blocks(area, block + 3)


def test_what_is_not_pixelated_is_seen():
    for seed in range(20):
        photo, _ = pixelated_photo(8, seed)
        assert shown_block_size(photo[24:128, 16:112]) == 0
        assert not fits_blocks(photo[24:128, 16:112], 8)


def test_a_block_that_is_more_than_the_largest_is_taken_apart():
    area = np.zeros((500, 900), np.uint8)
    area[:, 450:] = 9
    assert shown_block_size(area) == 150


def test_block_means_are_those_of_prepare_image():
    photo, shown = pixelated_photo(7)
    means = block_means(photo[24:128, 16:112, None], 7)
    assert means.shape == (15, 14, 1) == (*block_counts(104, 96, 7).shape, 1)
    np.testing.assert_array_equal(np.floor(spread(means, 7, (104, 96)))[:, :, 0], shown[24:128, 16:112])
    assert block_counts(104, 96, 7).sum() == 104 * 96
