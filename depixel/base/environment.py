"""The hardware and package versions that results are made with, and a check against the locked versions."""

import codecs
import platform
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from depixel.base.errors import DepixelError

DECIDING = ("imagehash", "numpy", "pandas", "pillow", "pytorch-msssim", "safetensors", "scikit-learn", "scipy", "torch")
"""The packages that compute, decode or write results. Other packages cannot change a result."""


def versions() -> dict[str, str]:
    """Name -> version: of Python (major and minor, "3.11") and of the packages in `DECIDING` (no suffix like +cpu)."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: Version(metadata.version(name)).public for name in DECIDING}


def hardware(device: str) -> str:
    """The processor behind a PyTorch device ("cuda", "cpu", ...) by name; for a CPU also the instructions in use."""
    import torch  # slow to import, so only callers that use it wait

    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        described = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:  # not Linux
        described = None
    # /proc/cpuinfo has no "model name" on some architectures
    name = described[1] if described else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else f"{name}, {device}"


INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_tile": "AMX"}
"""Flag in /proc/cpuinfo -> common name, of the instruction sets by which libraries choose their kernels."""


def processor() -> str:
    """The vendor and the instruction sets of this machine's processor, such as "GenuineIntel, AVX2, AVX-512"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    pairs = (line.partition(":")[::2] for line in reversed(lines) if ":" in line)
    about = {name.strip(): value.strip() for name, value in pairs}  # reversed: the first processor's values win
    has = [shown for flag, shown in INSTRUCTIONS.items() if flag in about.get("flags", "").split()]
    return ", ".join([about.get("vendor_id") or platform.machine(), *has])


def check_locked(lock: Path) -> None:
    """Raise `DepixelError` if an installed package of `DECIDING` has another version than `lock` names.

    Args:
        lock: a requirements file. If it does not exist, nothing is checked.
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
        listed = "; ".join(f"{name} {found[name] or 'missing'} ({lock} has {name}{locked[name]})" for name in wrong)
        raise DepixelError(
            f"the installed packages differ from {lock}: {listed}, so results would be recorded with wrong versions. "
            f"Install those of the file: `pip install -r {lock}`; or keep the installed ones and record them: "
            f"`pip freeze --exclude-editable > {lock}`"
        )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
