"""Image depixelation as a reproducible pipeline.

The public names, each loaded when it is first asked for: `import depixel` alone loads neither PyTorch nor NumPy. Type
checkers read them in `__init__.pyi`.
"""

import importlib
import time

__all__ = ["Area", "DepixelError", "Restorer", "find", "pixelate"]

IMPORTED = time.time_ns()
"""When the first module was about to be read: sources that are younger may not be those that run."""

_MODULES = {
    "Area": "depixel.areas.area",
    "DepixelError": "depixel.base.errors",
    "Restorer": "depixel.pictures.restorer",
    "find": "depixel.detection.search",
    "pixelate": "depixel.pictures.pixels",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
