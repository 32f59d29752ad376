import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.dataset.samples import Photos
from depixel.learning import loss, training
from depixel.learning.checkpoints import RUNS_KEPT
from depixel.learning.state import Epoch
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from depixel.model import networks
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.model.pixelation import PixelationSettings, photo_ids
from depixel.model.predictor import Predictor

pytestmark = pytest.mark.usefixtures("one_thread")
PIXELATION = PixelationSettings(width=(4, 8), height=(4, 8), block_size=(3, 5))
TINY = {
    "width": 4,
    "epochs": 2,
    "batch_size": 4,
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
    "learning_rate": 3e-3,
}


def photos(count, side="train"):
    """Smooth pictures of 24 x 24 pixels."""
    random = np.random.default_rng(len(side))
    coarse = [Image.fromarray(image) for image in random.integers(0, 256, (count, 5, 5), dtype=np.uint8)]
    images = np.stack([np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)) for image in coarse])
    ids = photo_ids([f"{side}/{i}.jpg" for i in range(count)])
    return Photos(images, np.arange(count), ids)


@pytest.fixture
def run(tmp_path):
    """Make a run: `run(settings...)`; 10 photos to train on, 5 to validate; a checkpoint after each step."""

    def make(train=None, validation=None, pixelation=PIXELATION, every=0, teacher=None, init=None, **settings):
        train, validation = train or photos(10), validation or photos(5, side="validation")
        settings = TrainSettings(**TINY | settings)
        return Run(Task(settings, pixelation, train, validation, init, teacher), tmp_path / "runs", every)

    return make


def state(run):
    """All that a run's future depends on, and its result."""
    weights = {f"network {k}": v for k, v in run.network.state_dict().items()}
    weights |= {f"best {k}": v for k, v in run.best.items()}
    return {name: weight.clone() for name, weight in weights.items()}


def differing(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


# The loop


@pytest.mark.parametrize("network", networks.names())
def test_it_learns_a_few_photos_by_heart(run, network):
    learned = run(network=network, width=8, overfit=4, epochs=120, learning_rate=1e-2)
    table = list(learned.epochs())
    samples = learned.samples
    assert len(samples.targets) == 4
    identity = [
        p[y : y + h, x : x + w].ravel() for p, (x, y, w, h, _) in zip(samples.pixelated, samples.areas, strict=True)
    ]
    assert learned.best_epoch.validation_rmse_mean < 0.4 * rmse_mean(identity, samples.targets)
    assert table[-1].train_rmse < 0.4 * rmse_pooled(identity, samples.targets)


def test_the_table(run):
    settings = {"epochs": 3, "batch_size": 4}
    trained, errors = run(**settings), []
    table = list(trained.epochs(lambda step: errors.append((step, trained.train_rmse()))))
    assert [row.epoch for row in table] == [1, 2, 3]
    assert trained.table == table
    assert [step for step, _ in errors] == list(range(1, 10))  # 10 photos are 3 steps of up to 4
    for k, row in enumerate(table):
        of_epoch = [rmse for _, rmse in errors[3 * k : 3 * k + 3]]  # each of all steps of the epoch so far
        assert row.train_rmse == of_epoch[-1] != of_epoch[0]
        assert row.learning_rate == trained.learning_rate(3 * k + 2)
    predictions = trained.predictor().predict(trained.samples.pixelated, trained.samples.areas)
    best = trained.best_epoch
    assert best == min(table, key=lambda row: row.validation_rmse_mean)
    assert rmse_mean(predictions, trained.samples.targets) == pytest.approx(best.validation_rmse_mean, abs=0.02)
    assert rmse_pooled(predictions, trained.samples.targets) == pytest.approx(best.validation_rmse_pooled, abs=0.02)


def test_a_part_of_an_epoch(run):
    """10 photos are 3 steps: 1.3 epochs are 4 steps, and the learning rate ends with them."""
    trained, steps = run(epochs=1.3, warmup=0), []
    assert [row.epoch for row in trained.epochs(lambda step: steps.append(step))] == [1, 2]
    assert steps == [1, 2, 3, 4] and trained.finished and trained.learning_rate(4) == 0


def test_the_best_epoch_is_kept(run, monkeypatch):
    scores = iter([5.0, 3.0, 4.0, 6.0])
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    trained, weights = run(epochs=4), []
    for _ in trained.epochs():
        weights.append({name: weight.clone() for name, weight in trained.network.state_dict().items()})
    assert trained.best_epoch.epoch == 2
    assert differing(trained.best, weights[1]) == []
    assert differing(trained.best, weights[3]) != []
    assert differing(dict(trained.predictor().network.state_dict()), weights[1]) == []


def test_every_weight_goes_on_moving_after_a_validation(run):
    """Also those that have more than one layout, as the 1 x 1 convolutions of a network of width 1."""
    trained, weights = run(width=1, epochs=3), []
    for _ in trained.epochs():
        weights.append({name: weight.clone() for name, weight in trained.network.named_parameters()})
    moved = set(differing(weights[1], weights[2]))
    assert {name for name, weight in weights[2].items() if weight.ndim == 4} <= moved


def test_it_starts_from_the_model_it_is_given(run, tmp_path):
    first = run(epochs=3)
    list(first.epochs())
    first.predictor().save(tmp_path / "first.safetensors")
    given = Predictor.load(tmp_path / "first.safetensors", "cpu")
    started = run(epochs=3, init=given)
    assert differing(dict(started.network.state_dict()), dict(given.network.state_dict())) == []
    assert started.configuration.init == given.digest()
    assert started.fingerprint != first.fingerprint
    assert first.configuration.init == ""


def test_threads_change_the_last_digits_at_most(run):
    settings = {"threads": 2, "optimizer": "sgd", "learning_rate": 1e-3}
    once, again, alone = run(**settings), run(**settings), run(**settings | {"threads": 1})
    assert list(once.epochs()) == list(again.epochs())
    assert differing(state(once), state(again)) == []
    list(alone.epochs())
    for one, other in zip(once.network.parameters(), alone.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_statistics_of_a_normalisation_are_kept(run, monkeypatch):
    def build(*arguments):
        network = networks.BasicCNN(4, 0.0)
        network.out = torch.nn.Sequential(torch.nn.BatchNorm2d(4), network.out)
        return network

    monkeypatch.setattr(networks, "build", build)
    trained = run(network="basic_cnn", epochs=1)
    list(trained.epochs())
    kept = trained.predictor().network.out[0]
    assert torch.equal(kept.running_mean, trained.network.out[0].running_mean) and kept.running_mean.any()


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (2, 4), (1, 3)])
def test_patience(run, monkeypatch, patience, epochs):
    scores = iter([5.0, 3.0, 4.0, 4.0, 2.0, 1.0])
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    assert len(list(run(epochs=6, patience=patience).epochs())) == epochs


