"""Install the environment in .venv. `make` calls this program, which needs only Python.

    python3 -m tools.install run     packages of the pipeline: requirements.lock
    python3 -m tools.install dev     also those of checks and tests: requirements-dev.lock

It uses `uv` if that is installed, else pip. On Linux without an NVIDIA GPU, it takes the CPU build of PyTorch from
PyTorch's own index, if that answers. This build has a tenth of the size of the CUDA build.
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
"""The folder of the environment."""

PYTHON = VENV / "bin/python"
"""The Python of the environment."""

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""The package index of PyTorch's CPU builds."""

PATIENCE = 4.0
"""The time in seconds to wait for an answer of that index."""

DEVICES = Path("/dev")
"""The folder of device files, including those of GPUs."""


class Size(NamedTuple):
    """Sizes in megabytes (10^6 bytes): the download, and the installed packages on the disk."""

    download: int
    disk: int


NOTHING = Size(0, 0)
CPU = Size(360, 1350)
CUDA = Size(2900, 5200)
DEV = Size(180, 600)
"""The sizes of requirements.lock with PyTorch's CPU build and with its CUDA build, and of requirements-dev.lock's
additional packages."""


class InstallError(Exception):
    """The installation failed. The text says what is wrong and what to do."""


def main(arguments: list[str]) -> None:
    """Install the environment that the command line names, and write its stamp file."""
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
    """The sentence that says how to continue after an interruption."""
    return f"To continue, run `{child.typed('python3 -m tools.install run')}`; finished downloads are in the cache."


def install(dev: bool) -> None:
    """Make the environment if it is missing, and install the locked packages and depixel itself.

    Args:
        dev: whether to install the packages of checks and tests too.

    Raises:
        InstallError: the environment cannot be made, a package cannot be installed, or the disk is too full.
    """
    uv = shutil.which("uv")
    files = [Path("requirements.lock"), *([Path("requirements-dev.lock")] if dev else [])]
    torch = locked("torch", files[0])
    there = not moved() and any(VENV.glob(f"lib/python*/site-packages/torch-{torch}*.dist-info"))
    from_index = False
    if there:
        most = least = NOTHING
    elif sys.platform != "linux":  # PyPI has CUDA builds only for Linux
        most = least = CPU
    elif has_gpu():
        most = least = CUDA
    else:
        from_index = index_answers()
        most, least = CPU if from_index else CUDA, CPU
    announce("uv" if uv else "pip", most, least, DEV if dev else NOTHING)
    make_venv(uv)
    if from_index:
        # only torch and without its dependencies, so that all other packages come from the usual index
        arguments = ["--no-deps", "--index-url", TORCH_INDEX, f"torch=={torch}"]
        if packages(uv, arguments, 1, "PyTorch"):
            child.say(f"{TORCH_INDEX} has no torch {torch} for this machine; using the build of pip's usual index.")
    everything = [argument for file in files for argument in ("-r", str(file))]
    for arguments, number, name in (
        (everything, sum(map(count, files)), "looking for packages"),
        (["--no-deps", "--no-build-isolation", "--editable", "."], 1, "depixel"),
    ):
        if packages(uv, arguments, number, name):
            raise InstallError(f"the packages could not be installed; see the lines above. {again()}")


# The environment


def make_venv(uv: str | None) -> None:
    """Make .venv with pip in it, unless a complete one for this folder exists."""
    there = PYTHON.exists() and not moved()
    if there and not subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode:  # noqa: S603
        return
    child.say(f"Making {VENV} with Python {sys.version.split()[0]} ...")
    if uv:
        command = [uv, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, str(VENV)]
    else:
        command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if child.run(command):
        raise InstallError(
            f"{VENV} could not be made (see above). On Debian and Ubuntu, run `apt install python3-venv`; to use "
            "another Python, run `make PYTHON=python3.12 repro`"
        )


