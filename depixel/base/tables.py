"""CSV tables with a fixed header, one NamedTuple a row: written whole, read strictly, in a stream."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from depixel.base.errors import DepixelError
from depixel.base.files import replacing

Row = TypeVar("Row", bound=NamedTuple)


class Writer(Protocol):
    """What writes the rows of a table: a `csv.writer`."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Write one row."""
        ...

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> Any:
        """Write several rows."""
        ...


@contextmanager
def new_table(path: str | Path, row: type[NamedTuple]) -> Iterator[Writer]:
    """Write a table to `path`, row by row: yields a `csv.writer` that has written the names of `row`'s fields."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(row._fields)
        yield writer


def write_table(path: str | Path, row: type[Row], rows: Iterable[Row]) -> None:
    """Write `rows` under the names of `row`'s fields, all or nothing; None is an empty cell."""
    with replacing(path) as beside, new_table(beside, row) as writer:
        writer.writerows(rows)


def read_table(path: str | Path, row: type[Row], made_by: str) -> Iterator[Row]:
    """Yield the rows of a table as `row`s of text, as they are read.

    Args:
        made_by: the command that makes this table, to name in messages.

    Raises:
        DepixelError: it is not there, or not such a table.
    """
    wrong = DepixelError(f"{path}: not a table of {','.join(row._fields)}. Make it anew with `{made_by}`")
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
        raise DepixelError(f"{path}: cannot be read ({error}). Make it anew with `{made_by}`") from error


def path_of(contributor: str, name: str) -> str:
    """`contributor/name`, or the one that is not empty: what a photo is called in logs and messages."""
    return "/".join(part for part in (contributor, name) if part)
