"""The loop that trains a network: any network, any loss, batches from anywhere.

    for step in fit(network, optimizer, batches, loss, rate, clip=1.0):
        ...  # look at step.measured, save a checkpoint, break

What depixel trains with it is in `depixel.learning.training`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from depixel.learning.optimizers import Optimizer
from depixel.model.threads import each

Shard = TypeVar("Shard")
Schedule = Literal["cosine", "linear", "constant"]


class Step(NamedTuple):
    """A step that is done. Reading the tensors waits until a GPU has done all that it was given.

    Attributes:
        done: number of steps done so far. measured: (n,), what `loss` gave of this step's batch: the loss comes first.
        norm: scalar, the length of the gradient before clipping; of the first part where the network is clipped in
            parts.
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
) -> Iterator[Step]:
    """Train a network, one step for each batch; yields after each step.

    The next batch is drawn when the caller asks for the next step. So all that a step changes (weights, optimizer) can
    be saved between two steps, and a run that goes on from there does what it would have done.

    A batch is a sequence of shards. On the CPU each is computed by one thread, and as many at the same time as there
    are cores; their gradients are added in the order of the shards. So their number decides the last digits, and that
    of the cores does not.

    Args:
        network: changed in place. optimizer: of the network's parameters.
        batches: the loop ends with them.
        loss: what a shard adds to the mean loss of its batch, a scalar with its gradient; or (n,), where the loss is
            the first, and all are added up over the shards. Called in several threads at the same time.
        rate: the learning rate of a step, which is counted from 0.
        first: number of steps done before.
        clip: the largest norm of the gradient; 0 = none.
        parts: the parameters that are clipped together; () for all as one.
    """
    parameters = list(network.parameters())
    device = parameters[0].device.type
    parts = parts or [parameters]

    def computed(shard: Shard) -> tuple[Tensor, Sequence[Tensor | None]]:
        measured = loss(shard).reshape(-1)
        return measured.detach(), torch.autograd.grad(measured[0], parameters, allow_unused=True)

    for step, batch in enumerate(batches, first):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        network.train()
        (measured, gradients), *others = each(computed, batch, device)
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
    """The sums; None where the loss does not depend on a parameter."""
    pairs = zip(gradients, more, strict=True)
    return [other if one is None else one if other is None else one + other for one, other in pairs]


def learning_rate(step: int, steps: int, highest: float, warmup: float, schedule: Schedule) -> float:
    """The learning rate of a step: linear warm-up, then the schedule, down to 0 at the end unless it is constant.

    Args:
        step: counted from 0. steps: how many there are. highest: at the end of the warm-up. warmup: its share of the
            steps.
    """
    rising = warmup * steps
    if step < rising:
        return highest * (step + 1) / (rising + 1)
    left = 1 - (step - rising) / max(steps - rising, 1)
    factor = {"cosine": 0.5 - 0.5 * math.cos(math.pi * left), "linear": left, "constant": 1.0}
    return highest * factor[schedule]
