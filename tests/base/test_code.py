"""What results are recorded to be made by is what the code does, not what is said about it."""

import ast
import re
import shutil
import subprocess
import sys

import pytest

from depixel.base import code
from depixel.base.errors import DepixelError
from tests.conftest import REPOSITORY
from tests.pipeline.test_pipeline import all_imports

TRAINING = code.sources_of(REPOSITORY / "depixel/learning/training.py")
NAMES = [path.relative_to(REPOSITORY).as_posix() for path in TRAINING]

SOURCE = '''"""A module."""
import math
LIMIT = 3  # pixels
"""Pixels."""
class Thing:
    """A thing."""
    side: int = 4
    def area(self, other=2, *, name="a") -> int:
        """Its area."""
        if self.side <= other and name:
            return self.side * other + LIMIT
        return -1
def told(x):
    return f"{x:>{LIMIT}} of " "many" f"{x!r}, {x=} {{}} {math.pi:.2f}"
'''

OTHERWISE = '''
"""Other words."""

import math

# a comment
LIMIT = (3)


class Thing:
    "Other words, \\N{GREEK SMALL LETTER ALPHA}."

    side: int = 4

    def area(
        self,
        other=2,
        *,
        name='a',
    ) -> int:
        if (
            self.side <= other and name
        ):
            return (self.side * other) + LIMIT  # noqa
        return (-1)


def told(x):
    """Says it."""
    return f"{x:>{LIMIT}} of many{x!r}, {x=} {{}} {math.pi:.2f}"
'''

CHANGES = {
    "a constant": ("LIMIT = 3", "LIMIT = 4"),
    "the kind of a constant": ("LIMIT = 3", "LIMIT = 3.0"),
    "a default": ("other=2", "other=3"),
    "a default after *": ('name="a"', 'name="b"'),
    "an operator": ("side * other", "side + other"),
    "a comparison": ("<=", "<"),
    "and, or": (" and ", " or "),
    "a name": ("self.side *", "self.size *"),
    "a function's name": ("def area", "def space"),
    "a type": ("side: int", "side: float"),
    "a sign": ("return -1", "return 1"),
    "the text of an f-string": (" of ", " in "),
    "the format in an f-string": (".2f", ".3f"),
    "the conversion in an f-string": ("!r", "!s"),
    "an import": ("import math", "import cmath as math"),
    "what is indented": ("        return -1\n", "    return -1\n".replace("    return", "            return")),
}


def test_words_and_layout_change_nothing():
    assert code.normalized(SOURCE) == code.normalized(OTHERWISE)


@pytest.mark.parametrize("change", CHANGES)
def test_what_it_does_changes_it(change):
    assert SOURCE.count(CHANGES[change][0]) == 1 or change == "and, or"
    assert code.normalized(SOURCE.replace(*CHANGES[change])) != code.normalized(SOURCE)


def test_every_version_of_python_gives_the_same():
    """The text that was found by 3.11; by 3.12 and later f-strings are cut otherwise."""
    assert code._digest_of(SOURCE.encode()) == "c68eb3f9b43440bd47ee30bbb1c899c1067ae8a6928df79d3a33318a4ab0f553"


@pytest.mark.parametrize("name", NAMES)
def test_prose_of_what_training_imports_is_free(name):
    source = (REPOSITORY / name).read_text(encoding="utf-8")
    other = _with_other_docstrings(source)
    assert other != source
    assert code.normalized(other) == code.normalized(source)
    assert code.normalized(ast.unparse(ast.parse(source))) == code.normalized(source)  # without comments and layout


def _with_other_docstrings(source: str) -> str:
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    statements = [node for node in ast.walk(tree) if code._is_prose(node)]
    for node in sorted(statements, key=lambda node: -node.lineno):
        lines[node.lineno - 1 : node.end_lineno] = [" " * node.col_offset + '"""Other words."""\n']
    return "# Other words.\n" + "".join(lines)


