"""Portable arithmetic gives the same bits on every x86-64 processor; native arithmetic is as fast as this one allows.

PyTorch, oneDNN, MKL, OpenBLAS and NumPy choose their kernels by the processor. Kernels add in different orders, so the
last digits of a result differ between processors. Portable arithmetic makes all these libraries use their AVX2 kernels.
Intel's processors have had AVX2 since 2013 and AMD's since 2015, except for some of the cheapest. The libraries read
their environment variables when they are loaded or first compute. So a program must choose before that: each stage does
so in its first lines.

MKL gives the same results on every processor only in its mode COMPATIBLE (Intel, "Conditional Numerical
Reproducibility"). Its roots, exponentials and logarithms differ even then; use those of `depixel.model.functions`.
"""

import os
import platform
import sys
from pathlib import Path
from typing import Literal

from depixel.base.errors import DepixelError

Arithmetic = Literal["portable", "native"]

VARIABLE = "DEPIXEL_ARITHMETIC"
"""The environment variable that sets the arithmetic of a process and of its children: "portable" or "native".

Without it, a training uses the arithmetic of its settings (`train.arithmetic`), its model predicts with the same one,
and everything else is native."""

VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
"""The environment variables that portable arithmetic sets on x86-64. It sets none on other machines, which give other
last digits."""


def begin() -> None:
    """Make this process compute portably unless `DEPIXEL_ARITHMETIC` says native; for the first lines of a program.

    It does nothing if NumPy or PyTorch is already loaded or the processor lacks AVX2. `check` reports this where it
    matters.
    """
    if os.environ.get(VARIABLE) != "native" and _is_x86() and has_avx2() and not _loaded():
        os.environ.update(VARIABLES)


def use(wanted: Arithmetic, program: str) -> None:
    """Make this process compute with the wanted arithmetic; to go from portable to native it restarts the program.

    Args:
        wanted: "portable" or "native".
        program: the file of the program that asks. Only the main program is restarted, and not on Windows, where a
            process cannot replace itself. A GPU computes natively in any case.

    Raises:
        DepixelError: portable is wanted, but it is too late or the processor lacks AVX2.
    """
    if wanted == "portable":
        begin()
        check()
    elif is_chosen() and _is_running(program) and os.name != "nt":
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment | {VARIABLE: wanted})  # noqa: S606


def check() -> None:
    """Raise `DepixelError` if this process does not compute portably."""
    if is_portable():
        return
    if not has_avx2():
        raise DepixelError(
            "train.arithmetic = 'portable': this processor has no AVX2, so its last digits would differ (most x86-64 "
            "processors since 2015 have it). Set train.arithmetic: native in params.yaml"
        )
    raise DepixelError(
        f"train.arithmetic = 'portable': either {VARIABLE}=native is set, or NumPy or PyTorch was loaded too early. "
        f"Unset {VARIABLE}; in Python, call `depixel.base.arithmetic.begin()` before you import them; or set "
        "train.arithmetic: native in params.yaml"
    )


def is_portable() -> bool:
    """Whether PyTorch computes portably in this process, or would once it is loaded; always True outside x86-64."""
    if not _is_x86():
        return True
    torch = sys.modules.get("torch")
    return is_chosen() and (torch is None or torch.backends.cpu.get_cpu_capability() == "AVX2")


def is_chosen() -> bool:
    """Whether this process or its parent has set the variables of portable arithmetic; never outside x86-64."""
    return set(VARIABLES.items()) <= set(os.environ.items())


def of_model(path: Path) -> Arithmetic:
    """The arithmetic that a model predicts with: the one it was trained with, unless `DEPIXEL_ARITHMETIC` is portable.

    Args:
        path: the weights. The .json beside them names the arithmetic; native if it is missing or does not say.
    """
    if os.environ.get(VARIABLE) == "portable":
        return "portable"
    import json

    try:
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return "portable" if described.get("arithmetic") == "portable" else "native"
    except (OSError, ValueError, AttributeError):
        return "native"


def has_avx2() -> bool:
    """Whether this processor has AVX2 and FMA; True where that cannot be found out, as on macOS."""
    if sys.platform == "linux":
        try:
            described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        except OSError:
            return True
        flags = next((line for line in described.splitlines() if line.startswith("flags")), "").split()
        return {"avx2", "fma"} <= set(flags)
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(40))  # PF_AVX2_INSTRUCTIONS_AVAILABLE
    return True


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def _loaded() -> bool:
    return "torch" in sys.modules or "numpy" in sys.modules


def _is_running(program: str) -> bool:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return main is not None and Path(main).resolve() == Path(program).resolve()
