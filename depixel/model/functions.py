"""Functions of PyTorch tensors with the same last digits on every processor.

On the CPU, PyTorch calls MKL for roots, exponentials and logarithms (the list is in ATen/cpu/vml.h). MKL's last digits
differ between processors in each of its modes (`depixel.base.arithmetic`). So this module uses functions that PyTorch
computes itself: 1 / root, rounded as IEEE 754 requires, and 2^x and log(1 + x) of the library SLEEF.
"""

import math

import torch
from torch import Tensor


def root(x: Tensor) -> Tensor:
    """The square root of float32 values above 0; off by at most two units in the last place."""
    return x * x.rsqrt()


def exp(x: Tensor) -> Tensor:
    """The exponential e^x of float32 values."""
    return (x / math.log(2)).exp2()


def log(x: Tensor) -> Tensor:
    """The natural logarithm of float32 values that are not much below 1: it computes log1p(x - 1)."""
    return (x - 1).log1p()


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent; within 1e-6. PyTorch computes the sigmoid itself, and the tangent by MKL."""
    return 2 * torch.sigmoid(2 * x) - 1
