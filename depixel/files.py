"""Outputs appear whole or not at all: written beside their place, then renamed onto it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from depixel.errors import DepixelError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; rename it onto `path` when the block succeeds.

    After an error nothing of the new output is left, and an earlier output is still there. What a process that was
    killed left beside it is removed by the next.

    Raises:
        DepixelError: the output cannot be written (no space, no permission), with the reason.
    """
    path = Path(path)
    beside, old = (path.with_name(f".{path.name}.{end}") for end in ("new", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not path.exists():  # killed between the two renames below
            old.rename(path)
        _remove(beside, old)
        yield beside
        if beside.is_dir() and path.is_dir():  # a rename onto a folder that has files in it is refused
            path.rename(old)
            try:
                beside.rename(path)
            except OSError:
                old.rename(path)
                raise
            _remove(old)
        else:
            beside.replace(path)
    except OSError as error:
        if error.filename is not None and not _within_or_above(beside, Path(str(error.filename))):
            raise  # not about this output
        raise DepixelError(f"{path}: cannot be written ({error.strerror or error}). Nothing was changed.") from error
    finally:
        with suppress(OSError):
            _remove(beside)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _within_or_above(path: Path, other: Path) -> bool:
    return path == other or path in other.parents or other in path.parents


def write_json(path: str | Path, content: dict) -> None:
    """Write `content` as indented JSON; numbers as they are, keys in their order."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def read_json(path: str | Path) -> dict:
    """Read a file that `write_json` wrote. Raises `DepixelError` if it is not there, or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path}: cannot be read ({error}). Make it with `dvc repro`") from error
