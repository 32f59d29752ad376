"""Makes the C library keep freed memory for the next tensors instead of returning it to the system."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # as in malloc.h


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors, for the whole process; it does nothing with another C library.

    Otherwise glibc requests each large tensor from the system, which clears every page first.
    """
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            mallopt(parameter, value)
