"""What a test set has and photos lack is found, and nothing where both are alike."""

import json

import numpy as np
import pandas as pd
import pytest

from depixel.analysis.photo_table import AnalyzeSettings
from depixel.base.errors import DepixelError
from depixel.challenge.test_sets import TestSet, write_test_set
from depixel.curation import gaps as coverage
from depixel.model.pixelation import prepare_image
from tests.analysis.test_clusters import kinds_of_pictures
from tests.conftest import run

SETTINGS = AnalyzeSettings(clusters=3)


def pixelated(images: np.ndarray, area=(10, 20, 24, 16, 8)) -> TestSet:
    shown, known, _ = zip(*(prepare_image(image[None], *area) for image in images), strict=True)
    return TestSet(np.concatenate(shown), np.concatenate(known))


@pytest.fixture(scope="module")
def pictures():
    """40 of each kind: dark dots, bright bands, noise."""
    return kinds_of_pictures(40).reshape(3, 40, 64, 64)


def covered(photos: np.ndarray, shown: np.ndarray) -> coverage.Coverage:
    contributors = pd.Series([f"k{i % 10}" for i in range(len(photos))])
    return coverage.coverage(photos, contributors, pixelated(shown), SETTINGS)


def test_alike_pictures_are_covered(pictures):
    found = covered(pictures[:, :20].reshape(-1, 64, 64), pictures[:, 20:].reshape(-1, 64, 64))
    assert found.gaps == [] and list(coverage.findings(found)) == []
    assert found.unlike < 0.15
    assert (found.nearest // 20 == np.arange(60) // 20).all()  # of the same kind


def test_what_photos_lack_is_named(pictures):
    dots, bands, noise = pictures
    found = covered(np.concatenate([bands, noise[:30]]), np.concatenate([bands[:5], dots[:20]]))
    assert found.unlike == pytest.approx(0.8)  # the dots
    assert set(np.argsort(-found.distance)[:20]) == set(range(5, 25))
    gaps = {gap.what: gap for gap in found.gaps}
    assert gaps["brightness"].test_set < gaps["brightness"].photos - 50
    (group,) = [gap for name, gap in gaps.items() if name.startswith("group") and gap.photos == 0]
    assert group.test_set == pytest.approx(0.8) and "darker" in group.is_like
    assert len(group.examples) > 5 and set(group.examples) <= set(range(5, 25))  # dots, of the test set
    more = [gap for name, gap in gaps.items() if name.startswith("group") and gap.test_set == 0]
    assert all(set(gap.examples) <= set(range(40, 70)) for gap in more) and more  # noise, of the photos
    told = [finding.what for finding in coverage.findings(found)]
    assert told[0].startswith("80 % of the 25 pictures of the test set are unlike all of these photos")
    assert any("These photos have a smaller share of group" in what for what in told)
    assert any("These photos have a larger share of" in what for what in told)  # noise
    assert all(what in coverage.readable(found) for what in told)


@pytest.mark.parametrize(("photos", "shown"), [(500, 20), (500, 200), (30, 300)])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_shares_that_differ_by_chance_are_seldom_sure(photos, shown, share):
    random = np.random.default_rng(0)
    found = [
        coverage._chance(
            *((random.random(count) < share).astype(float) for count in (photos, shown)), np.arange(photos), True
        )
        for _ in range(400)
    ]
    assert np.mean(np.array(found) < 0.05) < 0.08


@pytest.mark.parametrize("contributors", [6, 12, 40])
def test_what_few_contributors_do_is_seldom_sure(contributors):
    random, sure = np.random.default_rng(0), []
    whose = np.repeat(np.arange(contributors), 50)
    for _ in range(300):
        own = random.normal(0, 1, contributors)[whose] + random.normal(0, 1, len(whose))
        others = random.normal(0, 1, 400) + random.normal(0, 1, 400)
        sure.append([coverage._chance(own, others, of, False) < 0.05 for of in (whose, np.arange(len(whose)))])
    rates = np.mean(sure, axis=0)
    assert rates[0] < 0.09
    assert rates[1] > 0.3  # as if photos were independent


def test_a_difference_is_sure():
    ones = np.repeat([0.0, 1.0], [450, 50])
    assert coverage._chance(ones, np.repeat([0.0, 1.0], [60, 40]), np.arange(500), True) < 1e-6


def test_larger_pictures_are_measured_like_small_ones(pictures):
    large = pictures[:, 20:].reshape(-1, 64, 64).repeat(2, axis=1).repeat(2, axis=2)
    contributors = pd.Series(np.arange(60) % 10).astype(str)
    samples = pixelated(large, (20, 40, 48, 32, 16))
    twice = coverage.coverage(pictures[:, :20].reshape(-1, 64, 64), contributors, samples, SETTINGS)
    np.testing.assert_allclose(
        twice.distance, covered(pictures[:, :20].reshape(-1, 64, 64), large[:, ::2, ::2]).distance, rtol=1e-4
    )


def test_the_command_compares_with_a_test_set(raw, tmp_path, pictures):
    areas = np.tile([10, 20, 24, 16, 8], (40, 1))
    write_test_set(tmp_path / "set", pictures[0], areas)
    command = ("depixel", "analyze", "raw", "-o", "out", "--test-set", "set/test_set.pkl", "--json")
    told = json.loads(run(*command, cwd=tmp_path).stdout)["test_set"]
    assert told == json.loads((tmp_path / "out/test_set.json").read_text(encoding="utf-8"))
    assert told["pictures"] == 40 and told["unlike"] == 1.0  # the photos there are made otherwise
    assert len(told["most_unlike"]) == coverage.SHOWN
    assert all((tmp_path / "out" / name).stat().st_size > 1000 for name in ("unlike.png", "gaps.png"))


def test_a_wrong_test_set_is_told_before_photos_are_read(raw, tmp_path):
    (tmp_path / "wrong.pkl").write_bytes(b"no pickle")
    done = run("depixel", "analyze", "raw", "-o", "out", "--test-set", "wrong.pkl", cwd=tmp_path, code=1)
    assert "wrong.pkl: not a test set" in done.stderr and not (tmp_path / "out").exists()


def test_too_few_pictures_are_told(raw, tmp_path, pictures):
    write_test_set(tmp_path / "set", pictures[0][:10], np.tile([10, 20, 24, 16, 8], (10, 1)))
    command = ("depixel", "analyze", "raw", "-o", "out", "--test-set", "set/test_set.pkl")
    assert (
        "test_set.pkl: pictures: 10, but a comparison needs at least 20" in run(*command, cwd=tmp_path, code=1).stderr
    )
    with pytest.raises(DepixelError, match="different photos: 19, but a comparison needs at least 20"):
        covered(pictures[0][:19], pictures[1])
