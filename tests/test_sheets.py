import numpy as np
import pytest

from depixel.sheets import GAP, LINE, contact_sheet, error_picture, fill


def test_fill_puts_values_into_the_area():
    image = np.zeros((4, 5), np.uint8)
    filled = fill(image, np.array([1, 2, 3, 2, 9]), np.arange(1, 7, dtype=np.uint8))
    assert filled.tolist() == [[0] * 5, [0] * 5, [0, 1, 2, 3, 0], [0, 4, 5, 6, 0]]
    assert not image.any()


def test_error_picture():
    prediction, truth = np.array([[10, 20, 0, 255, 60]], np.uint8), np.array([[10, 10, 10, 0, 255]], np.uint8)
    picture = error_picture(prediction, truth)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[128, 148, 108, 255, 0]]


@pytest.mark.parametrize("scale", [1, 3])
def test_a_contact_sheet_shows_every_panel_at_its_place(scale):
    random = np.random.default_rng(0)
    samples = [random.integers(0, 256, (2, 16, 16), dtype=np.uint8) for _ in range(5)]
    sheet = contact_sheet(samples, ["a", "b"], list("12345"), across=2, scale=scale)
    side = 16 * scale
    assert sheet.mode == "L"
    assert sheet.size == (GAP + 2 * (2 * (side + 2) + GAP), GAP + LINE + 3 * (side + LINE + GAP))
    pixels = np.asarray(sheet)
    for k, panels in enumerate(samples):
        for i, panel in enumerate(panels):
            left = GAP + (k % 2) * (2 * (side + 2) + GAP) + i * (side + 2)
            top = GAP + LINE + (k // 2) * (side + LINE + GAP)
            shown = pixels[top : top + side, left : left + side]
            np.testing.assert_array_equal(shown, panel.repeat(scale, axis=0).repeat(scale, axis=1))
    right = GAP + 2 * (side + 2) + GAP
    assert (pixels[-(side + LINE) :, right:] == 255).all()  # the place of a sixth


def test_titles_and_captions_are_written():
    panels = [[np.full((40, 40), 255, np.uint8)]]
    empty = np.asarray(contact_sheet(panels, [""], [""], across=1))
    titled = np.asarray(contact_sheet(panels, ["truth"], [""], across=1))
    captioned = np.asarray(contact_sheet(panels, [""], ["RMSE 1.0"], across=1))
    assert (empty == 255).all()
    assert (titled[: GAP + LINE] < 128).any() and (titled[GAP + LINE :] == 255).all()
    assert (captioned[GAP + LINE + 80 :] < 128).any() and (captioned[: GAP + LINE + 80] == 255).all()


def test_every_sample_needs_a_caption():
    with pytest.raises(ValueError):
        contact_sheet([[np.zeros((8, 8), np.uint8)]] * 2, ["a"], ["only one"], across=2)