class _Change(ast.NodeTransformer):
    """Change the first constant, operator, default or name that there is."""

    def __init__(self, kind: str):
        self.kind, self.done = kind, False

    def visit(self, node):
        if not self.done and not code._is_prose(node):
            node = self.changed(node)
        return node if code._is_prose(node) else self.generic_visit(node)

    def changed(self, node):
        was, self.done = self.done, True
        if self.kind == "constant" and isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if self.kind == "operator" and isinstance(node, ast.BinOp):
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        elif self.kind == "default" and isinstance(node, ast.arguments) and node.defaults:
            node.defaults[-1] = ast.Constant("another")
        elif self.kind == "name" and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.name += "_"
        else:
            self.done = was
        return node


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_what_training_imports_is_seen(name):
    source = (REPOSITORY / name).read_text(encoding="utf-8")
    seen = set()
    for kind in ("constant", "operator", "default", "name"):
        change = _Change(kind)
        changed = change.visit(ast.parse(source))
        if change.done:
            seen.add(kind)
            assert code.normalized(ast.unparse(ast.fix_missing_locations(changed))) != code.normalized(source), kind
    code_in_it = any(not code._is_prose(node) for node in ast.parse(source).body)
    assert seen or not code_in_it or name == "depixel/base/errors.py", name


TRAIN = """
import sys
from pathlib import Path
import numpy as np
from depixel.dataset.samples import Photos
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from depixel.base.names import photo_ids
from depixel.model.pixelation import PixelationSettings
photos = Photos(np.full((8, 24, 24), 7, np.uint8), np.arange(8), photo_ids(list("abcdefgh")))
settings = TrainSettings(width=4, epochs=1, batch_size=4, device="cpu", precision="float32", shards=1)
areas = PixelationSettings(width=(4, 8), height=(4, 8), block_size=(3, 5))
run = Run(Task(settings, areas, photos, photos), Path("runs"), 0)
print("unusable", len(run.resume()), "step", run.step, "finished", run.finished)
list(run.epochs())
"""


@pytest.mark.parametrize("changed", ["prose", "code"])
def test_a_checkpoint_stays_valid_when_prose_changes(tmp_path, changed):
    shutil.copytree(
        REPOSITORY / "depixel", tmp_path / "depixel", ignore=shutil.ignore_patterns("__pycache__", "pretrained")
    )

    def train() -> str:
        command = [sys.executable, "-c", TRAIN]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    assert train() == "unusable 0 step 0 finished False"
    for path in TRAINING:
        copy = tmp_path / path.relative_to(REPOSITORY)
        source = copy.read_text(encoding="utf-8")
        copy.write_text(_with_other_docstrings(source), encoding="utf-8")
    if changed == "code":
        networks = next(path for path in (tmp_path / "depixel").rglob("networks.py"))
        source = networks.read_text(encoding="utf-8")
        networks.write_text(re.sub(r"(class \w+\(.*\):\n)", r"\1    other = 1\n", source, count=1), encoding="utf-8")
    assert train() == f"unusable 0 step {2 if changed == 'prose' else 0} finished {changed == 'prose'}"


# Which sources


@pytest.mark.parametrize(
    "module", ["learning/training", "photos/rules", "photos/preparation", "photos/near_duplicates", "web/app"]
)
def test_the_sources_are_all_that_are_imported(module):
    path = REPOSITORY / f"depixel/{module}.py"
    assert set(code.sources_of(path)) == all_imports(path) - {code.PLACES}


def test_an_import_that_cannot_be_found_is_told(tmp_path):
    path = tmp_path / "stage.py"
    for wrong in ("from depixel import nowhere", "import depixel.nowhere", "from depixel.base.errors.deep import a"):
        path.write_text(f"def f():\n    {wrong}\n", encoding="utf-8")
        with pytest.raises(DepixelError, match="line 2"):
            code.sources_of(path)
    path.write_text("from . import errors\n", encoding="utf-8")
    with pytest.raises(DepixelError, match="relative"):
        code.sources_of(path)


def test_all_ways_to_import_are_found(tmp_path):
    path = tmp_path / "stage.py"
    path.write_text(
        "from depixel.base import files\nimport depixel.model.windows\ndef f():\n"
        "    from depixel.model.metrics import rmse_mean\n"
        "if TYPE_CHECKING:\n    from depixel.web import app\nfrom depixel.detection import boxes\n",
        encoding="utf-8",
    )
    found = {
        source.relative_to(tmp_path if source == path else REPOSITORY).as_posix() for source in code.sources_of(path)
    }
    assert {"stage.py", "depixel/__init__.py", "depixel/base/files.py", "depixel/base/errors.py"} <= found
    assert {"depixel/model/windows.py", "depixel/model/metrics.py", "depixel/detection/boxes.py"} <= found
    assert "depixel/web/app.py" not in found
