"""Measure speed and memory of the data stages.

    python benchmarks/data.py --photos ../shared/photos

\b
1. Runs validate, prepare and split on a quarter, a half and all of the photos, and validate and prepare on four times
   as many. Prints the seconds and the peak memory of all processes together, by stage.
2. Adds 1 % of photos and runs the stages again, and once from nothing. Compares their outputs, byte for byte.
3. Prints the CPU time of each part of prepare.
4. Enlarges some photos to about 200 kB each, at several numbers of pixels (a camera's photo of 200 kB has about a
   million). Compares validate + prepare with the time that all cores need to decode every file once with Pillow.
"""

import io
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import psutil
from PIL import Image

from depixel.base.files import hash_of
from depixel.photos import archives as sources
from depixel.photos import decoding, processes
from depixel.photos import hashes as perceptual
from depixel.photos.rules import MOST_BYTES

STAGES = Path(__file__).resolve().parents[1] / "stages"
LARGE_BYTES = 200_000


def run(raw: Path, stages: Sequence[str], folder: Path) -> tuple[list[float], list[float]]:
    """Run stages in `folder` on the photos in `raw`; return the seconds and the peak memory in MB of each."""
    seconds, peaks = [], []
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text("split: {by: photo}", encoding="utf-8")  # however few contributors
    for stage in stages:
        start, peak = time.perf_counter(), 0
        command = [sys.executable, str(STAGES / f"{stage}.py"), *(["--raw", str(raw)] if stage != "split" else [])]
        process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, sum(map(memory, [process, *process.children(recursive=True)])))
            time.sleep(0.05)
        if process.returncode:
            sys.exit(f"{stage} failed")
        seconds.append(time.perf_counter() - start)
        peaks.append(peak / 1e6)
    return seconds, peaks


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hash_of(path, "sha256") for path in folder.rglob("*") if path.is_file()
    }


def add_photos(archives: list[Path], stages: Sequence[str]) -> None:
    """Run the stages, add 1 % of photos, run the stages again, and compare with a run from nothing."""
    with tempfile.TemporaryDirectory() as place:
        raw, here, new = (Path(place) / name for name in ("raw", "here", "new"))
        raw.mkdir()
        for archive in archives:
            copy(archive, raw, 0)
        run(raw, stages, here)
        for archive in archives[::100]:
            copy(archive, raw, 1)
        again, whole = (sum(run(raw, stages, folder)[0]) for folder in (here, new))
        same = "the same bytes" if hashes(here) == hashes(new) else "OTHER BYTES"
    click.echo(
        f"  {len(archives[::100])} of {len(archives)} archives added: {again:.1f} s; from nothing {whole:.1f} s, "
        f"{again / whole:.0%}; {same}"
    )


def memory(process: psutil.Process) -> int:
    """Memory of a process in bytes; shared memory counts once if the system reports it."""
    try:
        info = process.memory_full_info()
        return getattr(info, "pss", info.rss)
    except psutil.Error:  # it has ended
        return 0


def copy(archive: Path, folder: Path, number: int) -> None:
    """Copy a ZIP. In copy 1, 2, ... each JPEG gets a comment with the number, so that it counts as another photo."""
    if not number:
        shutil.copy(archive, folder)
        return
    comment = b"\xff\xfe\x00\x03%d" % number
    with (
        zipfile.ZipFile(archive) as original,
        zipfile.ZipFile(folder / f"{archive.stem}_{number}.zip", "w") as other,
    ):
        for member in original.infolist():
            content = original.read(member)
            other.writestr(member, content[:2] + comment + content[2:])


def enlarge(pixels: int, task: tuple[sources.Entry, Path]) -> None:
    """Write a photo, enlarged to this number of pixels, at the quality that comes nearest to `LARGE_BYTES`."""
    entry, path = task
    with Image.open(io.BytesIO(sources.read(entry, MOST_BYTES))) as image:
        factor = (pixels / (image.width * image.height)) ** 0.5
        larger = image.resize([round(factor * side) for side in image.size], Image.Resampling.BICUBIC)
    found = []
    for quality in (100, 99, 98, 97, 96, 95, 93, 91, 88, 84, 80, 70, 60):
        file = io.BytesIO()
        larger.save(file, "JPEG", quality=quality)
        found.append(file.getvalue())
        if file.tell() <= LARGE_BYTES:
            break
    path.write_bytes(min((f for f in found if len(f) <= MOST_BYTES), key=lambda f: abs(len(f) - LARGE_BYTES)))


