import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depixel import evaluation
from depixel.evaluation import EvaluateSettings, area_class, breakdown, comparison, score


def pixels(*values):
    return [np.array(v, np.uint8) for v in values]


TARGETS = pixels([10, 10, 10, 10], [100])
IDENTITY = pixels([14, 14, 6, 6], [108])  # errors of 4 and 8
OURS = pixels([12, 12, 8, 8], [106])  # errors of 2 and 6


def test_scores_by_hand():
    scores = score(OURS, IDENTITY, TARGETS)
    pooled, identity_pooled = ((4 * 4 + 36) / 5) ** 0.5, ((4 * 16 + 64) / 5) ** 0.5
    assert scores == pytest.approx(
        {
            "rmse_pooled": pooled,
            "rmse_mean": (2 + 6) / 2,
            "ratio_pooled": pooled / identity_pooled,
            "ratio_mean": 8 / 12,
        }
    )
    assert list(scores) == ["rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert {type(value) for value in scores.values()} == {float}


def test_identity_has_ratio_1():
    scores = score(IDENTITY, IDENTITY, TARGETS)
    assert scores["ratio_pooled"] == scores["ratio_mean"] == 1


def test_comparison_begins_with_the_best():
    table = comparison({"identity": IDENTITY, "worse": pixels([30] * 4, [130]), "model": OURS}, TARGETS)
    assert table["model"].tolist() == ["model", "identity", "worse"]
    assert list(table.columns) == ["model", "rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert table["ratio_mean"].tolist() == pytest.approx([8 / 12, 1, 50 / 12])


def test_breakdown_scores_each_class_by_itself():
    targets, identity, ours = TARGETS + pixels([0, 0]), IDENTITY + pixels([2, 2]), OURS + pixels([1, 1])
    table = breakdown("block_size", [16, 4, 16], ours, identity, targets)
    assert list(table.columns) == ["block_size", "samples", "rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert table["block_size"].tolist() == [4, 16] and table["samples"].tolist() == [1, 2]
    assert table["rmse_mean"].tolist() == pytest.approx([6, (2 + 1) / 2])
    assert table["ratio_mean"].tolist() == pytest.approx([6 / 8, (2 + 1) / (4 + 2)])
    assert table["rmse_pooled"][1] == pytest.approx(((4 * 4 + 2 * 1) / 6) ** 0.5)


def test_breakdown_into_one_class_is_the_score():
    (row,) = breakdown("x", np.array([7, 7]), OURS, IDENTITY, TARGETS).to_dict("records")
    assert row == {"x": 7, "samples": 2, **score(OURS, IDENTITY, TARGETS)}


@given(st.integers(2, 64), st.integers(2, 64))
def test_area_classes(width, height):
    (end,) = area_class(np.array([[0, 0, width, height, 4]]))
    ends = [64, 128, 256, 512, 1024]
    assert end == next((e for e in ends if width * height <= e), 1025)


def test_streams_are_one_for_each_area():
    streams = evaluation.test_streams(EvaluateSettings(areas_per_photo=3, seed=5))
    assert len(set(streams)) == 3
    assert streams[:2] == evaluation.test_streams(
        EvaluateSettings(areas_per_photo=2, seed=5)
    )  # more areas keep the first
    assert not set(streams) & set(evaluation.test_streams(EvaluateSettings(areas_per_photo=3, seed=6)))
