import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.scoring import scores as evaluation
from depixel.scoring.scores import (
    CALIBRATION_COLUMNS,
    EvaluateSettings,
    area_class,
    breakdown,
    calibration,
    comparison,
    intervals,
    readable,
    sample_table,
    score,
    squared_errors,
)
from tests.conftest import run_stage, tiny_model


def pixels(*values):
    return [np.array(v, np.uint8) for v in values]


TARGETS = pixels([10, 10, 10, 10], [100], [0, 0])
IDENTITY = pixels([14, 14, 6, 6], [108], [2, 2])  # errors of 4, 8 and 2
OURS = pixels([12, 12, 8, 8], [106], [1, 1])  # errors of 2, 6 and 1
AREAS = np.array([[0, 0, 2, 2, 16], [3, 4, 1, 1, 4], [5, 5, 2, 1, 16]])


def table(predictions) -> pd.DataFrame:
    errors, identity = (squared_errors(p, TARGETS) for p in (predictions, IDENTITY))
    return sample_table([("k1", "a.jpg"), ("k1", "b.jpg")], AREAS, errors, identity)


def test_the_table_of_samples():
    assert table(OURS).to_csv(index=False, lineterminator="\n") == (
        "contributor,name,x,y,width,height,block_size,squared_error,identity_squared_error\n"
        "k1,a.jpg,0,0,2,2,16,16,64\n"
        "k1,b.jpg,3,4,1,1,4,36,64\n"
        "k1,a.jpg,5,5,2,1,16,2,8\n"
    )


def test_errors_of_uint8_do_not_wrap_around():
    black, white = pixels([0] * 2000, [1]), pixels([255] * 2000, [0])
    assert squared_errors(black, white).tolist() == squared_errors(white, black).tolist() == [2000 * 255**2, 1]


