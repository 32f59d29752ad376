"""The way in which the networks were made that find areas, benchmarks/detector.py."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from depixel.detection.learned import INPUTS
from depixel.exported import opened
from tests.conftest import REPOSITORY
from tests.test_detection import photo

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector():
    before = sys.path.copy()
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    import detector

    yield detector
    sys.path[:] = before


@pytest.fixture(scope="module")
def photos(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    for name, side in (("small", 64), ("large", 128), ("own", 128)):
        np.save(folder / f"{name}.npy", np.stack([photo(side, side, seed) for seed in range(3)]))
    return folder


def test_photos_are_those_of_every_second_contributor_at_three_sizes(detector, tmp_path):
    for contributor, side in (("ann", 150), ("ben", 150), ("cleo", 120)):
        (tmp_path / "raw" / contributor).mkdir(parents=True)
        Image.fromarray(photo(side, side)).save(tmp_path / "raw" / contributor / "1.jpg")
    detector.collect_all(tmp_path / "raw", tmp_path)
    shapes = {name: np.load(tmp_path / f"{name}.npy").shape for name in ("small", "large", "own")}
    # one of the two is too small as it is
    assert shapes == {"small": (2, 64, 64), "large": (2, 128, 128), "own": (1, 128, 128)}


@pytest.mark.parametrize("value", [0, 1, 2])
def test_blocks_are_constant_and_begin_where_it_is_said(detector, value):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y, width, height, size, _, _ = area = detector.drawn_area(rng, 64)
        gray = photo(64, 64, seed)
        before = gray.copy()
        across, down = detector.pixelate(gray, area, value)
        part = gray[y : y + height, x : x + width]
        steps = np.delete(np.abs(np.diff(part.astype(int), axis=1)), across[1:] - 1, axis=1)
        assert not steps.any()
        assert not np.delete(np.abs(np.diff(part.astype(int), axis=0)), down[1:] - 1, axis=0).any()
        assert set(np.diff(across[1:])) <= {size} and 0 < (across[1:2].sum() or 1) <= size
        before[y : y + height, x : x + width] = part
        np.testing.assert_array_equal(gray, before)  # nothing outside it


def test_what_is_within_a_block_of_a_lossless_example_is_no_step(detector, photos, monkeypatch):
    monkeypatch.setattr(detector.Image.Image, "save", lambda self, file, *_, **__: np.save(file, np.asarray(self)))
    monkeypatch.setattr(detector.Image, "open", lambda file: file.seek(0) or np.load(file))
    loaded = {name: np.load(photos / f"{name}.npy") for name in ("small", "large", "own")}
    seen = np.zeros(3, int)
    for seed in range(20):
        gray, noise, classes = detector.example(np.random.default_rng(seed), loaded, 64)
        assert gray.shape == (64, 64) and 0 <= noise < 30
        for axis in (0, 1):
            steps = np.abs(np.diff(gray.astype(int), axis=1 - axis))
            kinds = classes[axis][:, 1:] if axis == 0 else classes[axis][1:]
            assert not steps[kinds == detector.WITHIN].any()
            assert (classes[axis][:, 0] if axis == 0 else classes[axis][0]).max() == detector.UNKNOWN
            seen += np.bincount(kinds.ravel(), minlength=3)
    assert seen.min() > 500  # of each kind


@pytest.mark.parametrize("name", ["detector", "screen"])
def test_an_interrupted_training_goes_on_and_the_file_predicts_what_the_network_does(
    detector, photos, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(detector, "KEPT_EVERY", 1)
    monkeypatch.setattr(detector, "BATCH", 8)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detector.click, "echo", lambda text: killed() if text.startswith("1 of") else None)
        with pytest.raises(KeyboardInterrupt):
            detector.train(name, photos, 2, 1, 1)
    assert torch.load(photos / f"{name}.pt", weights_only=True)["step"] == 1
    network = detector.train(name, photos, 2, 1, 1)
    assert torch.load(photos / f"{name}.pt", weights_only=True)["step"] == 2
    with pytest.raises(detector.click.ClickException, match="is of a training of 2 steps"):
        detector.train(name, photos, 3, 1, 1)
    detector.write(network, tmp_path / f"{name}.onnx", {"steps": 2})
    session, about = opened(tmp_path / f"{name}.onnx", INPUTS)
    assert about == {"made of": '{"steps": 2}'}
    gray, noise = np.float32(photo(72, 96))[None, None], np.float32([3])
    with torch.inference_mode():
        expected = network(torch.from_numpy(gray), torch.from_numpy(noise)).numpy()
    (found,) = session.run(None, {"gray": gray, "noise": noise})
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_screen_learns_where_steps_between_blocks_are(detector):
    classes = torch.full((1, 2, 16, 24), detector.WITHIN)
    classes[0, 1, 3, 17] = detector.BETWEEN
    classes[0, 0, :, 0] = classes[0, 1, 0] = detector.UNKNOWN
    right, wrong = torch.full((2, 1, 1, 2, 3), -20.0)
    right[0, 0, 0, 2] = wrong[0, 0, 1, 2] = 20
    assert detector.Screen.loss(right, classes) < 1e-6 < 1 < detector.Screen.loss(wrong, classes)
