"""How this process computes: as every processor of its kind does, or as fast as this one can.

PyTorch, oneDNN, MKL, OpenBLAS and NumPy choose their code by the processor that they find, and with it the order in
which they add and the last digits of what they find. Portable arithmetic has all of them take the code for AVX2, which
Intel's processors have had since 2013 and AMD's since 2015, but for some of the cheapest. They look at their variables
when they are loaded, or when they first compute. So the choice comes before that: stages make it in their first lines.

MKL computes the same on every processor in its mode COMPATIBLE alone (Intel, "Conditional Numerical Reproducibility").
Its roots, exponentials and logarithms differ even then; `depixel.model.functions` has others.
"""

import os
import platform
import sys
from pathlib import Path
from typing import Literal

from depixel.base.errors import DepixelError

Arithmetic = Literal["portable", "native"]

VARIABLE = "DEPIXEL_ARITHMETIC"
"""The environment variable that says what a process and those that it starts compute with. Without it, a training whose
settings say so and all that is done with its model are portable, and all else is native."""

VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
"""What portable arithmetic sets on x86-64. Elsewhere nothing is chosen, and other machines give other last digits."""


def begin() -> None:
    """Have this process compute portably unless `DEPIXEL_ARITHMETIC` says native; for the first lines of a program.

    Nothing happens where it is too late, because NumPy or PyTorch is loaded, or where the processor cannot: `check`
    tells when it matters.
    """
    if os.environ.get(VARIABLE) != "native" and _is_x86() and has_avx2() and not _loaded():
        os.environ.update(VARIABLES)


def use(wanted: Arithmetic, program: str) -> None:
    """Have this process compute so; where it computes portably already and is not to, it is started again.

    Args:
        program: the file of the program that asks. Only if it is the one that runs can it be started again, and not on
            Windows, where one process cannot become another; a GPU computes natively all the same.

    Raises:
        DepixelError: it is to compute portably, and it is too late for that.
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
    """Raise `DepixelError` if this process does not compute portably; PyTorch is loaded, so it is too late for that."""
    if is_portable():
        return
    if not has_avx2():
        raise DepixelError(
            "train.arithmetic = 'portable': this processor has no AVX2, which x86-64 processors have had since 2015, "
            "and would compute other last digits. Set train.arithmetic: native"
        )
    raise DepixelError(
        f"train.arithmetic = 'portable': {VARIABLE}=native is set, or NumPy or PyTorch was loaded before this process "
        "could be told to compute so. Unset it; in Python, call `depixel.base.arithmetic.begin()` first of all; or set "
        "train.arithmetic: native"
    )


def is_portable() -> bool:
    """Whether PyTorch, as it is loaded here or would be, computes portably."""
    if not _is_x86():
        return True
    torch = sys.modules.get("torch")
    return is_chosen() and (torch is None or torch.backends.cpu.get_cpu_capability() == "AVX2")


def is_chosen() -> bool:
    """Whether this process, or the one that started it, was told to compute portably; never on other than x86-64."""
    return set(VARIABLES.items()) <= set(os.environ.items())


def of_model(path: Path) -> Arithmetic:
    """What a model is to predict with: portable if it was trained so, as the .json beside its weights says, or if
    `DEPIXEL_ARITHMETIC` does.

    Args:
        path: of the weights; where nothing is said there, or nothing can be read, it is native.
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
    """Whether this processor has the instructions that portable arithmetic computes with."""
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
