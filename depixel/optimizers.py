"""The optimizer Muon, and AdamW for the parameters that it is not for, as one."""

import torch
from torch import Tensor, nn


class MuonAdamW:
    """Muon (Jordan et al. 2024, PyTorch's) for the convolutions inside a network, AdamW for all else.

    Muon makes the update of a weight matrix orthogonal; a convolution (O, I, K, K) is the matrix (O, I K K). Steps are
    as long as AdamW's, so one learning rate does for both (Moonshot AI 2025, "match_rms_adamw"). The first and the last
    convolution, in the order in which a network defines them, the biases and `Network.spread` are no such matrices.
    PyTorch's Muon computes in bfloat16 on every machine. Of the interface of a `torch.optim.Optimizer` it has what a
    training needs.

    Args:
        network: on its device and in channels_last already; the weights stay where they are.
        learning_rate, weight_decay: of both.

    Raises:
        ValueError: a weight is not in channels_last.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float):
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
        self._parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, learning_rate, weight_decay=weight_decay)]
        if self._matrices:
            self._parts.append(
                torch.optim.Muon(
                    self._matrices, learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        for matrix, weight in zip(self._matrices, self._weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict) -> None:
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _matrix(weight: Tensor) -> Tensor:
    """(O, I, K, K) in channels_last as (O, K K I), without a copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)
