"""Endurance tests that take hours: thousands of kills, millions of hostile files, thousands of hostile API requests.

\b
    python benchmarks/endurance.py                          # everything, in turns; Ctrl-C at any time
    python benchmarks/endurance.py                          # continue
    python benchmarks/endurance.py kills api --minutes 30
    python benchmarks/endurance.py --scale 0.001            # a thousandth of each, as a check

Counts belong to a commit; another commit begins from zero. Each part, commit and kind of machine has a row in
docs/endurance.csv (in git): `tried` is the number of kills, hostile files or API cases, `failed` the number of batches
with a failure. The state is in .endurance/ (not in git). Its folder failures/ has the output of each failed batch,
including the input that fails. The exit code is 1 if anything has failed on this commit.

A hostile file fails its batch if it raises an exception other than `DepixelError`, takes more than a minute, or writes
any other file. A batch also fails if its process needs more than 2 GB.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image, features

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # `from benchmarks import kills`, also when this runs as a script

from benchmarks import kills  # noqa: E402
from depixel import params  # noqa: E402
from depixel.base.environment import hardware  # noqa: E402
from depixel.base.errors import DepixelError  # noqa: E402
from depixel.challenge import test_sets  # noqa: E402
from depixel.photos import archives, decoding  # noqa: E402
from depixel.pictures import formats, jobs  # noqa: E402

STATE = PROJECT / ".endurance"
TABLE = PROJECT / "docs/endurance.csv"
COLUMNS = ("date", "commit", "machine", "part", "tried", "failed", "minutes")
GOALS = {
    "kills": 3_000,
    "pickles": 1_000_000,
    "submissions": 1_000_000,
    "targets": 300_000,
    "archives": 300_000,
    "photos": 1_000_000,
    "pictures": 1_000_000,
    "settings": 100_000,
    "areas": 300_000,
    "api": 30_000,
}
"""The full count of each part: kills, cases for the API, hostile files for all others."""
BATCH = {"kills": 1, "api": 20}
"""The size of a batch, after which the state is saved; for `api`, the number of cases for each operation."""
FILES = 2_000
"""Number of hostile files in a batch."""
SECONDS, BYTES = 60, 2_000_000_000
"""Limits: seconds to read a hostile file, and bytes of memory of the process of its batch."""


# Hostile files: good ones with random edits

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["overwrite", "insert", "cut out", "repeat", "cut off"]),
        st.floats(0, 1),
        st.binary(max_size=8),
        st.integers(1, 64),
    ),
    max_size=6,
)


def edited(data: bytes, edits: list[tuple[str, float, bytes, int]]) -> bytes:
    """Apply edits to data; the place of an edit is a share of the length."""
    for how, where, new, count in edits:
        at = int(where * len(data))
        if how == "overwrite":
            data = data[:at] + new + data[at + len(new) :]
        elif how == "insert":
            data = data[:at] + new + data[at:]
        elif how == "cut out":
            data = data[:at] + data[at + count :]
        elif how == "repeat":
            data = data[:at] + data[at : at + count] * 3 + data[at + count :]
        else:
            data = data[:at]
    return data


def noise(*shape: int, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, dtype=kind)


def good_pickles() -> Iterator[bytes]:
    known = np.ones((1, 8, 8), bool)
    known[:, 2:6, 2:6] = False
    content = {"pixelated_images": tuple(noise(2, 1, 8, 8)), "known_arrays": (known, known)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(content, protocol)
    yield pickle._dumps(content, 2)


def good_submissions() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.bin"
        for lengths in ([5], [300, 1, 70000 % 999], [16] * 20):
            test_sets.write_submission(path, [noise(length) for length in lengths])
            yield path.read_bytes()
        for pack in (bz2.compress, gzip.compress, lzma.compress):
            yield pack(path.read_bytes())
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, "submission.bin")
        yield file.getvalue()


def good_targets() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        test_sets.write_test_set(folder, noise(3, 16, 16), np.array([[2, 2, 8, 8, 4]] * 3))
        yield (Path(folder) / "targets.npz").read_bytes()


def good_photos() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[274] = 6
    for image in (Image.fromarray(noise(24, 20, 3)), Image.fromarray(noise(24, 20))):
        for options in ({}, {"progressive": True}, {"exif": exif}):
            yield saved(image, "JPEG", **options)


def good_pictures() -> Iterator[bytes]:
    yield from good_photos()
    color, gray = Image.fromarray(noise(12, 10, 3)), Image.fromarray(noise(12, 10))
    for image in (color, gray, color.convert("RGBA"), color.convert("P"), gray.convert("1")):
        yield saved(image, "PNG")
        yield saved(image, "TIFF")
    yield saved(Image.fromarray(noise(12, 10, kind=np.uint16)), "PNG")
    yield saved(color, "TIFF", compression="tiff_lzw")
    yield saved(color, "WEBP", lossless=True)
    yield saved(color, "WEBP")
    for form in ("GIF", "BMP", "PPM", "TGA", "JPEG2000", "MPO"):
        yield saved(color, form)
    if features.check("avif"):
        yield saved(color, "AVIF")
    for form in ("PNG", "GIF", "WEBP", "TIFF"):  # of two frames
        yield saved(color, form, save_all=True, append_images=[gray.convert("RGB")])


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def good_archives() -> Iterator[bytes]:
    photos = {f"folder/{i}.jpg": data for i, data in enumerate(good_photos())}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in photos.items():
                archive.writestr(name, data)
        yield file.getvalue()
    for mode in ("w:", "w:gz"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as archive:
            for name, data in photos.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        yield file.getvalue()


def good_settings() -> Iterator[bytes]:
    yield (PROJECT / "params.yaml").read_bytes()
    usual = params.read(PROJECT / "params.yaml")
    for preset in params.presets().values():
        yield json.dumps({name: section | preset.get(name, {}) for name, section in usual.items()}).encode()


def good_areas() -> Iterator[bytes]:
    shapes = [[8, 4, 64, 40, 8], [8, 4, 64, 40, "16x7.5", 3, "1/2"], {"area": [8, 4, 64, 40], "grid": [10, 6]}]
    for areas in ([shapes[0]], shapes):
        yield json.dumps({"areas": areas}).encode()


# Readers of hostile files: each must return a result or raise `DepixelError`


def from_file(read: Callable[[Path], object], name: str = "hostile") -> Callable[[bytes, Path], None]:
    def target(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return target


def read_archives(data: bytes, folder: Path) -> None:
    name = "a.tar.gz" if data[:2] == b"\x1f\x8b" else "a.zip" if data[:2] == b"PK" else "a.tar"
    (folder / name).write_bytes(data)
    try:
        for entry in archives.Entries(folder):
            try:
                archives.read(entry, 250_000)
            except DepixelError:
                continue
    finally:
        archives.close()
        (folder / name).unlink()


TARGETS: dict[str, tuple[Callable[[], Iterator[bytes]], Callable[[bytes, Path], None]]] = {
    "pickles": (good_pickles, from_file(test_sets.read_test_set)),
    "submissions": (good_submissions, from_file(test_sets.read_submission)),
    "targets": (good_targets, from_file(test_sets.read_targets, "targets.npz")),
    "archives": (good_archives, read_archives),
    "photos": (good_photos, lambda data, _: decoding.square(decoding.decode(data), 64)),
    "pictures": (good_pictures, lambda data, _: formats.encoded(formats.decoded(data))),
    "settings": (good_settings, from_file(lambda path: params.check(params.read(path)), "params.yaml")),
    "areas": (good_areas, from_file(lambda path: jobs.read_areas(path.with_name("a.png")), "a.png.areas.json")),
}


def most_memory() -> int:
    """The peak memory of this process in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


