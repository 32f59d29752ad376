"""The pipeline as a person runs it: real commands in real temporary repositories."""

import ast
import csv
import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from benchmarks import kills
from depixel.challenge.test_sets import read_submission
from tests.conftest import REPOSITORY, clone, copy, run, run_stage
from tests.processes import one_core

STAGES = ("validate", "prepare", "split", "analyze", "train", "evaluate", "card", "export")


def local_imports(path: Path) -> set[Path]:
    """Modules of the package that this file imports itself."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("depixel."):
                place = REPOSITORY / name.replace(".", "/")
                files = (place.with_suffix(".py"), *(folder / "__init__.py" for folder in (place, *place.parents)))
                found.update(file for file in files if file.is_file() and file.is_relative_to(REPOSITORY / "depixel"))
    return found


def all_imports(path: Path) -> set[Path]:
    found, todo = {REPOSITORY / "depixel/__init__.py"}, [path]
    while todo:
        if (file := todo.pop()) not in found:
            found.add(file)
            todo += local_imports(file)
    return found


BESIDE = {
    "settings": {
        "analysis/clusters",
        "analysis/contributors",
        "analysis/findings",
        "analysis/outputs",
        "analysis/overview",
        "analysis/sides",
        "base/stage",
        "challenge/truth",
        "model/metrics",
        "photos/likeness",
        "photos/lost",
        "photos/near_duplicates",
        "photos/tiff",
        "scoring/baselines",
        "scoring/covariance",
        "scoring/evaluation",
        "scoring/kinds",
        "scoring/ranking",
        "scoring/regressions",
    },
    "validate": {
        "base/names",
        "photos/hashes",
        "photos/jpeg",
        "photos/likeness",
        "photos/near_duplicates",
        "photos/preparation",
        "photos/tiff",
    },
    "prepare": {
        "base/names",
        "dataset/augmentation",
        "dataset/balancing",
        "dataset/kinds",
        "dataset/samples",
        "dataset/splits",
        "photos/jpeg",
        "photos/likeness",
        "photos/lost",
        "photos/near_duplicates",
        "photos/tiff",
    },
    "split": {"base/names", "dataset/augmentation", "dataset/balancing", "dataset/kinds", "dataset/samples"},
    "analyze": {
        "dataset/augmentation",
        "dataset/balancing",
        "dataset/kinds",
        "dataset/samples",
        "photos/lost",
        "photos/tiff",
    },
    "train": set(),  # nothing: a training takes hours
    "evaluate": {"dataset/balancing", "model/metrics", "scoring/ranking", "scoring/regressions"},
    "card": {
        "model/metrics",
        "photos/jpeg",
        "photos/likeness",
        "photos/lost",
        "photos/near_duplicates",
        "photos/tiff",
        "scoring/baselines",
        "scoring/covariance",
        "scoring/evaluation",
        "scoring/kinds",
        "scoring/ranking",
        "scoring/regressions",
    },
    "export": {
        "challenge/truth",
        "dataset/balancing",
        "dataset/kinds",
        "model/metrics",
        "scoring/baselines",
        "scoring/covariance",
        "scoring/evaluation",
        "scoring/kinds",
        "scoring/ranking",
        "scoring/regressions",
    },
}
"""What the packages that dvc.yaml names for a stage hold beside what it uses. If DVC starts the stage for it, the stage
finds its result by its record."""


@pytest.mark.parametrize("stage", ("settings", *STAGES))
def test_dvc_yaml_names_the_sources_a_stage_uses(stage):
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    named = [REPOSITORY / dep for dep in stages[stage]["deps"] if dep.split("/")[0] in ("depixel", "stages")]
    files = {file for dep in named for file in ([dep] if dep.is_file() else dep.rglob("*.py"))}
    used = all_imports(REPOSITORY / f"stages/{stage}.py")
    assert files >= used
    beside = {file.relative_to(REPOSITORY / "depixel").with_suffix("").as_posix() for file in files - used}
    assert beside - {"base/layout"} == BESIDE[stage]  # where files are decides no result
    assert stages[stage]["cmd"] == f"python -m stages.{stage}"


def test_dvc_yaml_is_short():
    assert len((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 280


def test_the_locked_environment_belongs_to_what_it_can_change():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert all("requirements.lock" in stages[stage]["deps"] for stage in STAGES)


def test_dvc_yaml_names_exactly_the_settings_a_stage_reads():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in STAGES:
        source = (REPOSITORY / f"stages/{stage}.py").read_text(encoding="utf-8")
        assert sorted(stages[stage].get("params", [])) == sorted(re.findall(r'inputs.section\("(\w+)"', source))


def md5_by_dvc(path: Path) -> str:
    """Of a file its hash; of a folder the hash of the list of its files, which ends in .dir."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    listed = [
        {"md5": hashlib.md5(file.read_bytes()).hexdigest(), "relpath": file.relative_to(path).as_posix()}
        for file in files
    ]
    return hashlib.md5(json.dumps(sorted(listed, key=lambda one: one["relpath"])).encode()).hexdigest() + ".dir"


