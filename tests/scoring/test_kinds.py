import numpy as np
import pandas as pd
import pytest

from depixel.scoring import kinds, scores


def table(count: int, errors: np.ndarray) -> pd.DataFrame:
    """Samples of `count` photos, with areas of 2 x 2 pixels and these RMSEs."""
    areas = np.tile([0, 0, 2, 2, 4], (len(errors), 1))
    names = [("k", f"{i}.jpg") for i in range(count)]
    return scores.sample_table(names, areas, np.square(errors) * 4, np.full(len(errors), 400))


def test_thirds_are_of_the_photos_themselves_and_the_worst_is_named():
    images = np.stack([np.full((8, 8), 10 * i, np.uint8) for i in (5, 1, 3, 0, 4, 2)])
    rmse = np.array([50, 10, 30, 0, 40, 20])  # as bright as each is
    found = kinds.by_kind(images, table(6, np.concatenate([rmse, rmse])))
    brightness = found[found["measure"] == "brightness"]
    assert brightness["third"].tolist() == ["low", "middle", "high"]
    assert brightness["samples"].tolist() == [4, 4, 4]
    assert brightness["rmse_mean"].tolist() == [5, 25, 45]
    assert brightness["ratio_mean"].tolist() == [0.5, 2.5, 4.5]
    assert kinds.worst(found)[["measure", "third"]].tolist() == ["brightness", "high"]


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_photos_have_fewer_kinds(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    found = kinds.by_kind(images, table(count, np.full(count, 10)))
    assert len(found) == 3 * count and set(found["third"]) <= set(kinds.THIRDS)
