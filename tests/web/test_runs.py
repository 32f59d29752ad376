"""The runs of the project in the current folder, as the page lists them."""

import json
import shutil

import requests
from dvc.cli import main as dvc

from tests.conftest import REPOSITORY, run


def test_runs_and_report_are_those_of_the_current_folder(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = requests.get(f"{url}api/runs", timeout=60).json()
    assert answer["tables"] == [] and not answer["report"]
    assert "dvc repro" in answer["problems"][0] and "not inside of a DVC repository" in answer["problems"][1]
    assert requests.get(f"{url}report", timeout=60).status_code == 404
    (tmp_path / "metrics").mkdir()
    shutil.copy(REPOSITORY / "metrics/comparison.csv", tmp_path / "metrics")
    (tmp_path / "report.html").write_text("<h1>a report</h1>", encoding="utf-8")
    answer = requests.get(f"{url}api/runs", timeout=60).json()
    assert answer["report"] and answer["tables"][0]["title"] == "The last run"
    assert answer["tables"][0]["rows"][0][0] == "model"
    report = requests.get(f"{url}report", timeout=60)
    assert report.text == "<h1>a report</h1>"
    assert "sandbox" in report.headers["Content-Security-Policy"]


def test_experiments_are_listed_best_first(url, tmp_path, monkeypatch):
    made = "d = json.load(open('params.json')); json.dump({'ratio_mean': d['a'], 'rmse_mean': 20}, open('m.json', 'w'))"
    stage = {"cmd": f'python -c "import json; {made}"', "params": [{"params.json": ["a"]}]}
    stage["metrics"] = [{"m.json": {"cache": False}}]
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"one": stage}}), encoding="utf-8")
    (tmp_path / "params.json").write_text('{"a": 0.9}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name in ("AUTHOR", "COMMITTER"):  # where git knows nobody, DVC runs no experiment
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@localhost")
    run("git", "init", "--quiet", cwd=tmp_path)
    for command in ("init --quiet", "repro --quiet"):
        assert dvc(command.split()) == 0
    for command in ("git add --all", "git commit --quiet -m x"):
        run(*command.split(), cwd=tmp_path)
    for name, value in (("worse", 0.8), ("better", 0.58432)):
        assert dvc(["exp", "run", "--quiet", "--name", name, "-S", f"params.json:a={value}"]) == 0
    (table,) = requests.get(f"{url}api/runs", timeout=60).json()["tables"]
    assert table["title"] == "Experiments of DVC"
    assert [row[0] for row in table["rows"]] == ["better", "worse"]
    assert dict(zip(table["columns"], table["rows"][0], strict=True))["ratio_mean"] == "0.5843"
    assert not {"rmse_mean", "rev", "typ", "State"} & set(table["columns"])
