"""What all stages have in common, seen on a small stage of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

STAGE = """
import sys, time
from pathlib import Path
import click
from depixel.base.console import params_option
from depixel.dataset.splits import SplitSettings
from depixel.base.stage import Inputs, stage

@click.command()
@params_option
@click.option("--photos", default="photos", type=click.Path(path_type=Path))
@stage("photos")
def main(inputs: Inputs, photos: Path) -> None:
    inputs.section("split", SplitSettings)
    Path("started").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    Path("result").write_text(" ".join(sorted(path.name for path in photos.iterdir())))

main()
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A DVC project, as far as a stage sees it."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/small.py").write_text(STAGE, encoding="utf-8")
    (tmp_path / "photos/deep").mkdir(parents=True)
    for name in ("photos/one.zip", "photos/deep/two.jpg"):
        (tmp_path / name).write_bytes(b"photos")
    (tmp_path / "params.yaml").write_text("split: {seed: 1}\nexport: {pictures: 1}\n", encoding="utf-8")
    (tmp_path / ".dvc").mkdir()
    # the sources are a copy, which the tests edit
    shutil.copytree(REPOSITORY / "depixel", tmp_path / "depixel", ignore=shutil.ignore_patterns("pretrained"))
    return tmp_path


def start(project: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "stages.small"]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    for _ in range(3000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path.name} did not come")


def replace(path: Path, content: bytes) -> None:
    path.with_name("beside").write_bytes(content)
    path.with_name("beside").replace(path)


