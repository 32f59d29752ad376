"""The pages of concepts and choices: what they name exists, and what they claim was measured."""

import json
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import click
import pytest
import yaml

from benchmarks.choices import CHOICES, DEFAULTS
from depixel import params
from depixel.cli import main
from depixel.params import MODELS
from depixel.scoring.baselines import BASELINES
from depixel.scoring.regressions import REGRESSIONS
from tests.conftest import REPOSITORY
from tools import concepts

CONCEPTS = concepts.read("concepts")


def coded(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@dataclass
class Names:
    """What a name in the table may be."""

    settings: dict
    outputs: list[str]
    targets: set[str]

    def accepts(self, name: str) -> bool:
        words = shlex.split(name)
        if words[0] == "depixel":
            return self.command(words[1:])
        if words[:3] == ["dvc", "exp", "run"]:
            return self.values([value for flag, value in pairwise(words) if flag == "-S"])
        if words[0] == "dvc":
            return name in ("dvc repro", "dvc metrics diff", "dvc exp show")
        if words[0] == "make":
            return words[1] in self.targets
        if words[0] == "python":
            return (REPOSITORY / words[1]).is_file()
        if "=" in name:
            return self.values([name])
        section, _, key = name.partition(".")
        known = section in MODELS and key in MODELS[section].model_fields
        return known or name in self.targets or any(name == out or name.startswith(f"{out}/") for out in self.outputs)

    def values(self, assigned: list[str]) -> bool:
        """Whether params.yaml may have these values together."""
        values = dict(one.split("=", 1) for one in assigned)
        params.with_values(self.settings, {key: params.YAML(typ="safe").load(v) for key, v in values.items()}, "test")
        return bool(values)

    def command(self, words: list[str]) -> bool:
        """Whether there is such a command with such options and, for baselines, such arguments."""
        command: click.Command = main
        while words and isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assigned = [value for flag, value in pairwise(words) if flag == "-S"]
        if command.name == "baselines":
            assert set(words) <= {*BASELINES, *REGRESSIONS}, words
        if assigned and command.name != "sweep":
            self.values(assigned)
        elif assigned:
            assert {one.split("=")[0].partition(".")[0] for one in assigned} <= set(MODELS)
        return not isinstance(command, click.Group) and {word for word in words if word.startswith("-")} <= known


@pytest.fixture(scope="module")
def names() -> Names:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    outputs = [
        next(iter(out)) for stage in stages for key in ("outs", "metrics", "plots") for out in stage.get(key, [])
    ]
    targets = set(re.findall(r"(?m)^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8")))
    score = json.loads((REPOSITORY / "metrics/evaluation.json").read_text(encoding="utf-8"))
    return Names(params.read(REPOSITORY / "params.yaml"), [*outputs, "dvc.yaml", *score], targets)


@pytest.mark.parametrize("row", CONCEPTS, ids=lambda row: row["concept"])
def test_the_names_of_a_concept_exist(names, row):
    found = coded(row["use"]) + coded(row["experiment"])
    assert coded(row["use"]) and coded(row["experiment"])
    for name in found:
        assert names.accepts(name), name


@pytest.mark.parametrize(
    "name", ["train.los", "depixel baseline", "depixel compare --al", "make nothing", "metrics/x.csv"]
)
def test_a_name_that_does_not_exist_is_noticed(names, name):
    with suppress(KeyError):
        assert not names.accepts(name)


@pytest.mark.parametrize("row", CONCEPTS, ids=lambda row: row["concept"])
def test_figures_of_a_concept_stand_on_the_page_that_it_links(row):
    if not row["measured"]:
        return
    page = (REPOSITORY / "docs" / row["page"].partition("#")[0]).read_text(encoding="utf-8")
    for number in re.findall(r"[+-]?\d+(?:[ .]\d+)*", row["measured"]):
        assert number.lstrip("+") in page, number


def test_there_are_about_forty_concepts_of_all_parts_of_a_course():
    assert 40 <= len(CONCEPTS) <= 55 and len({row["concept"] for row in CONCEPTS}) == len(CONCEPTS)
    page = concepts.concepts()
    for row in CONCEPTS:
        assert f"### {row['concept']}\n" in page
    for word in (
        *("workflow", "survivorship", "sampling bias", "measurement bias", "leakage", "augmentation", "dropout"),
        *("early stopping", "seeds", "determinism", "hyperparameter search", "transfer learning", "distillation"),
        *("soft labels", "active learning", "synthetic data", "calibration", "interpretability", "quantisation"),
        "versions",
    ):
        assert word in page.lower(), word


def test_every_choice_belongs_to_a_concept():
    named = {one for row in CONCEPTS for one in row["choices"].split("; ") if one}
    assert named == {*CHOICES, "another seed"} - {DEFAULTS}


def test_every_choice_is_shown_once_under_what_it_brought(monkeypatch):
    def row(settings, *values, against="", seeds="1"):
        keys = ("rmse_mean", "difference", "low", "high", "core_seconds", "time")
        values = values or ("",) * 6
        return {"settings": settings, "against": against, "seeds": seeds, "planned": "3"} | dict(
            zip(keys, values, strict=True)
        )

    rows = [
        row("", "18.9", "", "", "", "90", "1.0"),
        row("worse", "19.9", "1.0", "0.5", "1.5", "99", "1.1", against="other"),
        row("same", "18.9", "0.01", "-0.5", "0.5", "90", "1.0", seeds="3"),
        row("better", "17.9", "-1.0", "-1.5", "-0.5", "180", "2.0"),
        row("off", "", "", "", "", "90", "1.0"),
        row("later", seeds="0"),
        row("another seed", "18.8", "-0.1", "-0.2", "0.0", "90", "1.0"),
    ]
    monkeypatch.setattr(concepts, "read", lambda name: rows)
    page = concepts.choices()
    sections = dict(re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", page))
    assert "7 of 18 trainings are done" in page and "an RMSE of 18.90, and train for 90 core seconds" in page
    assert "| `better` | 17.90 | -1.00 [-1.50, -0.50] | 180 | 2.0 | 1 |" in sections["Lower error"]
    assert "`same`" in sections["No clear difference"] and "another seed" in sections["No clear difference"]
    assert "| `worse`, compared with `other` | 19.90 | +1.00 [+0.50, +1.50] |" in sections["Higher error"]
    assert "`off`" in sections["Diverged"] and "`later`" in sections["Not trained yet"]
    assert all(page.count(f"`{name}`") == 1 for name in ("better", "same", "worse", "off", "later"))