def test_every_photo_is_seen_once_an_epoch(run, monkeypatch):
    seen = []
    draw = training.training_batch

    def watched(photos, chosen, settings, stream, *rest):
        seen.append((stream, chosen.tolist()))
        return draw(photos, chosen, settings, stream, *rest)

    monkeypatch.setattr(training, "training_batch", watched)
    list(run(batch_size=4, epochs=2).epochs())
    for epoch in (seen[:3], seen[3:]):
        assert sorted(len(chosen) for _, chosen in epoch) == [2, 4, 4]
    first, second = ([photo for _, chosen in seen[k : k + 3] for photo in chosen] for k in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert len({stream for stream, _ in seen}) == 2  # other areas in every epoch


def test_the_same_settings_give_the_same_weights_and_others_other(run):
    def trained(**settings):
        one = run(**{"dropout": 0.2} | settings)
        list(one.epochs())
        return state(one)

    reference = trained()
    assert differing(trained(), reference) == []
    for change in (
        {"seed": 1},
        {"flip": False},
        {"gradient_clip": 0.01},
        {"dropout": 0},
    ):
        assert differing(trained(**change), reference) != [], change


@pytest.mark.parametrize(
    ("network", "precision"), [("basic_cnn", "float32"), ("basic_cnn", "bfloat16"), ("unet", "bfloat16")]
)
def test_networks_and_precisions(run, network, precision):
    trained = run(network=network, precision=precision)
    before = state(trained)
    assert all(math.isfinite(value) for row in trained.epochs() for value in row)
    assert set(differing(state(trained), before)) >= {
        f"network {name}" for name, _ in trained.network.named_parameters()
    }
    assert trained.predictor().configuration.precision == precision


def test_the_configuration_says_what_was_trained(run):
    configuration = run(network="basic_cnn", width=5, dropout=0.25).configuration
    assert (configuration.network, configuration.width, configuration.dropout) == ("basic_cnn", 5, 0.25)
    assert (configuration.size, configuration.block_size) == (24, (3, 5))
    assert configuration.area_width == configuration.area_height == (4, 8)


def test_results_can_be_saved_and_loaded(run, tmp_path):
    trained = run()
    list(trained.epochs())
    trained.predictor().save(tmp_path / "model.safetensors")
    loaded = Predictor.load(tmp_path / "model.safetensors", "cpu")
    samples = trained.samples
    assert rmse_mean(loaded.predict(samples.pixelated, samples.areas), samples.targets) == pytest.approx(
        trained.best_epoch.validation_rmse_mean, abs=0.05
    )


# Optimizer, learning rate


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_optimizers(run, name, kind):
    trained = run(optimizer=name, epochs=1)
    assert type(trained.optimizer) is kind
    (group,) = trained.optimizer.param_groups
    assert group.get("momentum", 0.9) == 0.9
    assert len(group["params"]) == len(list(trained.network.parameters()))
    before = state(trained)
    list(trained.epochs())
    assert "network out.weight" in differing(state(trained), before)


def test_the_learning_rate_of_the_schedules(run):
    def rates(**settings):
        one = run(train=photos(40), batch_size=4, epochs=10, learning_rate=0.01, **settings)  # 100 steps
        return np.array([one.learning_rate(step) for step in range(100)])

    for schedule in ("cosine", "linear", "constant"):
        warm = rates(schedule=schedule, warmup=0.2)
        np.testing.assert_allclose(warm[:20], 0.01 * np.arange(1, 21) / 21)
        assert warm[20] == warm.max() == pytest.approx(0.01)
    np.testing.assert_allclose(rates(schedule="constant", warmup=0), 0.01)
    np.testing.assert_allclose(rates(schedule="linear", warmup=0), 0.01 * (1 - np.arange(100) / 100))
    np.testing.assert_allclose(
        rates(schedule="cosine", warmup=0), 0.005 * (1 + np.cos(np.pi * np.arange(100) / 100)), atol=1e-12
    )


def test_the_learning_rate_is_used(run):
    trained, used = run(epochs=2, warmup=0.5), []
    list(trained.epochs(lambda step: used.append(trained.optimizer.param_groups[0]["lr"])))
    assert used == [trained.learning_rate(step) for step in range(6)]
    assert len(set(used)) > 3


def test_gradients_are_clipped(run):
    """With SGD without momentum's past, the first step is at most learning rate x norm long."""

    def length(clip):
        trained = run(optimizer="sgd", gradient_clip=clip, batch_size=10, epochs=1, warmup=0)
        before = torch.cat([p.detach().flatten() for p in trained.network.parameters()])
        list(trained.epochs())
        after = torch.cat([p.detach().flatten() for p in trained.network.parameters()])
        return (after - before).norm().item() / trained.task.settings.learning_rate

    assert length(1e-2) == pytest.approx(1e-2, rel=0.05)
    assert length(0) > 1


@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd"])
@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_uncertainty_changes_no_prediction(run, optimizer, clip):
    sure, unsure = (
        run(optimizer=optimizer, gradient_clip=clip, uncertainty=uncertainty) for uncertainty in (False, True)
    )
    tables = [list(one.epochs()) for one in (sure, unsure)]
    assert tables[0] == tables[1]
    added = {name for name in state(unsure) if "spread." in name}
    assert added and not differing(state(sure), {k: v for k, v in state(unsure).items() if k not in added})
    fresh = run(optimizer=optimizer, gradient_clip=clip, uncertainty=True)
    spread, before = unsure.network.spread.state_dict(), fresh.network.spread.state_dict()
    assert all(not torch.equal(spread[name], before[name]) for name in spread)


def test_it_learns_how_far_off_it_is(run, monkeypatch):
    monkeypatch.setattr(networks.Spread, "START", 3.0)  # far too much
    sides = photos(16), photos(16, side="validation")
    for side in sides:
        side.images[::2] = 90  # nothing to restore in these
    learned = run(*sides, uncertainty=True, epochs=200, learning_rate=1e-2)
    list(learned.epochs())
    samples = learned.samples
    last = Predictor(learned.network, learned.configuration, "cpu")  # in the best epoch it may have learnt less of it
    predictions, expected = last.predict_with_errors(samples.pixelated, samples.areas)
    expected = [float(np.sqrt(np.square(size).mean())) for size in expected]
    observed = [
        float(np.sqrt(np.square(p - t.astype(float)).mean())) for p, t in zip(predictions, samples.targets, strict=True)
    ]
    assert max(expected[::2]) < 0.5 * np.mean(expected[1::2])
    assert np.mean(expected[1::2]) == pytest.approx(np.mean(observed[1::2]), rel=0.3)


@pytest.fixture
def teacher(run):
    """A model that knows something, and of another kind than the run's."""
    known = run(epochs=30, network="basic_cnn", width=8)
    list(known.epochs())
    return known.predictor()


def test_a_taught_model_comes_closer_to_its_teacher_than_to_the_truth(run, teacher):
    predicted = {}
    for name in ("taught", "alone"):
        one = run(epochs=24, teacher=teacher if name == "taught" else None)
        list(one.epochs())
        predicted[name] = np.concatenate(one.predictions).astype(float)
        assert one.configuration.teacher == (teacher.digest() if name == "taught" else "")
    wanted = np.concatenate(teacher.predict(one.samples.pixelated, one.samples.areas))
    taught, alone = (np.square(predicted[name] - wanted).mean() for name in ("taught", "alone"))
    assert taught < 0.8 * alone


@pytest.mark.parametrize("right", [True, False])
def test_what_a_taught_model_learns_from(run, teacher, monkeypatch, right):
    """From a teacher that knows the truth, the same as from the truth; else something else."""
    truths = []
    draw = loss.cut_windows

    def watched(*arguments):
        windows, within = draw(*arguments)
        truths.append(windows)
        return windows, within

    monkeypatch.setattr(loss, "cut_windows", watched)
    alone, taught = run(epochs=1, every=1000), run(epochs=1, every=1000, teacher=teacher)
    if right:
        monkeypatch.setattr(taught.loss, "_taught", lambda *_: truths[-1])
    list(alone.epochs())
    list(taught.epochs())
    assert (differing(state(alone), state(taught)) == []) == right
    assert not right or alone.table == taught.table


def test_a_teacher_is_asked_once_for_samples_that_are_shown_four_times(run, teacher, monkeypatch):
    asked, seen = [], []
    draw, ask = training.training_batch, teacher.network.forward
    monkeypatch.setattr(teacher.network, "forward", lambda *batch: asked.append(1) or ask(*batch))

    def watched(photos, chosen, settings, stream, *rest):
        seen.append((stream, chosen.tolist()))
        return draw(photos, chosen, settings, stream, *rest)

    monkeypatch.setattr(training, "training_batch", watched)
    list(run(epochs=9, teacher=teacher).epochs())
    assert len(asked) == 9 and len(seen) == 27  # 3 batches, of epochs 1 to 4, 5 to 8, and 9
    assert [seen[3 * i : 3 * i + 3] for i in range(4)] == [seen[:3]] * 4
    assert [seen[3 * i : 3 * i + 3] for i in range(4, 8)] == [seen[12:15]] * 4
    assert len({str(seen[i]) for i in (0, 12, 24)}) == 3


def test_what_is_shown_to_learn_at_all_is_not_taught(run, teacher):
    alone, taught = run(epochs=2, overfit=4, every=1000), run(epochs=2, overfit=4, every=1000, teacher=teacher)
    list(alone.epochs())
    list(taught.epochs())
    assert differing(state(alone), state(taught)) == [] and taught.configuration.teacher == ""


@pytest.mark.parametrize("unsure", ["teacher", "taught"])
def test_how_far_off_it_is_is_learnt_from_the_truth(run, unsure):
    known = run(epochs=30, network="basic_cnn", width=8, uncertainty=unsure == "teacher")
    list(known.epochs())
    taught = run(epochs=1, every=1000, teacher=known.predictor(), uncertainty=unsure == "taught")
    plain = run(epochs=1, every=1000, teacher=known.predictor())
    list(taught.epochs())
    list(plain.epochs())
    weights = taught.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in plain.network.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 64}, r"photos of 64 pixels, and these have 24: set prepare.size: 64"),
        ({"area_width": (4, 7)}, r"pixelation.width = \[4, 8\], and train.teacher was trained for \[4, 7\]"),
        ({"area_height": (5, 8)}, r"pixelation.height = \[4, 8\]"),
        ({"block_size": (3, 4)}, r"pixelation.block_size = \[3, 5\]"),
    ],
)
def test_a_teacher_of_other_samples_is_refused(run, teacher, changes, told):
    other = Predictor(teacher.network, teacher.configuration.model_copy(update=changes), "cpu")
    with pytest.raises(DepixelError, match=told):
        run(teacher=other)
    wider = {"area_width": (2, 32), "area_height": (2, 32), "block_size": (2, 16)}
    run(teacher=Predictor(teacher.network, teacher.configuration.model_copy(update=wider), "cpu"))


