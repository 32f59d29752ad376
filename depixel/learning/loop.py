"""The loop that trains a network: any network, any loss, batches from anywhere.

    for step in fit(network, optimizer, batches, loss, rate, clip=1.0):
        ...  # look at step.loss, save a checkpoint, break

What depixel trains with it is in `depixel.learning.training`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

from torch import Tensor, nn

from depixel.learning.optimizers import Optimizer

Batch = TypeVar("Batch")
Schedule = Literal["cosine", "linear", "constant"]


class Step(NamedTuple):
    """A step that is done. Reading the tensors waits until a GPU has done all that it was given.

    Attributes:
        done: number of steps done so far. loss: scalar, of this step's batch. norm: scalar, the length of the gradient
            before clipping; of the first part where the network is clipped in parts.
    """

    done: int
    loss: Tensor
    norm: Tensor


def fit(
    network: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    loss: Callable[[Batch], Tensor],
    rate: Callable[[int], float],
    first: int = 0,
    clip: float = 0.0,
    parts: Sequence[Sequence[nn.Parameter]] = (),
) -> Iterator[Step]:
    """Train a network, one step for each batch; yields after each step.

    The next batch is drawn when the caller asks for the next step. So all that a step changes (weights, optimizer,
    random generators) can be saved between two steps, and a run that goes on from there does what it would have done.

    Args:
        network: changed in place. optimizer: of the network's parameters.
        batches: what `loss` is called with, one after the other; the loop ends with them.
        loss: the mean loss of a batch, a scalar with its gradient.
        rate: the learning rate of a step, which is counted from 0.
        first: number of steps done before.
        clip: the largest norm of the gradient; 0 = none.
        parts: the parameters that are clipped together; () for all as one.
    """
    parts = parts or [list(network.parameters())]
    for step, batch in enumerate(batches, first):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        network.train()
        found = loss(batch)
        network.zero_grad(set_to_none=True)
        found.backward()
        norms = [nn.utils.clip_grad_norm_(part, clip or math.inf) for part in parts]
        optimizer.step()
        yield Step(step + 1, found.detach(), norms[0])


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