def test_scores_are_those_of_the_pixels():
    pooled, mean = rmse_pooled(OURS, TARGETS), rmse_mean(OURS, TARGETS)
    scores = score(table(OURS))
    assert mean == pytest.approx((2 + 6 + 1) / 3)
    assert scores == pytest.approx(
        {
            "rmse_pooled": pooled,
            "rmse_mean": mean,
            "ratio_pooled": pooled / rmse_pooled(IDENTITY, TARGETS),
            "ratio_mean": mean / rmse_mean(IDENTITY, TARGETS),
        },
        rel=1e-12,
    )
    assert list(scores) == ["rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert {type(value) for value in scores.values()} == {float}


def test_breakdown_scores_each_class_by_itself():
    found = breakdown("block_size", AREAS[:, 4], table(OURS))
    assert list(found.columns) == ["block_size", "samples", "rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert found["block_size"].tolist() == [4, 16] and found["samples"].tolist() == [1, 2]
    assert found["rmse_mean"].tolist() == pytest.approx([6, (2 + 1) / 2])
    assert found["ratio_mean"].tolist() == pytest.approx([6 / 8, (2 + 1) / (4 + 2)])
    assert found["rmse_pooled"][1] == pytest.approx(((4 * 4 + 2 * 1) / 6) ** 0.5)


def test_breakdown_into_one_class_is_the_score():
    (row,) = breakdown("x", np.array([7, 7, 7]), table(OURS)).to_dict("records")
    assert row == {"x": 7, "samples": 3, **score(table(OURS))}


def test_a_class_without_errors_of_the_identity_has_no_ratio():
    flat = table(OURS).assign(identity_squared_error=[0, 1, 0])
    assert breakdown("block_size", AREAS[:, 4], flat)["ratio_mean"].isna().tolist() == [False, True]


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


# Intervals

AREAS_PER_PHOTO = 4


def drawn(seed: int, photos: int = 60, share: float = 0.25, noise_seed: int | None = None) -> pd.DataFrame:
    """Samples of a population of photos: some are hard; on half of them a model has 0.5, on half 1.5 times `share` of
    the identity's squared error. The population's ratio_pooled is sqrt(share), its ratio_mean MEAN sqrt(share)."""
    random = np.random.default_rng(seed)
    hardness = random.gamma(2, 100, photos)
    factor = np.random.default_rng(seed if noise_seed is None else noise_seed).choice([0.5, 1.5], photos)
    areas = np.column_stack([random.integers(4, 33, (photos * AREAS_PER_PHOTO, 4)), np.full(photos * 4, 8)])
    identity = np.tile(hardness, AREAS_PER_PHOTO) * areas[:, 2:4].prod(axis=1)
    errors = identity * share * np.tile(factor, AREAS_PER_PHOTO)
    return sample_table([("k", str(i)) for i in range(photos)], areas, errors.astype(int), identity.astype(int))


MEAN = (0.5**0.5 + 1.5**0.5) / 2


def identical(samples: pd.DataFrame) -> pd.DataFrame:
    return samples.assign(squared_error=samples["identity_squared_error"])


def widths(spread: pd.DataFrame, ratio: str = "ratio_mean") -> np.ndarray:
    return (spread[f"{ratio}_high"] - spread[f"{ratio}_low"]).to_numpy()


def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch):
    """The samples of a photo are all alike here: as if they were photos of their own, they hold it 70 % of the time."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 299)
    held = np.zeros(2)
    for seed in range(200):
        samples = drawn(seed)
        row = intervals({"model": samples, "identity": identical(samples)}, ("model", "identity")).iloc[0]
        held += [
            row.ratio_pooled_low <= 0.5 <= row.ratio_pooled_high,
            row.ratio_mean_low <= 0.5 * MEAN <= row.ratio_mean_high,
        ]
    assert (held / 200 > 0.88).all() and (held / 200 < 0.99).all(), held / 200


def test_intervals_are_around_the_scores_and_the_same_each_time():
    samples = drawn(1)
    models = {"model": samples, "other": drawn(1, share=0.3), "identity": identical(samples)}
    spread = intervals(models, ("model", "other"))
    pd.testing.assert_frame_equal(spread, intervals(models, ("model", "other")), check_exact=True)
    assert spread["model"].tolist() == ["model", "other", "identity", "model - other"]
    for name, ratio in ((name, ratio) for name in models for ratio in ("ratio_pooled", "ratio_mean")):
        row = spread.set_index("model").loc[name]
        assert row[f"{ratio}_low"] <= row[ratio] <= row[f"{ratio}_high"]
        assert row[ratio] == pytest.approx(score(models[name])[ratio], rel=1e-12)
    assert (spread.iloc[2, 1:] == 1).all()  # the identity's
    difference = spread.iloc[3]
    assert difference.ratio_mean == pytest.approx(spread["ratio_mean"][0] - spread["ratio_mean"][1])


def test_more_samples_of_the_same_photos_tell_nothing_new():
    samples = drawn(2)
    twice = pd.concat([samples, samples])
    once, again = (intervals({"a": s, "b": identical(s)}, ("a", "b")) for s in (samples, twice))
    pd.testing.assert_frame_equal(once, again)
    more = drawn(2, photos=240)
    assert widths(intervals({"a": more, "b": identical(more)}, ("a", "b")))[0] < 0.7 * widths(once)[0]


def test_what_is_hard_for_both_models_cancels_in_their_difference():
    a, alike, unlike = drawn(3), drawn(3, share=0.26), drawn(3, share=0.26, noise_seed=99)
    of_a, of_alike, paired = widths(intervals({"a": a, "b": alike}, ("b", "a")))
    assert paired < 0.1 * np.hypot(of_a, of_alike)
    assert widths(intervals({"a": a, "b": unlike}, ("b", "a")))[2] > 0.7 * np.hypot(of_a, of_alike)


def test_one_photo_has_no_interval():
    samples = drawn(4, photos=1)
    spread = intervals({"a": samples, "b": identical(samples)}, ("a", "b"))
    assert spread["ratio_mean"][0] == pytest.approx(score(samples)["ratio_mean"])
    assert spread["ratio_mean_low"].isna().all() and spread["ratio_pooled_high"].isna().all()


def test_flat_photos_are_told():
    flat = drawn(5).assign(identity_squared_error=0)
    with pytest.raises(DepixelError, match="nothing to restore"):
        intervals({"a": flat, "b": flat}, ("a", "b"))


def test_comparison_begins_with_the_best():
    models = {"identity": table(IDENTITY), "worse": table(pixels([30] * 4, [130], [9, 9])), "model": table(OURS)}
    found = comparison(models, intervals(models, ("model", "worse")))
    assert found["model"].tolist() == ["model", "identity", "worse"]
    assert list(found.columns) == [
        *("model", "rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"),
        *("ratio_pooled_low", "ratio_pooled_high", "ratio_mean_low", "ratio_mean_high"),
    ]
    assert found["ratio_mean"].tolist() == pytest.approx([9 / 14, 1, (20 + 30 + 9) / 14])


def test_intervals_are_readable():
    samples = table(OURS).assign(squared_error=[9, 16, 2])
    (row,) = readable(intervals({"a": samples}, ("a", "a"))).iloc[:1].to_dict("records")
    # b.jpg alone: 4 of 8; a.jpg alone: 1.5 + 1 of 4 + 2
    assert row["model"] == "a" and row["ratio_mean"] == "0.464 [0.417, 0.500]"


def test_calibration_of_errors_that_are_as_expected():
    random = np.random.default_rng(0)
    expected = random.uniform(1, 40, 50_000)
    table = calibration(random.normal(0, expected), expected).set_index("class")
    assert list(table.index) == [*map(str, range(1, 11)), "all"]
    assert table["pixels"].tolist() == [5000] * 10 + [50_000]
    np.testing.assert_allclose(table["expected_rmse"], table["observed_rmse"], rtol=0.05)
    assert table["within_1"].between(0.66, 0.71).all() and table["within_2"].between(0.94, 0.97).all()
    assert table["expected_rmse"][:10].is_monotonic_increasing and 0.4 < table["correlation"]["all"] < 0.8


def test_calibration_value_by_value():
    table = calibration(np.array([3, -4, 0, 5]), np.array([2.0, 4.0, 1.0, 1.0]), classes=2)
    assert table.columns.tolist() == CALIBRATION_COLUMNS
    low, high, _ = table.itertuples(index=False)
    assert tuple(low[:-1]) == ("1", 2, 1, pytest.approx(12.5**0.5), 0.5, 0.5) and np.isnan(low.correlation)
    assert tuple(high) == ("2", 2, pytest.approx(10**0.5), pytest.approx(12.5**0.5), 0.5, 1, pytest.approx(1))


def test_a_model_that_says_how_far_off_it_is_is_held_to_it(workplace):
    model = workplace / "other.safetensors"
    tiny_model(uncertainty=True).save(model)
    run_stage("evaluate", workplace, "--model", str(model), "--metrics", "other", code=0)
    table = pd.read_csv(workplace / "other/calibration.csv")
    assert table["class"].tolist() == [*map(str, range(1, 11)), "all"]
    areas = pd.read_csv(workplace / "other/samples.csv")
    assert table["pixels"].iloc[-1] == (areas["width"] * areas["height"]).sum()
    squares = areas["squared_error"].sum() / table["pixels"].iloc[-1]
    assert table["observed_rmse"].iloc[-1] == pytest.approx(squares**0.5)
    assert pd.read_csv(workplace / "metrics/calibration.csv").empty
    with (
        Image.open(workplace / "other/contact_sheet.png") as wide,
        Image.open(workplace / "metrics/contact_sheet.png") as narrow,
    ):
        assert wide.width - narrow.width == 2 * (128 + 2)
