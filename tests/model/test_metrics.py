import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depixel.model import metrics
from depixel.model.metrics import rmse_mean, rmse_pooled

IMAGES = st.lists(st.integers(1, 9).flatmap(lambda n: arrays(np.uint8, (2, n))), min_size=1, max_size=5)


def test_the_examples_in_the_docstrings():
    results = doctest.testmod(metrics)
    assert results.attempted == 2 and results.failed == 0


def test_uint8_does_not_wrap_around():
    black, white = [np.zeros(4, np.uint8)], [np.full(4, 255, np.uint8)]
    assert rmse_pooled(black, white) == rmse_mean(black, white) == 255
    assert rmse_pooled(white, black) == rmse_mean(white, black) == 255


@given(IMAGES)
def test_against_plain_python(images):
    predictions, targets = [image[0] for image in images], [image[1] for image in images]
    squares = [[(int(p) - int(t)) ** 2 for p, t in zip(*image, strict=True)] for image in images]
    pooled = (sum(map(sum, squares)) / sum(map(len, squares))) ** 0.5
    mean = sum((sum(s) / len(s)) ** 0.5 for s in squares) / len(squares)
    assert rmse_pooled(predictions, targets) == pytest.approx(pooled)
    assert rmse_mean(predictions, targets) == pytest.approx(mean)


@pytest.mark.parametrize("rmse", [rmse_pooled, rmse_mean])
@pytest.mark.parametrize(
    ("predictions", "targets"),
    [
        ([], []),
        ([np.zeros(2)], []),
        ([np.zeros(1)], [np.zeros(2)]),  # would broadcast
        ([np.zeros(2), np.zeros(0)], [np.zeros(2), np.zeros(0)]),
    ],
)
def test_what_cannot_be_compared_is_refused(rmse, predictions, targets):
    with pytest.raises(ValueError, match="prediction"):
        rmse(predictions, targets)
