"""Predictors are trained, scored and shipped: recipes/predictor.py, and the table of quality that it writes to."""

import shutil

import numpy as np
import pandas as pd

from depixel.params import MODELS
from recipes.plan import plan, read_table
from recipes.predictor import settings_of
from tests.conftest import clone, run

PREDICTOR = ("python", "recipes/predictor.py")
QUALITY = ("python", "benchmarks/quality.py")

PLAN = """
tests:
  reference: small
  settings: {train.width: 4}
  views: [[1, interval], [2, center]]
  rows:
    small: {train.epochs: 3}
    further: {start: small, train.epochs: 1.5, train.teacher: small}
    timed: {minutes: 0.05}
    mean: {models: [small, laptop]}
faint tests:
  contrast: 0.5
  rows:
    faint: {models: [small]}
"""


def test_rows_have_settings_that_exist_and_trained_what_the_table_says():
    """params.yaml may get other defaults, for the sample; a row of the plan still means the same training."""
    table = read_table().drop_duplicates("name").set_index("name")
    for name, row in plan().items():
        if row.models:
            continue
        settings = settings_of(row)
        trained = settings["train"] | {"network": "unet"}  # some networks are in recipes/ only
        for section, model in MODELS.items():
            model(**trained if section == "train" else settings[section])
        if name in table.index:
            train, known = settings["train"], table.loc[name]
            assert (train["network"], int(train["width"])) == (known["network"], known["width"]), name
    assert settings_of(plan()["whole"])["train"]["batch_size"] == 64


def test_models_are_trained_scored_and_shipped(shared, reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    bench = shutil.copytree(folder / "data/test_set", tmp_path / "bench")
    shutil.copy(shared / "bench/score.py", bench)
    with (folder / "recipes/plan.yaml").open("a", encoding="utf-8") as file:
        file.write(PLAN)
    before = pd.read_csv(folder / "benchmarks/quality.csv", dtype=str, keep_default_na=False)
    command = [*PREDICTOR, "train", "tests", "--photos", str(folder / "data/raw"), "--bench", str(bench)]
    assert "small" in run(*PREDICTOR, "train", "smal", *command[3:], cwd=folder, code=2).stderr
    sources = tmp_path / "sources.md"
    sources.write_text("# Where\nfrom nowhere\n", encoding="utf-8")
    run(*command, cwd=folder)
    run(*PREDICTOR, "ship", "small", "--sources", str(sources), cwd=folder)
    after = pd.read_csv(folder / "benchmarks/quality.csv", dtype=str, keep_default_na=False)
    rows = after[after["group"] == "tests"].set_index(["name", "views"])
    assert list(rows.index) == [(name, views) for name in ("small", "further", "timed", "mean") for views in ("1", "2")]
    everywhere = "train.width=4 train.batch_size=64 train.learning_rate=2e-3"
    taught = f"start=small {everywhere} train.epochs=1.5 train.teacher=small"
    assert list(rows["settings"][::2]) == [f"{everywhere} train.epochs=3", taught, everywhere, ""]
    photos = int(rows["photos"]["small", "1"])
    assert [rows["samples"][name, "1"] for name in ("small", "further")] == [str(3 * photos), str(round(4.5 * photos))]
    assert int(rows["samples"]["timed", "1"]) > 0 and rows["samples"]["mean", "1"] == ""
    assert (rows["difference_ratio_mean"] == "").tolist() == [True, True] + [False] * 6
    score = [*QUALITY, "score", "faint", *command[6:]]
    run(*score, cwd=folder)
    faint = pd.read_csv(folder / "benchmarks/quality.csv").query("name == 'faint'").iloc[0]
    assert faint["settings"] == "contrast=0.5" and faint["weights"] == rows["weights"]["small", "1"]
    # its contrast does not matter to the network, only what rounding takes away
    assert 0 < abs(faint["ratio_mean"] - float(rows["ratio_mean"]["small", "1"])) < 0.02
    others = after[after["group"] != "tests"]
    np.testing.assert_array_equal(others.to_numpy(), before.to_numpy())  # they stay as they are
    card = (folder / "models/small.md").read_text(encoding="utf-8")
    assert "from nowhere" in card and "train.epochs=3" in card and "Limitations" in card
    assert "timed" in run(*QUALITY, cwd=folder).stdout
    # what is trained already is not trained again, and stands in the table once
    assert "up to date" in run(*PREDICTOR, "train", "further", *command[3:], cwd=folder).stdout
    assert len(pd.read_csv(folder / "benchmarks/quality.csv")) == len(after) + 1


def test_a_variant_is_trained(reproduced, tmp_path):
    """Networks that only the plan has: the stage knows them when recipes/variants.py runs it."""
    folder = clone(reproduced, tmp_path / "clone")
    settings = (folder / "params.yaml").read_text(encoding="utf-8")
    data = reproduced / "data"
    inputs = ("--prepared", str(data / "prepared"), "--split", str(data / "split.csv"))
    parts = ("without_contrast", "without_interpolation", "without_geometry")
    for name in (*parts, "deep_low", "deep_attention", "deep_large_kernels"):
        variant = settings.replace("network: unet", f"network: unet_{name}").replace("epochs: 2", "epochs: 1")
        (folder / "params.yaml").write_text(variant, encoding="utf-8")
        assert f"unet_{name} of width 4" in run("python", "recipes/variants.py", *inputs, cwd=folder).stdout
