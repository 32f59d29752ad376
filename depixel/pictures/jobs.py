"""Batches of picture files: their sources, the targets of their results, and the files that list their areas."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, NamedTuple, TypeVar

import click
from pydantic import Field, TypeAdapter

from depixel.areas.area import Area, ResolvedArea
from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.base.files import replacing, write_json
from depixel.pictures import formats, kinds
from depixel.pictures.formats import Picture
from depixel.pictures.kinds import SUFFIXES
from depixel.pictures.reading import MOST_BYTES

if TYPE_CHECKING:
    from depixel.detection.search import Found

AREAS = ".areas.json"
"""Suffix of the file that lists a picture's areas: photo.png.areas.json."""

STREAM = Path("-")
"""The path that means standard input as a source, and standard output as a target."""

_LEAST_SCORE, _LEAST_SIZE = 25.0, 256  # of a guess that is told: score of `Found`, and pixels; photos have smaller ones
_MOST_BYTES = 1_000_000  # largest size of a file of areas

NOWHERE = Path(os.devnull)
"""The target that means no file."""


_NO_AREA = "no area is named. Search for pixelated areas: --auto. Or name one: --area X,Y,WIDTH,HEIGHT"


class NoAreaError(DepixelError):
    """No area of a picture is known or found."""


class Job(NamedTuple):
    """A picture and the target of its result.

    Attributes:
        source, target: files, or `STREAM`; the target also `NOWHERE`.
        problem: why it cannot be done; "" if it can.
        named: whether the user named the picture itself, not a folder or a pattern.
        form: Pillow's name of the result's format; "" for that of the picture.
    """

    source: Path
    target: Path
    problem: str = ""
    named: bool = True
    form: str = ""


