"""Contributors that stand out are named, and others are not."""

import numpy as np
import pytest

from depixel.analysis import contributors
from tests.analysis.tables import made


def test_contributors_alike_do_not_stand_out():
    assert sum(bool(contributors.outstanding(made(seed=seed))) for seed in range(20)) <= 3  # one is to be expected


@pytest.mark.parametrize(("column", "change"), [("brightness", 40), ("blur", 0.15), ("quality", -20)])
def test_a_contributor_that_differs_stands_out(column, change):
    photos = made()
    photos.loc[photos.contributor == "k05", column] += change
    found = contributors.outstanding(photos)
    assert [(row.contributor, row.what, row.photos, row.side) for row in found] == [("k05", column, 10, "test")]
    assert np.sign(found[0].z) == np.sign(change) and abs(found[0].z) > 3
    assert found[0].mean - found[0].others == pytest.approx(change, rel=0.2)


def test_two_that_differ_do_not_hide_each_other():
    photos = made()
    photos.loc[photos.contributor.isin(("k05", "k11")), "contrast"] += 40
    assert {row.contributor for row in contributors.outstanding(photos)} == {"k05", "k11"}


def test_few_photos_may_differ_by_chance():
    """Five photos scatter more than fifty; nobody is blamed for having few."""
    photos = made(count=2000, contributors=40)
    few = photos.index[photos.contributor == "k05"][:5]
    photos = photos.drop(photos.index[photos.contributor == "k05"].difference(few))
    photos.loc[few, "brightness"] = 120.0 + 12 * 2.2 / np.sqrt(5)
    assert contributors.outstanding(photos) == []


def test_too_few_contributors_are_not_judged():
    photos = made(contributors=4)
    photos.loc[photos.contributor == "k01", "contrast"] += 40
    assert contributors.outstanding(photos) == []


def test_a_classifier_tells_contributors_apart_if_they_differ():
    photos = made()
    alike = contributors.told_apart(photos)
    assert alike["chance"] == pytest.approx(1 / 24, abs=1e-4) and alike["accuracy"] < 0.12
    photos["brightness"] += np.repeat(np.arange(24) * 60.0, 10)
    assert contributors.told_apart(photos)["accuracy"] > 0.8
    assert contributors.told_apart(photos.assign(contributor="")) == {}


def test_of_many_contributors_a_classifier_judges_some(monkeypatch):
    photos = made()
    photos["brightness"] += np.repeat(np.arange(24) * 60.0, 10)
    monkeypatch.setattr(contributors, "_TOLD_APART", 100 * 10)
    found = contributors.told_apart(photos)
    assert found["of_contributors"] == 10 and found["chance"] == 0.1 and found["accuracy"] > 0.8
    fewer = photos[photos.contributor != photos.contributor[0]]
    again = contributors.told_apart(fewer)["accuracy"]
    assert again == pytest.approx(found["accuracy"], abs=0.1)
