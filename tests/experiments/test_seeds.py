import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from depixel.base.errors import DepixelError
from depixel.experiments.seeds import PREPARED, run_seeds, summary
from tests.conftest import REPOSITORY, run


def test_summary_by_hand():
    table = summary(pd.DataFrame({"ratio_mean": [0.70, 0.72, 0.74], "rmse_mean": [20.0, 20.0, 20.0]}, ["0", "1", "2"]))
    assert list(table.index) == ["0", "1", "2", "mean", "standard_deviation", "mean_low", "mean_high"]
    half = 4.302653 * 0.02 / 3**0.5  # of Student's t with 2 degrees of freedom
    assert table["ratio_mean"][3:].tolist() == pytest.approx([0.72, 0.02, 0.72 - half, 0.72 + half])
    assert table["rmse_mean"][3:].tolist() == [20, 0, 20, 20]


def test_seeds_go_on_after_an_interruption_and_change_nothing_else(reproduced, depixel, tmp_path):
    copy = shutil.copytree(reproduced, tmp_path / "copy", symlinks=True)
    command = [sys.executable, "-m", "depixel.cli", "seeds", "2", "--json"]
    with subprocess.Popen(command, cwd=copy, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "parameters" in line:  # it trains
                process.send_signal(signal.SIGTERM)
                break
        told = process.stderr.read()
        assert process.wait() == 130 and "Run the same command again" in told and "Traceback" not in told
    assert not (copy / "seeds/seeds.csv").exists()

    done = depixel("seeds", "2", "--json", cwd=copy)
    assert "seed 0, 1 of 2:" in done.stderr and "seed 1, 2 of 2:" in done.stderr
    rows = json.loads(done.stdout)
    assert list(rows) == ["0", "1", "mean", "standard_deviation", "mean_low", "mean_high"]
    # the seed of params.yaml gives the model that the pipeline made
    for name in ("metrics/evaluation.json", "metrics/samples.csv"):
        assert (copy / "seeds/seed_0" / name).read_bytes() == (copy / name).read_bytes()
    assert rows["0"] == json.loads((copy / "metrics/evaluation.json").read_text(encoding="utf-8"))
    assert rows["1"] != rows["0"] and rows["standard_deviation"]["ratio_mean"] > 0
    written = pd.read_csv(copy / "seeds/seeds.csv", index_col="seed")
    assert list(written.index) == list(rows) and written["ratio_mean"]["1"] == rows["1"]["ratio_mean"]
    changed = run("git", "status", "--short", cwd=copy).stdout.split()
    assert set(changed) <= {"??", "seeds/"}
    assert "Data and pipelines are up to date" in run("dvc", "status", cwd=copy).stdout

    next((copy / "data/raw").rglob("*.zip")).unlink()
    told = depixel("seeds", "2", cwd=copy, code=1).stderr
    assert "the prepared photos are out of date" in told and "`dvc repro split`" in told


def test_photos_that_change_meanwhile_are_told(tmp_path, depixel):
    for name in ("stages/__init__.py", "stages/train.py", *PREPARED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "params.yaml").touch()
    (tmp_path / "stages/evaluate.py").write_text(
        "import os; os.makedirs('seeds/seed_0/metrics'); open('seeds/seed_0/metrics/evaluation.json', 'w').write('{}');"
        "os.utime('data/split.csv')",
        encoding="utf-8",
    )
    told = depixel("seeds", "2", cwd=tmp_path, code=1).stderr
    assert "Error: data/split.csv: changed" in told and "seed 1" not in told


def test_a_failing_stage_is_told(tmp_path, depixel, capfd):
    shutil.copytree(REPOSITORY / "stages", tmp_path / "stages")
    for path in PREPARED:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "params.yaml").write_text("pixelation: {widht: [4, 8]}\n", encoding="utf-8")
    told = depixel("seeds", "2", cwd=tmp_path, code=1).stderr
    assert "unknown key pixelation.widht" in capfd.readouterr().err
    assert "Error: seed 0: stages/train.py failed (exit code 1)" in told


def test_wrong_settings_and_missing_photos_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("stages/train.py", *PREPARED):
        with pytest.raises(DepixelError, match="there is no such file") as raised:
            run_seeds(2, print)
        assert str(raised.value).startswith(f"{name}: ")
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("params.yaml").write_text("train: {seed: first}", encoding="utf-8")
    with pytest.raises(DepixelError, match=r"train.seed = 'first'"):
        run_seeds(2, print)
    assert not Path("seeds").exists()
