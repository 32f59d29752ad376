import json

import numpy as np
import pytest
from PIL import Image
from torch import nn

from depixel.base.names import photo_ids
from depixel.curation import suggestion
from depixel.curation.suggestion import describe, facility_location, suggest
from depixel.dataset.samples import Photos
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor
from tests.conftest import run, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


def photo(seed: int, coarse: int = 9) -> np.ndarray:
    """The coarser, the smoother."""
    values = np.random.default_rng(seed).integers(0, 256, (coarse, coarse), dtype=np.uint8)
    return np.asarray(Image.fromarray(values).resize((64, 64), Image.Resampling.BICUBIC))


def photos(images) -> Photos:
    images = np.stack(images)
    return Photos(images, np.arange(len(images)), photo_ids([str(i) for i in range(len(images))]))


class Lopsided(nn.Module):
    """Predicts a slope to the right, whichever way it is turned: its views disagree where blocks are wide."""

    def forward(self, pixelated, blocks):
        return pixelated + blocks.features()[:, 1:2] * 20


NOTHING = np.empty((0, 64, 64), np.uint8)


# Choosing


def test_what_stands_for_most_is_chosen_first():
    # two near each other, three near each other, one alone
    places = np.array([[0.0], [0.01], [10.0], [10.01], [10.02], [30.0]])
    chosen = facility_location(np.ones(6), places, np.empty((0, 1)), 3)
    assert chosen[0][0] in (2, 3, 4) and chosen[1][0] in (0, 1) and chosen[2][0] == 5
    assert [gain for _, gain in chosen] == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.01)


def test_worth_outweighs_number():
    places = np.array([[0.0], [10.0], [10.01]])
    assert facility_location(np.array([5.0, 1, 1]), places, np.empty((0, 1)), 1)[0][0] == 0


def test_what_is_known_is_not_chosen_before_what_is_new():
    places = np.array([[0.0], [10.0], [20.0], [20.01]])
    (first, gain), *rest = facility_location(np.array([1.0, 2, 5, 5]), places, np.array([[20.01]]), 4)
    assert first == 1 and gain == pytest.approx(2 / 13, rel=1e-3)
    assert rest[0] == (0, pytest.approx(1 / 13, rel=1e-3)) and all(gain < 0.01 for _, gain in rest[1:])


def test_greedy_and_lazy_choose_the_same():
    random = np.random.default_rng(0)
    worth, places = random.random(40), random.random((40, 3))
    squared = np.square(places[:, None] - places).sum(axis=2)
    alike = np.exp(-squared / (suggestion.REACH * np.median(squared)))
    best, expected = np.zeros(40), []
    for _ in range(15):
        gains = np.maximum(alike - best, 0) @ worth
        expected.append(int(gains.argmax()))
        best = np.maximum(best, alike[expected[-1]])
    assert [j for j, _ in facility_location(worth, places, np.empty((0, 3)), 15)] == expected


def test_there_may_be_fewer_than_asked_for():
    assert sorted(j for j, _ in facility_location(np.ones(3), np.zeros((3, 2)), np.empty((0, 2)), 9)) == [0, 1, 2]


# Describing


def test_photos_of_one_kind_are_near_each_other():
    smooth, fine = [photo(i, 5) for i in range(4)], [photo(i, 60) for i in range(4)]
    found, known = describe(np.stack(smooth + fine), np.stack([photo(9, 5)]))
    distance = np.linalg.norm(found[:, None] - found, axis=2)
    assert distance[:4, :4].max() < distance[:4, 4:].min()
    assert np.linalg.norm(found - known, axis=1)[:4].max() < np.linalg.norm(found - known, axis=1)[4:].min()


def test_a_shift_by_whole_blocks_is_no_difference():
    image = photo(1, 30)
    found, _ = describe(np.stack([image, np.roll(image, (8, 16), (0, 1)), photo(2, 5)]), NOTHING)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


# Suggesting


def test_the_figures_of_a_photo():
    restorer = Predictor(Lopsided(), tiny_model().configuration, "cpu")
    pixelation = PixelationSettings(width=(16, 16), height=(16, 16), block_size=(8, 8))
    (one,) = suggest(restorer, photos([np.full((64, 64), 100, np.uint8)]), NOTHING, pixelation, 5)
    # positions -7/8, -5/8 .. 7/8 of a block of 8: each view slopes by 20 of them to one of four sides
    square = 400 * np.square(np.arange(-7, 8, 2) / 8).mean()
    assert one.number == 0
    assert one.disagreement == pytest.approx(np.sqrt(square), rel=1e-5)  # the mean is even
    assert one.rmse == pytest.approx(0, abs=1e-4) and np.isnan(one.ratio)
    assert one.gain == pytest.approx(1)


def test_of_photos_that_show_the_same_only_one_is_chosen():
    different = [photo(seed) for seed in range(6)]
    cropped = np.asarray(Image.fromarray(different[2]).resize((64, 64), box=(2, 2, 63, 63)))
    turned = different[4].T
    restorer = Predictor(Lopsided(), tiny_model().configuration, "cpu")
    found = suggest(restorer, photos([*different, cropped, turned]), NOTHING, PixelationSettings(), 8)
    chosen = {one.number for one in found}
    assert len(chosen) == 6 and len(chosen & {2, 6}) == len(chosen & {4, 7}) == 1
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)


def test_the_command_leaves_out_what_is_no_photo(raw, tmp_path):
    tiny_model().save(tmp_path / "model.safetensors")
    command = ("depixel", "suggest", "raw", "-n", "3", "--model", "model.safetensors")
    rows = json.loads(run(*command, "--json", "--sheet", "picks.png", cwd=tmp_path).stdout)
    assert len(rows) == 3 and list(rows[0]) == ["photo", "disagreement", "rmse", "ratio", "gain"]
    assert len({row["photo"] for row in rows}) == 3 and all(row["rmse"] > 0 for row in rows)
    with Image.open(tmp_path / "picks.png") as picture:
        assert picture.width > 500
    text = run(*command, cwd=tmp_path).stdout
    assert rows[0]["photo"] in text and "3 of 61 new photos; 0 photos" in text and "1 file skipped as invalid" in text


def test_a_folder_without_photos(tmp_path):
    tiny_model().save(tmp_path / "model.safetensors")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/notes.txt").write_text("none", encoding="utf-8")
    done = run("depixel", "suggest", "raw", "--model", "model.safetensors", cwd=tmp_path, code=1)
    assert "none of its 1 files is a valid photo (the name does not end" in done.stderr
