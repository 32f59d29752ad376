"""Areas as a person names them, and with their blocks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from depixel.areas.area import Area, ResolvedArea, checked_areas
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
    with pytest.raises(DepixelError, match="is no area: x, y, width, height and, if known, block size"):
        Area.of(given)


def test_a_resolved_area_is_a_row_of_seven_columns():
    area = ResolvedArea(1, 2, 30, 40, 8, offset_x=3, offset_y=5)
    assert area.columns() == (1, 2, 30, 40, 8, 3, 5) and area.block_size == 8 and area.offset == (3, 5)
    assert area.described() == "1,2,30,40,8,3,5 (blocks of 8, the first ones cut off)"
    assert ResolvedArea(1, 2, 30, 40, 8).columns() == (1, 2, 30, 40, 8, 0, 0)
    assert ResolvedArea(1, 2, 30, 40, 8).described() == "1,2,30,40 in blocks of 8"


def test_blocks_make_an_area_a_resolved_one():
    area = Area(1, 2, 30, 40, offset_x=3)
    assert area.in_blocks_of(8) == ResolvedArea(1, 2, 30, 40, 8, offset_x=3)
    assert area.in_blocks_of(8, (0, 5)) == ResolvedArea(1, 2, 30, 40, 8, offset_y=5)
    assert area.with_block_size(8) == Area(1, 2, 30, 40, 8, offset_x=3) != area.in_blocks_of(8)


def test_its_part_of_a_picture_moves_with_it():
    picture = np.arange(100).reshape(10, 10)
    area = ResolvedArea(2, 3, 4, 5, 2)
    np.testing.assert_array_equal(picture[area.part], picture[3:8, 2:6])
    assert area.moved(-1, 2) == ResolvedArea(1, 5, 4, 5, 2)


@pytest.mark.parametrize(
    ("width", "height", "offset_x", "told"),
    [
        (8, 7, 0, "blocks of 8 x 7 pixels are not restored yet"),
        (Fraction(15, 2), None, 0, "blocks of 15/2 x 15/2 pixels are not restored yet"),
        (8, 8, Fraction(1, 2), "lack 1/2 columns and 0 rows are not restored yet"),
    ],
)
def test_what_is_not_restored_yet_is_told(width, height, offset_x, told):
    area = ResolvedArea(1, 2, 30, 40, width, block_height=height, offset_x=offset_x)
    for use in (area.columns, area.numbers, area.described, lambda: area.checked(100, 100)):
        with pytest.raises(DepixelError, match=told):
            use()


def test_whole_fractions_are_whole_numbers():
    area = ResolvedArea(1, 2, 30, 40, Fraction(16, 2), offset_y=Fraction(3))
    assert area == ResolvedArea(1, 2, 30, 40, 8, offset_y=3)
    assert area.columns() == (1, 2, 30, 40, 8, 0, 3) and all(type(number) is int for number in area.columns())


def test_masks_are_not_restored_yet():
    area = Area(1, 2, 30, 40, 8, mask=np.ones((40, 30), bool))
    assert area.in_blocks_of(8).mask is area.mask
    with pytest.raises(DepixelError, match="area 1,2,30,40: areas with a mask are not restored yet"):
        checked_areas([area], 100, 100)


def test_areas_do_not_change_and_may_be_keys():
    area = Area(1, 2, 30, 40, 8)
    with pytest.raises(AttributeError):
        area.x = 5
    assert len({area, Area(1, 2, 30, 40, 8), replace(area, x=0)}) == 2


def test_areas_of_one_picture_are_checked_together():
    assert checked_areas([(0, 0, 4, 4), Area(4, 0, 4, 4)], 8, 4) == [Area(0, 0, 4, 4), Area(4, 0, 4, 4)]
    with pytest.raises(DepixelError, match="the areas 0,0,4,4 and 3,3,4,4 overlap"):
        checked_areas([(0, 0, 4, 4), (3, 3, 4, 4)], 8, 8)
    with pytest.raises(DepixelError, match="5 are no areas"):
        checked_areas(5, 8, 8)
    assert checked_areas([ResolvedArea(0, 0, 3, 5, 8, offset_x=4, offset_y=3)], 8, 8) == [ResolvedArea(0, 0, 3, 5, 8)]
