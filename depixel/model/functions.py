"""Functions of PyTorch tensors whose last digits are the same on every processor.

PyTorch hands roots, exponentials and logarithms of the CPU to MKL, whose last digits differ between processors whatever
it is told (`depixel.base.arithmetic`). These are computed by PyTorch's own code: 1 / root is rounded as IEEE 754 says,
powers and logarithms to the base 2 are those of SLEEF.
"""

import math

from torch import Tensor


def root(x: Tensor) -> Tensor:
    """The square root of float32 values above 0; off by at most two units in the last place."""
    return x * x.rsqrt()


def exp(x: Tensor) -> Tensor:
    """E to the power of x, float32."""
    return (x / math.log(2)).exp2()


def log(x: Tensor) -> Tensor:
    """The natural logarithm of float32 values above 0."""
    return math.log(2) * x.log2()
