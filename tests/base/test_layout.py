"""One module names the project's files; dvc.yaml, the stages and the rest of the code agree with it."""

import ast
import importlib
from pathlib import Path, PurePosixPath

import click
import pytest
import yaml

from depixel.base import layout
from tests.conftest import REPOSITORY

PATHS = {name: value.as_posix() for name, value in vars(layout).items() if isinstance(value, Path)}
PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = PIPELINE["stages"]
CODE = ("depixel", "stages")

NOT_BY_STAGES = {
    *("RAW", "RAW_POINTER", "SNAPSHOTS", "ORIGINS", "TEST_SET", "TEST_SET_POINTER", "STORE"),
    *("PRETRAINED", "PRETRAINED_POINTER"),
    *("EXPERIMENTS", "RECORDED", "BASELINES"),
    *("METRICS", "PREPARED"),  # folders; what is in them is by stages
}
"""Paths in data/, models/ and metrics/ that people or commands write."""


def listed(stage: str, *kinds: str) -> set[str]:
    """The paths of a stage in dvc.yaml that are not code."""
    found = {next(iter(one)) if isinstance(one, dict) else one for kind in kinds for one in STAGES[stage].get(kind, [])}
    return {path for path in found if path.split("/")[0] not in CODE and not path.startswith("${")}


def outputs(stage: str) -> set[str]:
    return listed(stage, "outs", "metrics", "plots")


def within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def beside(path: str, other: str) -> bool:
    """Whether two files differ in what follows the first dot only, as a model and its record."""
    first, second = (PurePosixPath(one).parent / PurePosixPath(one).name.split(".")[0] for one in (path, other))
    return first == second


def test_no_path_has_two_names():
    assert len(set(PATHS.values())) == len(PATHS)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_the_same_paths(stage):
    for path in listed(stage, "deps") | outputs(stage):
        assert any(within(path, known) or beside(path, known) for known in PATHS.values()), path


def test_plots_are_of_files_that_a_stage_writes():
    written = set().union(*map(outputs, STAGES))
    for plot in PIPELINE["plots"]:
        for options in [None] if isinstance(plot, str) else plot.values():
            assert (set(options["y"]) if options else {plot}) <= written


@pytest.mark.parametrize("name", [name for name in PATHS if PATHS[name].split("/")[0] in ("data", "models", "metrics")])
def test_each_result_is_an_output_of_exactly_one_stage(name):
    writers = [stage for stage in STAGES if any(within(PATHS[name], out) for out in outputs(stage))]
    assert len(writers) == (name not in NOT_BY_STAGES), writers


@pytest.mark.parametrize("stage", STAGES)
def test_the_defaults_of_a_stage_are_these_paths_and_those_of_dvc_yaml(stage):
    command = importlib.import_module(f"stages.{stage}").main
    defaults = {
        option.name: option.default
        for option in command.params
        if isinstance(option.type, click.Path) and isinstance(option.default, str)
    }
    assert defaults
    here = listed(stage, "deps") | outputs(stage) | {"params.yaml", "checkpoints", "logs"}
    for name, default in defaults.items():
        assert default in PATHS.values(), name
        assert any(within(default, path) or within(path, default) for path in here), name


# No other module names them

ALLOWED = {
    ("depixel/base/layout.py", ""),  # here they are
    ("depixel/reports/report.py", "report.html"),  # its template, in the package
}
"""Module and text of literals that are no second name of such a path; "" for all of the module."""

WORDS = {path for path in PATHS.values() if "/" not in path and "." not in path}
"""Paths that are words, such as logs: they count only where they are used as a path."""


def literals(tree: ast.AST) -> set[str]:
    """Texts that are used as paths: whole ones, arguments of Path(), and what stands after the operator `/`."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    anywhere, as_paths = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            anywhere.append(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            as_paths += node.args
        elif isinstance(node, ast.keyword) and node.arg == "default":
            as_paths.append(node.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            as_paths.append(node.right)
    return {
        node.value
        for nodes, paths in ((anywhere, set(PATHS.values()) - WORDS), (as_paths, WORDS))
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if any(within(node.value, path) for path in paths)
    }


def packages() -> list[str]:
    places = (path.relative_to(REPOSITORY) for code in CODE for path in (REPOSITORY / code).rglob("*.py"))
    return sorted({"/".join(place.parts[:2]) if place.parts[0] == "depixel" else "stages" for place in places})


@pytest.mark.parametrize("package", packages())
def test_no_other_module_has_such_a_path_as_a_literal(package):
    place = REPOSITORY / package
    wrong = {}
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        name = path.relative_to(REPOSITORY).as_posix()
        found = literals(ast.parse(path.read_text(encoding="utf-8")))
        found -= {text for module, text in ALLOWED if module == name}
        if found and (name, "") not in ALLOWED:
            wrong[name] = sorted(found)
    assert not wrong
