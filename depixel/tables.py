"""CSV tables with a fixed header, one NamedTuple a row: written whole, read strictly."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from depixel.errors import DepixelError
from depixel.files import replacing


def write_table(path: str | Path, row: type[NamedTuple], rows: Iterable[NamedTuple]) -> None:
    """Write `rows` under the names of `row`'s fields; None is an empty cell."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(row._fields)
        writer.writerows(rows)


def read_table(path: str | Path, row: type[NamedTuple], made_by: str) -> list:
    """Read a table into `row`s of text.

    Args:
        made_by: the command that makes this table, to name in messages.

    Raises:
        DepixelError: it is not there, or not such a table.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
    except FileNotFoundError:
        raise DepixelError(f"{path}: no such file. Make it with `{made_by}`") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DepixelError(f"{path}: cannot be read ({error}). Make it anew with `{made_by}`") from error
    if tuple(header) != row._fields or any(len(line) != len(row._fields) for line in lines):
        raise DepixelError(f"{path}: not a table of {','.join(row._fields)}. Make it anew with `{made_by}`")
    return [row._make(line) for line in lines]


def path_of(contributor: str, name: str) -> str:
    """`contributor/name`, or the one that is not empty: what a photo is called in logs and messages."""
    return "/".join(part for part in (contributor, name) if part)
