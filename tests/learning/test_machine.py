"""What is told of the load; the GPU's part with PyTorch's answers given, as there need not be one."""

import time

import pytest
import torch

from depixel.learning import machine
from depixel.learning.machine import Machine


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_load_of_the_cpu_is_that_since_the_last_one(tmp_path):
    watched = Machine("cpu", tmp_path)
    watched.look()
    busy(0.3)
    load = watched.load()
    assert load.cpu_percent > 0 and 0 < load.ram_percent <= 100 and 0 <= load.disk_percent <= 100
    assert load.gpu_percent is load.gpu_memory_percent is None


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that is busy by these percents, one after the other, with 3 of 4 GB in use."""
    percents = [10, 30, 80]
    monkeypatch.setattr(torch.cuda, "utilization", lambda: percents.pop(0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 4 * 10**9))
    return percents


def test_the_load_of_a_gpu_is_the_mean_of_its_samples(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "EVERY", 0)
    watched = Machine("cuda", tmp_path)
    watched.look()
    watched.look()
    assert watched.load()[3:] == (20, 75)
    watched.look()
    assert watched.load()[3:] == (80, 75)
    assert watched.load()[3:] == (None, 75)


def test_a_gpu_is_asked_once_in_a_while(gpu, tmp_path):
    watched = Machine("cuda", tmp_path)
    for _ in range(100):
        watched.look()
    assert watched.load().gpu_percent == 10 and gpu == [30, 80]


def test_without_nvml_the_utilization_is_unknown_and_not_asked_for_again(gpu, tmp_path, monkeypatch):
    asked = []

    def fails():
        asked.append(1)
        raise ModuleNotFoundError("pynvml does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", fails)
    watched = Machine("cuda", tmp_path)
    watched.look()
    watched.look()
    assert watched.load()[3:] == (None, 75) and len(asked) == 1
