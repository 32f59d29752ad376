import numpy as np
import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.learning import loss, training
from depixel.model import networks
from depixel.model.predictor import Predictor
from tests.learning.conftest import differing, photos, state

pytestmark = pytest.mark.usefixtures("one_thread")


# Uncertainty


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


def test_expected_errors_are_scaled_to_those_of_the_validation(run, tmp_path):
    learned = run(uncertainty=True)
    list(learned.epochs())
    model = learned.predictor()
    scale = model.configuration.error_scale
    assert scale != 1
    samples = learned.samples
    predictions, expected = model.predict_with_errors(samples.pixelated, samples.areas)
    off = np.concatenate(predictions).astype(float) - np.concatenate(samples.targets)
    foreseen, observed = (np.sqrt(np.square(values).mean()) for values in (np.concatenate(expected), off))
    assert foreseen == pytest.approx(observed, rel=1e-3)
    model.save(tmp_path / "model.safetensors")
    loaded = Predictor.load(tmp_path / "model.safetensors", "cpu")
    assert loaded.configuration.error_scale == scale
    again = training.calibrated(loaded, samples).configuration.error_scale  # of what is calibrated already
    assert again == pytest.approx(scale, rel=0.01)  # its weights are rounded
    assert "error_scale" not in run(uncertainty=False).predictor().configuration.model_dump()


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


# A teacher


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
    alone, taught = (run(epochs=1, every=1000, shards=1, teacher=one) for one in (None, teacher))
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
    list(run(epochs=9, teacher=teacher, shards=1).epochs())
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
        ({"size": 64}, r"photos of 64 x 64 pixels, but these have 24 x 24. Set prepare.size: 64"),
        ({"area_width": (4, 7)}, r"pixelation.width = \[4, 8\], but train.teacher was trained on \[4, 7\]"),
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
