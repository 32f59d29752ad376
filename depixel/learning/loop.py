"""The training loop, for any network, any loss and any source of batches.

    for step in fit(network, optimizer, batches, loss, rate, clip=1.0):
        ...  # look at step.measured, save a checkpoint, break

`depixel.learning.training` uses it for depixel's networks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from depixel.learning.optimizers import Optimizer
from depixel.learning.processes import ALONE, Processes

Shard = TypeVar("Shard")


class Step(NamedTuple):
    """A finished step. Reading its tensors waits until the GPU has finished its queued work.

    Attributes:
        done: number of steps done so far.
        measured: (n,), the sum of `loss` over this step's shards; the loss comes first.
        norm: scalar, the norm of the gradient before clipping; that of the first part if parts are clipped separately.
    """

    done: int
    measured: Tensor
    norm: Tensor


def fit(
    network: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Sequence[Shard]],
    loss: Callable[[Shard], Tensor],
    rate: Callable[[int], float],
    first: int = 0,
    clip: float = 0.0,
    parts: Sequence[Sequence[nn.Parameter]] = (),
    processes: Processes = ALONE,
) -> Iterator[Step]:
    """Train a network, one step per batch; yields after each step.

    It draws the next batch only when the caller asks for the next step. So the caller can save weights and optimizer
    between two steps, and a run that resumes from there continues exactly as before.

    A batch is a sequence of shards. On the CPU, each shard is computed by one thread, as many at a time as there are
    cores. Gradients are added in the order of the shards. So the number of shards changes the last digits, and the
    numbers of cores and of processes do not.

    Args:
        network: changed in place, except for parameters without `requires_grad`.
        optimizer: the optimizer of the network's parameters.
        batches: the loop ends with them.
        loss: a shard's contribution to the mean loss of its batch: a scalar with gradient; or (n,), where the loss
            comes first and all values are added up over the shards. Several threads call it at the same time.
        rate: the learning rate by step, counted from 0.
        first: number of steps done before.
        clip: maximum norm of the gradient; 0: no clipping.
        parts: groups of parameters, each clipped by its own norm; (): all parameters are one group.
        processes: they share the shards of each batch. All of them call `fit` with the same arguments.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    parts = parts or [parameters]

    def computed(shard: Shard) -> tuple[Tensor, Sequence[Tensor | None]]:
        measured = loss(shard).reshape(-1)
        return measured.detach(), torch.autograd.grad(measured[0], parameters, allow_unused=True)

    for step, batch in enumerate(batches, first):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        network.train()
        (measured, gradients), *others = processes.each(computed, batch, parameters)
        for more, added in others:
            measured = measured + more
            gradients = _added(gradients, added)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None and gradient.stride() != parameter.stride():  # Adam as one operation expects it
                gradient = torch.empty_like(parameter).copy_(gradient)
            parameter.grad = gradient
        norms = [nn.utils.clip_grad_norm_(part, clip or math.inf) for part in parts]
        optimizer.step()
        yield Step(step + 1, measured, norms[0])


def _added(gradients: Sequence[Tensor | None], more: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The sums of gradients; None if the loss does not depend on the parameter."""
    pairs = zip(gradients, more, strict=True)
    return [other if one is None else one if other is None else one + other for one, other in pairs]
