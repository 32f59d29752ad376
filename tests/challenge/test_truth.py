"""The true pixels of a test set, whatever holds them, and scores against them."""

import bz2
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from depixel.base.errors import DepixelError
from depixel.challenge import truth as truths
from depixel.challenge.test_sets import read_submission, read_targets, read_test_set, write_submission
from depixel.challenge.truth import of_areas, score
from tests.challenge.test_test_sets import PHOTOS, ROWS, Calls, content, samples, saved


def truth():
    return [PHOTOS[i % 2, y : y + h, x : x + w].ravel() for i, (x, y, w, h, _) in enumerate(ROWS)]


def test_score_by_hand():
    photos = np.array([[[0, 4, 0], [4, 8, 0], [0, 0, 0]]], dtype=np.uint8)  # the block's mean is 4
    rows = np.array([[0, 0, 2, 2, 2]])
    assert score([np.array([0, 4, 4, 4], np.uint8)], of_areas(photos, rows)) == pytest.approx(
        {"rmse_pooled": 2, "rmse_mean": 2, "ratio_pooled": 0.5**0.5, "ratio_mean": 0.5**0.5}
    )


def test_a_perfect_score():
    assert set(score(truth(), of_areas(PHOTOS, ROWS)).values()) == {0}


@pytest.mark.parametrize(
    ("predictions", "photos", "message"),
    [
        (truth()[:2], PHOTOS, "2 predictions for 3 samples"),
        ([*truth()[:2], truth()[0]], PHOTOS, "prediction 2 has 20 pixels, but 4 are unknown"),
        (truth(), np.zeros_like(PHOTOS), "flat"),
    ],
)
def test_what_cannot_be_scored_is_refused(predictions, photos, message):
    with pytest.raises(DepixelError, match=message):
        score(predictions, of_areas(photos, ROWS))


def test_scores_as_the_bench_does(shared, tmp_path):
    bench = shared / "bench"
    test_set = read_test_set(bench / "test_set.pkl")
    noise = np.random.default_rng(0).integers(0, 20, test_set.pixelated.shape, dtype=np.uint8)
    noisy = np.maximum(test_set.pixelated, noise) - noise
    for name, images in {"identity": test_set.pixelated, "noisy": noisy}.items():
        path = tmp_path / name
        write_submission(path, [image[~known] for image, known in zip(images, test_set.known, strict=True)])
        told = subprocess.run([sys.executable, bench / "score.py", path], check=True, capture_output=True, text=True)
        scores = score(read_submission(path), of_areas(*read_targets(bench)))
        assert {key: round(value, 4) for key, value in scores.items()} == json.loads(told.stdout)


def test_the_truth_may_be_a_file_like_a_submission_or_a_pickle(tmp_path):
    """Or photos and areas: then the identity is known, too."""
    write_submission(tmp_path / "target.data", truth())
    np.savez(tmp_path / "targets.npz", photos=PHOTOS, areas=ROWS)
    files = {
        "packed": bz2.compress((tmp_path / "target.data").read_bytes()),
        "list": pickle.dumps(truth()),
        "old": pickle.dumps(tuple(truth()), 2),
        "dict": pickle.dumps({"target_arrays": truth()}),
    }
    for name, data in files.items():
        saved(tmp_path / name, data)
    for name in ("target.data", *files):
        found = truths.read(tmp_path / name)
        assert found.identities is None
        for one, other in zip(found.targets, truth(), strict=True):
            np.testing.assert_array_equal(one, other)
    for path in (tmp_path, tmp_path / "targets.npz"):
        assert score(truth(), truths.read(path)) == dict.fromkeys(
            ("rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"), 0
        )


def test_with_the_test_set_the_identity_is_known(tmp_path):
    images, masks = samples(n=4)
    test_set = read_test_set(saved(tmp_path / "t.pkl", pickle.dumps(content(images, masks))))
    identity = [image[~mask] for image, mask in zip(images, masks, strict=True)]
    write_submission(tmp_path / "target.data", [255 - pixels for pixels in identity])
    found = truths.read(tmp_path / "target.data", test_set)
    assert score(identity, found)["ratio_mean"] == score(identity, found)["ratio_pooled"] == 1
    assert set(score(identity, truths.read(tmp_path / "target.data"))) == {"rmse_pooled", "rmse_mean"}
    write_submission(tmp_path / "target.data", identity[:3])
    with pytest.raises(DepixelError, match="not the targets of this test set:\n  3 predictions for 4 samples"):
        truths.read(tmp_path / "target.data", test_set)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"text", "not the targets of a test set"),
        (b"\x01\x05ab", "damaged: prediction 0"),
        (pickle.dumps([]), "it holds a list"),
        (pickle.dumps("text"), "it holds a str"),
        (pickle.dumps([np.zeros(4)]), "not an array of uint8"),
        (pickle.dumps([np.zeros(0, np.uint8)]), "is empty"),
        (pickle.dumps([np.arange(200, dtype=np.uint8)] * 50), "repeats an array"),
        (pickle.dumps([Calls(print, "run")]), "would import"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, data, said):
    with pytest.raises(DepixelError, match=r"target\.data: ") as caught:
        truths.read(saved(tmp_path / "target.data", data))
    assert said in str(caught.value)
