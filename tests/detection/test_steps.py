"""The search for the areas of which steps say most."""

import numpy as np
import pytest

from depixel.detection import steps as of_steps
from depixel.detection.steps import Steps


@pytest.mark.parametrize("shape", [(3, 40), (17, 40), (64, 50)])
def test_seeds_are_the_stretches_whose_sum_rises_and_end_where_it_is_first_highest(shape):
    random = np.random.default_rng(0)
    inside, line = (random.integers(-3, 3, shape).astype(np.float32) for _ in range(2))  # many are equal
    steps = Steps.of((inside, line), (inside, line), reach=8, corner=0)
    expected = []
    for high in (4, 8, 16, 32):
        if high > shape[0]:
            break
        tops = sorted({*range(0, shape[0] - high + 1, high // 2), shape[0] - high})
        for top in tops:
            calm, between = inside[top : top + high].sum(axis=0), line[top : top + high].sum(axis=0)
            start, total, best, end = None, 0.0, 0.0, 0
            for x in range(shape[1] + 1):
                if x < shape[1]:
                    alone = 0 < x < shape[1] - 1 and calm[x - 1] > 0 and calm[x + 1] > 0
                    total += max(calm[x], between[x] - 2) if alone else calm[x]
                if x == shape[1] or total <= 0 or x == 0:
                    if start is not None and best >= 4:
                        expected.append((best, top, top + high, start, end))
                    start, best, end = x, max(total, 0.0), x + 1
                    total = max(total, 0.0) if x == 0 else 0.0
                elif total > best:
                    best, end = total, x + 1
    scores, places = of_steps._seeds(steps, 4)
    assert [(score, *place) for score, place in zip(scores.tolist(), places.tolist(), strict=True)] == expected
    assert (len(expected) > 5) == (shape[0] > 3)
