import threading

import pytest
import torch

from depixel.cores import Cores


def test_results_come_in_order():
    assert list(Cores(2).map(lambda n: n * n, range(20))) == [n * n for n in range(20)]


def test_each_thread_uses_one_core_and_the_caller_as_many_as_before():
    before = torch.get_num_threads()
    barrier = threading.Barrier(3)

    def threads(_):
        barrier.wait(timeout=10)  # all three at the same time
        torch.set_num_threads(torch.get_num_threads())
        return torch.get_num_threads(), threading.get_ident()

    counts, names = zip(*Cores(3).map(threads, range(3)), strict=True)
    assert counts == (1, 1, 1)
    assert len(set(names)) == 3 and threading.get_ident() not in names
    assert torch.get_num_threads() == before


def test_threads_that_begin_later_have_the_number_of_the_caller():
    before, found = torch.get_num_threads(), []
    list(Cores(2).map(lambda n: n, range(4)))
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [before]


def test_one_core_is_the_calling_thread():
    assert list(Cores(1).map(lambda _: threading.get_ident(), [0])) == [threading.get_ident()]


def test_an_error_is_passed_on():
    def fail(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(Cores(2).map(fail, [1]))
