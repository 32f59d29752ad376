"""The period of the lines between blocks along one axis. A block need not be whole pixels wide; its start is rounded.

Line number k is at pixel ceil(k size - offset) (`depixel.areas.grid.Grid`). Such lines form a digital straight line:
each bounds the unrounded position to within a pixel, and together they bound size and offset, as in a linear program.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor

import numpy as np

from depixel.areas.grid import MOST_BLOCK, Pixels, as_pixels
from depixel.model.pixelation import LEAST_BLOCK

_MOST_PARTS = 1000  # largest denominator of a block size
_TIE = Fraction(1, 50)  # pixels; nearer to a rounding boundary, floating-point errors can round a line either way


def fit(
    low: np.ndarray, high: np.ndarray, length: int, guess: float, counted: bool = False
) -> tuple[Pixels, Pixels] | None:
    """Find the simplest block size and offset that explain all lines.

    The order of simplicity is: whole sizes whose blocks begin with the area, a whole number of blocks in its length,
    other whole sizes, then the fraction with the smallest denominator.

    Args:
        low, high: (n,) int64, n > 0, ascending: bounds of the first pixel of each block but the first, counted from the
            start of the area. They are equal where that pixel is known. Some lines may be missing.
        length: length of the area along the axis, pixels.
        guess: the block size in pixels, to a few percent.
        counted: whether a whole number of blocks in the length is simpler than whole pixels. Some tools take a number
            of blocks instead of a size.

    Returns:
        Size and offset, pixels; None: blocks of equal size cannot begin at these lines.
    """
    numbers = _numbers(low, guess)
    # unless lines are missing at the ends, the first and the last block are at most one block long
    closed = (
        np.append(low, length),
        np.insert(high, 0, 0),
        np.append(numbers, numbers[-1] + 1),
        np.insert(numbers, 0, -1),
    )
    options = []
    for inexact, tie in enumerate((Fraction(0), _TIE)):
        for missing, known in enumerate((closed, (low, high, numbers, numbers))):
            for rank, size in _sizes(*_bounds(*known, guess, tie), length, counted):
                least, most = _first(*known, size, tie)
                offset = _offset(least, most, size)
                if offset is not None and (missing or size - offset <= most):
                    begin = 0 if offset in (0, Fraction(1, 2)) else 2
                    options.append((rank + 2 * missing + begin + inexact, inexact, size, offset))
    if not options:
        return None
    *_, size, offset = min(options)
    return as_pixels(size), as_pixels(offset)


def fit_size(low: np.ndarray, high: np.ndarray, size: Pixels) -> Pixels | None:
    """Find the offset with which blocks of a known size begin at all lines; None: there is none.

    Args:
        low, high: as for `fit`.
        size: the block size, pixels.
    """
    numbers, tie = _numbers(low, float(size)), Fraction(0) if size == int(size) else _TIE
    offset = _offset(*_first(low, high, numbers, numbers, Fraction(size), tie), Fraction(size))
    return None if offset is None else as_pixels(offset)


def _first(
    low: np.ndarray, high: np.ndarray, low_numbers: np.ndarray, high_numbers: np.ndarray, size: Fraction, tie: Fraction
) -> tuple[Fraction, Fraction]:
    """Bounds of the unrounded position of the first line: it lies after the first value, up to the second."""
    return (
        max(int(at) - 1 - tie - k * size for at, k in zip(low, low_numbers.tolist(), strict=True)),
        min(int(at) + tie - k * size for at, k in zip(high, high_numbers.tolist(), strict=True)),
    )


def _numbers(lines: np.ndarray, guess: float) -> np.ndarray:
    """(n,) int64: the number of blocks between the first line and each line."""
    numbers, size = np.zeros(len(lines), np.int64), guess
    for i in range(1, len(lines)):
        numbers[i] = numbers[i - 1] + max(1, round(float(lines[i] - lines[i - 1]) / size))
        if numbers[i] >= 4:  # a longer stretch gives a better estimate of the size
            size = float(lines[i] - lines[0]) / float(numbers[i])
    return numbers


def _bounds(
    low: np.ndarray, high: np.ndarray, low_numbers: np.ndarray, high_numbers: np.ndarray, guess: float, tie: Fraction
) -> tuple[float, float]:
    """Bounds of the block size, both excluded; no size fits if the first is not less than the second."""
    apart = low_numbers[None, :] - high_numbers[:, None]
    room = low[None, :] - 1 - 2 * float(tie) - high[:, None]  # pixels; each distance is larger
    least = (room[apart > 0] / apart[apart > 0]).max(initial=max(guess - 1, LEAST_BLOCK - 1e-9))
    most = (room[apart < 0] / apart[apart < 0]).min(initial=min(guess + 1, MOST_BLOCK + 1e-9))
    return float(least), float(most)


def _sizes(least: float, most: float, length: int, counted: bool) -> Iterator[tuple[int, Fraction]]:
    """Yield ranks and sizes between the bounds; a simpler size has a lower rank."""
    if least + 1e-6 >= most:
        return
    for whole in range(ceil(least + 1e-9), floor(most - 1e-9) + 1):
        yield 2 if counted and length % whole else 0, Fraction(whole)
    for count in range(max(1, ceil(length / most)), floor(length / least) + 1):
        if least < length / count < most:
            yield 1, Fraction(length, count)
    fraction = _simplest(Fraction(least + 1e-9), Fraction(most - 1e-9))
    if fraction.denominator <= _MOST_PARTS:
        yield 4, fraction


def _simplest(least: Fraction, most: Fraction) -> Fraction:
    """The fraction with the smallest denominator between two others (Stern-Brocot)."""
    whole = floor(least) + 1
    if whole < most:
        return Fraction(whole)
    rest_least, rest_most = least - (whole - 1), most - (whole - 1)
    if rest_least == 0:
        return whole - 1 + Fraction(1, floor(1 / rest_most) + 1)
    return whole - 1 + 1 / _simplest(1 / rest_most, 1 / rest_least)


def _offset(least: Fraction, most: Fraction, size: Fraction) -> Fraction | None:
    """The simplest offset if the unrounded first line lies in (least, most]; None: no offset fits.

    The order of simplicity is: 0, 1/2, whole numbers, whole numbers and a half, any other fraction.
    """
    if least >= most:
        return None
    halves = range(2 * ceil(size))
    for offset in (Fraction(half, 2) for half in (*halves[:2], *halves[2::2], *halves[3::2])):
        if offset < size and (floor((least + offset) / size) + 1) * size - offset <= most:
            return offset
    return -most % size
