"""The challenge's six rules for valid photos, and the verdict on each file."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from depixel.base import reuse
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, replacing
from depixel.base.layout import MANIFEST
from depixel.base.tables import new_table, path_of, read_table
from depixel.photos import archives, decoding, processes
from depixel.photos.archives import Entry
from depixel.photos.bucket import Bucket
from depixel.photos.decoding import UnreadableError
from depixel.photos.runner import each

SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG")
"""The allowed suffixes of a photo's name."""

MOST_BYTES = 250_000
"""The maximum size of a valid file, bytes."""

LEAST_SIDE = 100
"""The minimum width and height of a valid photo, pixels."""

RULES = {1: "name", 2: "bytes", 3: "unreadable", 4: "shape", 5: "flat", 6: "duplicate"}
"""Code -> short name of each rule."""

MADE_BY = "python stages/validate.py"
"""The command that makes the manifest, for messages."""

CHANGED = f"The photos have changed since their validation. Validate them again: `dvc repro`, or `{MADE_BY}`"
"""The message for photos that differ from the manifest."""

_LOG = "invalid.log"


class Verdict(NamedTuple):
    """A row of the manifest; unknown values are "" or None.

    Attributes:
        contributor, name: as in `archives.Entry`.
        bytes: size as declared by the folder or the archive (`Entry.size`).
        sha256: hash of the content; known if the file passes rules 1 and 2, can be read and crashes no decoder.
        width, height: size of the stored image, pixels, before it is turned upright.
        mode: Pillow's name of the stored image's mode.
        orientation: EXIF orientation, 1..8.
        code: 0 if the file is valid, otherwise the first rule that it breaks.
        reason: the reason why the file is invalid, for people.
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


def validate(entries: Iterable[Entry], workers: int | None = None, known: Iterable[Verdict] = ()) -> Iterator[Verdict]:
    """Yield the verdict on each entry, in order.

    The rules are checked in this order: (1) the name ends in .jpg, .JPG, .jpeg or .JPEG; (2) the file has at most
    `MOST_BYTES` bytes; (3) Pillow can decode it; (4) it is RGB or grayscale, and both sides have at least `LEAST_SIDE`
    pixels; (5) its values are not all the same; (6) no earlier valid file has the same bytes.

    Args:
        entries: the files, in order.
        workers: number of processes; None: one per core. It does not change the verdicts.
        known: verdicts of an earlier validation by the same code, in order, see `known_verdicts`. A file with unchanged
            content is not decoded again.

    Raises:
        DepixelError: memory ran out, or a process was killed.
    """
    valid = _Valid()
    tasks = reuse.matched(entries, known, lambda file: path_of(file.contributor, file.name))
    for verdict in each(_judge_unless_known, tasks, workers, _crashed):
        if verdict.code == 0 and (earlier := valid.add(verdict)):
            verdict = verdict._replace(code=6, reason=f"the same bytes as {earlier}")
        yield verdict


class _Valid:
    """The sha256 and the path of each valid file so far, stored compactly because there may be many."""

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(4096)]  # small parts make a search fast

    def add(self, verdict: Verdict) -> str:
        """The path of an earlier file with the same sha256; if there is none, add this file and return ""."""
        part = self._parts[int(verdict.sha256[:3], 16)]
        sha256 = bytes.fromhex(verdict.sha256)
        found = part.find(sha256)
        if found < 0:
            part += sha256 + path_of(verdict.contributor, verdict.name).encode() + b"\n"
            return ""
        start = found + len(sha256)
        return part[start : part.index(b"\n", start)].decode()


def judge(entry: Entry) -> Verdict:
    """The verdict on one entry by rules 1 to 5, which need only the file itself."""
    verdict = Verdict(entry.contributor, entry.name, entry.size)
    if entry.name and not entry.name.endswith(SUFFIXES):  # an archive that cannot be read has no name
        return verdict._replace(code=1, reason=entry.problem or "the name does not end in .jpg or .jpeg")
    if entry.name and entry.size > MOST_BYTES:
        return verdict._replace(code=2, reason=f"more than {MOST_BYTES} bytes")
    try:
        data = archives.read(entry, MOST_BYTES)
        verdict = verdict._replace(sha256=hashlib.sha256(data).hexdigest())
        with decoding.opened(data) as image:
            (width, height), mode = image.size, image.mode
            verdict = verdict._replace(width=width, height=height, mode=mode)
            decoding.scan(image)
        verdict = verdict._replace(orientation=decoding.orientation(image))
        if mode not in ("RGB", "L"):
            return verdict._replace(code=4, reason=f"mode {mode}, neither RGB nor grayscale (L)")
        if min(width, height) < LEAST_SIDE:
            return verdict._replace(code=4, reason=f"a side has less than {LEAST_SIDE} pixels")
        if _flat(image) and _flat(decoding.decode(data)):  # a full decoding only if the scan finds no difference
            return verdict._replace(code=5, reason="all values are the same")
    except UnreadableError as error:
        return verdict._replace(code=3, reason=str(error))
    return verdict


def _judge_unless_known(task: tuple[Entry, Verdict | None]) -> Verdict:
    entry, known = task
    if known and known.sha256 and known.bytes == entry.size:
        with suppress(UnreadableError):
            if hashlib.sha256(archives.read(entry, MOST_BYTES)).hexdigest() == known.sha256:
                return known._replace(code=0, reason="") if known.code == 6 else known
    return judge(entry)


def _crashed(task: tuple[Entry, Verdict | None], fault: str) -> Verdict:
    entry, _ = task
    return Verdict(entry.contributor, entry.name, entry.size, code=3, reason=f"decoding it crashed ({fault})")


def _flat(image: Image.Image) -> bool:
    extrema = np.asarray(image.getextrema())  # (minimum, maximum), or such a pair for each channel
    return bool((extrema == extrema.flat[0]).all())


def write_verdicts(verdicts: Iterable[Verdict], folder: str | Path, root: str | Path | Bucket) -> dict[str, Any]:
    """Write the manifest and the log of invalid files, row by row, to a folder that replaces an earlier one.

    manifest.csv has a `Verdict` per row. invalid.log has the challenge's format: a line `contributor/name,CODE` for
    each invalid file. The folder also gets the record that `known_verdicts` checks.

    Args:
        verdicts: the verdicts on all files, in order.
        folder: the output folder; its content is replaced.
        root: the folder or the bucket of the photos, for messages.

    Returns:
        The content of metrics/validation.json: numbers of "files", of "valid" files, of "contributors" with valid
        files, of "invalid" files by `code rule`, and of "unreadable_archives".

    Raises:
        DepixelError: no file in `root` is valid (the text gives the most frequent reasons), or `folder` holds other
            files or cannot be written.
    """
    folder = Path(folder)
    names = {path.name for path in folder.glob("[!.]*")}
    if not folder.name or not names <= {MANIFEST.name, _LOG, reuse.RECORD}:
        raise DepixelError(f"{folder}: this folder is overwritten, and it holds other files; choose an empty one")
    codes: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    contributors: set[str] = set()
    unreadable = 0
    with replacing(folder) as beside:
        beside.mkdir()
        with (
            new_table(beside / MANIFEST.name, Verdict) as manifest,
            (beside / _LOG).open("w", encoding="utf-8", newline="\n") as log,
        ):
            for verdict in verdicts:
                manifest.writerow(verdict)
                codes[verdict.code] += 1
                if verdict.code == 0:
                    contributors.add(verdict.contributor)
                    continue
                log.write(f"{path_of(verdict.contributor, verdict.name)},{verdict.code}\n")
                unreadable += not verdict.name
                if not codes[0]:
                    reasons[verdict.reason] += 1
        if not codes[0]:
            listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
            trial = "" if isinstance(root, Bucket) else f"; to try the pipeline, run `depixel sample {root}`"
            raise DepixelError(
                f"{root}: none of its {codes.total()} files is a valid photo ({listed}). A valid photo is a .jpg of at "
                f"most {MOST_BYTES} bytes, RGB or grayscale, with {LEAST_SIDE} pixels or more on each side. Put "
                f"contributors' ZIPs or folders of photos there{trial}"
            )
        reuse.write_record(
            beside / reuse.RECORD, reuse.maker(__file__), {MANIFEST.name: hash_of(beside / MANIFEST.name, "sha256")}
        )
    return {
        "files": codes.total(),
        "valid": codes[0],
        "contributors": len(contributors),
        "invalid": {f"{code} {rule}": codes[code] for code, rule in RULES.items()},
        "unreadable_archives": unreadable,
    }


def known_verdicts(folder: str | Path) -> Iterator[Verdict]:
    """Yield the verdicts that an earlier validation by the same code left in `folder`, if they are unchanged."""
    if reuse.reusable(Path(folder) / reuse.RECORD, reuse.maker(__file__), [MANIFEST.name]):
        yield from load_manifest(Path(folder) / MANIFEST.name)


def load_manifest(path: str | Path) -> Iterator[Verdict]:
    """Yield the rows of a manifest. Raises `DepixelError` if it is missing or not a manifest."""
    for row in read_table(path, Verdict, MADE_BY):
        try:
            yield row._replace(
                bytes=int(row.bytes),
                width=_number(row.width),
                height=_number(row.height),
                orientation=_number(row.orientation),
                code=int(row.code),
            )
        except ValueError as error:
            raise DepixelError(f"{path}: not a manifest ({error}). Make it again with `{MADE_BY}`") from error


def exact_copies(verdicts: Iterable[Verdict]) -> int:
    """Number of files with the same bytes as an earlier valid file (rule 6)."""
    return sum(verdict.code == 6 for verdict in verdicts)


def _number(cell: str | int | None) -> int | None:  # a table is read as text
    return int(cell) if cell else None


def valid_entries(entries: Iterable[Entry], verdicts: Iterable[Verdict]) -> Iterator[tuple[Entry, str]]:
    """Yield the valid entries, in order, each with its sha256 from the manifest.

    Args:
        entries: all files, in order.
        verdicts: the rows of the manifest, in order.

    Raises:
        DepixelError: the entries differ from those of the manifest.
    """
    for entry, verdict in zip_longest(entries, verdicts):
        if not (entry and verdict and entry[:3] == verdict[:3]):  # contributor, name, bytes
            raise DepixelError(f"{path_of(*(entry or verdict)[:2])}: new, gone or changed. {CHANGED}")
        if verdict.code == 0:
            yield entry, verdict.sha256


def copy_valid(
    photos: Iterable[tuple[Entry, str]], folder: Path, name_format: str, workers: int | None = None
) -> Iterator[None]:
    """Copy the valid photos to a folder as 0000000.jpg, 0000001.jpg, ..., and yield after each.

    The folder appears only when all copies are complete. Check `folder` and `name_format` with `check_copies` first.

    Args:
        photos: as `valid_entries` yields them.
        folder: a new or an empty folder.
        name_format: Python's format specification of the number, such as 07d.
        workers: number of processes; None: one per core.

    Raises:
        DepixelError: a photo cannot be read, or the folder cannot be written.
    """
    with replacing(folder) as beside:
        beside.mkdir()
        tasks = ((entry, beside / f"{i:{name_format}}.jpg") for i, (entry, _) in enumerate(photos))
        yield from processes.each(_copy, tasks, workers)


def _copy(task: tuple[Entry, Path]) -> None:
    entry, path = task
    try:
        path.write_bytes(archives.read(entry, MOST_BYTES))
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error


def check_copies(folder: Path, name_format: str) -> None:
    """Raise `DepixelError` if the folder exists and is not empty, or the format of the number is not decimal."""
    if not re.fullmatch(r"(0?[1-9]\d?)?d", name_format):
        raise DepixelError(f"name format {name_format!r}: must be decimal, such as 07d (0000000.jpg) or d (0.jpg)")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DepixelError(f"{folder}: already exists; name a new or an empty folder for the copies")
