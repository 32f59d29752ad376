"""Which files are photos to learn from: the challenge's six rules, and the verdict on each file."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from depixel import photos, sources
from depixel.errors import DepixelError
from depixel.files import replacing
from depixel.photos import UnreadableError
from depixel.sources import Entry
from depixel.tables import path_of, read_table

SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG")
MOST_BYTES = 250_000
LEAST_SIDE = 100
RULES = {1: "name", 2: "bytes", 3: "unreadable", 4: "shape", 5: "flat", 6: "duplicate"}
NUMBERS = ("bytes", "width", "height", "orientation", "code")  # columns of the manifest
MADE_BY = "python stages/validate.py"


class Verdict(NamedTuple):
    """A row of the manifest; "" or None where unknown.

    Attributes:
        contributor, name, bytes: as in `sources.Entry`.
        sha256: of the content, of every file that passes the rules 1 and 2 and can be read.
        width, height, mode: as Pillow sees the stored image, before it is turned upright.
        orientation: from EXIF, 1..8.
        code: 0 = valid, otherwise the first rule that is broken.
        reason: why it is not valid, for people.
    """

    contributor: str
    name: str
    bytes: int
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    orientation: int | None = None
    code: int = 0
    reason: str = ""


def validate(entries: Sequence[Entry], workers: int | None = None) -> Iterator[Verdict]:
    """Yield the verdict on each entry, in order; the same whatever the number of `workers` (None: all cores).

    The rules, in the order in which they are checked: (1) the name ends in .jpg, .JPG, .jpeg or .JPEG; (2) at most
    250 000 bytes; (3) Pillow can decode it; (4) RGB or grayscale, both sides at least 100 pixels; (5) the values are
    not all the same; (6) not the same bytes as an earlier valid file.
    """
    first: dict[str, str] = {}  # the valid files so far: sha256 -> path
    for verdict in sources.each(judge, entries, workers):
        if verdict.code == 0:
            if verdict.sha256 in first:
                verdict = verdict._replace(code=6, reason=f"the same bytes as {first[verdict.sha256]}")
            else:
                first[verdict.sha256] = path_of(verdict.contributor, verdict.name)
        yield verdict


def judge(entry: Entry) -> Verdict:
    """Apply the rules 1 to 5, which need only the file itself."""
    verdict = Verdict(entry.contributor, entry.name, entry.size)
    if entry.name and not entry.name.endswith(SUFFIXES):  # an archive that cannot be read has no name
        return verdict._replace(code=1, reason=entry.problem or "the name does not end in .jpg or .jpeg")
    if entry.name and entry.size > MOST_BYTES:
        return verdict._replace(code=2, reason=f"more than {MOST_BYTES} bytes")
    try:
        data = sources.read(entry, MOST_BYTES)
        verdict = verdict._replace(sha256=hashlib.sha256(data).hexdigest())
        with photos.opened(data) as image:
            verdict = verdict._replace(width=image.width, height=image.height, mode=image.mode)
            photos.scan(image)
        verdict = verdict._replace(orientation=photos.orientation(image))
        if verdict.mode not in ("RGB", "L"):
            return verdict._replace(code=4, reason=f"mode {verdict.mode}, neither RGB nor grayscale (L)")
        if min(verdict.width, verdict.height) < LEAST_SIDE:
            return verdict._replace(code=4, reason=f"a side of less than {LEAST_SIDE} pixels")
        if _flat(image) and _flat(photos.decode(data)):  # where what was scanned differs, that is enough
            return verdict._replace(code=5, reason="all values are the same")
    except UnreadableError as error:
        return verdict._replace(code=3, reason=str(error))
    return verdict


def _flat(image: Image.Image) -> bool:
    extrema = image.getextrema()  # (least, most), or one such pair for each channel
    return len(set(extrema if image.mode == "L" else sum(extrema, ()))) == 1


def load_manifest(path: str | Path) -> list[Verdict]:
    """Read a manifest. Raises `DepixelError` if it is not there or no manifest."""
    rows = read_table(path, Verdict, MADE_BY)
    try:
        return [row._replace(**{key: _number(getattr(row, key)) for key in NUMBERS}) for row in rows]
    except ValueError as error:
        raise DepixelError(f"{path}: not a manifest ({error}). Make it anew with `{MADE_BY}`") from error


def _number(cell: str) -> int | None:
    return int(cell) if cell else None


def invalid_log(verdicts: Sequence[Verdict]) -> str:
    """The classic log: `contributor/name,CODE` and a newline for each invalid file."""
    return "".join(f"{path_of(v.contributor, v.name)},{v.code}\n" for v in verdicts if v.code)


def counts(verdicts: Sequence[Verdict]) -> dict:
    """Count files, valid ones, their contributors, the invalid ones by rule, the archives that cannot be read."""
    codes = Counter(verdict.code for verdict in verdicts)
    return {
        "files": len(verdicts),
        "valid": codes[0],
        "contributors": len({verdict.contributor for verdict in verdicts if verdict.code == 0}),
        "invalid": {f"{code} {rule}": codes[code] for code, rule in RULES.items()},
        "unreadable_archives": sum(not verdict.name for verdict in verdicts),
    }


def copy_valid(
    entries: Sequence[Entry], verdicts: Sequence[Verdict], folder: Path, name_format: str, workers: int | None = None
) -> Iterator[None]:
    """Copy the valid photos to `folder`, which appears when all are there: 0000000.jpg, 0000001.jpg, ...

    Yields after each. `name_format` and `folder` are to be checked with `check_copies` first.
    """
    valid = [entry for entry, verdict in zip(entries, verdicts, strict=True) if verdict.code == 0]
    with replacing(folder) as beside:
        beside.mkdir()
        yield from sources.each(_copy, [(e, beside / f"{i:{name_format}}.jpg") for i, e in enumerate(valid)], workers)


def _copy(task: tuple[Entry, Path]) -> None:
    entry, path = task
    try:
        path.write_bytes(sources.read(entry, MOST_BYTES))
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error


def check_copies(folder: Path, name_format: str) -> None:
    """Raise `DepixelError` for a folder that is not empty, or a format that is not decimal."""
    if not re.fullmatch(r"(0?[1-9]\d?)?d", name_format):
        raise DepixelError(f"name format {name_format!r}: must be decimal, such as 07d (0000000.jpg) or d (0.jpg)")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DepixelError(f"{folder}: is there already; the copies go to a new or an empty folder")


def refuse_none_valid(verdicts: Sequence[Verdict], root: str | Path) -> None:
    """Raise `DepixelError` if no file is valid, with the most frequent reasons."""
    if any(verdict.code == 0 for verdict in verdicts):
        return
    reasons = Counter(verdict.reason for verdict in verdicts).most_common(3)
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    raise DepixelError(
        f"{root}: none of its {len(verdicts)} files is a valid photo ({listed}). A photo is a .jpg of at most "
        f"{MOST_BYTES} bytes, RGB or grayscale, {LEAST_SIDE} pixels or more on each side; contributors' ZIPs or "
        f"folders of such go there. To try the pipeline: `depixel sample {root}`"
    )
