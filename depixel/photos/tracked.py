"""Walks a folder and separates the files that `dvc add` records from those that DVC ignores.

A clone does not get files that DVC ignores, and DVC does not notice when they change. So no stage and no command reads
them. The rules are those of DVC 3.67. It ignores files that match a pattern of a `.dvcignore`, from the project's
folder down; folders of git, Mercurial and DVC; and other DVC projects. It does not follow links to folders.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from depixel.base import layout
from depixel.base.errors import DepixelError

IGNORED = ".dvcignore"
"""The name of the files with patterns that DVC ignores."""

NAMED = 5
"""The maximum number of paths in a message."""

_ALWAYS = (".hg/", ".git/", ".git", f"{layout.DVC}/")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control, line ends, not in UTF-8


class Found(NamedTuple):
    """A file that DVC tracks, or a file or folder that it ignores.

    Attributes:
        path: the path.
        size: size in bytes; 0 if DVC ignores it.
        left_out: the reason why DVC ignores it; "" if DVC tracks it.
        stops: whether DVC hangs or fails because of it.
    """

    path: Path
    size: int
    left_out: str = ""
    stops: bool = False


class _Pattern(NamedTuple):
    regex: "re.Pattern[str]"  # matches paths relative to the top folder
    ignores: bool
    of_folders: bool
    reason: str


def walk(root: Path, start: Path | None = None) -> Iterator[Found]:
    """Yield the files below a folder, in any order: those that DVC tracks, and those that it ignores.

    An ignored folder is yielded as one item. A folder outside of DVC projects, or in an ignored part of one, counts as
    its own project.

    Args:
        root: the folder.
        start: a tracked folder below `root`, to walk only this one; None: all of `root`.

    Raises:
        DepixelError: a `.dvcignore` cannot be read.
    """
    top, patterns = _above(root)
    folders = [(root, patterns)]
    for part in start.relative_to(root).parts if start else ():
        folder, above = folders.pop()
        folders.append((folder / part, [*above, *_of_folder(folder, top, above)]))
    while folders:
        folder, patterns = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if folder != root:
                yield Found(folder, 0, f"cannot be read: {error.strerror or error}")
            continue
        inner = [entry.name for entry in found if _is_folder(entry)]
        patterns = [*patterns, *_of_folder(folder, top, patterns), *_of_projects(folder, top, inner)]
        for entry in found:
            path = folder / entry.name
            reason = _ignored(patterns, _relative(path, top), _is_folder(entry))
            if reason:
                yield Found(path, 0, reason)
            elif not _is_utf8(entry.name):
                yield Found(path, 0, "its name is not in UTF-8: rename it", stops=True)
            elif _is_folder(entry) and not entry.is_symlink():
                folders.append((path, patterns))
            else:
                yield _of_file(path, entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder or a link to one; a broken link is not."""
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def _of_file(path: Path, entry: "os.DirEntry[str]") -> Found:
    if _is_folder(entry):
        return Found(path, 0, "a link to a folder, which is not followed")
    try:
        status = entry.stat()
    except OSError as error:
        reason = "a link to nothing" if entry.is_symlink() else f"cannot be read: {error.strerror or error}"
        return Found(path, 0, reason, stops=True)
    if not stat.S_ISREG(status.st_mode):
        return Found(path, 0, "neither a file nor a folder", stops=True)
    if entry.name == IGNORED:
        return Found(path, 0, "DVC allows it only above the photos: move its lines to the project's", stops=True)
    return Found(path, status.st_size)


def left_out(root: Path) -> list[Found]:
    """The files and folders below a folder that DVC ignores, in order. Raises `DepixelError` as `walk`."""
    return sorted(found for found in walk(root) if found.left_out)


def told(found: Sequence[Found]) -> str:
    """A message about ignored files: a line for each, at most `NAMED`; "" if there are none."""
    if not found:
        return ""
    lines = [f"  {printable(str(one.path))}: {printable(one.left_out)}" for one in found[:NAMED]]
    more = [f"  and {len(found) - NAMED} more"] if len(found) > NAMED else []
    return "\n".join(["Left out, because DVC does not track it:", *lines, *more])