CHANGES = {
    "the stage's source": (lambda p: (p / "stages/small.py").write_text(STAGE + "X = 1"), "stages/small.py"),
    "a module": (lambda p: (p / "depixel/dataset/splits.py").open("a").write("X = 1"), "depixel/dataset/splits.py"),
    "a setting it read": (lambda p: (p / "params.yaml").write_text("split: {seed: 2}"), "params.yaml, section split"),
    "half a setting": (lambda p: (p / "params.yaml").write_text("split: {see"), "params.yaml, section split"),
    "an archive replaced": (lambda p: replace(p / "photos/one.zip", b"others"), "photos/one.zip"),
    "a photo in a folder": (lambda p: (p / "photos/deep/two.jpg").write_bytes(b"other"), "photos/deep/two.jpg"),
    "a new photo": (lambda p: (p / "photos/new.jpg").write_bytes(b"new"), "photos/new.jpg"),
    "a photo gone": (lambda p: (p / "photos/deep/two.jpg").unlink(), "photos"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_while_it_runs_is_told(project, change):
    with start(project) as process:
        wait_for(project / "started")
        edit, named = CHANGES[change]
        edit(project)
        (project / "go").touch()
        _, told = process.communicate()
    assert process.returncode == 1
    assert f"Error: {named}: changed while this stage ran" in told and "Traceback" not in told


def test_what_it_did_not_read_may_change(project):
    with start(project) as process:
        wait_for(project / "started")
        (project / "params.yaml").write_text("split: {seed: 1}\nexport: {pictures: 2}\n", encoding="utf-8")
        (project / "depixel/curation/synthetic.py").write_text("", encoding="utf-8")
        replace(
            project / "depixel/dataset/splits.py", (project / "depixel/dataset/splits.py").read_bytes()
        )  # the same content
        os.utime(project / "depixel/dataset/splits.py", (1, 1))
        for path in ("stages/small.py", "depixel/base/tables.py"):  # prose
            (project / path).write_text("# Other words.\n" + (project / path).read_text(encoding="utf-8"), "utf-8")
        (project / "go").touch()
        _, told = process.communicate()
    assert (process.returncode, told) == (0, "")
    assert (project / "result").read_text() == "deep one.zip"


def test_one_stage_at_a_time(project):
    first = start(project)
    wait_for(project / "started")
    (project / "started").unlink()
    second = start(project)
    assert f"-m stages.small` (process {first.pid})" in second.stderr.readline()
    assert not (project / "started").exists()
    first.send_signal(signal.SIGKILL)
    wait_for(project / "started")  # the second runs as soon as the first is gone, whatever ended it
    (project / "go").touch()
    second.communicate()
    first.communicate()
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 0)


def test_what_changes_while_it_waits_is_told(project):
    """Such as outputs of the stage that it waits for: DVC has looked at them already."""
    first = start(project)
    wait_for(project / "started")
    second = start(project)
    assert "Waiting for" in second.stderr.readline()
    replace(project / "photos/one.zip", b"others")
    (project / "go").touch()
    for process in (first, second):
        _, told = process.communicate()
        assert process.returncode == 1 and "photos/one.zip: changed while this stage ran" in told


def test_stages_of_other_projects_do_not_wait(project, tmp_path):
    (project / ".dvc").rmdir()
    first, second = start(project), start(project)
    (project / "go").touch()
    for process in (first, second):
        _, told = process.communicate()
        assert (process.returncode, told) == (0, "")


def test_another_environment_is_refused(project):
    (project / "requirements.lock").write_text("numpy==1.0\n", encoding="utf-8")
    with start(project) as process:
        _, told = process.communicate()
    assert process.returncode == 1 and "pip install -r requirements.lock" in told
    assert not (project / "started").exists()


RECORDED = """
from pathlib import Path
import click
from depixel.base.console import params_option
from depixel.dataset.splits import SplitSettings
from depixel.base.stage import Inputs, stage

@click.command()
@params_option
@click.option("--photos", default="photos", type=click.Path(path_type=Path))
@stage("photos/one.zip")
def main(inputs: Inputs, photos: Path) -> None:
    inputs.section("split", SplitSettings)
    if inputs.reusable(Path("out/result.made_by.json"), also="cpu"):
        return click.echo("as it is")
    Path("out/deep").mkdir(parents=True, exist_ok=True)
    for name in ("result", "deep/result"):
        Path("out", name).write_text("made")
    inputs.made(Path("out/result"), Path("out/deep/result"))
    click.echo("made anew")

main()
"""


def test_what_is_there_already_is_not_made_again(project):
    def told() -> str:
        process = start(project)
        out, error = process.communicate()
        assert (process.returncode, error) == (0, "")
        return out.strip()

    script = project / "stages/small.py"
    script.write_text(RECORDED, encoding="utf-8")
    assert [told(), told()] == ["made anew", "as it is"]
    by_hand = subprocess.run(  # with the package that is installed, not the copy beside it
        [sys.executable, "stages/small.py"], cwd=project, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert by_hand.stdout.strip() == "as it is"
    record = (project / "out/result.made_by.json").read_bytes()
    script.write_text("# Other words.\n" + RECORDED, encoding="utf-8")
    (project / "depixel/base/tables.py").write_text(
        '"""Other words."""\n' + (project / "depixel/base/tables.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (project / "photos/deep/two.jpg").write_bytes(b"which it does not read")
    assert told() == "as it is" and (project / "out/result.made_by.json").read_bytes() == record
    changes = (
        lambda: script.write_text(RECORDED.replace('"cpu"', '"cuda"'), encoding="utf-8"),
        lambda: (project / "depixel/dataset/splits.py").open("a").write("X = 1"),
        lambda: (project / "params.yaml").write_text("split: {seed: 2}", encoding="utf-8"),
        lambda: (project / "photos/one.zip").write_bytes(b"other"),
        lambda: (project / "out/deep/result").write_text("damaged", encoding="utf-8"),
        lambda: (project / "out/deep/result").unlink(),
        lambda: (project / "out/result.made_by.json").unlink(),
        lambda: (project / "out/result.made_by.json").write_text("[]", encoding="utf-8"),
    )
    for change in changes:
        change()
        assert [told(), told()] == ["made anew", "as it is"]
