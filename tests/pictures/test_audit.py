import json

import numpy as np
import pytest
from PIL import Image

from depixel.areas.area import Area
from depixel.base.errors import DepixelError
from depixel.model import predictor
from depixel.pictures.audit import FEW, Size, audit, enough
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from depixel.scoring.baselines import Identity, Interpolation
from tests.conftest import run
from tests.model import test_predictor
from tests.pictures.test_restorer import photo

AREA = (20, 12, 96, 64)


def restorer(network) -> Restorer:
    return Restorer(predictor.Predictor(network, test_predictor.predictor().configuration, "cpu"))


def test_who_restores_nothing_sees_the_blocks_as_they_are():
    image = photo(channels=None)  # colors are interpolated, whatever predicts
    sizes = audit(restorer(Identity()), image, AREA, 8)
    looked_at = [size.block_size for size in sizes]
    assert looked_at == sorted(looked_at) and {8, 12, 16, 24, 32, 48} < set(looked_at)
    least = enough(sizes)
    assert least - 1 in looked_at and not sizes[looked_at.index(least - 1)].enough  # it is the smallest
    here = np.s_[12:76, 20:116]
    for size in sizes:
        shown = pixelate(image, [(*AREA, size.block_size)])
        assert size.hidden == pytest.approx(np.sqrt(np.mean((shown[here].astype(float) - image[here]) ** 2)))
    # larger ones are restored at another scale, which alone smooths them
    assert sizes[0].left == pytest.approx(sizes[0].hidden, rel=1e-3) and sizes[0].seen_as == 8
    assert sizes[0].returned == pytest.approx(0, abs=2e-3)


def test_who_interpolates_brings_something_back_and_sees_smaller_blocks():
    sizes = audit(restorer(Interpolation()), photo(), AREA, 8)
    assert 0.1 < sizes[0].returned < 1 and sizes[0].left < sizes[0].hidden and sizes[0].seen_as < 8
    assert sizes[0].returned == pytest.approx(1 - (sizes[0].left / sizes[0].hidden) ** 2)
    for size in sizes:
        assert size.enough == (64 / size.seen_as <= FEW)
    assert [size.block_size for size in audit(restorer(Interpolation()), photo(), (20, 12, 120, 90), 8)][-1] == 60


@pytest.mark.parametrize(
    ("area", "block", "said"),
    [((20, 12, 30, 20), 16, "does not have two blocks of 16"), ((150, 12, 96, 64), 8, "not inside the picture")],
)
def test_areas_that_cannot_be_looked_at_are_told(area, block, said):
    with pytest.raises(DepixelError, match=said):
        audit(restorer(Identity()), photo(), area, block)


def test_where_nothing_is_to_hide_is_told():
    with pytest.raises(DepixelError, match="it is flat"):
        audit(restorer(Identity()), np.full((100, 120), 90, np.uint8), (8, 8, 64, 64), 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_command_prints_a_table_or_json(mode, tmp_path):
    Image.fromarray(photo()).convert(mode).save(tmp_path / "photo.png")
    test_predictor.predictor().save(tmp_path / "m.safetensors")
    command = ("depixel", "audit", "photo.png", "--area", "20,12,96,64", "--block", "16", "--model", "m.safetensors")
    table = run(*command, cwd=tmp_path).stdout
    assert "comes back (squared error)" in table and "a plain bar is safer" in table
    found = json.loads(run(*command, "--json", cwd=tmp_path).stdout)
    sizes = [size["block_size"] for size in found["sizes"]]
    assert sizes == sorted(sizes) and {16, 24, 32, 48} <= set(sizes) and found["enough"] in (*sizes, None)
    assert f"{found['sizes'][0]['hidden']:.1f}" in table


def test_what_is_pixelated_already_is_told():
    shown = pixelate(photo(), [(*AREA, 8)])
    with pytest.raises(DepixelError, match="already pixelated in blocks of 8 pixels"):
        audit(restorer(Identity()), shown, AREA, 8)


def test_sizes_go_on_until_the_area_has_two_blocks():
    sizes = [size.block_size for size in audit(restorer(Identity()), photo(), (0, 0, 140, 140), 2)]
    assert {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 70} <= set(sizes) and max(sizes) == 70


def test_only_the_sizes_from_which_on_all_are_enough_count():
    sizes = [Size(size, 9, 9, 0, size, enough) for size, enough in ((4, True), (5, False), (6, True), (7, True))]
    assert enough(sizes) == 6 and enough(sizes[:2]) is None and enough(sizes[2:]) == 6


def test_where_nothing_comes_back_it_asks_whether_this_is_the_original(tmp_path):
    test_predictor.predictor().save(tmp_path / "m.safetensors")
    shown = pixelate(photo(), [(*AREA, 16)])
    Image.fromarray(shown).save(tmp_path / "photo.jpg", quality=95)
    command = ("depixel", "audit", "photo.jpg", "--area", "20,12,96,64", "--block", "8", "--model", "m.safetensors")
    told = run(*command, cwd=tmp_path).stdout
    assert "nothing" in told and "is this the original?" in told


@pytest.mark.parametrize("like", [None, "pillow", "imagemagick"])
def test_blocks_keep_their_proportion(like):
    named = Area.of((20, 12, 32, 24, "8x4"))
    sizes = audit(restorer(Interpolation()), photo(), named, like=like)
    assert sizes[0].blocks() == "8x4" and sizes[-1].blocks() == "24x12"
    shown = pixelate(photo(), [named], like)
    here = np.s_[12:36, 20:52]
    assert sizes[0].hidden == pytest.approx(np.sqrt(np.mean((shown[here].astype(float) - photo()[here]) ** 2)))
    for size in sizes:
        assert size.enough == (min(32 / size.seen_as, 24 / (size.seen_as / 2)) <= FEW)


def test_the_command_takes_a_number_of_blocks(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    test_predictor.predictor().save(tmp_path / "m.safetensors")
    command = ("depixel", "audit", "photo.png", "--model", "m.safetensors", "--area", "20,12,48,32")
    blocks = ("--grid", "5x5", "--like", "pillow")
    sizes = json.loads(run(*command, *blocks, "--json", cwd=tmp_path).stdout)["sizes"]
    assert sizes[0]["block_size"] == 9.6 and sizes[0]["proportion"] == pytest.approx(6.4 / 9.6)
    assert "such as --block 8" in run(*command, cwd=tmp_path, code=1).stderr
