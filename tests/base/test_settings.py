from typing import Literal

import pytest
import yaml
from pydantic import Field

from depixel.base.errors import DepixelError
from depixel.base.settings import SECTIONS, Range, Settings, read_section
from stages.settings import MODELS
from tests.conftest import REPOSITORY

PARAMS = REPOSITORY / "params.yaml"


class Example(Settings):
    rate: float = Field(0.5, gt=0, lt=1)
    count: int = 3
    sides: Range = (4, 32)
    kind: Literal["small", "large"] = "small"


@pytest.fixture
def read(tmp_path):
    """Read the section `train` of a params.yaml with this text."""

    def of(text):
        path = tmp_path / "params.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_section(path, "train", Example)

    return of


# The project's own


def test_there_is_a_model_for_every_section():
    assert set(MODELS) == set(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_params_of_the_project_hold_every_key(section):
    read_section(PARAMS, section, MODELS[section])
    written = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))[section]
    fields = MODELS[section].model_fields
    assert list(written) == [name for name, field in fields.items() if not field.exclude]


# What is accepted


@pytest.mark.parametrize("text", ["", "train:", "train: {}", "split: {by: photo}", "# nothing\n"])
def test_what_is_not_said_is_the_default(read, text):
    assert read(text) == Example()


def test_values_are_read(read):
    assert read("train: {rate: 0.25, count: 7, sides: [5, 5]}") == Example(rate=0.25, count=7, sides=(5, 5))


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_numbers_may_be_written_with_an_exponent(read, number):
    assert read(f"train: {{rate: {number}}}").rate == 0.001


def test_other_sections_are_not_looked_into(read):
    assert read("train: {count: 1}\nsplit: {by: nonsense}").count == 1


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Example().count = 4


# What is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "trian: {}",
            "unknown section 'trian'; the sections are prepare, split, analyze, pixelation, augment, train, predict, "
            "evaluate, export. Did you mean 'train'?",
        ),
        ("train: {rates: 1}", "unknown key train.rates; train has rate, count, sides, kind. Did you mean 'rate'?"),
        ("train: {zebra: 1}", "unknown key train.zebra; train has rate, count, sides, kind."),
        ("train: {kind: lage}", "train.kind = 'lage': input should be 'small' or 'large'. Did you mean 'large'?"),
        ("train: {kind: [1]}", "train.kind = [1]: input should be 'small' or 'large'"),
        ("train: {rate: 1.5}", "train.rate = 1.5: input should be less than 1"),
        ("train: {rate: 1e-3x}", "train.rate = '1e-3x': input should be a valid number"),
        ("train: {rate: .nan}", "train.rate = nan: input should be a finite number"),
        ("train: {rate: }", "train.rate = None: input should be a valid number"),
        ("train: {count: 2.5}", "train.count = 2.5: input should be a valid integer"),
        ("train: {count: [1]}", "train.count = [1]: input should be a valid integer"),
        ("train: {sides: [9, 4]}", "train.sides = [9, 4]: the smaller value comes first: [4, 9]"),
        ("train: {sides: 5}", "train.sides = 5: input should be a valid tuple"),
        ("train: {sides: [1, 2, 3]}", "train.sides = [1, 2, 3]: tuple should have at most 2 items"),
        ("train: {sides: [1, x]}", "train.sides.1 = 'x': input should be a valid integer"),
        ("train: 5", "train = 5: input should be a valid dictionary"),
        ("- train", "it must hold the sections prepare, split"),
        ("train", "it must hold the sections prepare, split"),
        ("train: {rate: [", "not YAML: "),
        ("train: !!python/object/apply:os.getcwd []", "not YAML: "),
        (b"train: {rate: \xff}", "not YAML: "),
    ],
)
def test_errors_name_file_key_value_and_what_is_allowed(read, tmp_path, text, expected):
    with pytest.raises(DepixelError) as error:
        read(text)
    assert str(error.value).startswith(f"{tmp_path / 'params.yaml'}: ")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_every_mistake_is_told_at_once(read):
    with pytest.raises(DepixelError) as error:
        read("train: {rate: 2, count: x, other: 1}")
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and all("params.yaml: " in line for line in lines)


def test_a_missing_file_says_how_to_name_it(tmp_path):
    with pytest.raises(DepixelError, match=r"nothing.yaml: cannot be read .*--params PATH"):
        read_section(tmp_path / "nothing.yaml", "train", Example)
    with pytest.raises(DepixelError, match="cannot be read"):
        read_section(tmp_path, "train", Example)
