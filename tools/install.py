"""Make the environment in .venv: `make` calls it. It needs nothing but Python.

    python3 -m tools.install run     what the pipeline needs: requirements.lock
    python3 -m tools.install dev     also what the checks and tests need: requirements-dev.lock

It uses `uv` where that is installed, else pip. On Linux without an NVIDIA GPU it takes the CPU build of PyTorch from
PyTorch's own index, if that answers: a tenth of the build with CUDA.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict, deque
from pathlib import Path
from typing import IO, NamedTuple

from tools import child

OLDEST = (3, 10)
"""The oldest Python that depixel runs on."""

VENV = Path(".venv")
PYTHON = VENV / "bin/python"

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where the CPU builds of PyTorch are."""

PATIENCE = 4.0
"""Seconds to wait for an answer of that index."""

DEVICES = Path("/dev")
"""Where the files of GPUs are."""


class Size(NamedTuple):
    """Megabytes (10^6 bytes) to download, and on the disk when installed."""

    download: int
    disk: int


NOTHING = Size(0, 0)
CPU = Size(360, 1350)
CUDA = Size(2900, 5200)
DEV = Size(180, 600)
"""Packages of requirements.lock with PyTorch's CPU build; with its CUDA build; what requirements-dev.lock adds."""


class InstallError(Exception):
    """What is wrong and what to do, in a sentence or two."""


def main(arguments: list[str]) -> None:
    """Make the environment that the command line names, and stamp it."""
    if arguments not in (["run"], ["dev"]):
        sys.exit(__doc__ or "python3 -m tools.install run, or dev")  # -OO drops docstrings
    try:
        if sys.version_info < OLDEST:
            found, needed = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
            raise InstallError(
                f"Python {found} is too old: depixel needs {needed} or newer. Try `make PYTHON=python{needed} repro`"
            )
        install(dev=arguments == ["dev"])
        (VENV / arguments[0]).touch()
    except InstallError as error:
        sys.exit(f"Error: {error}")
    except child.StoppedError as stopped:
        child.say(f"Stopped. {again()}")
        child.leave(stopped.number)
    except KeyboardInterrupt:
        child.say(f"Stopped. {again()}")
        child.leave()


def again() -> str:
    """How to go on after an interruption."""
    return f"`{child.typed('python3 -m tools.install run')}` goes on; what is downloaded already comes from the cache."


def install(dev: bool) -> None:
    """Make the environment if it is missing, and install the locked packages and depixel itself."""
    uv = shutil.which("uv")
    files = [Path("requirements.lock"), *([Path("requirements-dev.lock")] if dev else [])]
    torch = locked("torch", files[0])
    there = not moved() and any(VENV.glob(f"lib/python*/site-packages/torch-{torch}*.dist-info"))
    from_index = False
    if there:
        most = least = NOTHING
    elif sys.platform != "linux":  # only there has PyPI a build with CUDA
        most = least = CPU
    elif has_gpu():
        most = least = CUDA
    else:
        from_index = index_answers()
        most, least = CPU if from_index else CUDA, CPU
    announce("uv" if uv else "pip", most, least, DEV if dev else NOTHING)
    make_venv(uv)
    if from_index:
        # alone and without its dependencies, so that all else comes from where it always does
        arguments = ["--no-deps", "--index-url", TORCH_INDEX, f"torch=={torch}"]
        if packages(uv, arguments, 1, "PyTorch"):
            child.say(f"{TORCH_INDEX} has no torch {torch} for this machine; takes the build that pip finds elsewhere.")
    everything = [argument for file in files for argument in ("-r", str(file))]
    for arguments, number, name in (
        (everything, sum(map(count, files)), "looks for packages"),
        (["--no-deps", "--no-build-isolation", "--editable", "."], 1, "depixel"),
    ):
        if packages(uv, arguments, number, name):
            raise InstallError(f"the packages could not be installed; the lines above say why. {again()}")


# The environment


def make_venv(uv: str | None) -> None:
    """Make .venv with pip in it, unless a whole one is there that was made for this folder."""
    there = PYTHON.exists() and not moved()
    if there and not subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode:  # noqa: S603
        return
    child.say(f"Makes {VENV} with Python {sys.version.split()[0]} ...")
    if uv:
        command = [uv, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, str(VENV)]
    else:
        command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if child.run(command):
        raise InstallError(
            f"{VENV} could not be made (see above). On Debian and Ubuntu it takes `apt install python3-venv`; another "
            "Python is taken by `make PYTHON=python3.12 repro`"
        )


def moved() -> bool:
    """Whether the environment was made in another folder: its commands begin with the path of its Python."""
    pip = VENV / "bin/pip"
    if VENV.is_symlink() or not pip.is_file():  # somebody else's, or not whole
        return False
    return str(Path.cwd() / PYTHON) not in pip.read_text(encoding="utf-8", errors="replace")


def locked(name: str, lock: Path) -> str:
    """The version of a package in a lock file."""
    found = re.search(rf"(?m)^{name}==([^\s;]+)", lock.read_text(encoding="utf-8"))
    if not found:
        raise InstallError(
            f"{lock} does not name a version of {name}. `git checkout {lock}` brings the committed one back"
        )
    return found[1]


def count(lock: Path) -> int:
    """Number of packages that a lock file names."""
    text = lock.read_text(encoding="utf-8")
    return len(set(re.findall(r"(?m)^([\w.-]+)==", text)))


