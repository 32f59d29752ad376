"""Pixelated as other tools do: their arithmetic, and that what they make is restored."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from depixel.areas.area import Area
from depixel.base.errors import DepixelError
from depixel.commands.pictures import pixelate as pixelate_command
from depixel.pictures.jobs import read_areas
from depixel.pictures.pixels import pixelate
from depixel.pictures.resolve import resolve
from depixel.pictures.tools import as_made_by, counts
from tests.pictures.test_restorer import photo

TOOLS = ["flameshot", "imagemagick", "opencv", "pillow"]
PART = np.s_[20:110, 30:150]


def test_pillow_is_pillow():
    part = np.ascontiguousarray(photo()[PART])
    image = Image.fromarray(part)
    for columns, rows in ((16, 16), (7, 11), (40, 15), (1, 3)):
        expected = np.asarray(image.resize((columns, rows)).resize(image.size, Image.Resampling.NEAREST))
        np.testing.assert_array_equal(as_made_by("pillow", part, columns, rows), expected)
    deep = as_made_by("pillow", part.astype(np.uint16) * 257, 16, 16)
    assert np.abs(deep / 257 - as_made_by("pillow", part, 16, 16)).max() <= 1


@pytest.mark.parametrize("tool", ["flameshot", "imagemagick"])
def test_means_of_what_blocks_cover_are_those_of_pillow_where_blocks_are_whole(tool):
    part = np.ascontiguousarray(photo()[PART])
    small = Image.fromarray(part).resize((15, 9), Image.Resampling.BOX)
    expected = np.asarray(small).repeat(10, axis=0).repeat(8, axis=1).astype(int)
    assert np.abs(as_made_by(tool, part, 15, 9) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("tool", "shown"),
    [
        ("flameshot", [8, 8, 32, 32, 32, 58, 58, 82, 82, 82]),
        ("imagemagick", [8, 8, 20, 32, 32, 58, 58, 70, 82, 82]),
        ("opencv", [8, 8, 8, 33, 33, 58, 58, 58, 83, 83]),  # what lies at 0.75, 3.25, 5.75 and 8.25
        ("pillow", [8, 8, 32, 32, 32, 58, 58, 58, 82, 82]),  # it sums floats: 7.5 / 2.5 is a little less than 3
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_ten_pixels_in_four_blocks(tool, shown, dtype, axis):
    """The means of two and a half pixels are 8, 32, 58 and 82."""
    ramp = np.expand_dims(np.arange(0, 100, 10, dtype=dtype), (1 - axis, 2))
    counts = (1, 4) if axis == 0 else (4, 1)
    made = as_made_by(tool, ramp, *counts)
    assert made.dtype == dtype and made.shape == ramp.shape and made.ravel().tolist() == shown


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("place", "grid"),
    [
        ((30, 20, 120, 90), (16, 16)),
        ((10, 10, 128, 96), (8, 12)),
        ((17, 5, 101, 77), (9, 13)),
        ((0, 0, 170, 150), (20, 20)),  # Pillow rounds half of the lines the one way and half the other
    ],
)
def test_what_tools_make_is_accepted_with_and_without_its_blocks(tool, place, grid):
    area = Area.of(place).in_grid(*grid)
    shown = pixelate(photo(), [area], tool)
    for named in (place, area.numbers()):
        (found,) = resolve(shown, [named])
        assert found.place == area.place
        counted = [len(begins) for begins in found.grid.begins(found.width, found.height)]
        assert counted == list(grid)


def test_the_number_of_blocks_is_the_nearest():
    assert counts(Area(0, 0, 61, 45, 8)) == (8, 6)
    assert counts(Area(0, 0, 61, 45, 16, block_height=10)) == (4, 4)
    assert counts(Area(0, 0, 7, 3, 2)) == (3, 1)  # of two pixels at least
    assert counts(Area(0, 0, 7, 9, 200)) == (1, 1)
    with pytest.raises(DepixelError, match="begins with a whole block"):
        counts(Area(0, 0, 61, 45, 8, offset_x=3))
    with pytest.raises(DepixelError, match="give the block size"):
        pixelate(photo(), [(0, 0, 61, 45)], "opencv")


@pytest.mark.parametrize("tool", [None, *TOOLS])
@pytest.mark.parametrize("blocks", [["--block", "8"], ["--block", "16x9"], ["--grid", "14x10"]])
def test_areas_beside_the_picture_are_accepted(tool, blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    like = ["--like", tool] if tool else []
    arguments = ["photo.png", "-o", "out", "--area", "20,31,117,83", *blocks, *like, "--json"]
    result = CliRunner().invoke(pixelate_command, arguments)
    assert result.exit_code == 0, result.output
    shown, named = np.asarray(Image.open("out/photo.png")), read_areas(tmp_path / "out/photo.png")
    assert json.loads(result.output.splitlines()[-1])["pictures"][0]["areas"] == [named[0].numbers()]
    assert resolve(shown, named)[0].place == "20,31,117,83"
    assert (shown[:31] == photo()[:31]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--area", "20,31,117,83"], "such as --block 8"),
        (["--area", "20,31,117,83,8", "--block", "8"], "named twice"),
        (["--area", "20,31,117,83,8,3,2", "--like", "opencv"], "begins with a whole block"),
        (["--area", "20,31,117,83", "--grid", "100x10"], "do not fit"),
    ],
)
def test_blocks_that_cannot_be_are_told(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    result = CliRunner().invoke(pixelate_command, ["photo.png", "-o", "out", *options])
    assert result.exit_code != 0 and said in f"{result.output} {result.exception}"
    assert not (tmp_path / "out").exists()
