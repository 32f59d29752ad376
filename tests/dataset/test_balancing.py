import numpy as np
import pytest

from depixel.base.names import photo_ids
from depixel.dataset import balancing
from depixel.dataset.samples import Photos

COUNT = 60


def photos(contributors=None):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, 16, 16), dtype=np.uint8)
    images[:6] //= 8  # dark ones
    contributors = np.array(["rare"] * 6 + ["frequent"] * 54) if contributors is None else contributors
    return Photos(images, np.arange(COUNT), photo_ids([f"{i}" for i in range(COUNT)]), contributors)


@pytest.mark.parametrize("name", ["contributor", "kind"])
def test_all_groups_weigh_the_same(name):
    some = photos()
    weights, groups = balancing.weights(some, name), balancing.BALANCES[name](some)
    assert weights.mean() == pytest.approx(1)
    sums = [weights[groups == group].sum() for group in np.unique(groups)]
    assert len(sums) > 1 and np.allclose(sums, sums[0])


def test_without_balance_there_are_no_weights():
    assert balancing.weights(photos(), "none") is None


def test_kinds_depend_on_the_photos_and_not_on_their_order():
    some = photos()
    turned = Photos(some.images, some.rows[::-1], some.ids[::-1], some.contributors[::-1])
    assert np.array_equal(balancing.weights(turned, "kind")[::-1], balancing.weights(some, "kind"))


def test_photos_are_drawn_as_often_as_they_weigh():
    some = photos()
    weights = balancing.weights(some, "contributor")
    epochs = [balancing.drawn(some, weights, f"epoch {epoch}") for epoch in range(50)]
    counts = np.stack([np.bincount(one.rows, minlength=COUNT) for one in epochs])
    assert (counts.sum(axis=1) == COUNT).all()
    assert (np.abs(counts - weights) < 1).all()  # rounded up or down
    np.testing.assert_allclose(counts.mean(axis=0)[:6].mean(), 5, rtol=0.05)
    assert len({one.rows.tobytes() for one in epochs}) == 50
    for one in epochs:
        assert len(np.unique(one.ids)) == COUNT  # each repetition has its own area
        assert np.array_equal(one.contributors, some.contributors[one.rows])


def test_the_order_of_the_photos_changes_nothing_that_is_drawn():
    some, turn = photos(), np.arange(COUNT)[::-1]
    turned = Photos(some.images, some.rows[turn], some.ids[turn], some.contributors[turn])
    one, other = (balancing.drawn(each, balancing.weights(each, "kind"), "s") for each in (some, turned))
    assert sorted(one.ids) == sorted(other.ids)
