"""Sides that differ are told from sides that differ by chance."""

import numpy as np
import pytest

from tests.analysis.tables import compare, made


def test_sides_that_differ_by_chance_do_not_differ():
    least = [min(row.p for row in compare(made(seed=seed), whole)) for seed in range(10) for whole in (True, False)]
    assert sum(p <= 0.05 for p in least) <= 3  # of 20; one is to be expected


def test_a_darker_test_side_is_found():
    photos = made()
    photos.loc[photos.side == "test", "brightness"] -= 30
    found = compare(photos)
    assert found[0].what == "brightness" and found[0].p <= 0.01 and found[0].ks > 0.8
    assert found[0].train - found[0].test == pytest.approx(30, abs=5)
    assert all(row.p > 0.05 for row in found[1:])


def test_one_odd_contributor_is_no_difference_of_sides():
    """Thirty photos of one contributor are one observation, not thirty."""
    photos = made(contributors=8)
    photos.loc[photos.contributor == photos.contributor[photos.side == "test"].iloc[0], "color"] = 90.0
    assert min(row.p for row in compare(photos, whole=True)) > 0.05
    assert compare(photos, whole=False)[0].p <= 0.05  # as it would be taken without regard to contributors


def test_without_two_sides_there_is_nothing_to_compare():
    photos = made()
    assert compare(photos.assign(side="all")) == []
    assert compare(photos.assign(side=np.where(photos.contributor == "k01", "train", "test")).iloc[:20]) == []
