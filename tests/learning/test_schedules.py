import numpy as np
import pytest

from depixel.learning import schedules
from depixel.learning.schedules import SCHEDULES, learning_rate


def rates(schedule, scores=(), warmup=0.0):
    return np.array([learning_rate(step, 1000, 0.01, warmup, schedule, scores) for step in range(1000)])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_stays_between_0_and_the_highest_and_begins_with_the_warm_up(schedule):
    cold, warm = rates(schedule), rates(schedule, warmup=0.1)
    assert cold.min() >= 0 and 0.0099 < cold.max() <= 0.01
    np.testing.assert_allclose(warm[:100], warm[100] * np.arange(1, 101) / 101)


def test_step_and_exponential():
    step = rates("step")
    np.testing.assert_allclose([step[0], step[499], step[500], step[749], step[750]], [0.01, 0.01, 1e-3, 1e-3, 1e-4])
    exponential = rates("exponential")
    np.testing.assert_allclose(exponential[1:] / exponential[:-1], 0.001**0.001)
    assert learning_rate(1000, 1000, 0.01, 0, "exponential") == pytest.approx(1e-5)


def test_one_cycle_rises_falls_and_vanishes():
    found = rates("one_cycle")
    assert found.argmax() == 450 and found[0] == pytest.approx(0.0004) == found[900]
    assert (np.diff(found[:450]) > 0).all() and (np.diff(found[450:]) < 0).all()
    assert learning_rate(1000, 1000, 0.01, 0, "one_cycle") == pytest.approx(0)


def test_plateau_waits_for_the_validation():
    better, worse = list(np.linspace(9, 5, 40)), [6.0] * schedules.PLATEAU_WAIT
    for scores, times in (
        ([], 0),
        (better, 0),
        (better + worse[1:], 0),
        (better + worse, 1),
        (better + worse + worse, 2),
        (better + worse + [4.0] + worse[1:], 1),
        (better + worse + [4.0] + worse, 2),
    ):
        np.testing.assert_allclose(rates("plateau", scores), 0.01 * schedules.PLATEAU_FACTOR**times)


def test_plateau_reads_the_scores_of_a_run(tmp_path, monkeypatch):
    from depixel.learning import training
    from tests.learning.conftest import made

    scores = iter([3.0] + [4.0] * 7)
    monkeypatch.setattr(training, "rmse_mean", lambda predictions, targets: next(scores))
    run = made(tmp_path, epochs=8, schedule="plateau", warmup=0)
    table = list(run.epochs())
    np.testing.assert_allclose([row.learning_rate for row in table], [3e-3] * 6 + [9e-4] * 2)
