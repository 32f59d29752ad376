"""CSV tables with a fixed header and one NamedTuple per row, read row by row and checked."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from depixel.base.errors import DepixelError
from depixel.base.files import replacing

Row = TypeVar("Row", bound=NamedTuple)


class Writer(Protocol):
    """The type of a `csv.writer`, which has no public name."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Write one row."""
        ...

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> Any:
        """Write several rows."""
        ...


@contextmanager
def new_table(path: str | Path, row: type[NamedTuple]) -> Iterator[Writer]:
    """Open a new table at `path` and write its header, the names of `row`'s fields; yields a `csv.writer`."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(row._fields)
        yield writer


def write_table(path: str | Path, row: type[Row], rows: Iterable[Row]) -> None:
    """Write a whole table atomically; None is an empty cell. Raises `DepixelError` if it cannot be written."""
    with replacing(path) as beside, new_table(beside, row) as writer:
        writer.writerows(rows)


def read_table(path: str | Path, row: type[Row], made_by: str) -> Iterator[Row]:
    """Yield the rows of a table while reading it; all values are text.

    Args:
        path: the file.
        row: the type of a row; its fields must be the header.
        made_by: the command that makes this table, for messages.

    Raises:
        DepixelError: the file is missing, cannot be read, or is not such a table.
    """
    wrong = DepixelError(f"{path}: not a table of {','.join(row._fields)}. Make it again with `{made_by}`")
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            if tuple(next(lines, ())) != row._fields:
                raise wrong
            for line in lines:
                if len(line) != len(row._fields):
                    raise wrong
                yield row._make(line)
    except FileNotFoundError:
        raise DepixelError(f"{path}: no such file. Make it with `{made_by}`") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DepixelError(f"{path}: cannot be read ({error}). Make it again with `{made_by}`") from error


def path_of(contributor: str, name: str) -> str:
    """`contributor/name`, or the one that is not empty: the name of a photo in logs and messages."""
    return "/".join(part for part in (contributor, name) if part)
