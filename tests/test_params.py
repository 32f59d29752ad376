import shutil

import pytest
import yaml
from dvc.utils import hydra

from depixel import params
from depixel.base.errors import DepixelError
from depixel.base.settings import SECTIONS
from tests.conftest import REPOSITORY, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the project's params.yaml and presets.yaml, as the current one."""
    for name in ("params.yaml", "presets.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_section_has_its_model():
    assert tuple(params.MODELS) == SECTIONS


@pytest.mark.parametrize("name", ["debug", "sample-long", "laptop", "best"])
def test_a_preset_changes_its_values_and_nothing_else(folder, name):
    before = (folder / "params.yaml").read_text(encoding="utf-8")
    told = run("depixel", "preset", name, cwd=folder).stdout.splitlines()
    after = (folder / "params.yaml").read_text(encoding="utf-8")
    preset = yaml.safe_load((folder / "presets.yaml").read_text(encoding="utf-8"))[name]
    wanted = yaml.safe_load(before)
    for section, values in preset.items():
        wanted[section].update(values)
    assert yaml.safe_load(after) == wanted
    assert told == [f"{section}.{key}: {value}" for section, values in preset.items() for key, value in values.items()]
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert 0 < len(changed) <= len(told)
    for old, new in changed:  # the comment too stays as it is
        assert old.partition("#")[2] == new.partition("#")[2]


def test_dvc_changes_one_line_for_one_setting(folder):
    before = (folder / "params.yaml").read_text(encoding="utf-8").splitlines()
    hydra.apply_overrides("params.yaml", ["train.epochs=3"])
    after = (folder / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert [new.split("#")[0].strip() for old, new in zip(before, after, strict=True) if old != new] == ["epochs: 3"]


def test_every_preset_sets_the_same_so_that_nothing_is_left_of_the_one_before():
    presets = yaml.safe_load((REPOSITORY / "presets.yaml").read_text(encoding="utf-8"))
    keys = [{(section, key) for section, values in preset.items() for key in values} for preset in presets.values()]
    assert all(other == keys[0] for other in keys)


def test_presets_are_listed(folder):
    assert run("depixel", "preset", cwd=folder).stdout == (folder / "presets.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        ("debug: {train: {width: 8}}", "deubg", "deubg: no such preset; presets.yaml has debug"),
        ("debug: {train: {widht: 8}}", "debug", "presets.yaml, debug: unknown key train.widht"),
        ("debug: {train: {width: wide}}", "debug", "presets.yaml, debug: train.width = 'wide'"),
        ("debug: {trian: {width: 8}}", "debug", "presets.yaml, debug: unknown section 'trian'"),
        ("debug: {train: 8}", "debug", "presets.yaml, debug: holds {'train': 8}; it must hold sections with settings"),
        ("[", "debug", "presets.yaml: not YAML"),
        ("[1]", "debug", "presets.yaml: holds [1]; it must hold sections"),
    ],
)
def test_a_wrong_preset_is_told_and_nothing_changes(folder, content, name, told):
    (folder / "presets.yaml").write_text(content, encoding="utf-8")
    before = (folder / "params.yaml").read_bytes()
    with pytest.raises(DepixelError) as error:
        params.use_preset(name)
    assert told in str(error.value)
    assert (folder / "params.yaml").read_bytes() == before


def test_missing_files_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DepixelError, match=r"presets.yaml: cannot be read .* Run from the project's folder"):
        params.use_preset("debug")
