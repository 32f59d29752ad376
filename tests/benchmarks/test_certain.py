"""How often certain areas are wrong: what counts as right, and that each kind of picture is what it says."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import certain
from depixel.areas.area import Area
from depixel.areas.grid import Grid
from tests.pictures.test_restorer import photo

WITHOUT = ("untouched", "screen", "enlarged 2x", "enlarged 3x")
AREA = Area(20, 30, 64, 48, 8)


def found(area: Area, **changes):
    changed = replace(area, **changes)
    return changed.in_blocks(Grid(changed.block_width, changed.block_height))


def test_right_is_what_has_the_place_and_the_blocks():
    assert certain.is_right(found(AREA), AREA)
    assert certain.is_right(found(AREA, x=21, width=63), AREA)
    assert not certain.is_right(found(AREA, x=22, width=62), AREA)
    assert not certain.is_right(found(AREA, block_height=16), AREA)
    row = replace(AREA, block_height=48)  # a single block down: its height is not seen
    assert certain.is_right(found(row, block_height=60), row)
    scaled = replace(AREA, width=89, height=40, block_width=Fraction("14.83"))  # its lines are those of blocks of 15
    assert certain.is_right(found(scaled, block_width=15), scaled)
    assert not certain.is_right(found(scaled, block_width=14), scaled)
    mask = np.ones((48, 64), bool)
    mask[:24, 32:] = False
    corner = replace(AREA, mask=mask)
    assert certain.is_right(found(corner), corner) and not certain.is_right(found(AREA), corner)


def test_intervals_are_wilsons():
    assert certain.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert certain.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert certain.wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("kind", certain.KINDS)
def test_each_kind_shows_its_areas_and_is_the_same_again(kind):
    image = photo(140, 132)
    picture, areas = certain.KINDS[kind](image, np.random.default_rng(3))
    again, _ = certain.KINDS[kind](image, np.random.default_rng(3))
    np.testing.assert_array_equal(picture, again)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert len(areas) == (0 if kind in WITHOUT else 2 if kind == "two that touch" else 1)
    for area in areas:
        area.checked(picture.shape[1], picture.shape[0])
    if areas and picture.shape == image.shape:
        outside = np.ones(image.shape[:2], bool)
        for area in areas:
            near = certain.SOFT if kind == "soft edges" else 0
            outside[area.y - near : area.y + area.height + near, area.x - near : area.x + area.width + near] = False
        assert (picture == image)[outside].all() and not (picture == image).all()


def test_the_table_is_printed(tmp_path):
    for name in ("a", "b"):  # two contributors: the second is measured
        (tmp_path / name).mkdir()
        Image.fromarray(photo(128, 128)).save(tmp_path / name / "photo.jpg", quality=95)
    command = ["--photos", str(tmp_path), "--count", "1", "--qualities", "0", "--workers", "1"]
    result = CliRunner().invoke(certain.main, [*command, "--kinds", "square blocks"])
    assert result.exit_code == 0, result.output
    assert "square blocks         lossless         1      1  100.0%        1      0    0.0%" in result.output
    unknown = CliRunner().invoke(certain.main, [*command, "--kinds", "round blocks"])
    assert unknown.exit_code == 2 and "the kinds are" in unknown.output
