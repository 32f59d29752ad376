"""The processes of one training. Their number changes no bit of the result.

A batch is cut into `train.shards` parts. Each process computes whole parts, and all processes add all gradients in the
order of the parts, as a single process does. So each has the same weights after every step. The first process loads,
scores, saves, logs and writes. The others compute.

`joined` gives a training its processes: those that torchrun has started, else this one alone.
"""

import io
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from depixel.base.errors import DepixelError
from depixel.model import threads

Shard = TypeVar("Shard")
Value = TypeVar("Value")
Computed = tuple[Tensor, Sequence[Tensor | None]]
"""The measured values of a shard, (n,), and the gradient of each parameter; None if the loss does not depend on it."""

PATIENCE = timedelta(minutes=10)
"""The time that a process waits for the others. The longest wait is for the first one to read or score all photos."""


class Processes:
    """A single process, which shares its training with no other.

    Attributes:
        rank: number of this process among those of the training, from 0.
        hosts: the name of each process's machine, by rank.
    """

    def __init__(self) -> None:
        self.rank, self.hosts = 0, [socket.gethostname()]
        self._parent = os.getppid()

    @property
    def orphaned(self) -> bool:
        """Whether the program that started several processes has ended, so that none ends or restarts them."""
        return len(self.hosts) > 1 and os.getppid() != self._parent

    def each(
        self, work: Callable[[Shard], Computed], shards: Sequence[Shard], parameters: Sequence[nn.Parameter]
    ) -> Iterator[Computed]:
        """Yield `work(shard)` of every shard, in their order; each is computed by one process, in one thread.

        Args:
            work: computes a shard's measured values and the gradients of `parameters`.
            shards: the parts of a batch, at least one; the same in all processes.
            parameters: the parameters that are trained, all on one device.
        """
        return threads.each(work, shards, parameters[0].device.type)

    def first(self, work: Callable[[], Value]) -> Value:
        """The result of `work`, tensors and plain values, which only the first process calls; all processes get it.

        Raises:
            DepixelError: `work` raised it, here in the first process; the others then end without a message.
        """
        return work()

    def gathered(self, value: Value) -> list[Value]:
        """This value of every process, by rank: tensors and plain values. Tensors come back on the CPU."""
        return [value]

    def most(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def agree(self, inputs: Callable[[], dict[str, str]]) -> None:
        """Raise `DepixelError` if another process trains with anything else, by name.

        Args:
            inputs: what this process trains with: name -> hash or text. Not called in a single process.
        """


class Distributed(Processes):
    """Several processes, which torch.distributed connects.

    Args:
        group: connects them; a ProcessGroup, or a Backend of one.
        rank: number of this process.
        count: number of processes.
    """

    def __init__(self, group: Any, rank: int, count: int):
        super().__init__()
        self._group, self.rank, self._count = group, rank, count
        self.hosts = self.gathered(self.hosts[0])

    def each(
        self, work: Callable[[Shard], Computed], shards: Sequence[Shard], parameters: Sequence[nn.Parameter]
    ) -> Iterator[Computed]:
        """As `Processes.each`. Of fewer shards than processes, those without one compute the first one, for nothing."""
        own = shards[self.rank :: self._count] or shards[:1]
        rows = [_flat(*one, parameters) for one in super().each(work, own, parameters)]
        most = -(-len(shards) // self._count)
        sent = torch.stack(rows + rows[:1] * (most - len(rows)))
        received = [torch.empty_like(sent) for _ in range(self._count)]
        with _reaching():
            self._group.allgather([received], [sent]).wait()
        for number in range(len(shards)):
            yield _unflat(received[number % self._count][number // self._count], parameters)

    def first(self, work: Callable[[], Value]) -> Value:
        """As `Processes.first`."""
        if self.rank:
            value, told = self._broadcast(b"")
            if told:
                raise SystemExit(1)  # the first process says why
            return value
        try:
            value = work()
        except DepixelError:
            self._broadcast(_packed((None, True)))
            raise
        self._broadcast(_packed((value, False)))
        return value

    def gathered(self, value: Value) -> list[Value]:
        """As `Processes.gathered`."""
        payload = _packed(value)
        size = torch.tensor([len(payload)])
        sizes = [torch.empty_like(size) for _ in range(self._count)]
        with _reaching():
            self._group.allgather([sizes], [size]).wait()
            most = max(map(int, sizes))
            padded = torch.frombuffer(bytearray(payload.ljust(most, b"\0")), dtype=torch.uint8)
            received = [torch.empty_like(padded) for _ in range(self._count)]
            self._group.allgather([received], [padded]).wait()
        return [_unpacked(one[: int(length)]) for one, length in zip(received, sizes, strict=True)]

    def most(self, number: int) -> int:
        """As `Processes.most`."""
        highest, options = torch.tensor([number]), dist.AllreduceOptions()
        options.reduceOp = dist.ReduceOp(dist.ReduceOp.MAX)
        with _reaching():
            self._group.allreduce([highest], options).wait()
        return int(highest)

    def agree(self, inputs: Callable[[], dict[str, str]]) -> None:
        """As `Processes.agree`."""
        every = self.gathered(inputs())
        for rank, other in enumerate(every):
            differing = [name for name in every[0] | other if every[0].get(name) != other.get(name)]
            if differing and self.rank:
                raise SystemExit(1)  # the first process says why
            if differing:
                more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
                raise DepixelError(
                    f"process {rank} on {self.hosts[rank]} has other inputs than process 0 on "
                    f"{self.hosts[0]}: {', '.join(differing[:3])}{more}. Nothing was trained. Bring both machines to "
                    "the same commit, packages and photos; `git status` and `dvc status` there say what differs"
                )

    def _broadcast(self, payload: bytes) -> Any:
        """The first process's payload, unpacked."""
        size, options = torch.tensor([len(payload)]), dist.BroadcastOptions()
        options.rootRank = 0
        with _reaching():
            self._group.broadcast([size], options).wait()
            content = torch.frombuffer(bytearray(payload.ljust(int(size), b"\0")), dtype=torch.uint8)
            self._group.broadcast([content], options).wait()
        return _unpacked(content) if self.rank else None


ALONE = Processes()
"""The processes of a training that is not distributed."""


@contextmanager
def joined(device: str, shards: int) -> Iterator[Processes]:
    """The processes that torchrun has started together with this one, connected; else this process alone.

    Args:
        device: "cuda": gradients travel by NCCL, and each process takes one GPU; otherwise by gloo.
        shards: number of parts of a batch (`train.shards`).

    Raises:
        DepixelError: there are more processes than shards, or than GPUs on a machine; or the device is no such one.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    count, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    local, of = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    problem = ""
    if count > shards:
        problem = (
            f"{count} processes, but train.shards = {shards}, so some would have nothing to compute. Start at most "
            f"{shards}, or set train.shards: {count}, which changes the last digits"
        )
    elif device == "cuda" and of > torch.cuda.device_count():
        problem = f"{of} processes on {socket.gethostname()}, which has {torch.cuda.device_count()} GPUs: start fewer"
    elif device not in ("cpu", "cuda"):
        problem = f"several processes cannot compute on {device}: set train.device: cpu, or start one"
    if problem:
        if rank:
            raise SystemExit(1)  # the first process says why
        raise DepixelError(problem)
    if device == "cuda":
        torch.cuda.set_device(local)
    with _reaching():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
        processes = Distributed(dist.group.WORLD, rank, count)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def described(hosts: Sequence[str]) -> str:
    """The processes of a training, for people: `1 process`, or `4 processes on a (2), b (2)`.

    Args:
        hosts: the name of each process's machine.
    """
    if len(hosts) == 1:
        return "1 process"
    return f"{len(hosts)} processes on {', '.join(f'{host} ({count})' for host, count in Counter(hosts).items())}"


def _flat(measured: Tensor, gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter]) -> Tensor:
    """One vector of the gradients, of which of them exist, and of the measured values. `_unflat` takes it apart."""
    exist = torch.tensor([gradient is not None for gradient in gradients]).to(measured)
    whole = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
    return torch.cat([*(gradient.reshape(-1) for gradient in whole), exist, measured])


def _unflat(row: Tensor, parameters: Sequence[nn.Parameter]) -> Computed:
    """Measured values and gradients of a vector that `_flat` made; the gradients lie in memory as their parameters."""
    sizes = [parameter.numel() for parameter in parameters]
    *parts, exist, measured = row.split([*sizes, len(sizes), len(row) - sum(sizes) - len(sizes)])
    return measured, [
        torch.empty_like(parameter).copy_(part.view(parameter.shape)) if there else None
        for parameter, part, there in zip(parameters, parts, exist.tolist(), strict=True)
    ]


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn an error of torch.distributed within the block into a `DepixelError`."""
    try:
        yield
    except RuntimeError as error:
        raise DepixelError(
            "the other processes of this training cannot be reached; at least one has ended. The last checkpoint "
            f"stays, and the same command resumes from there ({str(error).partition(chr(10))[0]})"
        ) from error


def _packed(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _unpacked(payload: Tensor) -> Any:
    # weights_only: allows tensors and plain values, runs no code
    return torch.load(io.BytesIO(payload.numpy().tobytes()), map_location="cpu", weights_only=True)
