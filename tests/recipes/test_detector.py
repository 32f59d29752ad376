"""How the networks are trained that find areas: recipes/detector.py."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from depixel.detection.jpeg import standard_table
from depixel.detection.learned import INPUTS
from depixel.onnx.reading import opened
from tests.detection.test_search import photo

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

from benchmarks import detection
from recipes import detector, detector_examples
from recipes.detector_networks import BETWEEN, UNKNOWN, WITHIN, Screen

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    for name, side in (("small", 64), ("large", 128), ("own", 128)):
        np.save(folder / f"{name}.npy", np.stack([photo(side, side, seed) for seed in range(3)]))
    return folder


def test_photos_are_those_of_every_second_contributor_at_three_sizes(tmp_path):
    for contributor, side in (("ann", 150), ("ben", 150), ("cleo", 120)):
        (tmp_path / "raw" / contributor).mkdir(parents=True)
        Image.fromarray(photo(side, side)).save(tmp_path / "raw" / contributor / "1.jpg")
    detector_examples.collect_all(tmp_path / "raw", tmp_path)
    shapes = {name: np.load(tmp_path / f"{name}.npy").shape for name in ("small", "large", "own")}
    # one of the two is too small as it is
    assert shapes == {"small": (2, 64, 64), "large": (2, 128, 128), "own": (1, 128, 128)}


@pytest.fixture(scope="module")
def examples(photos):
    return detector_examples.Examples(photos, "cpu", 0, 512)


@pytest.mark.parametrize("value", [0, 1, 2])
def test_blocks_have_one_value_and_begin_where_it_is_said(examples, value):
    before = examples.cuts(64, 200)
    area, _ = examples.areas(64, 200)
    gray, classes = detector_examples.pixelated(before, [area], torch.full((200,), value))
    seen = 0
    for k, (x, y, width, height, size, lack_x, lack_y, there) in enumerate(torch.stack(area, dim=1).tolist()):
        photo, picture = before[k].numpy(), gray[k].numpy()
        across, down = (classes[k] == BETWEEN).numpy()
        expected = photo.copy()
        rows = [y, *range(y + size - lack_y, y + height, size), y + height]
        columns = [x, *range(x + size - lack_x, x + width, size), x + width]
        if there:
            seen += 1
            for top, bottom in pairwise(rows):
                for left, right in pairwise(columns):
                    block = photo[top:bottom, left:right]
                    middle = photo[min(top + size // 2, rows[-1] - 1), min(left + size // 2, columns[-1] - 1)]
                    mean = np.mean(block, dtype=np.float64)
                    one = middle if value == 2 else np.floor(mean + (0.5 if value == 0 else 0))
                    expected[top:bottom, left:right] = one
            np.testing.assert_array_equal(np.flatnonzero(across.any(axis=0)), [n for n in columns if 0 < n < 64])
            np.testing.assert_array_equal(np.flatnonzero(down.any(axis=1)), [n for n in rows if 0 < n < 64])
        else:
            assert not across.any() and not down.any()
        np.testing.assert_array_equal(picture, expected)
    assert 140 < seen < 195


def test_what_is_within_a_block_of_a_lossless_example_is_no_step(examples, monkeypatch):
    monkeypatch.setattr(examples, "qualities", lambda count: (np.zeros(count, int), np.ones(count, bool)))
    gray, noise, classes = examples.batch(64, 50)
    assert gray.shape == (50, 1, 64, 64) and not noise.any()
    seen = torch.zeros(3, dtype=int)
    for axis, kinds in zip((3, 2), classes.split(1, dim=1), strict=True):
        steps, kinds = gray.diff(dim=axis), kinds.narrow(axis, 1, 63)
        assert not steps[kinds == WITHIN].any()
        seen += torch.bincount(kinds[kinds >= 0], minlength=3)
    assert seen.min() > 500  # of each kind
    assert (classes[:, 0, :, 0] == UNKNOWN).all() and (classes[:, 1, 0] == UNKNOWN).all()


@pytest.mark.parametrize("quality", [60, 90])
def test_pictures_are_compressed_as_libjpeg_does(quality):
    pictures = np.stack([photo(64, 64, seed) for seed in range(8)])
    table = torch.from_numpy(standard_table(quality)).float().expand(8, 8, 8)
    found = detector_examples.compressed(torch.from_numpy(pictures).float(), table).numpy()
    off = np.abs(found - np.stack([detection.saved(picture, quality) for picture in pictures]))
    assert off.mean() < 0.2 and (off == 0).mean() > 0.85
    assert np.abs(found - pictures).mean() > 1


@pytest.mark.parametrize(
    ("start", "length", "box"), [(0, 128, False), (0, 128, True), (7, 100, True), (20, 64, False), (30, 40, False)]
)
def test_pictures_are_resized_as_by_pillow(start, length, box):
    picture = photo(128, 128)
    weights = detector_examples.resampling(torch.tensor([start]), torch.tensor([length]), 64, 128, torch.tensor([box]))
    found = detector_examples.resized(torch.from_numpy(picture)[None].float(), weights, weights)[0]
    part = Image.fromarray(picture[start : start + length, start : start + length])
    expected = part.resize((64, 64), Image.Resampling.BOX if box else Image.Resampling.BICUBIC)
    off = np.abs(found.numpy() - np.asarray(expected))
    assert off.mean() < 0.6 and np.quantile(off, 0.99) <= 1  # Pillow rounds after each direction


@pytest.mark.parametrize("name", ["detector", "screen"])
def test_an_interrupted_training_goes_on_and_the_file_predicts_what_the_network_does(
    photos, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(detector, "KEPT_EVERY", 1)
    monkeypatch.setattr(detector, "BATCH", 8)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detector.click, "echo", lambda text: killed() if text.startswith("1 of") else None)
        with pytest.raises(KeyboardInterrupt):
            detector.train(name, photos, 2, 1)
    assert detector.checkpoints_of(name, photos).load()[0]["step"] == 1
    network = detector.train(name, photos, 2, 1)
    assert detector.checkpoints_of(name, photos).load()[0]["step"] == 2
    with pytest.raises(detector.click.ClickException, match="belongs to a training of 2 steps"):
        detector.train(name, photos, 3, 1)
    detector.write(network, tmp_path / f"{name}.onnx", {"steps": 2})
    session, about = opened(tmp_path / f"{name}.onnx", INPUTS)
    assert about == {"made of": '{"steps": 2}'}
    gray, noise = np.float32(photo(72, 96))[None, None], np.float32([3])
    with torch.inference_mode():
        expected = network(torch.from_numpy(gray), torch.from_numpy(noise)).numpy()
    (found,) = session.run(None, {"gray": gray, "noise": noise})
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_screen_learns_where_steps_between_blocks_are():
    classes = torch.full((1, 2, 16, 24), WITHIN)
    classes[0, 1, 3, 17] = BETWEEN
    classes[0, 0, :, 0] = classes[0, 1, 0] = UNKNOWN
    right, wrong = torch.full((2, 1, 1, 2, 3), -20.0)
    right[0, 0, 0, 2] = wrong[0, 0, 1, 2] = 20
    assert Screen.loss(right, classes) < 1e-6 < 1 < Screen.loss(wrong, classes)
