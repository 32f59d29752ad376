"""All baselines and the model on the project's own split, as the command measures them."""

import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from depixel.cli import main
from depixel.scoring import ranking
from tests.conftest import run

pytestmark = pytest.mark.usefixtures("one_thread")

TIMES = ("training_seconds", "pictures_per_second")


def baselines(*arguments: str, code: int = 0) -> Result:
    done = CliRunner(env={"COLUMNS": "250"}).invoke(main, ["baselines", *arguments])
    assert done.exit_code == code and isinstance(done.exception, SystemExit | None), done.output
    return done


@pytest.fixture(autouse=True)
def folder(workplace, monkeypatch):
    """A folder with all outputs; the current one."""
    monkeypatch.chdir(workplace)
    return workplace


def scores_of(content: dict) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in content["baselines"]]


def test_each_is_scored_as_the_stage_evaluate_does():
    content = json.loads(baselines("identity", "bicubic", "kriging", "--json").stdout)
    found = pd.DataFrame(content["baselines"]).set_index("model")
    stage = pd.read_csv("metrics/comparison.csv").set_index("model")
    for name in ("model", "identity", "bicubic", "kriging"):
        for score in stage:
            assert found[score][name] == pytest.approx(stage[score][name], abs=1e-4), (name, score)
    assert list(found["ratio_mean"]) == sorted(found["ratio_mean"])
    assert content["areas"] == 4 * content["photos"] and content["limits"] == []
    assert content["difference"]["model"] == "kriging - model"
    assert set(found["bytes"][["identity", "kriging"]]) == {0} and found["bytes"]["model"] > 1000


@pytest.mark.slow
def test_all_learn_something_and_the_same_each_time(folder):
    one, other = (json.loads(baselines("--json", "-o", "metrics/baselines.json").stdout) for _ in range(2))
    assert json.loads((folder / "metrics/baselines.json").read_text(encoding="utf-8")) == other
    assert scores_of(one) == scores_of(other)
    found = pd.DataFrame(one["baselines"]).set_index("model")
    assert set(found.index) == {*ranking.NAMES, "model"}
    assert (found["ratio_mean"].drop("identity") < 1).all() and found["ratio_mean"]["identity"] == 1
    learned = found.loc[list(ranking.regressions.REGRESSIONS)]
    assert (learned[["training_seconds", "pixels", "bytes", "pictures_per_second"]] > 0).all(axis=None)
    assert (learned["ratio_mean"] < found["ratio_mean"]["bicubic"]).all()


def test_large_collections_are_sampled_and_it_says_so(monkeypatch):
    monkeypatch.setattr(ranking, "TESTED", 5)
    monkeypatch.setattr(ranking, "TESTED_AREAS", 2)
    monkeypatch.setattr(ranking, "SAMPLES", 40)
    monkeypatch.setitem(
        ranking.regressions.REGRESSIONS, "ridge", ranking.regressions.REGRESSIONS["ridge"]._replace(pixels=99)
    )
    done = baselines("ridge")
    assert "On 10 areas of 5 test photos." in done.stdout
    assert "Scored on 5 of " in done.stdout and "2 of 4 areas in each." in done.stdout
    assert "10% of those in 40 areas in " in done.stdout
    assert "Of these pixels, ridge takes 99." in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.split()[0] == "ridge")
    assert "[" in row and done.stderr == ""  # quiet: this is no terminal


def test_without_a_model_the_baselines_are_compared_alone(folder):
    for path in (folder / "models").glob("depixel.*"):
        path.unlink()
    done = baselines("bilinear", "identity")
    assert "`dvc repro` trains it" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["bilinear", "identity"]


def test_a_wrong_name_lists_those_there_are():
    told = baselines("rigde", code=1).stderr
    assert "rigde: there is no such baseline. There are identity, bilinear" in told and "mlp" in told


def test_the_help_names_all():
    help = baselines("--help").stdout
    assert [name for name in ranking.NAMES if name not in help] == []


def test_missing_photos_are_told(folder):
    shutil.rmtree(folder / "data/prepared")
    assert "python stages/prepare.py" in baselines("kriging", code=1).stderr


def test_nothing_is_written_unasked(place, monkeypatch):
    monkeypatch.chdir(place)
    baselines("identity")
    assert run("git", "status", "--short", cwd=place).stdout == ""