@pytest.mark.parametrize("stop", [1, 5, 12, 14])
def test_a_taught_run_goes_on_as_if_it_had_not_stopped(run, teacher, stop):
    train(run(epochs=6, teacher=teacher), until=stop + 1)
    resumed = run(epochs=6, teacher=teacher)
    assert resumed.resume() == [] and resumed.step == stop
    train(resumed)
    whole = run(epochs=6, teacher=teacher)
    train(whole)
    assert differing(state(resumed), state(whole)) == [] and resumed.table == whole.table
    other = run(epochs=6)
    assert other.resume() == [] and other.step == 0  # without its teacher it is another run


def test_the_least_surprising_expectation_is_the_mean_square():
    errors = torch.tensor([0.0, 0.0, 0.0, 8.0])  # far from normal
    expected = [float(loss.surprise(errors, torch.full((4,), size))) for size in (3.0, 3.9, 4.0, 4.1, 5.0)]
    assert min(expected) == expected[2]


def test_a_model_without_uncertainty_can_start_one_with_it_and_the_other_way_round(run):
    for before in (False, True):
        first = run(uncertainty=before)
        list(first.epochs())
        second = run(uncertainty=not before, init=first.predictor())
        shared = [name for name in second.network.state_dict() if "spread." not in name]
        assert all(torch.equal(second.network.state_dict()[name], first.best[name]) for name in shared)


