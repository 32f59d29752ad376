import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from depixel import networks, training
from depixel.batches import NO_IMAGES, Photos
from depixel.errors import DepixelError
from depixel.metrics import rmse_mean, rmse_pooled
from depixel.pixelation import PixelationSettings, photo_ids
from depixel.restoration import Restorer
from depixel.settings import read_section
from depixel.training import Epoch, Run, TrainSettings

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


def photos(count, larger=True, side="train"):
    """Smooth pictures of 24 x 24 pixels, and their larger versions."""
    random = np.random.default_rng(len(side))
    coarse = [Image.fromarray(image) for image in random.integers(0, 256, (count, 5, 5), dtype=np.uint8)]
    small, large = (
        np.stack([np.asarray(image.resize((n, n), Image.Resampling.BICUBIC)) for image in coarse]) for n in (24, 32)
    )
    ids = photo_ids([f"{side}/{i}.jpg" for i in range(count)])
    return Photos(small, large if larger else NO_IMAGES, np.arange(count), ids)


@pytest.fixture
def run(tmp_path):
    """Make a run: `run(settings...)`; 10 photos to train on, 5 to validate."""

    def make(train=None, validation=None, pixelation=PIXELATION, **settings):
        train, validation = train or photos(10), validation or photos(5, side="validation")
        return Run(TrainSettings(**TINY | settings), pixelation, train, validation, tmp_path / "run" / "training.pt")

    return make


def state(run):
    """All that a run's future depends on, and its result."""
    weights = {f"network {k}": v for k, v in run.network.state_dict().items()}
    weights |= {f"average {k}": v for k, v in run.average.state_dict().items()}
    weights |= {f"best {k}": v for k, v in run.best.items()}
    return {name: weight.clone() for name, weight in weights.items()}


def differing(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


# The loop


@pytest.mark.parametrize("network", networks.names())
def test_it_learns_a_few_photos_by_heart(run, network):
    learned = run(network=network, width=8, overfit=4, epochs=120, weight_average=0.9, learning_rate=1e-2)
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
    table = list(trained.epochs(lambda step, rmse: errors.append((step, rmse))))
    assert [row.epoch for row in table] == [1, 2, 3]
    assert trained.table == table
    assert [step for step, _ in errors] == list(range(1, 10))  # 10 photos are 3 steps of up to 4
    for k, row in enumerate(table):
        of_epoch = [rmse for _, rmse in errors[3 * k : 3 * k + 3]]
        assert row.train_rmse == pytest.approx(math.sqrt(np.mean(np.square(of_epoch))))
        assert row.learning_rate == trained.learning_rate(3 * k + 2)
    predictions = trained.restorer().predict(trained.samples.pixelated, trained.samples.areas)
    best = trained.best_epoch
    assert best == min(table, key=lambda row: row.validation_rmse_mean)
    assert rmse_mean(predictions, trained.samples.targets) == pytest.approx(best.validation_rmse_mean, abs=0.02)
    assert rmse_pooled(predictions, trained.samples.targets) == pytest.approx(best.validation_rmse_pooled, abs=0.02)


def test_the_best_epoch_is_kept(run, monkeypatch):
    scores = iter([5.0, 3.0, 4.0, 6.0])
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    trained, averages = run(epochs=4), []
    for _ in trained.epochs():
        averages.append({name: weight.clone() for name, weight in trained.average.state_dict().items()})
    assert trained.best_epoch.epoch == 2
    assert differing(trained.best, averages[1]) == []
    assert differing(trained.best, averages[3]) != []
    assert differing(dict(trained.restorer().network.state_dict()), averages[1]) == []


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
    assert [len(chosen) for _, chosen in seen] == [4, 4, 2, 4, 4, 2]
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
        {"crop": 0},
        {"pooled_share": 0},
        {"gradient_clip": 0.01},
        {"dropout": 0},
    ):
        assert differing(trained(**change), reference) != [], change


def test_photos_without_larger_images(run):
    assert len(list(run(train=photos(10, larger=False), crop=1).epochs())) == 2


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
    assert trained.restorer().configuration.precision == precision


def test_the_configuration_says_what_was_trained(run):
    configuration = run(network="basic_cnn", width=5, dropout=0.25).configuration
    assert (configuration.network, configuration.width, configuration.dropout) == ("basic_cnn", 5, 0.25)
    assert (configuration.size, configuration.block_size) == (24, (3, 5))
    assert configuration.area_width == configuration.area_height == (4, 8)


def test_results_can_be_saved_and_loaded(run, tmp_path):
    trained = run()
    list(trained.epochs())
    trained.restorer().save(tmp_path / "model.safetensors")
    loaded = Restorer.load(tmp_path / "model.safetensors", "cpu")
    samples = trained.samples
    assert rmse_mean(loaded.predict(samples.pixelated, samples.areas), samples.targets) == pytest.approx(
        trained.best_epoch.validation_rmse_mean, abs=0.05
    )


# Optimizer, learning rate, average


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizers(run, name, kind):
    trained = run(optimizer=name, weight_decay=0.125, epochs=1)
    assert type(trained.optimizer) is kind
    (group,) = trained.optimizer.param_groups
    assert group["weight_decay"] == 0.125
    assert group.get("momentum", 0.9) == 0.9
    assert len(group["params"]) == len(list(trained.network.parameters()))
    before = state(trained)
    list(trained.epochs())
    assert set(differing(state(trained), before)) >= {"network out.weight", "average out.weight"}


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
    list(trained.epochs(lambda step, rmse: used.append(trained.optimizer.param_groups[0]["lr"])))
    assert used == [trained.learning_rate(step) for step in range(6)]
    assert len(set(used)) > 3


