"""Memory of the CPU, kept for the next tensors instead of given back to the system."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors, for the whole process; nothing happens with another C library.

    Otherwise every large tensor comes from the system anew, which clears each of its pages first.
    """
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            mallopt(parameter, value)
