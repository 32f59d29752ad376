"""The wheel and the container: do they carry what it takes to restore without a clone and without the pipeline?"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from depixel.base.console import PIPELINE
from depixel.cli import main
from depixel.model.pixelation import prepare_image
from tests.conftest import REPOSITORY
from tests.detection.test_search import photo
from tests.test_layers import LIBRARIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 cannot read pyproject.toml")

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the project, as `make wheel` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        REPOSITORY / "depixel", source / "depixel", ignore=shutil.ignore_patterns("__pycache__", "pretrained")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    if not (carried := shipped()):
        pytest.skip("models/pretrained is not there: dvc pull models/pretrained.dvc")
    (source / "depixel/pretrained").mkdir()
    for path in carried:
        shutil.copy(path, source / "depixel/pretrained")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("depixel-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel) -> Path:
    """A folder to import the wheel's packages from."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "installed")
    return wheel.parent / "installed"


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


WITHOUT_PIPELINE = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(PIPELINE)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from depixel.cli import main
main()
"""


def without_clone(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the installed `depixel` in a folder that is no project, as if the extra `pipeline` were not installed."""
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT_PIPELINE, *arguments]
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
    for command in ("compare", "sweep", "doctor"):
        done = without_clone(installed, tmp_path, command, "--help")
        assert done.returncode == 0 and "Example" in done.stdout


@pytest.mark.parametrize("command", ["compare main", "doctor", "predict set.pkl -o answer.bin", "fetch imagenette"])
def test_what_needs_the_pipeline_says_what_to_install(installed, tmp_path, command):
    done = without_clone(installed, tmp_path, *command.split())
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert 'pip install "depixel[pipeline]"' in done.stderr


# What is core and what is extra


def requirements(names: list[str]) -> dict[str, set[str]]:
    """The modules that each of these packages installs."""
    modules = defaultdict(set)
    for module, packages in metadata.packages_distributions().items():
        for package in packages:
            modules[canonicalize_name(package)].add(module)
    return {name: modules[canonicalize_name(Requirement(name).name)] for name in names}


def test_the_extra_pipeline_is_what_commands_ask_for():
    extra = requirements(PROJECT["project"]["optional-dependencies"]["pipeline"])
    for name, modules in extra.items():
        assert len(modules & PIPELINE) == 1, f"{name}: PIPELINE of base/console.py names one of {sorted(modules)}"
    assert set.union(*extra.values()) >= PIPELINE


def test_the_core_is_what_pictures_import():
    core = requirements(PROJECT["project"]["dependencies"])
    for name, modules in core.items():
        assert modules & LIBRARIES and not modules & PIPELINE, name
    assert LIBRARIES - set.union(*core.values()) == {"anyio", "pydantic_core", "starlette"}


# The wheel in an environment of its own

MOST = 400
"""Megabytes that the environment may take."""


@pytest.fixture(scope="module")
def core(wheel) -> Path:
    """The commands of a fresh environment that has the wheel, and what pip installs with it."""
    venv = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    commands = venv / ("Scripts" if os.name == "nt" else "bin")
    lock = ["--quiet", "--constraint", str(REPOSITORY / "requirements.lock")]
    if subprocess.run([commands / "pip", "install", "--retries", "1", "click", *lock], capture_output=True).returncode:
        pytest.skip("no package index answers")
    subprocess.run([commands / "pip", "install", str(wheel), *lock], check=True)
    return commands


def in_core(core: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [core / "depixel", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, encoding="utf-8")


def environment() -> dict[str, str]:
    """Without what leads to this environment's packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.soak
def test_the_core_is_small(core):
    taken = {path.lstat().st_ino: path.lstat().st_size for path in core.parent.rglob("*") if path.is_file()}
    assert sum(taken.values()) < MOST * 2**20
    listed = subprocess.run([core / "pip", "list", "--format", "json"], capture_output=True, text=True, check=True)
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert not {"dvc", "torch", "scikit-learn", "matplotlib", "pandas"} & names


@pytest.mark.soak
def test_the_core_restores_pixelates_and_audits(core, tmp_path):
    shutil.copy(REPOSITORY / "docs/photo.png", tmp_path)
    for command, told in (
        ("pixelate photo.png -o pixelated --area 66,38,64,64 --block 8", "66,38,64,64 in blocks of 8"),
        ("restore pixelated/photo.png -o restored --auto", "66,38,64,64 in blocks of 8"),
        ("audit photo.png --area 66,38,64,64 --block 8", "would be large enough"),
    ):
        done = in_core(core, tmp_path, *command.split())
        assert done.returncode == 0 and told in done.stdout, done.stderr
    true, shown, restored = (
        np.asarray(Image.open(tmp_path / name).convert("L"), float)[38:102, 66:130]
        for name in ("photo.png", "pixelated/photo.png", "restored/photo.png")
    )
    assert np.square(restored - true).mean() < 0.5 * np.square(shown - true).mean()


@pytest.mark.soak
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
def test_the_core_serves_the_page(core, tmp_path):
    command = [core / "depixel", "serve", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        address = server.stdout.readline().split()[0]
        page, samples, runs = (
            urllib.request.urlopen(f"{address}{path}", timeout=60).read() for path in ("", "api/samples/0", "api/runs")
        )
        server.send_signal(signal.SIGINT)
        assert "Ended." in server.stdout.read()
    assert server.returncode == 0 and b"<html" in page and samples.startswith(b"\x89PNG")
    assert json.loads(runs)["problems"] == [
        'this needs the training pipeline, and its package pandas is not installed: pip install "depixel[pipeline]"'
    ]


@pytest.mark.soak
@pytest.mark.parametrize("command", ["doctor", "compare main"])
def test_the_core_names_the_extra(core, tmp_path, command):
    done = in_core(core, tmp_path, *command.split())
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert 'pip install "depixel[pipeline]"' in done.stdout + done.stderr


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


def test_the_dockerfile_installs_the_wheel_at_locked_versions():
    (install, _) = rests("RUN")
    locks = ("requirements.lock", "requirements-dev.lock")
    assert all(f"--constraint /packages/{name} " in install for name in locks)
    assert '"$(echo /packages/depixel-*.whl)[challenge]"' in install
    locked = "".join((REPOSITORY / name).read_text(encoding="utf-8") for name in locks)
    for name in PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["challenge"]:
        assert re.search(rf"(?m)^{canonicalize_name(Requirement(name).name)}==", locked), name


def test_the_container_serves_as_an_ordinary_user_and_says_whether_it_works():
    user = [rest for name, rest in instructions() if name in ("USER", "CMD")]
    assert int(user[0]) > 0 and f"useradd --create-home --uid {user[0]} depixel" in rests("RUN")[-1]
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
