import os
import pickle
from functools import cache, partial
from pathlib import Path

import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.dataset.samples import Photos
from depixel.learning import training
from depixel.learning.checkpoints import RUNS_KEPT
from depixel.learning.state import Epoch
from depixel.model.pixelation import PixelationSettings
from tests.learning.conftest import differing, made, photos, state, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path):
    """Make a run with a checkpoint after each step."""
    return partial(made, tmp_path / "runs", every=0)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Make a run and train it to its end without a stop: each only once."""

    @cache
    def trained(**settings):
        whole = made(tmp_path_factory.mktemp("whole"), every=0, **settings)
        train(whole)
        return whole

    return trained


@pytest.mark.parametrize("stop", [1, 3, 5, 7])
@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd"])
def test_a_resumed_run_ends_as_if_it_had_not_stopped(run, uninterrupted, stop, optimizer):
    settings = {"epochs": 3, "dropout": 0.2, "optimizer": optimizer}  # 9 steps; dropout draws random numbers
    train(run(**settings), until=stop + 1)
    torch.manual_seed(99)
    resumed = run(**settings)
    assert resumed.resume() == [] and resumed.step == stop
    steps = []
    rows = list(resumed.epochs(lambda step: steps.append(step)))
    assert steps == list(range(stop + 1, 10))

    whole = uninterrupted(**settings)
    table = whole.table
    assert len(table) == 3 and resumed.table == table and rows == table[stop // 3 :]
    assert all(isinstance(row, Epoch) for row in resumed.table)
    assert differing(state(resumed), state(whole)) == []


def test_until_the_time_has_come_only_a_finished_run_is_saved(run):
    train(run(every=1000, epochs=3), until=9)  # two epochs and more
    unsaved = run(every=1000, epochs=3)
    assert unsaved.resume() == [] and unsaved.step == 0 and not unsaved.checkpoints.folder.exists()
    train(unsaved)
    again = run(every=1000, epochs=3)
    assert again.resume() == [] and again.finished
    assert [path.name for path in again.checkpoints.folder.iterdir()] == ["last.pt"]


def test_checkpoints_are_written_when_the_time_has_come(run, monkeypatch):
    clock = iter(range(0, 1000, 10))  # seconds: every look at the clock is 10 s later
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    saved = []
    watched = run(every=30, epochs=3)
    train(watched, on_checkpoint=lambda: saved.append(watched.step))
    assert saved == [3, 6, 9]


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_run_that_is_told_to_stop_saves_and_ends(run, uninterrupted, step):
    stopped = run(every=1000)

    def on_step(done):
        stopped.stop = done >= step

    rows = list(stopped.epochs(on_step))
    assert stopped.step == step and len(rows) == step // 3
    resumed = run(every=1000)
    assert resumed.resume() == [] and resumed.step == step
    assert resumed.finished == (step == 6)
    train(resumed)
    assert differing(state(resumed), state(uninterrupted())) == []


def test_a_run_told_to_stop_between_epochs_does_one_more_step(run):
    stopped = run(every=1000)
    for _ in stopped.epochs():
        stopped.stop = True
    assert stopped.step == 4
    resumed = run()
    assert resumed.resume() == [] and resumed.step == 4


def test_no_checkpoint_of_a_run_whose_inputs_have_changed(run):
    looks = []

    def check():
        looks.append(0)
        if len(looks) == 3:
            raise DepixelError("photos: changed")

    with pytest.raises(DepixelError, match="photos: changed"):
        train(run(), on_checkpoint=check)
    resumed = run()
    resumed.resume()
    assert resumed.step == 2


def test_a_finished_run_only_gives_its_result(run, monkeypatch):
    scores = iter([3.0, 4.0])  # the first epoch is the best, so that the result is not the last weights
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    whole = run()
    table = train(whole)
    again = run()
    assert not again.finished
    assert again.resume() == [] and again.finished and again.step == 6
    assert train(again) == []
    assert again.table == table
    assert differing(state(again), state(whole)) == []


def test_patience_counts_on_after_a_resume(run, monkeypatch):
    scores = iter([3.0, 4.0, 5.0, 2.0])
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    settings = {"epochs": 6, "patience": 2}
    for _ in run(**settings).epochs():
        break
    resumed = run(**settings)
    assert resumed.resume() == [] and resumed.step == 3
    assert [row.epoch for row in resumed.epochs()] == [2, 3]
    assert resumed.finished
    again = run(**settings)
    assert again.resume() == [] and again.finished and again.step == 9


# Damage


def damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "nothing": b"",
            "cut off": content[:-1],
            "a page of zeros": content[:middle] + bytes(4096) + content[middle + 4096 :],
            "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "a pickle": pickle.dumps(Path(), 2),
        }[how]
    )


@pytest.mark.parametrize("how", ["nothing", "cut off", "a page of zeros", "one bit", "a pickle"])
def test_of_a_damaged_checkpoint_the_one_before_is_taken(run, how):
    train(run(), until=5)
    resumed = run()
    assert resumed.checkpoints.last.stat().st_size > 20000
    damage(resumed.checkpoints.last, how)
    assert resumed.resume() == [resumed.checkpoints.last] and resumed.step == 3
    train(resumed, until=5)  # the next checkpoint, of step 4, pushes out none that is good
    damage(resumed.checkpoints.last, how)
    again = run()
    assert again.resume() == [again.checkpoints.last] and again.step == 3
    assert train(again) == train(run())[1:]


def test_with_all_checkpoints_damaged_a_run_starts_from_the_beginning(run):
    train(run(), until=5)
    resumed = run()
    fresh = state(resumed)
    damage(resumed.checkpoints.last, "cut off")
    damage(resumed.checkpoints.previous, "nothing")
    assert resumed.resume() == [resumed.checkpoints.last, resumed.checkpoints.previous]
    assert differing(state(resumed), fresh) == [] and resumed.table == [] and resumed.step == 0
    assert run().resume() == []


def test_a_run_killed_between_the_two_renames_has_the_checkpoint_before(run):
    train(run(), until=5)
    resumed = run()
    resumed.checkpoints.last.replace(resumed.checkpoints.previous)
    resumed.checkpoints.last.with_name(".last.pt.new").write_bytes(b"the half of one")
    assert resumed.resume() == [] and resumed.step == 4
    train(resumed)
    assert sorted(path.name for path in resumed.checkpoints.folder.iterdir()) == ["last.pt", "previous.pt"]


def test_the_checkpoint_of_another_run_is_not_taken(run):
    train(run())
    other = run(seed=1)
    other.checkpoints.folder.mkdir()
    run().checkpoints.last.rename(other.checkpoints.last)
    assert other.resume() == [other.checkpoints.last] and other.step == 0


def test_a_folder_that_cannot_be_read_is_told(run, tmp_path):
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    unread = run()
    assert unread.resume() == []
    with pytest.raises(DepixelError, match=r"last.pt: cannot be written"):
        train(unread)
    (tmp_path / "runs").unlink()
    unread.checkpoints.last.mkdir(parents=True)
    with pytest.raises(DepixelError, match=r"last.pt: cannot be read"):
        unread.resume()


# Runs


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"seed": 1},
        {"learning_rate": 1e-3},
        {"flip": False},
        {"pixelation": PixelationSettings(width=(4, 8), height=(4, 8), block_size=(3, 6))},
        {"train": photos(9)},
        {"validation": photos(4, side="validation")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_run_starts_anew_and_leaves_the_first_its_checkpoint(run, change):
    train(run(), until=5)
    other = run(**change)
    assert other.resume() == [] and other.step == 0
    train(other)
    first = run()
    assert first.resume() == [] and first.step == 4


def test_a_changed_photo_makes_another_run(run):
    fingerprint = run().fingerprint
    assert run().fingerprint == fingerprint
    changed = photos(10)
    changed.images[3, 5, 5] ^= 1
    assert run(train=changed).fingerprint != fingerprint


def test_photos_of_the_other_sides_make_no_other_run(run):
    both = photos(10)
    some = Photos(both.images, both.rows[:8], both.ids[:8])
    fingerprint = run(train=some).fingerprint
    both.images[9] = 0
    assert run(train=some).fingerprint == fingerprint


def test_only_the_runs_used_last_keep_their_checkpoints(run, tmp_path):
    runs = [run(seed=seed, epochs=1) for seed in range(5)]
    for age, one in enumerate(runs[:4]):
        train(one)
        os.utime(one.checkpoints.folder, (age, age))
    others = [tmp_path / "runs" / name for name in ("training.pt", "my models", "0123456789ab.zip", "0123456789AB")]
    for other in others:
        other.mkdir()
    assert runs[1].resume() == []  # used again, it is the youngest
    assert runs[4].resume() == []
    train(runs[4])
    assert RUNS_KEPT == 3
    assert [one.checkpoints.folder.exists() for one in runs] == [False, True, False, True, True]
    assert all(other.is_dir() for other in others)


# A teacher


@pytest.mark.parametrize("stop", [1, 5, 12, 14])
def test_a_taught_run_goes_on_as_if_it_had_not_stopped(run, uninterrupted, teacher, stop):
    train(run(epochs=6, teacher=teacher), until=stop + 1)
    resumed = run(epochs=6, teacher=teacher)
    assert resumed.resume() == [] and resumed.step == stop
    train(resumed)
    whole = uninterrupted(epochs=6, teacher=teacher)
    assert differing(state(resumed), state(whole)) == [] and resumed.table == whole.table
    other = run(epochs=6)
    assert other.resume() == [] and other.step == 0  # without its teacher it is another run
