import faulthandler
import os
import signal
import sys
import time
from itertools import chain, islice, repeat

import psutil
import pytest

from depixel.base.errors import DepixelError
from depixel.photos.processes import each
from tests.conftest import REPOSITORY


def square_of(number: int) -> int:
    if number == 77:
        raise DepixelError("77 is not allowed")
    return number**2


@pytest.mark.parametrize("workers", [1, 2, None])
def test_each_keeps_the_order(workers):
    assert list(each(square_of, range(70), workers)) == [n**2 for n in range(70)]
    assert list(each(square_of, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_each_passes_errors_on(workers):
    with pytest.raises(DepixelError, match="77 is not allowed"):
        list(each(square_of, range(100), workers))


def test_each_takes_items_only_as_they_are_needed():
    assert list(islice(each(square_of, chain(range(70), repeat(3)), 2), 100)) == [n**2 for n in range(70)] + [9] * 30


def failing(number: int) -> int:
    """Fail in the way that the number stands for; most numbers are fine."""
    if number == 1000:
        raise MemoryError
    if number == 1001:
        os._exit(1)
    if number < 0:
        faulthandler.disable()  # pytest's
        os.kill(os.getpid(), -number)
    return number


def told(number: int, fault: str) -> str:
    return f"{number}: {fault}"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_item_that_crashes_its_process_harms_no_other(workers):
    crashes = [-getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")]
    items = [*crashes[:2], *range(40), crashes[2], *range(40, 90), *crashes[3:]]
    expected = [failing(n) if n >= 0 else f"{n}: {signal.Signals(-n).name}" for n in items]
    assert list(each(failing, items, workers, told)) == expected


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("item", "message"),
    [
        (1000, r"out of memory.*--workers 1"),
        (1001, r"ended unexpectedly \(exit code 1\).*--workers 1"),
        (-9, r"ended unexpectedly \(SIGKILL, probably for lack of memory\).*--workers 1"),
        (-15, r"ended unexpectedly \(SIGTERM\).*--workers 1"),
    ],
)
def test_what_is_not_the_fault_of_an_item_is_no_result_of_it(workers, item, message):
    with pytest.raises(DepixelError, match=message):
        list(each(failing, [*range(40), item, *range(40)], workers, told))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_crash_is_an_error_where_nothing_else_is_said():
    with pytest.raises(DepixelError, match=r"^-11: .*crashed \(SIGSEGV\)"):
        list(each(failing, [1, 2, -11], 1))


SLOW = """
import sys, time
sys.path.insert(0, sys.argv[1])
from depixel.photos.processes import each
def work(number):
    time.sleep(60)
if __name__ == "__main__":
    list(each(work, range(100), 3))
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    parent = psutil.Popen([sys.executable, tmp_path / "slow.py", REPOSITORY])
    while len(workers := parent.children()) < 3:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
