"""The optimizers of `train.optimizer`."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from depixel.base.settings import one_of
from depixel.model.functions import root
from depixel.model.threads import each


class Optimizer(Protocol):
    """The interface of an optimizer that the loop needs; PyTorch's optimizers and `MuonAdam` have it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of weights with their settings; `lr` is the learning rate."""
        ...

    def step(self) -> Any:
        """Change the weights by their gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore a state that `state_dict` returned."""
        ...


class Chosen(NamedTuple):
    """The settings of an optimizer.

    Attributes:
        learning_rate: the initial learning rate; the loop sets it before each step.
        momentum: share of the past in the average of gradients, 0..1; None: the optimizer's usual one. With Adam it is
            the first beta.
        weight_decay: 0 or more; `muon` and `adamw` shrink the weights by it times the learning rate in each step, the
            others add it times the weights to the gradient.
    """

    learning_rate: float
    momentum: float | None = None
    weight_decay: float = 0.0

    def momentum_or(self, usual: float) -> float:
        """The momentum, or the usual one if there is none."""
        return usual if self.momentum is None else self.momentum


def build(name: str, network: nn.Module, chosen: Chosen) -> Optimizer:
    """Make an optimizer for all weights of a network, which must be on its device and in channels_last.

    Args:
        name: a name of `OPTIMIZERS`.
        network: the network to train.
        chosen: the settings.

    Raises:
        ValueError: with "muon", a weight is not in channels_last.
    """
    return OPTIMIZERS[name](network, chosen)


def _adam(parameters: Iterable[nn.Parameter], chosen: Chosen, decoupled: bool = False) -> torch.optim.Adam:
    """The fused Adam: its roots are portable (`base.arithmetic`), those of PyTorch's other Adams are not."""
    return torch.optim.Adam(
        parameters,
        chosen.learning_rate,
        betas=(chosen.momentum_or(0.9), 0.999),
        weight_decay=chosen.weight_decay,
        fused=True,
        decoupled_weight_decay=decoupled,
    )


def _sgd(network: nn.Module, chosen: Chosen) -> Optimizer:
    momentum = chosen.momentum_or(0.9)
    return torch.optim.SGD(
        network.parameters(), chosen.learning_rate, momentum=momentum, weight_decay=chosen.weight_decay
    )


def _rmsprop(network: nn.Module, chosen: Chosen) -> Optimizer:
    momentum = chosen.momentum_or(0.0)
    return _RMSprop(network.parameters(), chosen.learning_rate, momentum=momentum, weight_decay=chosen.weight_decay)


def _adagrad(network: nn.Module, chosen: Chosen) -> Optimizer:
    """The fused one on the CPU, because its roots are portable; PyTorch has none for GPUs."""
    parameters = list(network.parameters())
    fused = parameters[0].device.type == "cpu"
    return torch.optim.Adagrad(parameters, chosen.learning_rate, weight_decay=chosen.weight_decay, fused=fused)