def moved() -> bool:
    """Whether the environment was made in another folder; its commands begin with the path of its Python."""
    pip = VENV / "bin/pip"
    if VENV.is_symlink() or not pip.is_file():  # shared with another folder, or incomplete
        return False
    return str(Path.cwd() / PYTHON) not in pip.read_text(encoding="utf-8", errors="replace")


def locked(name: str, lock: Path) -> str:
    """The version of a package in a lock file. Raises `InstallError` if the file does not name it."""
    found = re.search(rf"(?m)^{name}==([^\s;]+)", lock.read_text(encoding="utf-8"))
    if not found:
        raise InstallError(
            f"{lock} does not name a version of {name}. To restore the committed file, run `git checkout {lock}`"
        )
    return found[1]


def count(lock: Path) -> int:
    """Number of packages in a lock file."""
    text = lock.read_text(encoding="utf-8")
    return len(set(re.findall(r"(?m)^([\w.-]+)==", text)))


# Which build of PyTorch


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU."""
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
    """Whether PyTorch's index answers within `PATIENCE` seconds; prints a message if it does not."""
    answered = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{TORCH_INDEX}/torch/", timeout=PATIENCE) as page:  # noqa: S310
                answered.append(page.status == 200)
        except (OSError, ValueError):
            answered.append(False)

    # in a thread, because the host name lookup has no time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if answered == [True]:
        return True
    child.say(f"{TORCH_INDEX} does not answer; using the PyTorch build of pip's usual index.")
    return False


# How much


def announce(installer: str, most: Size, least: Size, dev: Size) -> None:
    """Print the sizes of download and installation, and check the free space on the disk.

    Args:
        installer: "uv" or "pip".
        most, least: the largest and smallest size of the pipeline's packages. They differ if pip may find either build
            of PyTorch.
        dev: the size of the packages for checks and tests.

    Raises:
        InstallError: the disk has no space for `least`.
    """
    sure = most == least
    download, disk = most.download + dev.download, most.disk + dev.disk
    if not download:
        return
    about = "about" if sure else "at most"
    child.say(
        f"Installing into {VENV} with {installer}: {about} {_amount(download)} to download (less if parts are in the "
        f"cache), and {about} {_amount(disk)} on the disk."
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
            raise InstallError(f"the disk is too full: {told}. Free some space, or {other}")
        if free < wanted:
            child.say(f"The disk may be too full: {told}.")


def _amount(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


# Installing


def packages(uv: str | None, arguments: list[str], number: int, name: str) -> int:
    """Install packages with `uv pip install` or `pip install`.

    Args:
        uv: the path of uv; None: use pip.
        arguments: those of `pip install`.
        number: number of packages, for the progress line.
        name: shown until pip names a package.

    Returns:
        The exit code.
    """
    if uv:  # it shows progress itself
        return child.run([uv, "pip", "install", "--python", str(PYTHON), *arguments])
    pip = [str(PYTHON), "-m", "pip"]
    # without bytecode: compiling all packages takes longer than the rest; Python compiles them when it needs them
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
    """Shows pip's progress in one line: the time so far, the package, and its downloaded share.

    Args:
        number: number of packages; they are counted if there are several.
        name: the text shown first.

    Attributes:
        last: the last lines of pip's output.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number, self.packages, self.doing, self.share = number, 0, name, ""
        self.last: deque[str] = deque(maxlen=30)
        self.start = time.monotonic()
        self.ended = threading.Event()

    def read(self, output: IO[bytes]) -> None:
        """Read pip's output to its end, and draw the line meanwhile."""
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
        """Parse a line of pip's output."""
        word, _, rest = line.strip().partition(" ")
        if word == "Progress":  # with --progress-bar raw: `Progress 1000 of 2000`, bytes
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
            self.doing = "unpacking all" if self.number > 1 else self.doing
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
        """The line of progress."""
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        counted = f"package {min(self.packages, self.number)} of {self.number}: " if self.number > 1 else ""
        return f"{minutes}:{seconds:02}  {counted}{self.doing}{self.share}"


if __name__ == "__main__":
    main(sys.argv[1:])
