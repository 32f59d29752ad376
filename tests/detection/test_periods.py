"""Blocks of any size, from the lines that are seen."""

from fractions import Fraction

import numpy as np
import pytest

from depixel.areas.grid import begins
from depixel.detection.periods import fit, fit_size

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("length", "size", "offset"),
    [
        (96, 8, 0),
        (96, 8, 5),
        (120, Fraction(15, 2), HALF),
        (90, Fraction(45, 8), HALF),
        (125, Fraction(125, 12), 0),
        (128, Fraction(128, 15), 0),
        (100, Fraction(100, 7), HALF),
        (400, 7, 3),
    ],
)
def test_size_and_offset_follow_from_the_lines(length, size, offset):
    lines = begins(length, size, offset)[1:]
    apart = np.diff(lines).mean()
    found = fit(lines, lines, length, apart)
    assert found[0] == size and begins(length, *found).tolist() == [0, *lines]
    kept = np.delete(lines, len(lines) // 2)  # neighbouring blocks of one color hide a line
    assert fit(kept, kept, length, apart)[0] == size


def test_a_line_that_is_known_to_a_pixel_leaves_the_size_as_it_is():
    lines = begins(120, Fraction(15, 2), HALF)[1:]
    size, _ = fit(lines - 1, lines, 120, 7.5)
    assert size == Fraction(15, 2)


def test_lines_without_a_period_have_no_size():
    lines = np.array([5, 9, 21, 22, 40])
    assert fit(lines, lines, 60, 8.0) is None


def test_a_size_that_is_known_says_the_offset():
    lines = np.array([3, 11, 19])
    assert fit_size(lines, lines, 8) == 5
    assert fit_size(np.array([3, 12, 19]), np.array([3, 12, 19]), 8) is None
