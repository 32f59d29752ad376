"""A training that several processes share. Here they are threads; tests/pipeline/test_processes.py starts real ones."""

import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.learning import processes
from depixel.learning.loss import Loss
from depixel.learning.state import State
from tests.learning.conftest import differing, made, state, train
from tests.learning.test_choices import AUGMENTED
from tests.learning.together import SEEDED, together

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def seeded(monkeypatch):
    begin = State.__init__

    def alone(*arguments):
        with SEEDED:
            begin(*arguments)

    monkeypatch.setattr(State, "__init__", alone)


CHOICES = [
    {},
    {"dropout": 0.2, "uncertainty": True, "optimizer": "muon"},
    {"normalization": "batch", "ema": 0.7, "dropout": 0.2, "schedule": "plateau"},
    {"balance": "contributor", "balance_by": "loss", "gradient_clip": 0.01},
    {"augment": AUGMENTED, "balance": "kind", "loss": "ssim_mse"},
    {"network": "basic_cnn", "normalization": "group", "optimizer": "adamw", "weight_decay": 0.1},
    {"teacher": True, "epochs": 6},
    {"init": True, "freeze": (0, 5), "unfreeze_after": 1},
    {"overfit": 3, "patience": 1},
]


def test_two_processes_give_the_bits_of_one(tmp_path):
    settings = {"epochs": 1, "dropout": 0.2, "uncertainty": True}
    one = made(tmp_path / "alone", **settings)
    table = train(one)

    def trained(several):
        run = made(tmp_path / "together", processes=several, **settings)
        return train(run), state(run)

    for found, weights in together(2, trained):
        assert found == table and differing(weights, state(one)) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: " ".join(choice) or "defaults")
def test_the_number_of_processes_changes_no_bit(tmp_path, teacher, choice, count):
    """10 photos in batches of 4 and shards of 1: the last batch has fewer shards than there are processes."""
    settings = {"shards": 4, "epochs": 3, **choice}
    if choice.get("teacher"):
        settings["teacher"] = teacher
    if choice.get("init"):
        settings["init"] = made(tmp_path / "known").predictor()
    one = made(tmp_path / "alone", **settings)
    table = train(one)

    def trained(several):
        run = made(tmp_path / "together", processes=several, **settings)
        return train(run), state(run), run

    results = together(count, trained)
    for found, weights, run in results:
        assert found == table and differing(weights, state(one)) == [] and run.fingerprint == one.fingerprint
    assert [len(run.predictions) for *_, run in results] == [len(one.predictions)] + [0] * (count - 1)


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(2, 4), (4, 1), (1, 2)])
def test_another_number_of_processes_resumes(tmp_path, counts):
    """Stopped in the fifth step, by the last process alone."""
    settings = {"shards": 4, "epochs": 3, "dropout": 0.2, "ema": 0.7, "normalization": "batch"}
    whole = made(tmp_path / "whole", **settings)
    table = train(whole)

    def stopped(several):
        run = made(tmp_path / "runs", processes=several, **settings)

        def on_step(step):
            run.stop = step == 5 and several.rank == counts[0] - 1

        assert len(list(run.epochs(on_step))) == 1 and run.stopped
        return run.step

    def resumed(several):
        run = made(tmp_path / "runs", processes=several, **settings)
        assert run.resume() == [] and run.step == 5
        return train(run), run.table, state(run)

    assert together(counts[0], stopped) == [5] * counts[0]
    for rows, found, weights in together(counts[1], resumed):
        assert found == table and len(rows) == 2 and differing(weights, state(whole)) == []


def test_one_error_ends_all_and_the_first_process_tells_it(tmp_path):
    def trained(several):
        def full():
            raise DepixelError("the disk is full")

        train(made(tmp_path / "runs", every=0, processes=several), on_checkpoint=full)

    first, second = together(2, trained)
    assert isinstance(first, DepixelError) and str(first) == "the disk is full"
    assert isinstance(second, SystemExit) and second.code == 1


def test_a_process_that_ends_is_noticed_by_the_others(tmp_path):
    def trained(several):
        run = made(tmp_path / "runs", processes=several)
        for step, _ in enumerate(run.batches(0, 0, 3)):
            if step == 1 and several.rank == 1:
                return None  # its connections close
            several.most(step)
        return None

    first, _ = together(2, trained, wait=3)
    assert isinstance(first, DepixelError) and "other processes of this training cannot be reached" in str(first)


def test_what_differs_is_told_by_name():
    def compared(several):
        several.hosts = [f"node{rank}" for rank in range(3)]
        several.agree(lambda: {"code": "1", "data/split.csv": str(several.rank // 2), "params.yaml": "3"})

    first, *others = together(3, compared)
    told = "process 2 on node2 has other inputs than process 0 on node0: data/split.csv. Nothing was"
    assert isinstance(first, DepixelError) and told in str(first)
    assert isinstance(others[1], SystemExit)
    assert together(2, lambda several: several.agree(lambda: {"code": "1"})) == [None, None]


def test_values_of_all_processes_are_shared():
    def shared(several):
        value = {"rank": several.rank, "all": torch.arange(3 * several.rank)}
        return several.gathered(value), several.most(several.rank), several.first(lambda: (several.rank, torch.ones(2)))

    for gathered, most, first in together(3, shared):
        assert [one["rank"] for one in gathered] == [0, 1, 2] and most == 2
        assert [len(one["all"]) for one in gathered] == [0, 3, 6]
        assert first[0] == 0 and torch.equal(first[1], torch.ones(2))


def test_without_torchrun_a_process_is_alone():
    with processes.joined("cpu", shards=1) as alone:
        assert alone is processes.ALONE and not alone.orphaned
        assert (alone.first(lambda: 3), alone.most(2), alone.gathered("a")) == (3, 2, ["a"])
    assert processes.described(["a"]) == "1 process"
    assert processes.described(["a", "b", "a"]) == "3 processes on a (2), b (1)"


def test_there_are_no_more_processes_than_shards(monkeypatch):
    variables = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "3"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for rank, kind in ((0, DepixelError), (1, SystemExit)):
        monkeypatch.setenv("RANK", str(rank))
        with pytest.raises(kind), processes.joined("cpu", shards=2):
            pass


def test_several_gpus_cut_a_batch_and_one_does_not(run, monkeypatch):
    one = run(shards=3)
    truth, areas = torch.zeros(6, 1, 24, 24), torch.tensor([[0, 0, 8, 8, 4]] * 6)
    monkeypatch.setattr(one.task, "device", "meta")  # any device but the CPU
    counts = [
        len(Loss(one.task, one.network, alone=alone).shards(truth.to("meta"), areas, 0, "a")) for alone in (True, False)
    ]
    assert counts == [1, 3]
