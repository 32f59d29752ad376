"""Image depixelation as a reproducible pipeline."""

import time

IMPORTED = time.time_ns()
"""When the first module was about to be read: sources that are younger may not be those that run."""
