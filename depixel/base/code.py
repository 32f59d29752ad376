"""Finds the code that computes a result, and hashes it in a way that comments and formatting do not change.

The project records each result with a hash of the code that made it. Comments, docstrings, empty lines and formatting
change no result, so they must not change that hash.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from depixel.base.errors import DepixelError

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package `depixel`."""

PLACES = PACKAGE / "base/layout.py"
"""The module of paths. It is left out of the hash because a path changes no result; a new one must not retrain."""


def code_digest(paths: Iterable[str | Path]) -> str:
    """A hash of source files: sha256 of their names and `normalized` code, in hexadecimal digits.

    Args:
        paths: Python files. The name of a file in the package includes its folders, so moving it changes the hash.

    Raises:
        DepixelError: a file cannot be read, or is not Python.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        resolved = path.resolve()
        name = resolved.relative_to(PACKAGE).as_posix() if resolved.is_relative_to(PACKAGE) else resolved.name
        try:
            code = _digest_of(resolved.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise DepixelError(f"{path}: cannot be read as Python ({error})") from error
        digest.update(f"{name} {code}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=512)
def _digest_of(source: bytes) -> str:
    return hashlib.sha256(normalized(source).encode()).hexdigest()


def normalized(source: bytes | str) -> str:
    """The code of a file as text that is independent of comments, docstrings, formatting and the version of Python.

    It is the syntax tree in brackets: the name of each node and its non-empty fields. It leaves out positions, comments
    and statements that are only a string: docstrings, also those of constants.

    Tokens would depend on the version: since Python 3.12 an f-string is many tokens, before it was one. The trees of
    later versions differ from Python 3.10's in two ways. They have added fields, which are empty for code that 3.10 can
    parse; and they cut the text of f-strings differently, so this function joins it.

    Raises:
        SyntaxError: the source is not Python.
    """
    return "".join(_written(ast.parse(source)))


def _written(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if value is None or name in ("kind", "type_comment", "ctx"):
                continue
            if isinstance(value, list):
                value = [item for item in value if not _is_prose(item)]
                if isinstance(node, ast.JoinedStr):
                    value = _joined(value)
                if not value:
                    continue
            yield f" {name}="
            yield from _written(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _written(item)
        yield "]"
    else:
        yield f"{type(node).__name__}:{node!a} "


def _is_prose(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, with adjacent pieces of text joined and empty ones removed."""
    joined: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif joined and isinstance(last := joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(part.value))
        elif part.value:
            joined.append(part)
    return joined


def sources_of(path: str | Path) -> list[Path]:
    """A file and all modules of `depixel` that it imports, directly or indirectly, anywhere in their code; sorted.

    The `__init__.py` of each package on the way is included. `PLACES` and imports for type checkers only are not.

    Raises:
        DepixelError: an import from `depixel` is relative, or names neither a module nor a name in one.
    """
    first = Path(path).resolve()
    found: set[Path] = set()
    todo = [first, PACKAGE / "__init__.py"]
    while todo:
        source = todo.pop()
        if source not in found:
            found.add(source)
            # depixel/__init__.py imports its public names only on demand, and no module of the package uses them
            todo += [] if source == PACKAGE / "__init__.py" else _imported(source)
    return sorted(found - {PLACES})


@functools.lru_cache(maxsize=512)
def _parsed(source: bytes) -> ast.Module:
    return ast.parse(source)


def _imported(source: Path) -> Iterator[Path]:
    for node in _executed(_parsed(source.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise DepixelError(f"{source}: line {node.lineno}: a relative import; write the full name of the module")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "depixel":
            for alias in node.names:
                yield from _files_of(f"{node.module}.{alias.name}", source, node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "depixel":
                    yield from _files_of(alias.name, source, node.lineno)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _executed(other)
        else:
            yield node
            yield from _executed(node)


def _files_of(name: str, source: Path, line: int) -> Iterator[Path]:
    """The files that Python reads for `import NAME`, where the last part may be a name within a module."""
    yield PACKAGE / "__init__.py"
    folder, parts = PACKAGE, name.split(".")[1:]
    for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
        if (folder / part / "__init__.py").is_file():
            folder = folder / part
            yield folder / "__init__.py"
        elif (folder / f"{part}.py").is_file() and left <= 1:
            yield folder / f"{part}.py"
            return
        elif left == 0 and part in _defined((folder / "__init__.py").read_bytes()):
            return
        else:
            raise DepixelError(f"{source}: line {line}: {name}: there is no such module, and no such name in one")


def _defined(source: bytes) -> set[str]:
    """The names that the body of a module assigns, defines or imports."""
    names: set[str] = set()
    for node in _parsed(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        else:
            names.update(child.id for child in ast.walk(node) if isinstance(child, ast.Name))
    return names
