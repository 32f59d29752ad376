"""What `depixel` offers to programs: names that stay, each loaded only when it is asked for."""

import ast
import subprocess
import sys

import pytest

import depixel
from tests.conftest import REPOSITORY

NAMES = {
    "Area": "depixel.areas.area",
    "DepixelError": "depixel.base.errors",
    "Restorer": "depixel.pictures.restorer",
    "find": "depixel.detection.search",
    "pixelate": "depixel.pictures.pixels",
}


def loaded(code: str) -> str:
    """Which of NumPy, SciPy and PyTorch are loaded after `code`, in a new process."""
    code += "; import sys; print(*[name for name in ('numpy', 'scipy', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return done.stdout.strip()


def test_the_public_names_are_these():
    assert depixel.__all__ == sorted(NAMES, key=str)
    assert set(depixel.__all__) <= set(dir(depixel))
    for name, module in NAMES.items():
        assert getattr(depixel, name).__module__ == module and getattr(depixel, name).__name__ == name


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = depixel.nothing


def test_importing_the_package_is_quick():
    assert loaded("import depixel") == ""
    assert loaded("from depixel import DepixelError") == ""
    assert loaded("import depixel; depixel.Restorer, depixel.Area, depixel.pixelate") == "numpy"


def test_the_package_says_when_it_was_imported():
    assert isinstance(depixel.IMPORTED, int)  # nanoseconds: `base.stage` compares it with the sources


def test_type_checkers_read_the_same_names():
    tree = ast.parse((REPOSITORY / "depixel/__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == NAMES
