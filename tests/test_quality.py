"""The table of quality: that it is whole, and that its commands work."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tests.conftest import REPOSITORY, clone, run

TABLE = REPOSITORY / "benchmarks/quality.csv"
QUALITY = ("python", "benchmarks/quality.py")


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(TABLE, keep_default_na=False)


def test_every_row_has_its_scores(table):
    assert not table.duplicated(["name", "views", "projection"]).any()
    for ratio in ("ratio_mean", "ratio_pooled"):
        low, ratio, high = (table[f"{ratio}{end}"] for end in ("_low", "", "_high"))
        assert ((low > 0) & (low < ratio) & (ratio < high) & (high < 1)).all()


def test_the_table_is_printed(table):
    printed = run(*QUALITY, cwd=REPOSITORY).stdout
    for name in table["name"]:
        assert name in printed


def test_a_model_is_trained_scored_and_shipped(shared, reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    bench = shutil.copytree(folder / "data/test_set", tmp_path / "bench")
    shutil.copy(shared / "bench/score.py", bench)
    command = [*QUALITY, "train", "tiny", "--photos", str(folder / "data/raw"), "--bench", str(bench)]
    before = pd.read_csv(folder / "benchmarks/quality.csv", dtype=str, keep_default_na=False)
    run(*command, "--set", "train.epochs=3", "--group", "tests", cwd=folder)
    run(*command, cwd=folder)  # what is trained already is not trained again, and stands in the table once
    sources = tmp_path / "sources.md"
    sources.write_text("# Where\nfrom nowhere\n", encoding="utf-8")
    run(*QUALITY, "ship", "tiny", "--sources", str(sources), cwd=folder)
    run(*QUALITY, "score", "tiny", "--views", "2", "--bench", str(bench), cwd=folder)
    run(*QUALITY, "score", "tiny+laptop", "--name", "both", "--bench", str(bench), "--group", "tests", cwd=folder)
    after = pd.read_csv(folder / "benchmarks/quality.csv", dtype=str, keep_default_na=False)
    rows = after[after["group"] == "tests"]
    assert list(zip(rows["name"], rows["views"], strict=True)) == [("tiny", "1"), ("tiny", "2"), ("both", "1")]
    assert list(rows["settings"]) == ["train.epochs=3", "train.epochs=3", ""]
    np.testing.assert_array_equal(after[: len(before)].to_numpy(), before.to_numpy())  # other rows stay as they are
    card = (folder / "models/tiny.md").read_text(encoding="utf-8")
    assert "from nowhere" in card and "train.epochs=3" in card and "not good for" in card


def test_a_variant_is_trained(reproduced, tmp_path):
    """Networks that only the table has: the stage knows them when it is run by benchmarks/variants.py."""
    folder = clone(reproduced, tmp_path / "clone")
    settings = (folder / "params.yaml").read_text(encoding="utf-8")
    data = reproduced / "data"
    inputs = ("--prepared", str(data / "prepared"), "--split", str(data / "split.csv"))
    for name in ("without_contrast", "without_interpolation", "without_geometry"):
        variant = settings.replace("network: unet", f"network: unet_{name}").replace("epochs: 2", "epochs: 1")
        (folder / "params.yaml").write_text(variant, encoding="utf-8")
        assert f"unet_{name} of width 4" in run("python", "benchmarks/variants.py", *inputs, cwd=folder).stdout
