"""Block sizes, found and checked."""

import numpy as np
import pytest

from depixel.areas.area import ResolvedArea
from depixel.base.errors import DepixelError
from depixel.pictures.pixels import pixelate
from depixel.pictures.resolve import resolve
from tests.pictures.test_restorer import photo


def test_what_first_blocks_cannot_lack_is_told():
    shown = pixelate(photo(), [(10, 10, 40, 30, 8)])
    with pytest.raises(DepixelError, match=r"10,10,40,30: first blocks lack 0 to 8 - 1 columns and rows, not 8 and 0"):
        resolve(shown, [(10, 10, 40, 30, 8, 8, 0)])
    with pytest.raises(DepixelError, match="the block size is to be named"):
        resolve(shown, [(10, 10, 40, 30, None, 3, 0)])
    with pytest.raises(DepixelError, match="is no area"):
        resolve(shown, [(10, 10, 40, 30, 8, 3)])
    assert resolve(shown, [(18, 18, 3, 5, 8, 4, 3)]) == [ResolvedArea(18, 18, 3, 5, 8)]  # no line is seen in one block
    with pytest.raises(DepixelError, match=r"area 13,10,37,30: .* shows blocks of 8 pixels, not of 9"):
        resolve(shown, [(13, 10, 37, 30, 9, 3, 0)])
    assert resolve(shown, [(13, 10, 37, 30, 8, 3, 0)])
    with pytest.raises(DepixelError, match="does not look pixelated"):  # four parts of blocks larger than the area
        resolve(photo(), [(10, 10, 24, 24, 24, 12, 12)])


def test_block_sizes_are_found():
    image = photo(200, 220)
    for block in (2, 3, 8, 13, 50):
        area = (10, 10, 150, 170)
        assert resolve(pixelate(image, [(*area, block)]), [area]) == [ResolvedArea(*area, block)]


def test_an_area_of_one_value_is_one_block():
    flat = np.full((60, 60), 100, np.uint8)
    assert resolve(flat, [(5, 5, 20, 30)])[0].block_size == 30


def test_a_wrong_block_size_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    assert resolve(shown, [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"shows blocks of 12 pixels, not of 6"):  # which are as flat
        resolve(shown, [(10, 10, 96, 96, 6)])
    with pytest.raises(DepixelError, match=r"area 10,10,96,96: .* shows blocks of 12 pixels, not of 16"):
        resolve(shown, [(10, 10, 96, 96, 16)])
    with pytest.raises(DepixelError, match=r"shows blocks of 12 pixels, not of 8.*corner at which a block begins"):
        resolve(shown, [(13, 13, 93, 93, 8)])


def test_an_area_that_begins_within_a_block_has_the_blocks_that_are_seen():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    for size in (None, 12):
        assert resolve(shown, [(13, 14, 93, 92, size)]) == [ResolvedArea(13, 14, 93, 92, 12, offset_x=3, offset_y=4)]
        assert resolve(shown, [(22, 14, 84, 92, size)]) == [ResolvedArea(22, 14, 84, 92, 12, offset_y=4)]
    # steps along one axis, or two, may be of any blocks
    strip = pixelate(photo(), [(10, 10, 96, 6, 6)])
    assert resolve(strip, [(10, 10, 96, 6)]) == [ResolvedArea(10, 10, 96, 6, 6)]
    # a few of them are told by those around
    assert resolve(shown, [(13, 14, 30, 30)]) == [ResolvedArea(13, 14, 30, 30, 12, offset_x=3, offset_y=4)]


def test_an_area_that_is_not_pixelated_is_told():
    for block in (None, 8):
        with pytest.raises(DepixelError, match="does not look pixelated"):
            resolve(photo(), [(10, 10, 96, 96, block)])


def test_blocks_of_more_than_the_largest_size_are_taken_apart():
    image = np.random.default_rng(1).integers(0, 256, (4, 4), dtype=np.uint8).repeat(260, axis=0).repeat(260, axis=1)
    (area,) = resolve(image, [(0, 0, 1040, 1040)])
    assert area.block_size == 130 and resolve(image, [area.numbers()]) == [area]


def test_a_single_block_is_looked_at_too():
    with pytest.raises(DepixelError, match="does not look pixelated"):
        resolve(photo(), [(10, 10, 40, 40, 40)])
    shown = pixelate(photo(), [(10, 10, 40, 40, 40)])
    assert resolve(shown, [(10, 10, 40, 40, 40)]) == [ResolvedArea(10, 10, 40, 40, 40)]


def test_an_area_that_reaches_beyond_the_blocks_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"area 10,10,108,96"):
        resolve(shown, [(10, 10, 108, 96, 12)])