T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The outcome of a job: its result, or the problem."""

    job: Job
    made: T | None = None
    problem: str = ""


def jobs(inputs: Sequence[str], out: Path, force: bool = False, png: bool = False) -> list[Job]:
    """Make a job for each picture of `inputs`, with its target.

    `out` is a file if its name ends in the suffix of a picture and no folder has this name. Then the suffix chooses the
    format, and `inputs` is one file or `-`. Otherwise `out` is a folder.

    Args:
        inputs: picture files; folders, with all their pictures and subfolders; and patterns such as `*.png`. Hidden
            files (`.name`) count only if they are named. In a folder, a result keeps the picture's name and its path
            within the input folder. `-` is standard input.
        out: the file or the folder, which may not exist yet; or `STREAM`, for the result of a single picture; or
            `NOWHERE`, for results that are not written, as PNGs.
        force: whether to overwrite existing files.
        png: whether to write PNGs; the names of the results in a folder then end in .png.

    Returns:
        A job for each picture, and a job with a problem for each input that does not exist or has no pictures.

    Raises:
        DepixelError: `out` cannot be a file or a folder, or is a file for several pictures; or a stream is a terminal
            or cannot be combined with the other side.
    """
    form = "PNG" if png or out == NOWHERE else ""
    if out != STREAM and is_file(out):
        return [_into_file(inputs, out, force, form)]
    if out == STREAM or "-" in inputs:
        return [_through(inputs, out, form)]
    if out != NOWHERE and out.exists() and not out.is_dir():
        raise DepixelError(f"{out}: is a file, and no picture by its name. Name a folder, or a file such as {out}.png")
    taken: dict[Path, Path] = {}
    found = []
    for given in inputs:
        try:
            pictures = list(_pictures(given, out))
        except DepixelError as error:
            found.append(Job(Path(given), out, str(error)))
            continue
        except (ValueError, OSError, NotImplementedError) as error:  # an impossible file name
            found.append(Job(Path(given), out, f"neither a picture nor a pattern ({error})"))
            continue
        for source, name in pictures:
            if name is None:
                found.append(Job(source, out, "the folder cannot be read"))
                continue
            target = out / (name.with_suffix(".png") if png and name.suffix.lower() != ".png" else name)
            if out == NOWHERE:
                found.append(Job(source, NOWHERE, named=not Path(given).is_dir(), form=form))
                continue
            if taken.get(target) == source.resolve():  # named twice, such as by its name and by a pattern
                continue
            problem = _problem(source, target, out, taken, force)
            found.append(Job(source, target, problem, os.path.lexists(given) and not Path(given).is_dir(), form))
            taken.setdefault(target, source.resolve())
    return found


def is_file(out: Path) -> bool:
    """Whether an output is the file of one picture: it has the suffix of a picture, and no folder has its name."""
    return out.suffix.lower() in SUFFIXES and not out.is_dir()


def _into_file(inputs: Sequence[str], out: Path, force: bool, form: str) -> Job:
    """The job whose result becomes the file `out`."""
    suffix, made = out.suffix.lower(), SUFFIXES[out.suffix.lower()]
    if not kinds.FORMATS[made].written:
        written = [one.suffixes[0] for one in kinds.FORMATS.values() if one.written]
        raise DepixelError(
            f"{out}: {kinds.FORMATS[made].name} is read, but not written. Let the name end in {', '.join(written)}"
        )
    if form and made != form:
        raise DepixelError(f"{out}: --format {form.lower()} and the suffix {suffix} differ. Leave out --format")
    source = Path(inputs[0])
    if len(inputs) > 1 or source.is_dir():
        raise _several(f"{source} is a folder" if len(inputs) == 1 else f"there are {len(inputs)} inputs", out)
    if source == STREAM:
        _check_input()
    elif not os.path.lexists(source):
        if set("*?[") & set(inputs[0]):
            raise _several(f"{source} is a pattern", out)
        return Job(source, out, "there is no such picture")
    elif out.resolve() == source.resolve():
        return Job(source, out, "it would be overwritten; name another file with -o", form=made)
    if os.path.lexists(out) and not force:
        return Job(source, out, f"{out} exists already. Choose another name, or overwrite it: --force", form=made)
    return Job(source, out, form=made)


def _several(why: str, out: Path) -> DepixelError:
    return DepixelError(f"{out}: names a single picture, and {why}. Name a folder: -o {out.with_suffix('')}")


def _through(inputs: Sequence[str], out: Path, form: str) -> Job:
    """The job of which standard input or output is a part."""
    if len(inputs) != 1 or Path(inputs[0]).is_dir():
        raise DepixelError("-: standard input and output are for one picture: name one file, or - alone")
    if out not in (STREAM, NOWHERE):
        raise DepixelError(f"-: a picture from standard input has no name. Name a file, such as -o {out}.png, or -o -")
    if out == STREAM and sys.stdout.isatty():
        raise DepixelError("-o -: a picture would garble the terminal. Send it to a file or a program: -o - > NAME")
    if inputs[0] == "-":
        _check_input()
    return Job(Path(inputs[0]), out, form=form)


def _check_input() -> None:
    if sys.stdin.isatty():
        raise DepixelError("-: standard input is the terminal. Give it a picture: depixel ... - -o FILE.png < NAME")


def read(job: Job) -> Picture:
    """Read the picture of a job; convert it to the format of its result.

    Raises:
        DepixelError: it cannot be read (`formats.read`), or depixel cannot write that format.
    """
    if job.source == STREAM:
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DepixelError(f"-: has more than {MOST_BYTES // 10**6} MB, the maximum for a picture")
        picture = formats.decoded(data)
    else:
        picture = formats.read(job.source)
    if job.form:
        return formats.as_format(picture, job.form)
    kinds.check_written(picture.format, picture.has_alpha)
    return picture


def write(job: Job, picture: Picture) -> None:
    """Write the result of a job, completely or not at all. Raises `DepixelError` if it cannot be written."""
    if job.target == NOWHERE:
        return
    if job.target == STREAM:
        write_bytes(job, formats.encoded(picture))
    else:
        formats.write(job.target, picture)


def write_bytes(job: Job, content: bytes) -> None:
    """Write the result of a job like `write`, given the bytes of the file."""
    if job.target == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    with replacing(job.target) as beside:
        beside.write_bytes(content)


def keep(job: Job) -> None:
    """Copy the picture of a job unchanged, byte for byte; or convert it to the format of its result.

    Raises:
        DepixelError: it cannot be read or written.
    """
    if job.target == NOWHERE:
        return
    if job.source.suffix.lower() != job.target.suffix.lower():
        write(job, read(job))
        return
    with replacing(job.target) as beside:
        shutil.copyfile(job.source, beside)


def _problem(source: Path, target: Path, out: Path, taken: Collection[Path], force: bool) -> str:
    place = target.resolve()
    if not place.is_relative_to(out.resolve()):
        return f"{target} leads out of the folder {out}"
    if target in taken:
        return f"another picture is also written to {target}"
    if place == source.resolve():
        return f"it would be overwritten; name another folder than {out} with -o"
    if target.exists() and not force:
        return f"{target} exists already. Choose another folder, or overwrite it: --force"
    return ""


def _pictures(given: str, out: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield the pictures of an input with their names within `out`; an unreadable folder has the name None."""
    path = Path(given)
    if path.is_dir():
        unreadable: list[Path] = []
        found = [p for p in _below(path, unreadable) if not p.resolve().is_relative_to(out.resolve())]
        if not found and not unreadable:
            raise DepixelError(f"has no pictures (names that end in {', '.join(SUFFIXES)})")
        yield from ((p, p.relative_to(path)) for p in found)
        yield from ((folder, None) for folder in unreadable)
    elif path.name.endswith(AREAS):  # the shell expands `pixelated/*` to these, too
        return
    elif os.path.lexists(path):
        yield path, Path(path.name)
    else:
        named = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        matches = [m for m in named if m.is_file() and not m.name.startswith(".") and not m.name.endswith(AREAS)]
        if not matches:
            raise DepixelError("there is no such picture")
        yield from ((match, Path(match.name)) for match in sorted(matches))