def fuzz(part: str, number: int, count: int) -> None:
    """Read `count` hostile files, the same ones for the same number; let exceptions but `DepixelError` through."""
    good, read = TARGETS[part]

    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux resets the peak memory
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "here"
        folder.mkdir()

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(list(good())), EDITS)
        def one(data: bytes, edits: list[tuple[str, float, bytes, int]]) -> None:
            signal.alarm(SECONDS)  # the default handler ends the process, even in a busy decoder
            try:
                read(edited(data, edits), folder)
            except DepixelError as error:
                assert str(error)
            finally:
                signal.alarm(0)
            beside = [path for path in (*Path(outer).iterdir(), *folder.iterdir()) if path not in (folder, *own)]
            assert not beside, beside

        own = {folder / name for name in ("hostile", "targets.npz", "params.yaml", "a.png.areas.json")}
        one()
    used = most_memory() - before
    assert used <= BYTES, f"{used / 1e9:.1f} GB of memory"


# Batches: each returns its count, and a description of the failure ("": none)


def run_kill(number: int, _: int) -> tuple[int, str]:
    outcome = kills.Starts(STATE / "starts").kill(number, seed=1)
    if not outcome.differing:
        return 1, ""
    return 1, f"{outcome.stage} after {outcome.after:.2f} s, {outcome.mode}: {outcome.differing}\n{outcome.said}"


