"""Areas as a person names them, and with their blocks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from depixel.areas.area import Area, ResolvedArea, checked_areas, masked
from depixel.areas.grid import Grid
from depixel.base.errors import DepixelError


@pytest.mark.parametrize(
    ("numbers", "area"),
    [
        ((1, 2, 30, 40), Area(1, 2, 30, 40)),
        ([1, 2, 30, 40, 8], Area(1, 2, 30, 40, 8)),
        (np.array([1, 2, 30, 40, 8, 3, 0]), Area(1, 2, 30, 40, 8, offset_x=3)),
        ((1.0, 2, 30, 40, 8, 3, 5), Area(1, 2, 30, 40, 8, offset_x=3, offset_y=5)),
    ],
)
def test_four_five_and_seven_numbers_are_an_area_and_are_written_as_such(numbers, area):
    assert Area.of(numbers) == area
    assert Area.of(area) is area
    shortest = [int(number) for number in numbers]
    assert area.numbers() == shortest and all(type(number) is int for number in area.numbers())
    assert Area.of(area.numbers()) == area


def test_an_unknown_block_size_and_offsets_that_are_none_are_not_written():
    assert Area.of((1, 2, 30, 40, None)).numbers() == [1, 2, 30, 40]
    assert Area.of((1, 2, 30, 40, 8, 0, 0)).numbers() == [1, 2, 30, 40, 8]


@pytest.mark.parametrize(
    "given",
    [(), (1, 2, 3), (1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, None), (1, 2, 3.5, 4), "abcd", {1: 2}, 5,
     (1, 2, 3, 4, 5, None, 0), (0, 0, float("inf"), 4), (0, 0, float("nan"), 4)],
)  # fmt: skip
def test_what_is_no_area_is_told(given):
    with pytest.raises(DepixelError, match=r"is no area\. An area is x, y, width, height"):
        Area.of(given)


def test_a_resolved_area_is_a_row_of_seven_columns():
    area = ResolvedArea(1, 2, 30, 40, 8, offset_x=3, offset_y=5)
    assert area.columns() == (1, 2, 30, 40, 8, 3, 5) and area.block_size == 8
    assert area.described() == "1,2,30,40,8,3,5 (blocks of 8, the first ones cut off)"
    assert ResolvedArea(1, 2, 30, 40, 8).columns() == (1, 2, 30, 40, 8, 0, 0)
    assert ResolvedArea(1, 2, 30, 40, 8).described() == "1,2,30,40 in blocks of 8"


def test_blocks_make_an_area_a_resolved_one():
    area = Area(1, 2, 30, 40, offset_x=3)
    assert area.in_blocks_of(8) == ResolvedArea(1, 2, 30, 40, 8, offset_x=3)
    assert area.in_blocks_of(8, (0, 5)) == ResolvedArea(1, 2, 30, 40, 8, offset_y=5)
    assert area.with_blocks(8) == Area(1, 2, 30, 40, 8, offset_x=3) != area.in_blocks_of(8)


def test_its_part_of_a_picture_moves_with_it():
    picture = np.arange(100).reshape(10, 10)
    area = ResolvedArea(2, 3, 4, 5, 2)
    np.testing.assert_array_equal(picture[area.part], picture[3:8, 2:6])
    assert area.moved(-1, 2) == ResolvedArea(1, 5, 4, 5, 2)


@pytest.mark.parametrize(
    ("text", "width", "height"),
    [
        ("16x8", 16, 8),
        ("7.5x5.625", Fraction(15, 2), Fraction(45, 8)),
        ("25/3x8", Fraction(25, 3), 8),
        (8.2, "8.2", "8.2"),
    ],
)
def test_blocks_need_be_neither_square_nor_whole(text, width, height):
    area = Area.of([1, 2, 30, 40, text])
    assert (area.block_width, area.block_height) == (Fraction(width), Fraction(height))
    assert area.blocks == str(text) and Area.of(area.numbers()) == area
    moved = Area.of([1, 2, 30, 40, text, "1/3", 0.5])
    assert moved.offset_x == Fraction(1, 3) and Area.of(moved.numbers()) == moved
    with pytest.raises(DepixelError, match=f"blocks of {text}.* pixels; here they must be whole and square"):
        area.in_blocks(Grid(area.block_width, area.block_height)).columns()


def test_an_area_may_be_named_by_the_number_of_its_blocks():
    area = Area.of({"area": [61, 53, 120, 90], "grid": [16, 16]})
    assert area == Area(61, 53, 120, 90, Fraction(15, 2), block_height=Fraction(45, 8))
    assert area.numbers() == [61, 53, 120, 90, "7.5x5.625"]
    for grid in ((0, 4), (61, 4), (4, 46), (4, 2.5)):
        with pytest.raises(
            DepixelError, match=r"area 61,53,120,90: it is \d+ pixels (wide|high), and .* do not fit in"
        ):
            Area.of({"area": [61, 53, 120, 90], "grid": grid})
    for wrong in ({"area": [1, 2, 3, 4]}, {"area": [1, 2, 3], "grid": [1, 1]}, {"grid": [1, 1]}):
        with pytest.raises(DepixelError, match="is no area"):
            Area.of(wrong)


def test_whole_fractions_are_whole_numbers():
    area = ResolvedArea(1, 2, 30, 40, Fraction(16, 2), offset_y=Fraction(3))
    assert area == ResolvedArea(1, 2, 30, 40, 8, offset_y=3)
    assert area.columns() == (1, 2, 30, 40, 8, 0, 3) and all(type(number) is int for number in area.columns())


def test_a_mask_has_the_shape_of_its_area_and_goes_with_it():
    area = Area(1, 2, 30, 40, 8, mask=np.ones((40, 30), bool))
    assert area.in_blocks_of(8).mask is area.mask and checked_areas([area], 100, 100) == [area]
    with pytest.raises(DepixelError, match=r"area 1,2,30,40: the mask has the shape \(30, 40\), must be \(40, 30\)"):
        checked_areas([replace(area, mask=np.ones((30, 40), bool))], 100, 100)


def test_masks_may_share_a_rectangle_but_no_pixel():
    left = np.arange(8) < np.arange(8)[:, None]
    one, other = Area(0, 0, 8, 8, 2, mask=left), Area(0, 0, 8, 8, 2, mask=~left)
    assert len(checked_areas([one, other], 8, 8)) == 2
    with pytest.raises(DepixelError, match="overlap"):
        checked_areas([one, replace(other, mask=~left | left)], 8, 8)


def test_a_picture_as_a_mask_gives_areas_their_shapes():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 3:9] = 255
    mask[10:18, 12:20] = 200
    mask[10:12, 12:14] = 100
    square, notched = masked(mask, [], (20, 30))
    assert square == Area(3, 2, 6, 6) and square.mask is None
    assert notched == Area(12, 10, 8, 8) and notched.mask.sum() == 60 and not notched.mask[1, 1]
    (named,) = masked(np.stack([mask] * 3, axis=2), [Area(0, 0, 12, 12, 4)], (20, 30, 3))
    assert named == Area(0, 0, 12, 12, 4) and named.mask.sum() == 36
    with pytest.raises(DepixelError, match=r"the mask has 30 x 20 pixels, the picture 31 x 20"):
        masked(mask, [], (20, 31))
    with pytest.raises(DepixelError, match="the mask is dark at 20,0,4,4"):
        masked(mask, [Area(20, 0, 4, 4)], (20, 30))
    with pytest.raises(DepixelError, match="the mask is dark everywhere"):
        masked(mask // 2, [], (20, 30))


def test_areas_do_not_change_and_may_be_keys():
    area = Area(1, 2, 30, 40, 8)
    with pytest.raises(AttributeError):
        area.x = 5
    assert len({area, Area(1, 2, 30, 40, 8), replace(area, x=0)}) == 2


def test_areas_of_one_picture_are_checked_together():
    assert checked_areas([(0, 0, 4, 4), Area(4, 0, 4, 4)], 8, 4) == [Area(0, 0, 4, 4), Area(4, 0, 4, 4)]
    with pytest.raises(DepixelError, match="the areas 0,0,4,4 and 3,3,4,4 overlap"):
        checked_areas([(0, 0, 4, 4), (3, 3, 4, 4)], 8, 8)
    with pytest.raises(DepixelError, match="5 is no list of areas"):
        checked_areas(5, 8, 8)
    assert checked_areas([ResolvedArea(0, 0, 3, 5, 8, offset_x=4, offset_y=3)], 8, 8) == [ResolvedArea(0, 0, 3, 5, 8)]


def test_a_length_that_takes_for_ever_is_none():
    for text in ("1e999999999", "1_0", "9" * 30, "8/0", "-8", "x", "8xx8", " "):
        with pytest.raises(DepixelError, match="is no area"):
            Area.of([1, 2, 30, 40, text])


def test_only_the_side_that_is_outside_is_named():
    picture = "which is 186 pixels wide and 140 high"
    for area, outside in (
        ((180, 38, 64, 64), "180,38,64,64: x from 180 to 244 is not"),
        ((10, 100, 64, 64), "10,100,64,64: y from 100 to 164 is not"),
        ((-1, 100, 64, 64), "-1,100,64,64: x from -1 to 63 and y from 100 to 164 are not"),
    ):
        with pytest.raises(DepixelError, match=f"area {outside} inside the picture, {picture}"):
            Area.of(area).checked(186, 140)
