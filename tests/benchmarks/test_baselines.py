"""What a network is worth: the table of the benchmark, and that its command works."""

import shutil

import pandas as pd
import pytest

from benchmarks import baselines
from depixel.scoring.baselines import BASELINES
from tests.conftest import REPOSITORY, clone, run

TABLE = REPOSITORY / "benchmarks/baselines.csv"
COMMAND = ("python", "benchmarks/baselines.py")


def test_every_row_of_the_table_has_its_scores():
    table = pd.read_csv(TABLE)
    assert not table.duplicated(["name", "scored_on"]).any()
    for place, rows in table.groupby("scored_on"):
        assert {*BASELINES, *baselines.REGRESSIONS, "laptop"} <= set(rows["name"]), place
        others = rows[rows["name"] != "laptop"]
        for ratio in ("ratio_mean", "ratio_pooled"):
            low, value, high = (rows[f"{ratio}{end}"] for end in ("_low", "", "_high"))
            assert ((low > 0) & (low <= value) & (value <= high) & (high <= 1)).all()
            assert (others[f"difference_{ratio}_low"] > 0).all()  # laptop has earned its place


def test_the_table_is_printed():
    printed = run(*COMMAND, cwd=REPOSITORY).stdout
    for name in pd.read_csv(TABLE)["name"]:
        assert name in printed


def test_baselines_are_measured(shared, reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    bench = shutil.copytree(folder / "data/test_set", tmp_path / "bench")
    shutil.copy(shared / "bench/score.py", bench)
    plan = folder / "recipes/plan.yaml"
    larger = plan.read_text(encoding="utf-8").replace("split.test: 0.03", "split.test: 0.3")
    plan.write_text(larger, encoding="utf-8")
    (folder / "benchmarks/baselines.csv").unlink()
    places = ("--photos", str(folder / "data/raw"), "--bench", str(bench))
    assert "ridge" in run(*COMMAND, "measure", "rigde", *places, cwd=folder, code=2).stderr
    said = run(*COMMAND, "measure", "laptop", "basic_cnn", "kriging", "ridge", "--samples", "100", *places, cwd=folder)
    assert "basic_cnn is skipped, because" in said.stdout
    table = pd.read_csv(folder / "benchmarks/baselines.csv").set_index(["scored_on", "name"])
    assert {*table.loc["bench"].index} == {*table.loc["test side"].index} == {"laptop", "kriging", "ridge"}
    assert table["samples"]["bench", "ridge"] == 100 and table["bytes"]["bench", "ridge"] > 1000
    difference = table["ratio_mean"]["bench", "kriging"] - table["ratio_mean"]["bench", "laptop"]
    assert table["difference_ratio_mean"]["bench", "kriging"] == pytest.approx(difference, abs=2e-4)
    before = len(table)
    run(*COMMAND, "measure", "identity", *places[:2], cwd=folder)  # another row, of one place; the others stay
    after = pd.read_csv(folder / "benchmarks/baselines.csv").set_index(["scored_on", "name"])
    assert len(after) == before + 1 and after["ratio_mean"]["test side", "identity"] == 1
