"""The layers that a setting chooses, by name: activations and normalizations; and dropout.

A network has an `Activation` wherever it would have a ReLU. `networks.build` then sets the chosen function in all of
them. Another activation or normalization is one line in `ACTIVATIONS` or `NORMALIZATIONS`.

Layers that draw or count do so by the name of the part of the batch that they see (`named`), so the timing of threads
changes nothing.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.base.settings import one_of
from depixel.model.functions import tanh


class _Part(NamedTuple):
    name: str
    random: torch.Generator


_PART: ContextVar[_Part] = ContextVar("_PART")


@contextmanager
def named(name: str, device: torch.device) -> Iterator[None]:
    """Make `Dropout` and `BatchNorm` in this block and thread depend only on this name.

    Args:
        name: unique among all parts of all batches.
        device: that of the features.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
    token = _PART.set(_Part(name, torch.Generator(device).manual_seed(seed)))
    try:
        yield
    finally:
        _PART.reset(token)


class Dropout(nn.Module):
    """In training, set random channels of each image to 0 and scale the others up (Tompson et al. 2015).

    PyTorch's own dropout uses one generator for all threads, so its results depend on their timing.

    Args:
        share: share of the channels to drop, 0 <= share < 1.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W): x without the dropped channels."""
        if not self.training or not self.share:
            return x
        part = _PART.get(None)
        drawn = torch.rand(x.shape[0], x.shape[1], 1, 1, generator=part and part.random, device=x.device)
        return x * ((drawn >= self.share).to(x.dtype) / (1 - self.share))


Seen = dict[str, tuple[int, Tensor, Tensor]]
"""Name of a part of a batch -> number of its images, and mean and variance of each channel, (C,)."""


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe & Szegedy 2015) of batches that several threads compute in parts.

    Each part is normalized by its own mean and variance. The running statistics, which prediction uses, change only in
    `settle`, which adds those of all parts in the order of their names. While its weights are frozen, the layer uses
    its running statistics and leaves them as they are.

    Args:
        channels: those of its input.

    Attributes:
        seen: the statistics of the parts since the last `settle`.
    """

    MOMENTUM = 0.1
    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.seen: Seen = {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) features, normalized by channel."""
        mean, variance = self.mean, self.variance
        counts = self.training and self.weight.requires_grad
        if counts:
            mean, variance = torch.zeros_like(mean), torch.ones_like(variance)  # take the statistics of x
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, counts, momentum=1.0)
        if counts and (part := _PART.get(None)):
            self.seen[part.name] = len(x), mean, variance
        return y

    @torch.no_grad()
    def settle(self) -> None:
        """Move the running statistics towards those of the parts since the last call."""
        if not self.seen:
            return
        counts, means, variances = zip(*(self.seen[name] for name in sorted(self.seen)), strict=True)
        share = torch.tensor(counts, dtype=means[0].dtype, device=means[0].device)[:, None] / sum(counts)
        each, within = torch.stack(means), torch.stack(variances)
        mean = (each * share).sum(dim=0)
        variance = ((within + (each - mean).square()) * share).sum(dim=0)
        self.mean.lerp_(mean, self.MOMENTUM)
        self.variance.lerp_(variance, self.MOMENTUM)
        self.seen.clear()


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)  # 8 groups; fewer if the channels do not fit


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu_,  # in place: faster, with less memory
    "leaky_relu": F.leaky_relu_,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "tanh": tanh,
    "sigmoid": F.sigmoid,
}
"""The values of `train.activation`; each is the same on every processor (`model.functions`)."""

NORMALIZATIONS: dict[str, Callable[[int], nn.Module] | None] = {"none": None, "batch": BatchNorm, "group": _group_norm}
"""The values of `train.normalization`; each makes a layer from its number of channels."""

ActivationName = Annotated[str, one_of(ACTIVATIONS)]
NormalizationName = Annotated[str, one_of(NORMALIZATIONS)]


class Activation(nn.Module):
    """A normalization, unless there is none, and an activation; ReLU alone until `choose` sets others.

    Args:
        channels: those of its input, which may be changed in place.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.function = ACTIVATIONS["relu"]
        self.normal: nn.Module | None = None

    def choose(self, activation: str, normalization: str) -> None:
        """Set both by their names; the normalization starts anew."""
        self.function = ACTIVATIONS[activation]
        make = NORMALIZATIONS[normalization]
        self.normal = make and make(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C, H, W) features."""
        return self.function(x if self.normal is None else self.normal(x))


def settle(network: nn.Module, gathered: Callable[[list[Seen]], list[list[Seen]]] = lambda seen: [seen]) -> None:
    """Call `BatchNorm.settle` of all such layers of a network, after each step of a training.

    Args:
        network: the network that is trained.
        gathered: returns what all processes of the training have seen, given what this one has seen.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for process in gathered([layer.seen for layer in layers]):
        for layer, seen in zip(layers, process, strict=True):
            layer.seen.update(seen)
    for layer in layers:
        layer.settle()
