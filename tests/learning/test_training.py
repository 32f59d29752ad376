import math

import numpy as np
import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.learning import training
from depixel.model import networks, threads
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.model.predictor import Predictor
from tests.learning.conftest import differing, photos, state

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_shards_change_the_last_digits_at_most(run):
    settings = {"shards": 2, "optimizer": "sgd", "learning_rate": 1e-3}
    once, again, alone = run(**settings), run(**settings), run(**settings | {"shards": 1})
    assert list(once.epochs()) == list(again.epochs())
    assert differing(state(once), state(again)) == []
    list(alone.epochs())
    assert differing(state(once), state(alone)) != []
    for one, other in zip(once.network.parameters(), alone.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shards", [2, 4, 7])
def test_the_number_of_cores_changes_nothing(run, monkeypatch, shards):
    """Of a batch of 4 photos; with all that is drawn or remembered by shard."""

    def trained(cores):
        monkeypatch.setattr(threads, "cores", lambda: cores)
        threads._pool.cache_clear()
        one = run(shards=shards, dropout=0.2, uncertainty=True)
        table = list(one.epochs())
        return table, state(one), one.predictions

    one, *others = (trained(cores) for cores in (1, 2, 4))
    threads._pool.cache_clear()
    for other in others:
        assert other[0] == one[0] and differing(other[1], one[1]) == []
        assert all(np.array_equal(*both) for both in zip(one[2], other[2], strict=True))


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
    trained = run(network=network, precision=precision, arithmetic="native")
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


def test_a_diverging_run_says_what_helps(run):
    settings = {"network": "basic_cnn", "optimizer": "sgd", "learning_rate": 1e12, "gradient_clip": 0, "warmup": 0}
    diverging = run(epochs=20, every=1000, **settings)
    told = r"step \d+: .*the loss is NaN or infinite.*train.learning_rate than 1e\+12.*gradient_clip"
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
