"""Image depixelation as a reproducible pipeline."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depixel.pictures.restorer import Restorer

__all__ = ["Restorer"]

IMPORTED = time.time_ns()
"""When the first module was about to be read: sources that are younger may not be those that run."""


def __getattr__(name: str):
    """`from depixel import Restorer` loads PyTorch only then: `import depixel` stays quick."""
    if name == "Restorer":
        from depixel.pictures.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