def _below(folder: Path, unreadable: list[Path]) -> Iterator[Path]:
    for where, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(Path(error.filename))):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(where) / name


def each(work: Callable[[Job], T], all_jobs: Iterable[Job]) -> Iterator[Outcome[T]]:
    """Do each job, and yield its outcome; a job that fails does not stop the others."""
    for job in all_jobs:
        if job.problem:
            yield Outcome(job, problem=f"{job.source}: {job.problem}")
            continue
        try:
            yield Outcome(job, work(job))
        except DepixelError as error:
            text = str(error)
            named = any(text.startswith(f"{path}") for path in (job.source, job.target))
            yield Outcome(job, problem=text if named else f"{job.source}: {text}")
        except MemoryError:
            yield Outcome(job, problem=f"{job.source}: out of memory")
        except Exception as error:  # a strange file can make Pillow raise anything
            said = " ".join(str(error).split())
            yield Outcome(job, problem=f"{job.source}: failed ({type(error).__name__}: {said})")


_Number = Annotated[int, Field(ge=0, le=10**9)]
_Length = _Number | Annotated[float, Field(ge=0, le=10**9)] | Annotated[str, Field(max_length=40)]
_AREAS = TypeAdapter(list[list[_Length] | dict[str, list[_Number]]])


def areas_beside(picture: Path) -> Path:
    """The file with the areas of a picture: `photo.png.areas.json` beside `photo.png`."""
    return picture.with_name(picture.name + AREAS)


def write_areas(picture: Path, areas: Iterable[Area]) -> None:
    """Write the areas of a picture beside it: {"areas": [[x, y, width, height, block size], ...]} (`Area.numbers`)."""
    write_json(areas_beside(picture), {"areas": [area.numbers() for area in areas]})


def read_areas(picture: Path) -> list[Area]:
    """Read the areas of a picture from the file beside it, which `write_areas` or a person wrote.

    Block sizes may be missing.

    Raises:
        NoAreaError: the file does not exist, or lists no area.
        DepixelError: the file is not a list of areas.
    """
    path = areas_beside(picture)
    if picture == STREAM:
        raise NoAreaError(f"-: {_NO_AREA}")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DepixelError(f"{path}: has more than {_MOST_BYTES // 10**6} MB, the maximum for a list of areas")
        numbers = _AREAS.validate_python(json.loads(path.read_text(encoding="utf-8"))["areas"])
    except FileNotFoundError:
        raise NoAreaError(f"{picture}: {_NO_AREA}, or in {path}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_list(path) from error
    if not numbers:
        raise NoAreaError(f"{path}: lists no area, so nothing in {picture} is restored")
    try:
        return [Area.of(area) for area in numbers]
    except DepixelError as error:
        raise _no_list(path) from error


def _no_list(path: Path) -> DepixelError:
    return DepixelError(
        f'{path}: not a list of areas. The form is {{"areas": [[x, y, width, height, block_size], ...]}} with whole '
        'numbers. The block size may be missing or text such as "16x8". If the first blocks are cut off, add the '
        'number of missing columns and rows. Instead of the numbers, {"area": [x, y, width, height], "grid": [columns, '
        "rows]} is possible"
    )


def find_areas(name: Path, picture: Picture) -> list[ResolvedArea]:
    """Find the pixelated areas of a picture (`depixel.find`), and return the certain ones.

    A terminal shows the progress. Ctrl-C prints the areas found so far.

    Args:
        name: name of the picture, for messages.
        picture: the picture.

    Raises:
        NoAreaError: no area is certain; the message lists the guesses.
    """
    from depixel.detection.search import find  # SciPy: a third of the start of the command

    found: list[Found] = []
    with progress(total=100, desc=f"searching {name.name}", leave=False, unit="%") as bar:

        def watch(share: float, so_far: "list[Found]") -> bool:
            found[:] = so_far
            bar.update(int(100 * share) - bar.n)
            return True

        try:
            found = find(picture.searchable(), watch)
        except KeyboardInterrupt:
            bar.close()
            for one in found:
                click.echo(f"{name}: found so far: --area {','.join(map(str, one.area.numbers()))}", err=True)
            raise
    certain = [one.area for one in found if one.certain]
    if certain:
        return certain
    likely = [
        one.area for one in found if one.score > _LEAST_SCORE and one.area.width * one.area.height >= _LEAST_SIZE
    ][:3]
    guesses = "; or ".join(f"--area {','.join(map(str, area.numbers()))} --ignore-check" for area in likely)
    told = "nothing looks pixelated. If you see an area"
    if guesses:
        told = f"no area is certainly pixelated. If you see blocks there, try {guesses}. If you see another area"
    raise NoAreaError(f"{name}: {told}, name it: --area X,Y,WIDTH,HEIGHT")
