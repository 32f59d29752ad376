"""What results are made with: hardware and versions; and whether these are the locked ones."""

import codecs
import platform
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from depixel.base.errors import DepixelError

DECIDING = ("imagehash", "numpy", "pandas", "pillow", "safetensors", "scikit-learn", "scipy", "torch")
"""The packages that compute, decode or write results; the others cannot change them."""


def versions() -> dict[str, str]:
    """Name -> version of Python (3.11) and of the packages in `DECIDING`, without what follows a +, such as cpu."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: Version(metadata.version(name)).public for name in DECIDING}


def hardware(device: str) -> str:
    """The name of the processor that a PyTorch device computes on; of a CPU also the instructions that are used."""
    import torch  # only stages that use it anyway wait for it

    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        described = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:  # not Linux
        described = None
    # else a processor that is described otherwise
    name = described[1] if described else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else f"{name}, {device}"


INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_tile": "AMX"}
"""What /proc/cpuinfo calls sets of instructions that programs choose their code by, and what people do."""


def processor() -> str:
    """The kind of this machine's processor: its vendor and its sets of instructions, "GenuineIntel, AVX2, AVX-512"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    pairs = (line.partition(":")[::2] for line in reversed(lines) if ":" in line)
    about = {name.strip(): value.strip() for name, value in pairs}  # of the first processor
    has = [shown for flag, shown in INSTRUCTIONS.items() if flag in about.get("flags", "").split()]
    return ", ".join([about.get("vendor_id") or platform.machine(), *has])


def check_locked(lock: Path) -> None:
    """Raise `DepixelError` if a package of `DECIDING` has another version than in `lock`, which results depend on.

    Args:
        lock: a requirements file; nothing is checked where there is none.
    """
    if not lock.is_file():
        return
    content, locked = lock.read_bytes(), {}
    # PowerShell writes UTF-16
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    for line in content.decode(encoding, errors="replace").splitlines():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # a comment or an option
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            locked[requirement.name.lower()] = requirement.specifier
    found = {name: _installed(name) for name in DECIDING if name in locked}
    if wrong := [
        name for name, version in found.items() if not (version and locked[name].contains(version, prereleases=True))
    ]:
        listed = ", ".join(f"{name} {found[name] or 'not at all'} ({lock} has {name}{locked[name]})" for name in wrong)
        raise DepixelError(
            f"installed is {listed}, and results would be recorded as made with the latter. Install that: `pip install "
            f"-r {lock}`; or keep what is installed and record it: `pip freeze --exclude-editable > {lock}`"
        )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