def decode(path: Path) -> None:
    Image.open(path).load()


def print_parts(photos: Path, count: int = 2000) -> None:
    """Print the CPU time of each part of `prepare` for a photo, in one process. The first pass fills the caches."""
    entries = list(itertools.islice(sources.Entries(photos), count))
    for size in (64, 128):
        spent: dict[str, float] = {}
        with tempfile.TemporaryFile() as file:
            for _ in range(2):
                spent = dict.fromkeys(("read", "decode", "resize", "hash", "write"), 0.0)
                for entry in entries:
                    times, value = [time.process_time()], (sources.read(entry, MOST_BYTES))
                    times.append(time.process_time())
                    try:
                        picture = decoding.decode(value)
                    except decoding.UnreadableError:
                        continue
                    times.append(time.process_time())
                    small = decoding.square(picture, size)
                    times.append(time.process_time())
                    codes = perceptual.hashes(small)
                    times.append(time.process_time())
                    file.write(small.data)
                    file.write(codes.data)
                    times.append(time.process_time())
                    for part, (start, end) in zip(spent, itertools.pairwise(times), strict=True):
                        spent[part] += end - start
        each = ", ".join(f"{part} {1000 * seconds / len(entries):.2f}" for part, seconds in spent.items())
        click.echo(
            f"prepare at {size} px, ms of CPU a photo: {each}; {1000 * sum(spent.values()) / len(entries):.2f} in all"
        )


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", required=True, type=click.Path(exists=True, path_type=Path), help="Contributors' ZIPs.")
@click.option("--large", default=1000, show_default=True, help="Number of photos to enlarge.")
def main(photos: Path, large: int) -> None:
    photos = photos.resolve()
    archives = sorted(photos.glob("*.zip"))
    stages = ("validate", "prepare", "split")
    click.echo(f"archives: seconds and peak memory of {' + '.join(stages)}; for four times as many without split")
    peaks = {}
    for chosen, copies in ((archives[::4], 1), (archives[::2], 1), (archives, 1), (archives, 4)):
        with tempfile.TemporaryDirectory() as folder:
            raw, here = Path(folder) / "raw", Path(folder) / "here"
            raw.mkdir()
            for archive, number in itertools.product(chosen, range(copies)):
                copy(archive, raw, number)
            # the search for copies grows with the square of the photos
            seconds, peaks[copies] = run(raw, stages[: 2 if copies > 1 else None], here)
        spent = " + ".join(f"{s:.1f}" for s in seconds)
        taken = ", ".join(f"{peak:.0f}" for peak in peaks[copies])
        click.echo(f"  {copies * len(chosen):4}: {spent} = {sum(seconds):.1f} s; {taken} MB")
    growth = ", ".join(f"{peak / peak_of_one:.2f}" for peak_of_one, peak in zip(peaks[1], peaks[4], strict=False))
    click.echo(f"  four times the photos take {growth} times the memory")

    add_photos(archives, stages)

    print_parts(photos)

    entries = [entry for entry in sources.Entries(photos) if entry.path.lower().endswith((".jpg", ".jpeg"))]
    for megapixels in (0.7, 1, 2):
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            raw.mkdir()
            paths = [raw / f"{i}.jpg" for i in range(large)]
            work = partial(enlarge, round(megapixels * 1e6))
            list(processes.each(work, list(zip(entries[:: len(entries) // large], paths, strict=False))))
            size = sum(path.stat().st_size for path in paths) / large
            start = time.perf_counter()
            with ProcessPoolExecutor() as pool:
                list(pool.map(decode, paths, chunksize=16))
            least = time.perf_counter() - start
            (validate, prepare), peaks = run(raw, ["validate", "prepare"], Path(folder) / "here")
        click.echo(
            f"{large} photos of {megapixels} megapixels, {size / 1000:.0f} kB: decoded once {least:.1f} s; "
            f"{validate:.1f} + {prepare:.1f} s = {(validate + prepare) / least:.2f} times as long, {max(peaks):.0f} MB"
        )


if __name__ == "__main__":
    main()
