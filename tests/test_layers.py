"""The order of the house: what may import what, and who alone may start git and DVC."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from depixel.base.code import sources_of
from tests.conftest import REPOSITORY

LAYERS = [
    "base",
    "sheets",
    "versioning",
    "model",
    "dataset",
    "scoring",
    "challenge",
    "photos",
    "learning",
    "analysis",
    "params",
    "curation",
    "onnx",
    "experiments",
    "maintenance",
    "areas",
    "detection",
    "reports",
    "pictures",
    "web",
    "server",
    "commands",
    "cli",
]
"""A package imports from those before it only."""

FILES = sorted((REPOSITORY / "depixel").rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(REPOSITORY / "depixel").with_suffix("").as_posix()


def imports(path: Path) -> set[Path]:
    """The files of the package that this one imports itself."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        files = (REPOSITORY / f"{name.replace('.', '/')}.py" for name in names if name and name.startswith("depixel."))
        found.update(file for file in files if file.is_file())
    return found


def test_every_module_stands_in_a_layer():
    assert {place(path).split("/")[0] for path in FILES} == {*LAYERS, "__init__"}


def test_a_package_imports_only_from_those_before_it():
    for path in FILES:
        here = place(path).split("/")[0]
        if here == "__init__":
            continue  # the face: it names what others hold, and imports it on demand
        for other in imports(path):
            there = place(other).split("/")[0]
            assert LAYERS.index(there) <= LAYERS.index(here), f"{place(path)} imports {place(other)}"


def test_no_two_modules_import_each_other():
    TopologicalSorter({path: imports(path) for path in FILES if place(path) != "__init__"}).prepare()


def test_the_graph_of_packages_is_small():
    arrows = defaultdict(set)
    for path in FILES:
        for other in imports(path):
            arrows[place(path).split("/")[0]].add(place(other).split("/")[0])
    count = sum(len(others - {here}) for here, others in arrows.items())
    assert len(LAYERS) < 30 and count < 150, f"{count} arrows"


def test_what_training_computes_with_is_all_that_its_packages_hold():
    """A change of any of these files starts a training anew, which may take hours."""
    used = sources_of(REPOSITORY / "stages/train.py")
    packages = ("model", "dataset", "learning")
    assert {path for path in FILES if place(path).split("/")[0] in packages} <= set(used)


def test_package_faces_are_empty():
    """Or whoever needs one module of a package waits for all; the command starts quickly because of it."""
    for path in FILES:
        if path.name == "__init__.py" and path.parent != REPOSITORY / "depixel":
            statements = ast.parse(path.read_text(encoding="utf-8")).body
            assert all(isinstance(one, ast.Expr) for one in statements), path


CORE = (
    *("areas", "detection", "pictures", "web", "commands", "cli", "sheets", "versioning"),
    *(
        "base/arithmetic",
        "base/console",
        "base/errors",
        "base/files",
        "base/layout",
        "base/names",
        "base/settings",
        "base/spelling",
        "base/tables",
    ),
    *("model/locations", "model/pixelation", "model/windows", "onnx/reading", "scoring/covariance"),
    *("photos/decoding", "photos/jpeg", "photos/processes", "photos/tiff"),
)
"""What an installation without the extra `pipeline` imports: packages and modules for pictures, and the commands."""

LIBRARIES = {
    *("PIL", "anyio", "click", "fastapi", "numpy", "onnxruntime", "pydantic", "pydantic_core", "scipy", "starlette"),
    *("threadpoolctl", "tqdm", "uvicorn", "yaml"),
}
"""What they import of others: `dependencies` of pyproject.toml, and what FastAPI and Pydantic are made of."""


def imported_at_once(statements: list[ast.stmt]) -> Iterator[str]:
    """The modules that these statements import when they run: not those in functions or for type checkers."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            if statement.module == "depixel" or f"{statement.module}.".startswith("depixel."):
                yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
            yield statement.module or ""
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from imported_at_once(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from imported_at_once(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from imported_at_once(handler.body)


def is_core(path: Path) -> bool:
    return place(path).split("/")[0] in CORE or place(path) in CORE or path.name == "__init__.py"


def test_pictures_need_nothing_of_the_pipeline():
    """Or `pip install depixel` without the extra `pipeline` no longer restores."""
    for path in filter(is_core, FILES):
        for name in imported_at_once(ast.parse(path.read_text(encoding="utf-8")).body):
            file = REPOSITORY / f"{name.replace('.', '/')}.py"
            if name.split(".")[0] == "depixel":
                assert not file.is_file() or is_core(file), f"{place(path)} imports {name}; import it in the function"
            else:
                assert name.split(".")[0] in LIBRARIES | sys.stdlib_module_names, f"{place(path)} imports {name}"


def test_every_place_of_the_core_is_there():
    there = {place(path) for path in FILES} | {place(path).split("/")[0] for path in FILES}
    assert set(CORE) <= there


STARTS_PROCESSES = {"versioning", "base/console", "pictures/clipboard"}
"""versioning: git and DVC. base/console: a stage of the project. pictures/clipboard: the desktop's own program."""


def test_one_module_starts_git_and_dvc():
    for path in [*FILES, *(REPOSITORY / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            if "subprocess" in modules:
                assert path.is_relative_to(REPOSITORY / "depixel") and place(path) in STARTS_PROCESSES, path
