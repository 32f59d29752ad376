"""The wheel and the container: do they carry what it takes to restore without a clone?"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depixel.cli import main
from depixel.model.pixelation import prepare_image
from tests.conftest import REPOSITORY, tiny_model
from tests.detection.test_search import photo

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 cannot read pyproject.toml")

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


# The wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder to import from, in which a wheel of the project is that carries a model `laptop`."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        REPOSITORY / "depixel", source / "depixel", ignore=shutil.ignore_patterns("__pycache__", "pretrained")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    if carried := shipped():
        (source / "depixel/pretrained").mkdir()
        for path in carried:
            shutil.copy(path, source / "depixel/pretrained")
    else:
        tiny_model().save(source / "depixel/pretrained/laptop.safetensors")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("depixel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_a_script_beside_a_clone_gets_the_package(tmp_path):
    """Python takes a folder called depixel beside the script as a package, unless sys.path has a real one."""
    clone = tmp_path / "depixel"
    shutil.copytree(
        REPOSITORY / "depixel", clone / "depixel", ignore=shutil.ignore_patterns("__pycache__", "pretrained")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, clone)
    build = "from setuptools import build_meta; build_meta.build_editable(r'.')"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    (wheel,) = clone.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    script = f"import site; site.addsitedir({str(tmp_path / 'installed')!r}); import depixel; print(depixel.__file__)"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-E", "-S", "script.py"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()) == clone / "depixel/__init__.py"


def shipped() -> list[Path]:
    """What `make wheel` adds to the package, as far as it is here."""
    (patterns,) = re.findall(r"cp -L (.+) depixel/pretrained", (REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    return [path for pattern in patterns.split() for path in REPOSITORY.glob(pattern)]


def without_clone(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the installed `depixel` in a folder that is no project."""
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "depixel.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")


def test_every_file_of_the_package_is_in_the_wheel(installed):
    tracked = subprocess.run(
        ["git", "ls-files", "depixel"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = [name for name in tracked if not (installed / name).is_file()]
    assert tracked and not missing


@pytest.mark.usefixtures("detector")
def test_the_wheel_finds_areas_of_a_jpeg_without_a_clone(installed, tmp_path):
    shown = prepare_image(photo(120, 120)[None], 31, 22, 60, 50, 9)[0][0]
    Image.fromarray(shown).save(tmp_path / "photo.jpg", quality=90)
    done = without_clone(installed, tmp_path, "restore", "photo.jpg", "-o", "out", "--auto")
    assert done.returncode == 0, done.stderr
    assert "31,22,60,50 in blocks of 9" in done.stdout


def test_the_wheel_restores_without_a_clone(installed, tmp_path):
    image = np.add.outer(np.arange(64), 2 * np.arange(64)).astype(np.uint8)
    shown = prepare_image(image[None], 8, 8, 32, 32, 8)[0][0]
    Image.fromarray(shown).save(tmp_path / "photo.png")
    done = without_clone(installed, tmp_path, "restore", "photo.png", "-o", "out", "--area", "8,8,32,32", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"][0]["areas"] == [[8, 8, 32, 32, 8]]
    restored = np.asarray(Image.open(tmp_path / "out/photo.png"))
    assert (restored[8:40, 8:40] != shown[8:40, 8:40]).any()
    np.testing.assert_array_equal(restored[40:], shown[40:])


def test_the_wheel_explains_itself_without_a_clone(installed, tmp_path):
    done = without_clone(installed, tmp_path, "--help")
    assert done.returncode == 0 and "restore" in done.stdout


# The container


def instructions() -> list[tuple[str, str]]:
    """The lines of the Dockerfile: instruction and rest, continued ones joined."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def rests(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_the_dockerfile_copies_what_is_there_and_not_ignored():
    allowed = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [source for rest in rests("COPY") for source in shlex.split(rest)[:-1]]
    assert sources == allowed
    made = f"dist/depixel-{PROJECT['project']['version']}-py3-none-any.whl"  # by `make wheel`
    for source in sources:
        assert (REPOSITORY / source).is_file() or fnmatch.fnmatch(made, source), source


def test_the_dockerfile_installs_extras_that_exist_at_locked_versions():
    (install, _) = rests("RUN")
    extras = re.search(r"depixel-\*\.whl\)\[([\w,]+)\]", install)[1].split(",")
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])
    assert "--constraint /packages/requirements.lock" in install
    torch = subprocess.run(
        ["sh", "-c", "grep '^torch==' requirements.lock | cut -d ';' -f 1"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.fullmatch(r"torch==[\d.]+\s*", torch)


def test_the_container_serves_as_an_ordinary_user_and_says_whether_it_works():
    user = [rest for name, rest in instructions() if name in ("USER", "CMD")]
    assert user[0] == "depixel" and f"useradd --create-home --uid 10001 {user[0]}" in rests("RUN")[-1]
    command, health = json.loads(user[1]), rests("HEALTHCHECK")[0]
    assert command[:2] == ["depixel", "serve"]
    port = command[command.index("--port") + 1]
    assert rests("EXPOSE") == [port] and f"127.0.0.1:{port}/" in health
    compile(json.loads(health[health.index("[") :])[2], "healthcheck", "exec")


def test_the_command_of_the_container_exists():
    command = json.loads(rests("CMD")[0])
    serve = main.commands["serve"]
    context = serve.make_context("serve", command[2:], resilient_parsing=False)
    assert context.params["host"] == "0.0.0.0"


def test_the_dockerfile_needs_no_more_than_slim_has():
    (base,) = rests("FROM")
    version = re.fullmatch(r"python:3\.(\d+)-slim", base)[1]
    assert int(version) >= int(PROJECT["project"]["requires-python"].removeprefix(">=3."))