def run_api(number: int, count: int) -> tuple[int, str]:
    """Send requests to a new server, both valid and invalid by its schema."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.schemathesis_pictures", "PYTHONPATH": str(PROJECT)}
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["schemathesis", "run", f"{url}openapi.json", f"--max-examples={count}", f"--checks={checks}",
             f"--seed={number}", "--exclude-path=/api/runs"],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
    tried = re.search(r"(\d+) generated", done.stdout)
    return int(tried[1]) if tried else 0, done.stdout + done.stderr if done.returncode else ""


@contextmanager
def serving() -> Iterator[str]:
    command = [sys.executable, "-m", "depixel.cli", "serve", "--no-browser", "--port=0"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().split()[0]
        finally:
            server.kill()


def run_files(part: str) -> Callable[[int, int], tuple[int, str]]:
    """Make a function that runs batches of hostile files in processes of their own, because a decoder may crash."""

    def batch(number: int, count: int) -> tuple[int, str]:
        command = [sys.executable, __file__, "--batch", part, str(number), str(count)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        return count, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}" if done.returncode else ""

    return batch


BATCHES = {"kills": run_kill, "api": run_api} | {part: run_files(part) for part in TARGETS}


# The state


def commit() -> str:
    """The short hash of the last commit, with + if the working tree has changes beside the table."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--short", "--", ".", f":!{TABLE.relative_to(PROJECT).as_posix()}")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)


class Tally:
    """The counts, failures and minutes of each part on this commit and machine."""

    def __init__(self) -> None:
        self.commit, self.machine = commit(), f"{os.cpu_count()} cores, {hardware('cpu')}"
        self._path = STATE / "state.json"
        state = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else {}
        if [state.get("commit"), state.get("machine")] != [self.commit, self.machine]:
            state = {"commit": self.commit, "machine": self.machine, "parts": {}}
            shutil.rmtree(STATE, ignore_errors=True)
        self._state = state

    def of(self, part: str) -> dict[str, float]:
        return self._state["parts"].setdefault(part, {"batches": 0, "tried": 0, "failed": 0, "minutes": 0.0})

    def add(self, part: str, tried: int, failure: str, minutes: float) -> None:
        """Count a batch; write the state and the table."""
        one = self.of(part)
        if failure:
            (STATE / "failures").mkdir(parents=True, exist_ok=True)
            (STATE / f"failures/{part}_{one['batches']}.txt").write_text(failure, encoding="utf-8")
        one["batches"] += 1
        one["tried"] += tried
        one["failed"] += bool(failure)
        one["minutes"] += minutes
        STATE.mkdir(exist_ok=True)
        replace(self._path, json.dumps(self._state, indent=1))
        self._write_row(part, one)

    def _write_row(self, part: str, one: dict[str, float]) -> None:
        rows = []
        if TABLE.is_file():
            with TABLE.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        row = {"date": date.today().isoformat(), "commit": self.commit, "machine": self.machine, "part": part,
               "tried": one["tried"], "failed": one["failed"], "minutes": f"{one['minutes']:.1f}"}  # fmt: skip
        same = [self.commit, self.machine, part]
        rows = [other for other in rows if [other["commit"], other["machine"], other["part"]] != same] + [row]
        rows.sort(key=lambda row: (row["date"], row["commit"], row["machine"], list(GOALS).index(row["part"])))
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        replace(TABLE, text.getvalue())


def replace(path: Path, text: str) -> None:
    """Write a file atomically: a kill leaves the old or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(list(GOALS)))
@click.option("--minutes", default=float("inf"), help="Stop after this time.  [default: when all is done]")
@click.option("--scale", default=1.0, type=click.FloatRange(0, min_open=True), help="Share of the full counts.")
@click.option("--batch", nargs=3, type=(str, int, int), hidden=True)
def main(parts: tuple[str, ...], minutes: float, scale: float, batch: tuple[str, int, int] | None) -> None:
    if batch:
        fuzz(*batch)
        return
    tally, end = Tally(), time.monotonic() + 60 * minutes
    goals = {part: max(1, round(goal * scale)) for part, goal in GOALS.items() if part in (parts or GOALS)}
    try:
        while time.monotonic() < end:
            part = min(
                goals, key=lambda part: tally.of(part)["tried"] / goals[part]
            )  # the part with the least progress
            one, start = tally.of(part), time.monotonic()
            if one["tried"] >= goals[part]:
                break
            tried, failure = BATCHES[part](int(one["batches"]), min(BATCH.get(part, FILES), goals[part]))
            tally.add(part, tried, failure, (time.monotonic() - start) / 60)
            click.echo(f"{part}: {one['tried']} of {goals[part]}, {one['failed']} failed")
    except KeyboardInterrupt:
        click.echo("Stopped. Run the same command to continue.", err=True)
    failed = sum(tally.of(part)["failed"] for part in GOALS)
    if failed:
        click.echo(f"{failed:.0f} failed: see {STATE.relative_to(PROJECT).as_posix()}/failures", err=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
