"""Functions of PyTorch tensors whose last digits are the same on every processor.

PyTorch hands roots, exponentials and logarithms of the CPU to MKL, whose last digits differ between processors whatever
it is told (`depixel.base.arithmetic`; ATen/cpu/vml.h lists what it is handed). PyTorch's own code computes these:
1 / root is rounded as IEEE 754 says, 2 to the power of x and log(1 + x) are those of SLEEF.
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
    """The natural logarithm of float32 values that are not much smaller than 1."""
    return (x - 1).log1p()