def check(root: Path = layout.RAW) -> None:
    """Raise `DepixelError` if DVC would hang or fail because of a file below a folder, which may be missing."""
    stopping = [found for found in left_out(root) if found.stops]
    if stopping:
        named = "; ".join(f"{printable(str(one.path))}: {one.left_out}" for one in stopping[:NAMED])
        more = f"; and {len(stopping) - NAMED} more" if len(stopping) > NAMED else ""
        raise DepixelError(f"DVC cannot add {root.as_posix()}. {named}{more}. Correct or remove it, then try again")


def printable(text: str) -> str:
    """Text on one line: control characters, line ends and characters outside of UTF-8 become escapes."""
    return _UNPRINTABLE.sub(lambda character: character[0].encode("unicode_escape").decode("ascii"), text)


# The patterns


def _above(root: Path) -> tuple[Path, list[_Pattern]]:
    """The folder where patterns start, and the patterns that apply from the folders above `root`."""
    here = Path(os.path.abspath(root))  # noqa: PTH100  does not resolve links
    top = next((folder for folder in (here, *here.parents) if (folder / layout.DVC).is_dir()), here)
    patterns = [_pattern(line, "", f"DVC never tracks {line.rstrip('/')}") for line in _ALWAYS]
    always = [pattern for pattern in patterns if pattern]
    found, folder = list(always), top
    for part in here.relative_to(top).parts:
        found += _of_folder(folder, top, found)
        folder /= part
        if _ignored(found, _relative(folder, top), is_folder=True):
            return here, always
    return top, found


def _of_folder(folder: Path, top: Path, above: Sequence[_Pattern]) -> list[_Pattern]:
    """The patterns of a folder's own .dvcignore."""
    path = folder / IGNORED
    if not path.is_file() or _ignored(above, _relative(path, top), is_folder=False):
        return []
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
        found = [_pattern(line, _relative(folder, top), f"{IGNORED} has {line}") for line in lines]
    except (OSError, UnicodeDecodeError, GitIgnorePatternError, re.error) as error:
        raise DepixelError(f"{path}: DVC cannot read it ({error}). Write one pattern per line, in UTF-8") from error
    return [pattern for pattern in found if pattern]


def _of_projects(folder: Path, top: Path, names: Iterable[str]) -> list[_Pattern]:
    """Patterns for the DVC projects among the folders within this one."""
    names = [name for name in names if os.path.lexists(folder / name / layout.DVC)]
    found = [_pattern(f"/{name}/", _relative(folder, top), "a DVC project of its own") for name in names]
    return [pattern for pattern in found if pattern]


def _pattern(line: str, folder: str, reason: str) -> _Pattern | None:
    """The pattern in a line of the .dvcignore in `folder`, a path from the top folder; None if there is none."""
    regex, ignores = GitIgnoreSpecPattern.pattern_to_regex(line)
    if regex is None or ignores is None:
        return None
    if folder:
        from dvc.pathspec_math import change_rule  # takes 0.1 s, and most projects have only one .dvcignore

        line = change_rule(line, folder)
        regex, ignores = GitIgnoreSpecPattern.pattern_to_regex(line)
    if regex is None or ignores is None:
        return None
    return _Pattern(re.compile(regex), ignores, line.endswith("/"), reason)


def _ignored(patterns: Sequence[_Pattern], path: str, is_folder: bool) -> str:
    """The reason why a path is ignored, or ""; its parents are not ignored. The last pattern that matches decides."""
    for pattern in reversed(patterns):
        if pattern.of_folders and not is_folder:
            continue
        if pattern.regex.match(path) or (is_folder and pattern.regex.match(f"{path}/")):
            return pattern.reason if pattern.ignores else ""
    return ""


def _relative(path: Path, top: Path) -> str:
    here = Path(os.path.abspath(path)).relative_to(top).as_posix()  # noqa: PTH100
    return "" if here == "." else here


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
        return True
    except UnicodeEncodeError:
        return False