class MuonAdam:
    """Muon (Jordan et al. 2024) for the inner convolutions of a network, Adam for all other parameters.

    Muon makes the update of a weight matrix orthogonal. A convolution (O, I, K, K) counts as the matrix (O, I K K).
    Muon's steps are scaled to the length of Adam's, so both use one learning rate (Moonshot AI 2025,
    "match_rms_adamw"). Adam updates the first and the last convolution, in the order in which the network defines them,
    the biases and `Network.spread`.

    PyTorch's Muon computes in bfloat16, which most notebooks emulate: there it takes as long as the rest of a step.
    This one computes in float32. It has the parts of the interface of `torch.optim.Optimizer` that a training needs.

    Args:
        network: on its device and in channels_last; the weights are changed in place.
        chosen: the settings of both.

    Raises:
        ValueError: a weight is not in channels_last.
    """

    def __init__(self, network: nn.Module, chosen: Chosen):
        inner = [
            module
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d) and module.groups == 1 and not name.startswith("spread.")
        ]
        self._weights = [convolution.weight for convolution in inner[1:-1]]
        orthogonal = set(map(id, self._weights))
        others = [parameter for parameter in network.parameters() if id(parameter) not in orthogonal]
        self._matrices = [nn.Parameter(_matrix(weight.detach())) for weight in self._weights]  # share their memory
        for matrix, weight in zip(self._matrices, self._weights, strict=True):
            if matrix.data_ptr() != weight.data_ptr():
                raise ValueError(f"a weight of shape {tuple(weight.shape)} is not in channels_last")
        self._parts: list[torch.optim.Optimizer] = [_adam(others, chosen, decoupled=True)]
        if self._matrices:
            self._parts.append(
                _Muon(
                    self._matrices,
                    chosen.learning_rate,
                    weight_decay=chosen.weight_decay,
                    momentum=chosen.momentum_or(0.95),
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        """Change the weights by their gradients."""
        for matrix, weight in zip(self._matrices, self._weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


class _Muon(torch.optim.Muon):
    """PyTorch's Muon with Nesterov momentum, in float32, for all matrices of one shape at once.

    One by one, the matrices would leave a GPU idle."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            device = group["params"][0].device.type
            # the longest work first, so that no thread works alone at the end
            longest = sorted(by_shape.values(), key=lambda same: -len(same) * same[0].numel() * min(same[0].shape))
            deque(each(partial(self._update, group), longest, device), maxlen=0)

    @torch.no_grad()  # again, because it applies to one thread
    def _update(self, group: dict[str, Any], matrices: list[Tensor]) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        for matrix, gradient in zip(matrices, gradients, strict=True):
            if "momentum_buffer" not in self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(gradient)
        momenta = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        x = torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        x = x.mT if (higher := x.shape[1] > x.shape[2]) else x
        x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=group["eps"])
        a, b, c = group["ns_coefficients"]
        for _ in range(group["ns_steps"]):  # Newton-Schulz
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        x = x.mT if higher else x
        if group["weight_decay"]:
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        length = 0.2 * math.sqrt(max(x.shape[1:]))  # "match_rms_adamw"
        torch._foreach_add_(matrices, list(x.unbind()), alpha=-group["lr"] * length)


def _matrix(weight: Tensor) -> Tensor:
    """(O, I, K, K) in channels_last as (O, K K I), without a copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)


class _RMSprop(torch.optim.RMSprop):
    """PyTorch's RMSprop with portable roots."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group, parameter, gradient in _with_gradients(self):
            state, decay = self.state[parameter], group["alpha"]
            if not state:
                state |= _zeros(parameter, "square_avg", "momentum_buffer")
            squares, momentum = state["square_avg"], state["momentum_buffer"]
            squares.mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
            momentum.mul_(group["momentum"]).addcdiv_(gradient, _root(squares) + group["eps"])
            parameter.sub_(momentum, alpha=group["lr"])


class _Adadelta(torch.optim.Adadelta):
    """PyTorch's Adadelta with portable roots."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group, parameter, gradient in _with_gradients(self):
            state, decay, eps = self.state[parameter], group["rho"], group["eps"]
            if not state:
                state |= _zeros(parameter, "square_avg", "acc_delta")
            squares, moved = state["square_avg"], state["acc_delta"]
            squares.mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
            change = gradient * _root(moved + eps) / _root(squares + eps)
            moved.mul_(decay).addcmul_(change, change, value=1 - decay)
            parameter.sub_(change, alpha=group["lr"])


def _with_gradients(optimizer: torch.optim.Optimizer) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
    """The group, the parameter, and the gradient with weight decay, of each parameter that has a gradient."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield group, parameter, parameter.grad.add(parameter, alpha=group["weight_decay"])


def _zeros(parameter: Tensor, *names: str) -> dict[str, Tensor]:
    """The first state of a parameter; PyTorch expects a number of steps in it."""
    return {"step": torch.tensor(0.0)} | {name: torch.zeros_like(parameter) for name in names}


def _root(x: Tensor) -> Tensor:
    """`functions.root`, and 0 for 0."""
    return root(x.clamp(min=torch.finfo(x.dtype).tiny))


OPTIMIZERS: dict[str, Callable[[nn.Module, Chosen], Optimizer]] = {
    "muon": MuonAdam,
    "adamw": lambda network, chosen: _adam(network.parameters(), chosen, decoupled=True),
    "adam": lambda network, chosen: _adam(network.parameters(), chosen),
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adadelta": lambda network, chosen: _Adadelta(
        network.parameters(), chosen.learning_rate, weight_decay=chosen.weight_decay
    ),
    "adagrad": _adagrad,
}
"""The values of `train.optimizer`."""

WITHOUT_MOMENTUM = ("adadelta", "adagrad")
"""The optimizers to which `train.momentum` means nothing."""

Name = Annotated[str, one_of(OPTIMIZERS)]
