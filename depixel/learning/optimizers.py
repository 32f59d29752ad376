"""The optimizers of `train.optimizer`."""

import math
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from depixel.model.threads import each

Name = Literal["muon", "adam", "sgd"]
"""The values of `train.optimizer`."""


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


def build(name: Name, network: nn.Module, learning_rate: float) -> Optimizer:
    """Make an optimizer for all weights of a network, which must be on its device and in channels_last.

    Args:
        name: "muon" (`MuonAdam`), "adam" or "sgd" (with momentum 0.9).
        network: the network to train.
        learning_rate: the initial learning rate; the loop sets it before each step.

    Raises:
        ValueError: with "muon", a weight is not in channels_last.
    """
    if name == "muon":
        return MuonAdam(network, learning_rate)
    if name == "adam":
        return _adam(network.parameters(), learning_rate)
    return torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9)


def _adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """The fused Adam: its roots are portable (`base.arithmetic`), those of PyTorch's other Adams are not."""
    return torch.optim.Adam(parameters, learning_rate, fused=True)


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
        learning_rate: the initial learning rate of both.

    Raises:
        ValueError: a weight is not in channels_last.
    """

    def __init__(self, network: nn.Module, learning_rate: float):
        inner = [
            module
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d) and module.groups == 1 and not name.startswith("spread.")
        ]
        self._weights = [convolution.weight for convolution in inner[1:-1]]
        chosen = set(map(id, self._weights))
        others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
        self._matrices = [nn.Parameter(_matrix(weight.detach())) for weight in self._weights]  # share their memory
        for matrix, weight in zip(self._matrices, self._weights, strict=True):
            if matrix.data_ptr() != weight.data_ptr():
                raise ValueError(f"a weight of shape {tuple(weight.shape)} is not in channels_last")
        self._parts: list[torch.optim.Optimizer] = [_adam(others, learning_rate)]
        if self._matrices:
            self._parts.append(_Muon(self._matrices, learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
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
        length = 0.2 * math.sqrt(max(x.shape[1:]))  # "match_rms_adamw"
        torch._foreach_add_(matrices, list(x.unbind()), alpha=-group["lr"] * length)


def _matrix(weight: Tensor) -> Tensor:
    """(O, I, K, K) in channels_last as (O, K K I), without a copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)
