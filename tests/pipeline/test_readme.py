"""The commands of README.md and docs/, run in order as they stand there, in a clone of the tiny project.

The clone begins as `make repro`, the first command of all, leaves it.
"""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from tests.conftest import REPOSITORY, clone, run
from tests.model import test_predictor
from tests.web.conftest import running

SITE = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))


def in_order(nav: object) -> list[str]:
    """The pages below an entry of the site's navigation."""
    if isinstance(nav, str):
        return [nav]
    return [page for below in (nav if isinstance(nav, list) else nav.values()) for page in in_order(below)]


NAMES = ["README.md", *(f"docs/{page}" for page in in_order(SITE["nav"]) if (REPOSITORY / "docs" / page).is_file())]
"""README.md, and the pages as a person reads them: commands build on those before them."""
PAGES = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in NAMES}
COMMANDS = [
    line.split(" #")[0].strip()
    for page in PAGES.values()
    for block in re.findall(r"```sh\n(.*?)```", page, re.S)
    for line in block.splitlines()
]
PRINTS = {  # as the pages say
    command: told
    for page in PAGES.values()
    for command, told in re.findall(r"```sh\n([^`\n]+)\n```\n\nprints `([^`]+)`", page)
}
NOT_RUN = (
    r"make \w+( AGAINST=LOCK)?$|python -m venv|source|pip install",  # setting up, and tests themselves
    r"depixel serve$",  # tests/web/test_app.py and test_serve_page.py
    r"depixel challenge (serve|submit|leaderboard|rescore|team import)|depixel predict test_set.pkl",  # tests/server
    r"git push -u",  # the clone that it would reach is shared by other tests
    r"dvc (import|update) |git rm -q data/raw.dvc",  # tests/pipeline/test_remotes.py
    r"python -m distributed",  # tests/photos/test_runner.py
    r"depixel analyze .* --test-set",  # tests/curation/test_gaps.py; the test set of the tiny project is too small
)


TAKES_LONG = (  # a training, or the experiments of one
    r"dvc repro$",
    r"dvc exp (run|apply|branch|push)",
    r"depixel (seeds|record|sweep (?!--help)|compare \S+ \S+)",
)
SHORT = [command for command in COMMANDS if not re.match("|".join(TAKES_LONG), command)]


@pytest.fixture(scope="module")
def folder(reproduced, tmp_path_factory):
    return begun(reproduced, tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="module")
def whole_folder(reproduced, tmp_path_factory):
    return begun(reproduced, tmp_path_factory.mktemp("whole_readme"))


def begun(project: Path, folder: Path) -> Path:
    made = clone(project, folder / "clone")
    run("dvc", "pull", cwd=made)
    return made


@pytest.mark.parametrize("command", SHORT)
def test_readme_command(folder, command):
    """Those that train nothing, in their order."""
    give(command, folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_as_it_stands(whole_folder, command):
    """All, in their order."""
    give(command, whole_folder, fresh=True)


def give(command: str, folder: Path, fresh: bool = False) -> None:
    if command.startswith("git commit") and not run("git", "diff", "--cached", "--name-only", cwd=folder).stdout:
        pytest.skip("nothing to commit: the commands before it changed nothing in the sample")
    done = run(*shlex.split(command), cwd=folder, fresh=fresh)
    assert PRINTS.get(command, "") in done.stdout


def test_what_commands_write_into_the_project_is_not_committed():
    names = re.findall(r" (?:-o|--out|--sheet|--compare|>) ([\w/]\S*)", "\n".join(COMMANDS))
    written = [name for name in names if name != "requirements.lock"]
    assert len(written) > 5
    for name in written:
        ignored = {
            run("git", "check-ignore", "--quiet", path, cwd=REPOSITORY, code=None).returncode
            for path in (name, f"{name}/a")
        }
        assert 0 in ignored, name


def test_what_pages_say_is_printed_is_looked_at():
    assert any("--auto" in command for command in PRINTS)


def test_all_other_commands_are_run_elsewhere():
    blocks = [block for page in PAGES.values() for block in re.findall(r"```\n(.*?)```", page, re.S)]
    commands = [
        line
        for block in blocks
        for line in block.splitlines()
        if re.match(r"(make|python|source|pip|dvc|depixel|git) ", line)
    ]
    assert [c for c in commands if not re.match("|".join(NOT_RUN), c)] == []


def test_all_pages_are_looked_at():
    written = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").rglob("*.md")}
    assert {*NAMES} - {"README.md"} == written


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_of_the_repository(name):
    """tests/tools/test_documentation.py looks at all links as the site has them."""
    for link in re.findall(r"\]\(([^)]+)\)", (REPOSITORY / name).read_text(encoding="utf-8")):
        assert link.startswith("https://") or (REPOSITORY / link.partition("#")[0]).is_file(), link


BLOCKS = [block for page in PAGES.values() for block in re.findall(r"```python\n(.*?)```", page, re.S)]
SCRIPTS = [block for block in BLOCKS if "sys.argv" in block]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in SCRIPTS])
def test_python_of_the_readme(block, tmp_path, monkeypatch):
    if not (REPOSITORY / "models/pretrained/laptop.safetensors").is_file():
        pytest.skip("models/pretrained is not there: dvc pull")
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/docs").symlink_to(REPOSITORY / "docs")
    monkeypatch.chdir(tmp_path / "clone")  # pages write beside it
    names = {"image": pixelate(np.asarray(Image.open("docs/photo.png")), [(66, 38, 64, 64, 8)])}
    exec(block, names)
    assert "restored" not in names or (names["restored"] != names["image"]).any()


def test_the_client_of_the_docs_finds_an_area(tmp_path):
    picture = tmp_path / "photo.png"
    pixelated = pixelate(np.asarray(Image.open(REPOSITORY / "docs/photo.png")), [(66, 38, 64, 64, 8)])
    Image.fromarray(pixelated).save(picture)
    [client] = SCRIPTS
    with running(Restorer(test_predictor.predictor())) as address:
        script = re.sub('SERVER = ".*"', f'SERVER = "{address}api"', client)
        told = run(sys.executable, "-c", script, str(picture), cwd=tmp_path).stdout
    assert "66,38,64,64,8 certain" in told.splitlines()


def test_tests_that_pages_name_exist():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", "\n".join(PAGES.values())))
    assert len(named) > 5
    assert not [name for name in sorted(named) if f"def {name}(" not in source]


def test_no_place_is_left_to_be_filled():
    """Such as a line that is one word in capitals."""
    for name, page in PAGES.items():
        text = re.sub(r"```.*?```", "", page, flags=re.S)
        assert not re.findall(r"(?m)^\s*[A-Z]{3,}$", text), name