def test_a_diverging_run_says_what_helps(run):
    settings = {"network": "basic_cnn", "optimizer": "sgd", "learning_rate": 1e12, "gradient_clip": 0, "warmup": 0}
    diverging = run(epochs=20, every=1000, **settings)
    told = r"step \d+: .*no longer a number.*train.learning_rate than 1e\+12.*gradient_clip"
    with pytest.raises(DepixelError, match=told):
        list(diverging.epochs())
    assert not diverging.checkpoints.folder.exists()


@pytest.mark.parametrize("number", range(4))
def test_a_run_that_has_diverged_is_not_saved(run, number):
    """Whatever of it is no longer a number: errors, loss or gradient."""
    ended = run(every=1000)

    def on_step(step):
        ended.sums[number] = torch.nan
        ended.stop = True

    with pytest.raises(DepixelError, match="diverged"):
        list(ended.epochs(on_step))
    assert not ended.checkpoints.folder.exists()


# Checkpoints


def train(run, until=None, on_checkpoint=lambda: None):
    """Train to the end, or end abruptly in this step, before its checkpoint."""

    def on_step(step):
        if step == until:
            raise KeyboardInterrupt

    try:
        return list(run.epochs(on_step, on_checkpoint))
    except KeyboardInterrupt:
        return None