def test_the_committed_results_are_of_this_code_and_these_settings():
    settings = YAML(typ="safe").load(REPOSITORY / "params.yaml")  # as DVC reads it: 2e-3 is a number
    lock = yaml.safe_load((REPOSITORY / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for name, recorded in lock.items():
        for dep in recorded["deps"]:
            if dep["path"].startswith(("depixel", "stages", "params", "requirements")):
                assert md5_by_dvc(REPOSITORY / dep["path"]) == dep["md5"], f"{name}: {dep['path']}: `dvc repro`"
        for section, values in recorded.get("params", {}).get("params.yaml", {}).items():
            assert values == settings[section], f"{name}: {section}: `dvc repro`"


def test_no_analytics_and_no_update_check():
    config = (REPOSITORY / ".dvc/config").read_text(encoding="utf-8")
    assert "analytics = false" in config and "check_update = false" in config


@pytest.mark.parametrize("stage", STAGES)
def test_help_teaches(stage):
    text = run("python", f"stages/{stage}.py", "--help", cwd=REPOSITORY).stdout
    assert "Writes" in text and "Example" in text and f"python stages/{stage}.py" in text


OUTPUTS = """
    data/validated/manifest.csv data/validated/invalid.log data/prepared/images.npy data/prepared/index.csv
    data/split.csv models/depixel.safetensors models/depixel.json metrics/validation.json metrics/split.json
    metrics/training.json metrics/analysis.json metrics/evaluation.json metrics/contact_sheet.png
    predictions/submission.bin
"""


def test_everything_is_there_after_repro(reproduced):
    for name in OUTPUTS.split():
        assert (reproduced / name).stat().st_size > 0, name
    scores = json.loads((reproduced / "metrics/evaluation.json").read_text(encoding="utf-8"))
    with (reproduced / "metrics/comparison.csv").open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert float(rows["identity"]["ratio_mean"]) == 1
    assert float(rows["model"]["rmse_mean"]) == pytest.approx(scores["rmse_mean"])
    assert 0 < scores["ratio_mean"] < 1 and 0 < scores["ratio_pooled"] < 1
    assert len(read_submission(reproduced / "predictions/submission.bin")) == 4
    check = run("depixel", "check", "predictions/submission.bin", "data/test_set/test_set.pkl", cwd=reproduced)
    assert "would accept it" in check.stdout


def test_predict_gives_what_export_gave(reproduced, tmp_path):
    answer = tmp_path / "answer.bin"
    run("depixel", "predict", "data/test_set/test_set.pkl", "-o", str(answer), cwd=reproduced)
    assert answer.read_bytes() == (reproduced / "predictions/submission.bin").read_bytes()


def test_a_second_repro_does_nothing(reproduced):
    before = (reproduced / "dvc.lock").read_bytes()
    done = run("dvc", "repro", cwd=reproduced)
    assert "Running stage" not in done.stdout and "up to date" in done.stdout
    assert (reproduced / "dvc.lock").read_bytes() == before


def test_git_sees_a_clean_tree_after_repro(reproduced):
    assert run("git", "status", "--short", cwd=reproduced).stdout == ""


def test_a_fresh_clone_pulls_what_the_lock_names_and_needs_no_training(reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    run("dvc", "pull", cwd=folder)
    for name in ("data/raw", "data/test_set", "models/depixel.safetensors", "predictions/submission.bin"):
        assert (folder / name).exists(), name
    done = run("dvc", "repro", cwd=folder)
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == []
    assert run("git", "status", "--short", cwd=folder).stdout == ""


def test_a_clone_with_the_photos_alone_gets_the_same_result(reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    done = run("dvc", "repro", cwd=folder, before=one_core)
    # git has the card, and what it depends on has come out the same
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == [name for name in STAGES if name != "card"]
    assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


@pytest.fixture(scope="module")
def before_training(reproduced, tmp_path_factory) -> Path:
    """A clone in which training is next."""
    folder = clone(reproduced, tmp_path_factory.mktemp("before_training") / "clone")
    run("dvc", "pull", "data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc", cwd=folder)
    run("dvc", "repro", "split", cwd=folder)
    return folder


@pytest.mark.parametrize("mode", kills.MODES)
def test_killed_in_training_and_run_again(reproduced, before_training, tmp_path, mode):
    """benchmarks/kills.py does it in every stage."""
    folder = copy(before_training, tmp_path / "clone")
    assert kills.kill(folder, "train", mode, after=1.0)
    kills.repro(folder)
    assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


def test_an_edit_while_dvc_runs_a_stage_is_not_recorded(place, tmp_path):
    """DVC 3.67 by itself would record the edited settings as those of the model (its issue #11058)."""

    def recorded() -> dict:
        return yaml.safe_load((place / "dvc.lock").read_text(encoding="utf-8"))["stages"]["train"]

    earlier, params, log = recorded(), place / "params.yaml", tmp_path / "log"
    settings = params.read_text(encoding="utf-8")
    params.write_text(settings.replace("epochs: 2", "epochs: 40"), encoding="utf-8")
    with log.open("w") as file:
        dvc = subprocess.Popen(["dvc", "repro", "train"], cwd=place, env=kills.ENVIRONMENT, stdout=file, stderr=file)
        while "parameters" not in log.read_text():  # it has read its settings
            assert dvc.poll() is None
            time.sleep(0.01)
        params.write_text(settings.replace("epochs: 2", "epochs: 4"), encoding="utf-8")
        assert dvc.wait() != 0
    assert "params.yaml, section train: changed while this stage ran" in log.read_text()
    assert recorded() == earlier
    run("dvc", "repro", "train", cwd=place)
    rows = (place / "metrics/training.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert recorded()["params"]["params.yaml"]["train"]["epochs"] == len(rows) == 4


def test_the_code_beside_a_stage_is_what_runs(project, tmp_path):
    """Also in a folder that is not the one that is installed, such as DVC's for a queued experiment."""
    for name in ("depixel", "stages"):
        shutil.copytree(project / name, tmp_path / name)
    (tmp_path / "depixel/dataset/splits.py").write_text("raise SystemExit('this is the copy')", encoding="utf-8")
    assert "this is the copy" in run("python", "-m", "stages.split", cwd=tmp_path, code=1).stderr


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("evaluate.seed=1", ["evaluate", "card", "export"]),
        ("export.pictures=2", ["export"]),
        ("train.seed=1", ["train", "evaluate", "card", "export"]),
    ],
)
def test_a_change_runs_what_it_must_and_nothing_else(place, change, stages):
    done = run("dvc", "exp", "run", "-S", change, cwd=place)
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["settings", *stages]


def test_a_misspelt_key_of_the_last_stage_is_told_before_the_first_runs(place):
    settings = yaml.safe_load((place / "params.yaml").read_text(encoding="utf-8"))
    settings["export"]["picture"] = 3
    settings["train"]["seed"] = 1
    (place / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = run("dvc", "repro", cwd=place, code=None)
    assert done.returncode != 0 and "unknown key export.picture" in done.stderr
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["settings"]


def test_experiments_can_be_compared(place):
    run("dvc", "exp", "run", "-n", "short", "-S", "train.epochs=1", cwd=place)
    rows = json.loads(run("dvc", "exp", "show", "--json", cwd=place).stdout)
    experiments = [e["revs"][0] for row in rows for e in row["experiments"] or []]
    assert [e["name"] for e in experiments] == ["short"]
    scores = {name: value["data"] for name, value in experiments[0]["data"]["metrics"].items()}
    assert 0 < sum(len(values) for values in scores.values()) < 8
    assert set(scores) == {"metrics/training.json", "metrics/evaluation.json"}
    assert "ratio_mean" in run("dvc", "metrics", "show", cwd=place).stdout
    run("dvc", "plots", "show", cwd=place)
    assert "contact_sheet" in (place / "dvc_plots/index.html").read_text(encoding="utf-8")


def test_the_second_stage_notices_changed_photos(reproduced, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(reproduced / "data", folder / "data")
    shutil.copy(reproduced / "params.yaml", folder)
    first = sorted((folder / "data/raw").iterdir())[0]
    first.unlink()
    assert "dvc repro" in run_stage("prepare", folder, code=1)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("train", "train: {epochs: 0}", "train.epochs = 0"),
        ("train", "train: {network: resnet}", "basic_cnn"),
        ("train", "train: {epoch: 1}", "unknown key train.epoch"),
        ("train", "trian: {epochs: 1}", "unknown section 'trian'"),
        ("prepare", "prepare: {size: 7}", "prepare.size = 7"),
        ("split", "split: {validation: 0.6, test: 0.6}", "below 1"),
        ("split", "split: {test: 0.000001}", "split.by: photo"),
        ("export", "export: {test_set: nowhere.pkl}", "nowhere.pkl"),
        ("train", "train: [", "params.yaml"),
    ],
)
def test_a_wrong_setting_is_told_and_earlier_outputs_stay(workplace, name, text, told):
    (workplace / "params.yaml").write_text(text, encoding="utf-8")
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    assert told in run_stage(name, workplace, code=1)
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


def test_missing_photos_are_told(workplace):
    shutil.rmtree(workplace / "data/raw")
    assert "dvc pull" in run_stage("validate", workplace, code=1)
    (workplace / "data/raw").mkdir()
    assert "depixel sample" in run_stage("validate", workplace, code=1)
    (workplace / "data/raw/notes.jpg").write_text("no photo", encoding="utf-8")
    assert "valid" in run_stage("validate", workplace, code=1)


def test_a_model_that_does_not_fit_is_told(workplace):
    described = workplace / "models/depixel.json"
    described.write_text(described.read_text(encoding="utf-8").replace('"width": 4', '"width": 5'), encoding="utf-8")
    assert "depixel.safetensors" in run_stage("evaluate", workplace, code=1)
    (workplace / "models/depixel.safetensors").unlink()
    assert "dvc pull" in run_stage("export", workplace, code=1)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"cos\nsystem\n(S'echo hostile'\ntR."])
def test_a_hostile_test_set_is_told(workplace, content):
    (workplace / "data/test_set/test_set.pkl").write_bytes(content)
    told = run_stage("export", workplace, code=1)
    assert "test_set.pkl" in told and not (workplace / "predictions").exists()


def test_a_failing_stage_leaves_the_earlier_outputs_under_dvc(place):
    before = (place / "models/depixel.safetensors").read_bytes()
    # a learning rate that diverges at once
    hopeless = ("-S", "train.learning_rate=1e20", "-S", "train.gradient_clip=0")
    done = run("dvc", "exp", "run", *hopeless, cwd=place, code=None)
    assert done.returncode != 0 and "diverged" in done.stderr + done.stdout
    assert (place / "models/depixel.safetensors").read_bytes() == before
