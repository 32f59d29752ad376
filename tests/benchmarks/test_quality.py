"""The table of quality: it is whole, and its commands work. tests/recipes has the commands that train and score."""

import pandas as pd
import pytest

from tests.conftest import REPOSITORY, run

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
    for name in [*table["name"], *pd.read_csv(REPOSITORY / "benchmarks/removed.csv")["name"]]:
        assert name in printed


def test_the_law(tmp_path):
    """Of the rows that are there; a curve where they are enough."""
    printed = run("python", "benchmarks/law.py", "--picture", str(tmp_path / "law.png"), cwd=REPOSITORY).stdout
    assert "samples" in printed and (tmp_path / "law.png").stat().st_size > 10_000