@pytest.mark.parametrize("stop", [1, 3, 5, 7])
@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd"])
def test_a_resumed_run_ends_as_if_it_had_not_stopped(run, stop, optimizer):
    settings = {"epochs": 3, "dropout": 0.2, "optimizer": optimizer}  # 9 steps; dropout draws random numbers
    train(run(**settings), until=stop + 1)
    torch.manual_seed(99)
    resumed = run(**settings)
    assert resumed.resume() == [] and resumed.step == stop
    steps = []
    rows = list(resumed.epochs(lambda step: steps.append(step)))
    assert steps == list(range(stop + 1, 10))

    whole = run(**settings)
    table = train(whole)
    assert resumed.table == table and rows == table[stop // 3 :]
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
def test_a_run_that_is_told_to_stop_saves_and_ends(run, step):
    stopped = run(every=1000)

    def on_step(done):
        stopped.stop = done >= step

    rows = list(stopped.epochs(on_step))
    assert stopped.step == step and len(rows) == step // 3
    resumed = run(every=1000)
    assert resumed.resume() == [] and resumed.step == step
    assert resumed.finished == (step == 6)
    train(resumed)
    whole = run()
    train(whole)
    assert differing(state(resumed), state(whole)) == []


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


# Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network: resnet", r"train.network = 'resnet': .*basic_cnn, unet"),
        ("epochs: 0", "train.epochs = 0: .*greater than 0"),
        ("optimizer: lion", "train.optimizer = 'lion': .*muon.*adam.*sgd"),
        ("learning_rate: fast", "train.learning_rate = 'fast': .*number"),
        ("learning_rate: .inf", "train.learning_rate = inf: .*finite"),
        ("learning_rate: 0", "train.learning_rate = 0: .*greater than 0"),
        ("dropout: 1", "train.dropout = 1: .*less than 1"),
        ("rate: 1", "unknown key train.rate; train has network, width"),
    ],
)
def test_settings_are_checked(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(f"train: {{{text}}}", encoding="utf-8")
    with pytest.raises(DepixelError, match=expected):
        read_section(tmp_path / "params.yaml", "train", TrainSettings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none(run):
    with pytest.raises(DepixelError, match=r"train.device = 'cuda'.*use auto or cpu"):
        run(device="cuda")


def test_images_smaller_than_the_areas(run):
    with pytest.raises(DepixelError, match=r"pixelation.width.*24 x 24.*prepare.size"):
        run(pixelation=PixelationSettings(width=(25, 32)))
