import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from depixel.commands.pictures import restore
from depixel.detection import named
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
    """The areas that are searched by likelihood, each time they are."""
    found: list = []
    search = named.block_size_in_jpeg
    monkeypatch.setattr(named, "block_size_in_jpeg", lambda image, area: found.append(area) or search(image, area))
    return found


@pytest.mark.parametrize("how", [["--auto"], ["--area", "17,25,49,42", "--area", "90,20,54,63"]])
def test_each_area_of_a_jpeg_is_searched_once(how, jpeg, searches, detector, monkeypatch):
    monkeypatch.chdir(jpeg.parent)
    result = CliRunner().invoke(restore, ["photo.jpg", "-o", "out", "--model", "m.safetensors", *how])
    assert result.exit_code == 0, result.output
    for x, y, width, height, size in AREAS:
        assert f"{x},{y},{width},{height} in blocks of {size}" in result.output
    assert sorted((area.x, area.y) for area in searches) == [(17, 25), (90, 20)]


def test_resolved_areas_are_not_looked_at_again(jpeg, searches):
    image = np.asarray(Image.open(jpeg))
    restorer = Restorer(test_predictor.predictor())
    resolved = resolve(image, AREAS)
    assert len(searches) == 2 and [area.numbers() for area in resolved] == [list(area) for area in AREAS]
    restored = restorer.restore(image, resolved)
    disagreement(restorer, image, resolved)
    assert len(searches) == 2
    np.testing.assert_array_equal(restorer.restore(image, AREAS), restored)
    assert len(searches) == 4
