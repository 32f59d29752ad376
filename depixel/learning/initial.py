"""The random weights that a training starts from: the choices of `train.initial_weights`."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from torch import Tensor, nn

from depixel.base.settings import one_of

INITIAL_WEIGHTS: dict[str, Callable[[Tensor], object] | None] = {
    "default": None,  # the network's own
    "xavier": nn.init.xavier_uniform_,
    "kaiming": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
    "constant": partial(nn.init.constant_, val=0.01),  # all channels of a layer stay the same for ever
}
"""Each fills the weights of a convolution."""

Name = Annotated[str, one_of(INITIAL_WEIGHTS)]


def draw(network: nn.Module, name: str) -> None:
    """Draw the weights of a network anew and set its biases to 0; "default" changes nothing.

    Layers whose weights are 0 stay so: they make a network start as an interpolation, and its blocks as the identity.

    Args:
        network: changed in place.
        name: a name of `INITIAL_WEIGHTS`.
    """
    fill = INITIAL_WEIGHTS[name]
    if fill is None:
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.any():
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
