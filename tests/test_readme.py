"""The README's commands, run in order as they stand there, in a clone of the tiny project."""

import re
import shlex

import pytest

from tests.conftest import REPOSITORY, clone, run

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split(" #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(reproduced, tmp_path_factory):
    return clone(reproduced, tmp_path_factory.mktemp("readme") / "clone")


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command(folder, command):
    run(*shlex.split(command), cwd=folder)


def test_only_setting_up_is_not_run():
    """Every other command of the README stands in a block that is run above."""
    others = [line for block in re.findall(r"```\n(.*?)```", README, re.S) for line in block.splitlines()]
    commands = [line for line in others if re.match(r"(make|python|source|pip|dvc|depixel|git) ", line)]
    assert [c for c in commands if not re.match(r"make (repro|test)$|python -m venv|source|pip install", c)] == []


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (REPOSITORY / link).is_file(), link
