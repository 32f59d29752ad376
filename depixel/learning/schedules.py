"""The learning rate of each step: a warm-up, then one of the schedules of `train.schedule`."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from depixel.base.settings import one_of

STEP = 0.1
"""`step` multiplies the learning rate by this factor after half and after three quarters of the run."""

LEAST = 1e-3
"""`exponential` ends at this share of the highest learning rate."""

PLATEAU_WAIT, PLATEAU_FACTOR = 5, 0.3
"""`plateau` multiplies by this factor each time that so many epochs bring no lower validation RMSE."""

CYCLE_START, CYCLE_RISE, CYCLE_END = 0.04, 0.45, 0.1
"""`one_cycle` starts at this share of the highest learning rate, rises for this share of the run, and falls to 0 in
this last share of it."""


def _linear(left: float, scores: Sequence[float]) -> float:
    return left


def _cosine(left: float, scores: Sequence[float]) -> float:
    return 0.5 - 0.5 * math.cos(math.pi * left)


def _constant(left: float, scores: Sequence[float]) -> float:
    return 1.0


def _step(left: float, scores: Sequence[float]) -> float:
    return 1.0 if left > 0.5 else STEP if left > 0.25 else STEP**2


def _exponential(left: float, scores: Sequence[float]) -> float:
    return LEAST ** (1 - left)


def _plateau(left: float, scores: Sequence[float]) -> float:
    """Recounted from all scores, so that a resumed run needs no other state."""
    factor, best, waited = 1.0, math.inf, 0
    for score in scores:
        waited += 1
        if score < best:
            best, waited = score, 0
        elif waited == PLATEAU_WAIT:
            factor, waited = factor * PLATEAU_FACTOR, 0
    return factor


def _one_cycle(left: float, scores: Sequence[float]) -> float:
    """Smith & Topin 2017: a line up, a line down, and a last line to 0. The momentum stays as it is."""
    done = 1 - left
    if left <= CYCLE_END:
        return CYCLE_START * left / CYCLE_END
    falling = 1 - CYCLE_RISE - CYCLE_END
    height = done / CYCLE_RISE if done < CYCLE_RISE else (left - CYCLE_END) / falling
    return CYCLE_START + (1 - CYCLE_START) * height


SCHEDULES: dict[str, Callable[[float, Sequence[float]], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "plateau": _plateau,
    "one_cycle": _one_cycle,
}
"""The values of `train.schedule`: the factor of the learning rate, from the share of the run that is left after the
warm-up (1..0) and the validation RMSEs of the finished epochs."""

Name = Annotated[str, one_of(SCHEDULES)]


def learning_rate(
    step: int, steps: int, highest: float, warmup: float, schedule: str, scores: Sequence[float] = ()
) -> float:
    """The learning rate of a step: a linear warm-up, then the schedule.

    Args:
        step: the step, counted from 0.
        steps: number of steps of the run.
        highest: the learning rate at the end of the warm-up; "one_cycle" reaches it later.
        warmup: the warm-up's share of the steps, 0..1.
        schedule: a name of `SCHEDULES`.
        scores: the validation RMSEs of the finished epochs.
    """
    rising = warmup * steps
    factor = SCHEDULES[schedule]
    if step < rising:
        return highest * factor(1.0, scores) * (step + 1) / (rising + 1)
    return highest * factor(1 - (step - rising) / max(steps - rising, 1), scores)
