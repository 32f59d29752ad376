"""The optimizers that `train.optimizer` may name."""

import math
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from depixel.model.threads import each

Name = Literal["muon", "adam", "sgd"]
"""What `train.optimizer` may be; `build` makes each."""


class Optimizer(Protocol):
    """What the loop needs of an optimizer: PyTorch's have it, and `MuonAdam`."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of weights with their settings; `lr` is the learning rate."""
        ...

    def step(self) -> Any:
        """Change the weights by their gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, for a checkpoint."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a state that `state_dict` gave."""
        ...


def build(name: Name, network: nn.Module, learning_rate: float) -> Optimizer:
    """The optimizer of this name for all weights of a network, which is on its device and in channels_last already."""
    if name == "muon":
        return MuonAdam(network, learning_rate)
    if name == "adam":
        return _adam(network.parameters(), learning_rate)
    return torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9)


def _adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """Adam as one operation: its roots are portable (`base.arithmetic`), those of the others are not."""
    return torch.optim.Adam(parameters, learning_rate, fused=True)


class MuonAdam:
    """Muon (Jordan et al. 2024, PyTorch's) for the convolutions inside a network, Adam for all else.

    Muon makes the update of a weight matrix orthogonal; a convolution (O, I, K, K) is the matrix (O, I K K). Steps are
    as long as Adam's, so one learning rate does for both (Moonshot AI 2025, "match_rms_adamw"). The first and the last
    convolution, in the order in which a network defines them, the biases and `Network.spread` are no such matrices.
    PyTorch's own Muon computes in bfloat16, which most notebooks emulate: there it takes as long as all else in a step.
    This one stays in float32. Of the interface of a `torch.optim.Optimizer` it has what a training needs.

    Args:
        network: on its device and in channels_last already; the weights stay where they are.
        learning_rate: of both.

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
        """All that the next steps depend on, for a checkpoint."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


class _Muon(torch.optim.Muon):
    """PyTorch's with Nesterov momentum, in float32, and all matrices of one shape at once: one by one they keep a GPU
    waiting."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            device = group["params"][0].device.type
            # those that take longest first, so that no thread is left with them at the end
            longest = sorted(by_shape.values(), key=lambda same: -len(same) * same[0].numel() * min(same[0].shape))
            deque(each(partial(self._update, group), longest, device), maxlen=0)

    @torch.no_grad()  # it holds for one thread
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
