"""The page as its users meet it: seconds to the first sign, the first area and the result; and memory.

    python benchmarks/page.py --photos ../shared/photos

Starts `depixel serve` and asks it as the page does. The pictures have 64 x 64 pixels, or are an enlarged photo of 12
megapixels with an area of 400 x 300 pixels.

\b
1. It searches and restores both.
2. It restores the small one ten times while two searches run, then cancels these and waits until the server is idle.
3. It restores a picture of 50 megapixels and measures the memory before, at the end and five seconds later.
4. It lets 30 clients restore the small one for a minute.

Memory is what the server's processes have for themselves; pages that they share do not count.
"""

import io
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import psutil
import requests
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this file, whatever is installed

from benchmarks.restore import large_photos
from depixel.photos.decoding import grayscale
from depixel.pictures.pixels import pixelate

CLIENTS, SECONDS = 30, 60
IDLE = 0.1  # share of a core below which the processes count as idle
SMALL, LARGE, HUGE = (16, 16, 32, 32, 8), (1500, 1200, 400, 300, 8), (2000, 2000, 400, 300, 16)


class Server:
    """A page of its own on a free port of this machine."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "depixel.cli", "serve", "--port", "0", "--no-browser"]
        begun = time.perf_counter()
        self.process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found[0]
                break
        else:
            raise click.ClickException("`depixel serve` ended")
        requests.get(f"{self.url}/healthz", timeout=60).raise_for_status()
        self.started = time.perf_counter() - begun
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def memory(self) -> float:
        """MB that the processes have for themselves."""
        return sum(one.memory_full_info().uss for one in self.processes()) / 1e6

    def work(self) -> float:
        """Seconds of a processor that the processes have used."""
        return sum(sum(one.cpu_times()[:2]) for one in self.processes())

    def ask(self, what: str, picture: bytes, **query: str) -> requests.Response:
        return requests.post(f"{self.url}/api/{what}", data=picture, params=query, timeout=300)

    def restore(self, picture: bytes, area: tuple[int, ...]) -> float:
        """Seconds of a restoration."""
        begun = time.perf_counter()
        self.ask("restore", picture, area=",".join(map(str, area))).raise_for_status()
        return time.perf_counter() - begun

    def find(self, picture: bytes) -> tuple[float, float | None, float, int]:
        """Search; seconds to the first sign of progress, to the first area, to the answer; and number of areas."""
        job, begun = secrets.token_urlsafe(24), time.perf_counter()
        seen: list[float | None] = [None, None]

        def follow() -> None:
            with requests.get(f"{self.url}/api/jobs/{job}", stream=True, timeout=300) as events:
                for line in events.iter_lines(chunk_size=1):
                    if not line.startswith(b'data: {"state"'):
                        continue
                    since, progress = time.perf_counter() - begun, json.loads(line[6:])
                    seen[0] = seen[0] or since
                    if progress["areas"]:
                        seen[1] = seen[1] or since

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        answer = self.ask("find", picture, job=job)
        answer.raise_for_status()
        whole = time.perf_counter() - begun
        follower.join()
        areas = answer.json()["areas"]
        return seen[0] or whole, seen[1] or (whole if areas else None), whole, len(areas)


@contextmanager
def searching(server: Server, picture: bytes, count: int) -> Iterator[list[str]]:
    """Let searches run meanwhile, each of another client; yields their jobs' names, and cancels them."""
    jobs = [f"{secrets.token_hex(16)}-0" for _ in range(count)]  # before the dash, the name of a client
    threads = [threading.Thread(target=server.ask, args=("find", picture), kwargs={"job": job}) for job in jobs]
    for thread in threads:
        thread.start()
    time.sleep(3)
    try:
        yield jobs
    finally:
        cancel(server, jobs)
        for thread in threads:
            thread.join()


def cancel(server: Server, jobs: list[str]) -> None:
    """Cancel searches; those that have ended are not there any more."""
    for job in jobs:
        requests.delete(f"{server.url}/api/jobs/{job}", timeout=10)


def until_idle(server: Server) -> float:
    """Seconds until the processes are idle."""
    begun, before = time.perf_counter(), server.work()
    while True:
        time.sleep(0.1)
        if (now := server.work()) - before < IDLE * 0.1:
            return time.perf_counter() - begun - 0.1
        before = now


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return file.getvalue()


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
def main(photos: Path) -> None:
    photo = large_photos(photos, 1)[0]
    small = encoded(pixelate(grayscale(photo)[:64, :64], [SMALL]), "PNG")
    wide = pixelate(np.asarray(Image.fromarray(photo).resize((4000, 3000))), [LARGE])
    large = {kind: encoded(wide, kind) for kind in ("PNG", "JPEG")}
    server = Server()
    try:
        click.echo(f"start: {server.started:.1f} s")
        first = server.restore(small, SMALL)
        click.echo(f"64 x 64: first restoration {first:.2f} s, {server.restore(small, SMALL):.3f} s after it")
        told(server, "64 x 64, PNG", small)
        for kind, picture in large.items():
            told(server, f"12 megapixels, {kind}", picture)
            click.echo(f"12 megapixels, {kind}: restored in {server.restore(picture, LARGE):.1f} s")
        with searching(server, large["JPEG"], 2) as jobs:
            slowest = max(server.restore(small, SMALL) for _ in range(10))
            click.echo(f"64 x 64 while two searches run: at most {slowest:.2f} s")
            cancel(server, jobs)
            click.echo(f"cancelled: the processes are idle after {until_idle(server):.1f} s")
        before = server.memory()
        pixels = pixelate(np.asarray(Image.fromarray(photo).resize((8164, 6124))), [HUGE])
        picture = encoded(pixels, "PNG")
        took, peak = server.restore(picture, HUGE), server.memory()
        time.sleep(5)
        click.echo(
            f"50 megapixels: restored in {took:.1f} s; memory {before:.0f} MB before, {peak:.0f} MB at the end, "
            f"{server.memory():.0f} MB five seconds later"
        )
        crowd(server, small)
    finally:
        server.process.terminate()
        server.process.wait()


def told(server: Server, what: str, picture: bytes) -> None:
    sign, area, whole, count = server.find(picture)
    found = f"first area {area:.1f} s" if area else "no area"
    click.echo(f"{what}: first sign of a search {1000 * sign:.0f} ms, {found}, answer {whole:.1f} s with {count}")


def crowd(server: Server, picture: bytes) -> None:
    """Print what `CLIENTS` clients get who restore without a pause."""
    answers: Counter[int] = Counter()
    times: list[float] = []
    end = time.monotonic() + SECONDS

    def client() -> None:
        while time.monotonic() < end:
            begun = time.perf_counter()
            status = server.ask("restore", picture, area=",".join(map(str, SMALL))).status_code
            answers[status] += 1
            if status == 200:
                times.append(time.perf_counter() - begun)
            else:
                time.sleep(0.1)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = ", ".join(f"{count} of status {status}" for status, count in sorted(answers.items()))
    click.echo(
        f"{CLIENTS} clients for {SECONDS} s: {listed}; half of the restorations within {np.median(times):.2f} s, "
        f"99 % within {np.quantile(times, 0.99):.2f} s"
    )


if __name__ == "__main__":
    main()