# Which build of PyTorch


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU that PyTorch could use."""
    if any(DEVICES.glob("nvidia*")):
        return True
    program = shutil.which("nvidia-smi")
    if not program:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"GPU" in done.stdout


def index_answers() -> bool:
    """Whether PyTorch's index answers within `PATIENCE` seconds; says so if it does not."""
    answered = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{TORCH_INDEX}/torch/", timeout=PATIENCE) as page:  # noqa: S310
                answered.append(page.status == 200)
        except (OSError, ValueError):
            answered.append(False)

    # in a thread: looking up the name of the host has no time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if answered == [True]:
        return True
    child.say(f"{TORCH_INDEX} does not answer; taking the build of PyTorch that pip finds elsewhere.")
    return False


# How much


def announce(installer: str, most: Size, least: Size, dev: Size) -> None:
    """Say how much there is to download and to store, and whether the disk has room for it.

    Args:
        most, least: of the packages that the pipeline needs. They differ where pip may find either build of PyTorch.
        dev: of the packages that checks and tests need.

    Raises:
        InstallError: there is no room for `least`.
    """
    sure = most == least
    download, disk = most.download + dev.download, most.disk + dev.disk
    if not download:
        return
    about = "about" if sure else "at most"
    child.say(
        f"Installs into {VENV} by {installer}: {about} {_amount(download)} to download, less if some of it is in the "
        f"cache, and {about} {_amount(disk)} on the disk."
    )
    needs: dict[int, list[tuple[Path, int, int]]] = defaultdict(list)
    temporary = Path(tempfile.gettempdir())
    needs[Path.cwd().stat().st_dev].append((Path.cwd(), disk, least.disk + dev.disk))
    needs[temporary.stat().st_dev].append((temporary, download, least.download + dev.download))
    for places in needs.values():
        place, wanted, needed = places[0][0], sum(p[1] for p in places), sum(p[2] for p in places)
        free = shutil.disk_usage(place).free // 10**6
        told = f"{_amount(free)} are free in {place}, and the installation takes {about} {_amount(wanted)} there"
        if free < needed:
            other = "clone to another disk" if place == Path.cwd() else "set TMPDIR to a folder on another disk"
            raise InstallError(f"the disk is too full: {told}. Free some, or {other}")
        if free < wanted:
            child.say(f"The disk may be too full: {told}.")


def _amount(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


# Installing


def packages(uv: str | None, arguments: list[str], number: int, name: str) -> int:
    """Install `number` packages by `uv pip install` or `pip install` with these arguments; the exit code.

    `name` is shown until pip names a package.
    """
    if uv:  # its own progress is good
        return child.run([uv, "pip", "install", "--python", str(PYTHON), *arguments])
    pip = [str(PYTHON), "-m", "pip"]
    # bytecode is made when it is first needed: for all packages it takes longer than all else
    command = [*pip, "install", "--disable-pip-version-check", "--no-compile", *arguments]
    if not sys.stderr.isatty():
        return child.run([*command, "--quiet"])
    version = subprocess.run([*pip, "--version"], capture_output=True, text=True).stdout  # noqa: S603
    if [int(digits) for digits in re.findall(r"\d+", version)[:2]] >= [24, 1]:
        command += ["--progress-bar", "raw"]
    progress = Progress(number, name)
    code = child.run(command, progress.read)
    if code:
        child.say("\n".join(progress.last))
    return code


class Progress:
    """What pip does, as one line that moves: which package, how much of it, and for how long already.

    Args:
        number: number of packages; they are counted if there are several. name: what is shown first.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number, self.packages, self.doing, self.share = number, 0, name, ""
        self.last: deque[str] = deque(maxlen=30)
        self.start = time.monotonic()
        self.ended = threading.Event()

    def read(self, output: IO[bytes]) -> None:
        """Read pip's output to its end and draw the line meanwhile."""
        ticking = threading.Thread(target=self._tick, daemon=True)
        ticking.start()
        try:
            for line in output:
                self.line(line.decode(errors="replace").rstrip())
        finally:
            self.ended.set()
            ticking.join()
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def line(self, line: str) -> None:
        """Take in a line of pip."""
        word, _, rest = line.strip().partition(" ")
        if word == "Progress":  # of --progress-bar raw: `Progress 1000 of 2000`
            done, _, total = rest.partition(" of ")
            if total.isdigit() and int(total):
                self.share = f", {int(done) / int(total):.0%} of {_amount(int(total) // 10**6)}"
            return
        self.last.append(line)
        if word == "Collecting" or line.startswith("Requirement already satisfied"):
            self.packages += 1
            self.doing, self.share = rest.split(" (from")[0].replace("==", " "), ""
        elif word in ("Downloading", "Processing"):
            size = re.search(r"\(([\d.]+ [kMG]B)\)", rest)
            self.share = f", {size[1]}" if size else ""
        elif line.startswith("Installing collected packages"):
            self.packages, self.share = self.number, ""
            self.doing = "unpacks them all" if self.number > 1 else self.doing
        elif word == "WARNING:":
            child.say(line)

    def _tick(self) -> None:
        shown = ""
        while not self.ended.wait(0.2):
            if shown != self.text():
                shown = self.text()
                sys.stderr.write(f"\r\033[K{shown[: shutil.get_terminal_size().columns - 1]}")
                sys.stderr.flush()

    def text(self) -> str:
        """The line."""
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        counted = f"package {min(self.packages, self.number)} of {self.number}: " if self.number > 1 else ""
        return f"{minutes}:{seconds:02}  {counted}{self.doing}{self.share}"


if __name__ == "__main__":
    main(sys.argv[1:])
