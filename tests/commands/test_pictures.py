import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from depixel.areas.area import Area
from depixel.commands.pictures import restore
from depixel.detection import search
from depixel.pictures.pixels import pixelate
from depixel.pictures.resolve import resolve
from depixel.pictures.restorer import Restorer, disagreement
from tests.detection.test_search import photo
from tests.model import test_predictor

pytestmark = pytest.mark.usefixtures("one_thread")

AREAS = [(17, 25, 49, 42, 7), (90, 20, 54, 63, 9)]  # not in line with JPEG's own blocks, which would keep them exact


@pytest.fixture
def jpeg(tmp_path):
    """photo.jpg, with two pixelated areas; and m.safetensors, with random weights."""
    Image.fromarray(pixelate(photo(120, 160), AREAS)).save(tmp_path / "photo.jpg", quality=90)
    test_predictor.predictor().save(tmp_path / "m.safetensors")
    return tmp_path / "photo.jpg"


@pytest.fixture
def searches(monkeypatch) -> list:
    """The shapes of the pictures that are searched, each time they are."""
    found: list = []
    find = search.find
    monkeypatch.setattr(search, "find", lambda image, *rest: found.append(image.shape) or find(image, *rest))
    return found


@pytest.mark.parametrize(("how", "times"), [(["--auto"], 1), (["--area", "17,25,49,42", "--area", "90,20,54,63"], 2)])
def test_each_area_of_a_jpeg_is_searched_once(how, times, jpeg, searches, detector, monkeypatch):
    monkeypatch.chdir(jpeg.parent)
    result = CliRunner().invoke(restore, ["photo.jpg", "-o", "out", "--model", "m.safetensors", *how])
    assert result.exit_code == 0, result.output
    for x, y, width, height, size in AREAS:
        assert f"{x},{y},{width},{height} in blocks of {size}" in result.output
    assert len(searches) == times


def test_resolved_areas_are_not_looked_at_again(jpeg, searches, detector):
    image = np.asarray(Image.open(jpeg))
    restorer = Restorer(test_predictor.predictor())
    resolved = resolve(image, AREAS)
    assert len(searches) == 2 and [area.numbers() for area in resolved] == [list(area) for area in AREAS]
    restored = restorer.restore(image, resolved)
    disagreement(restorer, image, resolved)
    assert len(searches) == 2
    np.testing.assert_array_equal(restorer.restore(image, AREAS), restored)
    assert len(searches) == 4


@pytest.fixture
def png(jpeg, monkeypatch):
    """photo.png, with an area of 75 x 64 pixels in 10 x 8 blocks at 17,25; a restoration of it, by `restored`."""
    monkeypatch.chdir(jpeg.parent)
    area = Area(17, 25, 75, 64).in_grid(10, 8)
    Image.fromarray(pixelate(photo(120, 160), [area], "pillow")).save("photo.png")

    def restored(*options: str) -> Result:
        command = ["photo.png", "-o", "out", "--model", "m.safetensors", "--force", *options]
        return CliRunner().invoke(restore, command)

    return restored


@pytest.mark.parametrize(
    "how",
    [
        ["--auto"],
        ["--area", "17,25,75,64"],
        ["--area", "17,25,75,64", "--grid", "10x8"],
        ["--area=17,25,75,64", "--grid=10x8"],
        ["--area", "17,25,75,64,7.5x8"],
        ["--area", "17,25,75,64", "--block", "7.5x8"],
    ],
)
def test_blocks_are_named_by_their_sides_or_by_their_number(how, png, detector):
    result = png(*how)
    assert result.exit_code == 0 and "17,25,75,64 in blocks of 7.5x8" in result.output, result.output


@pytest.mark.parametrize("how", [["--grid", "3x3"], ["--area", "1,1,9,9", "--auto", "--grid", "3x3"]])
def test_a_grid_belongs_to_the_area_before_it(how, png):
    result = png(*how)
    assert result.exit_code == 2 and "--grid belongs to the --area right before it" in result.output


@pytest.mark.parametrize("grid", ["3", "axb", "3x", "0x4", "99x4"])
def test_a_grid_that_is_none_is_told(grid, png):
    result = png("--area", "17,25,75,64", "--grid", grid)
    assert result.exit_code == 2 and ("--grid" in result.output or "do not fit in" in result.output)


def test_an_area_that_is_moved_is_told(png):
    result = png("--area", "15,26,78,65")
    assert result.exit_code == 0
    assert "area 15,26,78,65 is moved to 17,25,75,64, where blocks of 7.5x8 begin and end" in result.output


def test_what_is_named_may_be_restored_whatever_the_picture_shows(png):
    refused = png("--area", "100,10,40,40,5")
    assert refused.exit_code == 1 and "--ignore-check" in refused.output
    assert png("--area", "100,10,40,40,5", "--ignore-check").exit_code == 0


def test_a_mask_says_the_shape(png):
    image = np.asarray(Image.open("photo.png"))
    mask = np.zeros(image.shape, np.uint8)
    mask[25:89, 17:92] = 255
    mask[25:57, 54:92] = 0
    Image.fromarray(mask).save("mask.png")
    result = png("--mask", "mask.png")
    assert result.exit_code == 0, result.output
    changed = np.asarray(Image.open("out/photo.png")) != image
    assert changed[mask > 0].mean() > 0.5 and not changed[mask == 0].any()
    Image.fromarray(mask[1:]).save("mask.png")
    assert "the mask has 160 x 119 pixels, the picture 160 x 120" in png("--mask", "mask.png").output
