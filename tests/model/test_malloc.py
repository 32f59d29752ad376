import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from depixel.model.malloc import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    first, second = bytearray(2**23), bytearray(2**23)
    del first, second
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc only")
def test_freed_memory_is_used_again():
    """Pages that the system has to clear: those of two tensors, not of a hundred."""
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("kept", "given back")
    )
    assert kept < given_back / 5