def test_without_weight_averaging_the_last_weights_count(run):
    trained = run(weight_average=0)
    list(trained.epochs())
    assert differing(dict(trained.network.state_dict()), dict(trained.average.state_dict())) == []


def test_the_average_lags_behind(run):
    trained, weights = run(weight_average=0.5, epochs=1), []
    start = trained.network.out.bias.detach().clone()
    list(trained.epochs(lambda step, rmse: weights.append(trained.network.out.bias.detach().clone())))
    expected = start
    for k, weight in enumerate(weights):
        decay = min(0.5, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(trained.average.out.bias.detach(), expected)


def test_gradients_are_clipped(run):
    """With SGD without momentum's past, the first step is at most learning rate x norm long."""

    def length(clip):
        trained = run(optimizer="sgd", gradient_clip=clip, weight_decay=0, batch_size=10, epochs=1, warmup=0)
        before = torch.cat([p.detach().flatten() for p in trained.network.parameters()])
        list(trained.epochs())
        after = torch.cat([p.detach().flatten() for p in trained.network.parameters()])
        return (after - before).norm().item() / trained.settings.learning_rate

    assert length(1e-2) == pytest.approx(1e-2, rel=0.05)
    assert length(0) > 1


def test_a_diverging_run_says_what_helps(run):
    with pytest.raises(DepixelError, match=r"step \d+.*train.learning_rate than 1e\+12.*gradient_clip") as error:
        list(
            run(network="basic_cnn", optimizer="sgd", learning_rate=1e12, gradient_clip=0, epochs=20, warmup=0).epochs()
        )
    assert "nan" in str(error.value) or "inf" in str(error.value)


# Checkpoints


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_ends_as_if_it_had_not_stopped(run, monkeypatch, stop, optimizer):
    settings = {"epochs": 3, "dropout": 0.2, "optimizer": optimizer}  # 9 steps; dropout draws random numbers
    whole = run(**settings)
    table = list(whole.epochs())
    whole.finish()

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # after every step

    def interrupt(step, rmse):
        if step == stop + 1:  # the checkpoint of this step is not written any more
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run(**settings).epochs(interrupt))
    torch.manual_seed(99)
    resumed = run(**settings)
    assert resumed.resume() == stop
    steps = []
    rows = list(resumed.epochs(lambda step, rmse: steps.append(step)))
    assert steps == list(range(stop + 1, 10))
    assert resumed.table == table and rows == table[stop // 3 :]
    assert all(isinstance(row, Epoch) for row in resumed.table)
    assert differing(state(resumed), state(whole)) == []


def test_checkpoints_are_not_written_after_every_step(run, tmp_path):
    def interrupt(step, rmse):
        if step == 3:  # the last of the first epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run().epochs(interrupt))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_only_gives_its_result(run, monkeypatch):
    scores = iter([3.0, 4.0])  # the first epoch is the best, so that the result is not the last average
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    whole = run()
    table = list(whole.epochs())
    again = run()
    assert again.resume() == 6
    assert list(again.epochs()) == []
    assert again.table == table
    assert differing(state(again), state(whole)) == []


def test_patience_counts_on_after_a_resume(run, monkeypatch):
    scores = iter([3.0, 4.0, 5.0, 2.0])
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    settings = {"epochs": 6, "patience": 2}
    for _ in run(**settings).epochs():
        break
    resumed = run(**settings)
    assert resumed.resume() == 3
    assert [row.epoch for row in resumed.epochs()] == [2, 3]


def test_finish_removes_the_checkpoint(run, tmp_path):
    trained = run()
    trained.finish()
    list(trained.epochs())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["training.pt"]
    trained.finish()
    assert list((tmp_path / "run").iterdir()) == []
    assert run().resume() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"seed": 1},
        {"learning_rate": 1e-3},
        {"crop": 0.25},
        {"pixelation": PixelationSettings(width=(4, 8), height=(4, 8), block_size=(3, 6))},
        {"train": photos(9)},
        {"train": photos(10, larger=False)},
        {"validation": photos(4, side="validation")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_checkpoints_of_another_run_are_ignored(run, change):
    list(run().epochs())
    assert run().resume() == 6
    other = run(**change)
    fresh = state(other)
    assert other.resume() == 0
    assert differing(state(other), fresh) == [] and other.table == [] and other.step == 0


def test_checkpoints_of_other_pictures_are_ignored(run):
    list(run().epochs())
    changed = photos(10)
    changed.images[3, 5, 5] ^= 1
    assert run(train=changed).resume() == 0


@pytest.mark.parametrize("content", ["nothing", "text", "cut off", "a pickle", "a model"])
def test_what_is_no_checkpoint_is_refused(run, tmp_path, content):
    list(run().epochs())
    path = tmp_path / "run" / "training.pt"
    if content == "a model":
        torch.save(run().network.state_dict(), path)
    else:
        whole = path.read_bytes()
        contents = {"nothing": b"", "text": b"text", "cut off": whole[:-100], "a pickle": pickle.dumps(path, 2)}
        path.write_bytes(contents[content])
    with pytest.raises(DepixelError, match=r"training.pt: .*[Dd]elete"):
        run().resume()


# Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network: resnet", r"train.network = 'resnet': .*basic_cnn, unet"),
        ("epochs: 0", "train.epochs = 0: .*1"),
        ("optimizer: lion", "train.optimizer = 'lion': .*adamw.*adam.*sgd"),
        ("learning_rate: fast", "train.learning_rate = 'fast': .*number"),
        ("learning_rate: .inf", "train.learning_rate = inf: .*finite"),
        ("learning_rate: 0", "train.learning_rate = 0: .*greater than 0"),
        ("dropout: 1", "train.dropout = 1: .*less than 1"),
        ("crop: 1.5", "train.crop = 1.5: .*1"),
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
