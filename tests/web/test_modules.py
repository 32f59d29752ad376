"""The modules of the page, without a browser: their types, their logic and their size."""

import shutil
import subprocess

import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "depixel/web/page"


def test_types_are_right():
    """They stand in comments; `npm install --global typescript` makes `tsc`."""
    if not (tsc := shutil.which("tsc")):
        pytest.skip("no tsc on the PATH: npm install --global typescript")
    done = subprocess.run([tsc, "--project", PAGE / "jsconfig.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_logic_is_right():
    """Tests of modules that touch no page, by Node's own test runner."""
    if not (node := shutil.which("node")):
        pytest.skip("no node on the PATH")
    tests = sorted((REPOSITORY / "tests/web/page").glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_each_file_is_short():
    files = [*PAGE.glob("*.js"), PAGE.parent / "page.html", PAGE.parent / "page.css"]
    assert {file.name for file in files if len(file.read_text(encoding="utf-8").splitlines()) >= 300} == set()
