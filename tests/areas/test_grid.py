"""What an area of any picture shows."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from depixel.areas.grid import Grid, block_counts, block_means, fits_blocks, shown_block_size, spread
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
    assert fits_blocks(area, Grid.square(block)) and not fits_blocks(area, Grid.square(block + 3))


def test_what_is_not_pixelated_is_seen():
    for seed in range(20):
        photo, _ = pixelated_photo(8, seed)
        assert shown_block_size(photo[24:128, 16:112]) == 0
        assert not fits_blocks(photo[24:128, 16:112], Grid.square(8))


def test_a_block_that_is_more_than_the_largest_is_taken_apart():
    area = np.zeros((500, 900), np.uint8)
    area[:, 450:] = 9
    assert shown_block_size(area) == 150


def test_block_means_are_those_of_prepare_image():
    photo, shown = pixelated_photo(7)
    grid = Grid.square(7)
    means = block_means(photo[24:128, 16:112, None], grid)
    assert means.shape == (15, 14, 1) == (*block_counts(104, 96, grid).shape, 1)
    np.testing.assert_array_equal(np.floor(spread(means, grid, (104, 96)))[:, :, 0], shown[24:128, 16:112])
    assert block_counts(104, 96, grid).sum() == 104 * 96


@pytest.mark.parametrize("enlarge", ["pillow", "opencv"])
@pytest.mark.parametrize(("width", "blocks"), [(120, 16), (90, 16), (100, 7), (128, 12), (41, 5), (64, 8)])
def test_blocks_begin_where_tools_round_to(enlarge, width, blocks):
    """Pillow takes the block in which the middle of a pixel lies, OpenCV that in which its left side lies."""
    size, offset = Fraction(width, blocks), Fraction(1, 2) if enlarge == "pillow" else 0
    if enlarge == "pillow":
        small = Image.fromarray(np.arange(blocks, dtype=np.uint8)[None])
        shown = np.asarray(small.resize((width, 1), Image.Resampling.NEAREST))[0]
    else:
        shown = np.arange(width) * blocks // width
    middle = (np.arange(width) + 0.5) * blocks / width
    sure = np.abs(middle - middle.round()) > 1e-9 if enlarge == "pillow" else np.ones(width, bool)  # ties are a float's
    grid = Grid(size, 1 + size, offset)
    block_of = spread(np.arange(blocks)[None], grid, (1, width))[0]
    np.testing.assert_array_equal(block_of[sure], shown[sure])


def test_a_grid_is_counted_from_anywhere_in_the_area():
    grid = Grid(Fraction(15, 2), 5, Fraction(1, 2), 2)
    columns, rows = grid.begins(100, 60)
    for x, y in ((0, 0), (7, 3), (30, 20), (31, 59)):
        later = grid.at(x, y).begins(100 - x, 60 - y)
        for of, start, new in ((columns, x, later[0]), (rows, y, later[1])):
            np.testing.assert_array_equal(new, np.append(0, of[of > start] - start))
    assert grid.turned.begins(60, 100)[0].tolist() == rows.tolist()
    seen = grid._replace(lines_x=(8, 15, 23))
    assert seen.begins(22, 60)[0].tolist() == [0, 8, 15] and seen.at(10, 0).begins(22, 60)[0].tolist() == [0, 5, 13]
