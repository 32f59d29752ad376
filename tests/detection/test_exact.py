"""Areas of constant blocks: of any shape, in blocks of any sides."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from depixel.areas.area import Area
from depixel.areas.grid import Grid
from depixel.detection import exact
from depixel.detection.cells import find_cells, groups
from depixel.detection.watch import Watch
from depixel.pictures.pixels import pixelate
from tests.detection.test_search import photo


def colors(height: int = 150, width: int = 190) -> np.ndarray:
    return np.stack([photo(height, width, seed) for seed in range(3)], axis=2)


def certain(image: np.ndarray) -> list[exact.Exact]:
    return [one for one in exact.find(image) if one.certain]


@pytest.mark.parametrize("sides", [(8, 8), (16, 8), (8, 12), (5, 14)])
def test_blocks_need_not_be_square(sides):
    image = pixelate(colors(), [Area(21, 13, 128, 96).in_blocks(Grid(*sides))])
    (one,) = certain(image)
    assert one.area == Area(21, 13, 128, 96).in_blocks(Grid(*sides)) and one.area.mask is None


@pytest.mark.parametrize("blocks", [(16, 16), (13, 9), (11, 12)])
def test_blocks_need_not_be_whole_pixels(blocks):
    image, (columns, rows) = colors(), blocks
    part = Image.fromarray(image[53:143, 61:181])
    small = part.resize(blocks, Image.Resampling.BOX)
    image[53:143, 61:181] = np.asarray(small.resize(part.size, Image.Resampling.NEAREST))
    (one,) = certain(image)
    assert one.area.place == "61,53,120,90"
    assert (one.area.block_width, one.area.block_height) == (Fraction(120, columns), Fraction(90, rows))
    firsts = one.area.grid.begins(120, 90)  # where the tool has put them, to the pixel
    shown = image[one.area.part]
    for at, axis in zip(firsts, (1, 0), strict=True):
        steps = (np.diff(shown.astype(int), axis=axis) != 0).any(axis=(1 - axis, 2))
        assert (np.flatnonzero(steps) + 1).tolist() == at[1:].tolist()


def test_an_area_may_have_any_shape():
    image = colors()
    y, x = np.mgrid[:96, :128]
    for mask in (((x - 63.5) / 64) ** 2 + ((y - 47.5) / 48) ** 2 <= 1, (x < 64) | (y >= 48)):
        shown = pixelate(image, [Area(21, 13, 128, 96, 8, mask=mask)])
        (one,) = certain(shown)
        found, true = np.zeros((2, *image.shape[:2]), bool)
        found[one.area.part], true[13:109, 21:149] = one.area.mask, mask
        assert (found & true).sum() > 0.95 * (found | true).sum() and one.area.blocks == "8"


def test_two_areas_that_touch_are_two():
    image = pixelate(colors(), [(20, 20, 64, 90, 8), (84, 20, 70, 90, 10)])
    assert {tuple(one.area.numbers()) for one in certain(image)} == {(20, 20, 64, 90, 8), (84, 20, 70, 90, 10)}


def test_what_is_drawn_over_an_area_does_not_cut_it():
    for text, size in (("hidden", 30), ("across the whole area", 14)):
        shown = Image.fromarray(pixelate(colors(), [(21, 13, 128, 96, 8)]))
        ImageDraw.Draw(shown).text((30, 50), text, fill=(255, 255, 255), font_size=size)
        (one,) = certain(np.asarray(shown))
        assert one.area.numbers() == [21, 13, 128, 96, 8] and one.area.mask is None


@pytest.mark.parametrize("times", [2, 3])
def test_a_picture_that_was_enlarged_has_the_areas_it_had(times):
    image = pixelate(colors(), [(21, 13, 64, 56, 8)])
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    (one,) = certain(large)
    assert one.area.numbers() == [times * n for n in (21, 13, 64, 56, 8)]
    assert certain(colors().repeat(times, axis=0).repeat(times, axis=1)) == []


def test_a_picture_that_is_pixelated_all_over_is_one_area():
    image = pixelate(colors(), [(0, 0, 190, 150, 10)])
    assert [one.area.numbers() for one in certain(image)] == [[0, 0, 190, 150, 10]]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("02_blocks_16x8.png", [61, 53, 128, 96, "16x8"]),
        ("03_text_over.png", [61, 53, 128, 96, 8]),
        ("07_enlarged_2x.png", [122, 106, 256, 192, 16]),
        ("15_rough_area.png", [61, 53, 128, 96, 8]),
    ],
)
def test_pictures_of_other_tools_are_searched(shared, name, numbers):
    found = certain(np.asarray(Image.open(shared / "field" / name).convert("RGB")))
    assert [one.area.numbers() for one in found] == [numbers]


def test_blocks_that_pillow_made_are_found(shared):
    (one,) = certain(np.asarray(Image.open(shared / "field/01_pillow_16x16.png").convert("RGB")))
    assert one.area.place == "61,53,120,90" and one.area.blocks == "7.5x5.625"


def test_an_area_beside_plain_blocks_is_not_certain():
    """It could begin further left, where the photo is white, and would look the same."""
    image = colors()
    image[:, :60] = 255
    shown = pixelate(image, [(40, 20, 100, 90, 10)])
    assert certain(shown) == [] and exact.find(shown)
    image[:, :60] = colors()[:, :60] // 2 + 100  # nothing plain
    assert [one.area.place for one in certain(pixelate(image, [(40, 20, 100, 90, 10)]))] == ["40,20,100,90"]


def test_parts_that_text_splits_are_one_area_if_one_lacks_a_sliver_at_a_side():
    shown = pixelate(colors(), [(39, 20, 56, 102, 11)])
    shown[64:79, 39:95] = np.random.default_rng(0).integers(0, 256, (15, 56, 3))
    parts = [
        exact.Exact(Area(39, 20, 55, 44).in_blocks_of(11), 900.0, True),
        exact.Exact(Area(39, 79, 56, 43).in_blocks(Grid.square(11, (0, 4))), 800.0, True),
    ]
    (one,) = exact._joined(exact._codes(shown), parts)
    assert tuple(one.area.numbers()) == (39, 20, 56, 102, 11) and one.evidence == 1700


def test_large_blocks_may_hide_where_an_enlarged_picture_ends():
    shown = pixelate(colors(64, 64), [(4, 5, 56, 56, 20)]).repeat(3, axis=0).repeat(3, axis=1)
    seen = exact.Exact(Area(0, 0, 192, 177).in_blocks_of(3), 1e4, True)  # of 192 rows; the area ends at row 183
    inside, whole = exact._within_enlarged(shown, [seen], Watch())
    assert tuple(inside.area.numbers()) == (12, 15, 168, 168, 60) and not whole.certain


def test_many_groups_of_tiny_blocks_are_an_enlarged_picture():
    groups = [exact.Exact(Area(60 * k, 0, 40, 30).in_blocks_of(3), 900.0, True) for k in range(3)]
    other = exact.Exact(Area(0, 60, 40, 30).in_blocks_of(10), 900.0, True)
    few, many = (exact._without_tiny([*groups, other], pixels) for pixels in (200 * 200, 180 * 180))
    assert [one.certain for one in few] == [True, True, True, True]
    assert [one.certain for one in many] == [False, False, False, True]


@pytest.mark.parametrize(("step", "is_certain"), [(1, False), (5, True)])
def test_flat_spots_a_gray_level_apart_are_the_steps_of_a_gradient(step, is_certain):
    shown = np.array(Image.fromarray(photo(25, 25)).resize((200, 200), Image.Resampling.BILINEAR))
    levels = np.add.outer(np.arange(5), np.arange(5)) % 2
    shown[40:60, 40:60] = (120 + step * levels).repeat(4, 0).repeat(4, 1)
    (one,) = [one for one in exact.find(shown) if one.area.place == "40,40,20,20"]
    assert one.certain == is_certain and exact._LEAST_EVIDENCE < one.evidence < exact._EVIDENCE_OF_STEPS


def test_an_enlarged_photo_has_thousands_of_flat_spots_and_one_area():
    small = Image.fromarray(photo(75, 100)).filter(ImageFilter.GaussianBlur(1))
    large = np.asarray(small.resize((1200, 900), Image.Resampling.BILINEAR))
    spots = sum(1 for _ in groups(find_cells(large, Watch())))
    found = exact.find(pixelate(large, [(503, 401, 96, 64, 8)]))
    assert spots > 5 * exact._LOOKED_AT and len(found) <= exact._GUESSES + 1
    assert [one.area.place for one in found if one.certain] == ["503,401,96,64"]
