"""The networks, by name. Each sees the pixelated images and their blocks and predicts the pixels of the areas.

All share one interface, `forward(pixelated, blocks) -> prediction`, gray levels in and out; the projection onto the
block means is not theirs but the restoration's. A new network is a `Network` with `@register`.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Annotated, TypeVar

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.model.blocks import Blocks
from depixel.model.functions import exp

_REGISTRY: dict[str, Callable[[int, float], "Network"]] = {}
Made = TypeVar("Made", bound=Callable[[int, float], "Network"])
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def register(name: str) -> Callable[[Made], Made]:
    """Class decorator: make a network known as `train.network: name`. Its `__init__` takes `width` and `dropout`."""

    def add(network: Made) -> Made:
        _REGISTRY[name] = network
        return network

    return add


def names() -> list[str]:
    """The names of all registered networks."""
    return sorted(_REGISTRY)


def _registered(name: str) -> str:
    if name not in _REGISTRY:
        raise ValueError(f"there is no such network; the networks are {', '.join(names())}")
    return name


Name = Annotated[str, AfterValidator(_registered)]
"""The name of a registered network, as a setting."""


def build(name: str, width: int, dropout: float = 0.0, uncertainty: bool = False) -> "Network":
    """Make the network `name`.

    Args:
        name: a `Name`. width: channels of its first level. dropout: share of the features set to 0 in training,
            0 <= dropout < 1. uncertainty: whether it also says how far off it expects to be.
    """
    network = _REGISTRY[name](width, dropout)
    if uncertainty:
        network.spread = Spread(width)  # last, so that all else begins as it does without
    return network


def parameter_count(network: nn.Module) -> int:
    """How many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def on_device(network: AnyNetwork, device: str) -> AnyNetwork:
    """Move a network to a device, in the memory format in which convolutions are fastest; returns it."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it


def grow(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network what one of the same kind and of at most its width has learnt (Chen et al. 2016, "Net2Net").

    Its first channels get the others' weights; its further channels keep their random ones, but nothing that is known
    listens to them yet, so that it predicts what the narrower one does.

    Args:
        network: changed in place. weights: the `state_dict` of the other.
    """
    state = network.state_dict()
    for name, known in weights.items():
        if name not in state:  # of a `spread` that is not wanted here
            continue
        here = state[name]  # a view of the weights
        if here.dim() == 4:  # outputs, inputs, height, width
            here[: known.shape[0], known.shape[1] :] = 0
        here[tuple(map(slice, known.shape))] = known


_DROPPING: ContextVar[torch.Generator] = ContextVar("_DROPPING")


@contextmanager
def dropping(name: str, device: torch.device) -> Iterator[None]:
    """Within, in this thread, which features `Dropout` drops follows from this name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
    token = _DROPPING.set(torch.Generator(device).manual_seed(seed))
    try:
        yield
    finally:
        _DROPPING.reset(token)


class Dropout(nn.Module):
    """In training, set whole channels of some images to 0 at random, and scale the others up (Tompson et al. 2015).

    PyTorch's own draws from one generator for all threads.

    Args:
        share: of the channels, 0 <= share < 1.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W): x, but for what is dropped."""
        if not self.training or not self.share:
            return x
        drawn = torch.rand(x.shape[0], x.shape[1], 1, 1, generator=_DROPPING.get(None), device=x.device)
        return x * ((drawn >= self.share).to(x.dtype) / (1 - self.share))


def _set_to_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Network(nn.Module):
    """What all networks are.

    Attributes:
        PLANES: what each of the planes that the first convolution sees is.
        out: the last convolution. spread: how far off each pixel may be; None if the network does not say.
    """

    PLANES: tuple[str, ...]
    out: nn.Conv2d

    def __init__(self) -> None:
        super().__init__()
        self.spread: Spread | None = None

    def output(self, x: Tensor, base: Tensor | float, unit: Tensor | float) -> Tensor:
        """What `forward` returns, from the last features x (B, C, H, W).

        Returns:
            (B, 1, H, W) float32: base + out(x) unit; or (B, 2, H, W), beside it the expected error in gray levels.
        """
        prediction = base + self.out(x).float() * unit
        return prediction if self.spread is None else torch.cat([prediction, self.spread(x) * unit], dim=1)


class Spread(nn.Module):
    """How far off each pixel may be: beside the last layer, it learns from what that sees and teaches it nothing.

    Adding it does not change the predicted pixels, to the last bit.
    """

    START = 0.3  # of the unit; about right for all networks, so that less is to be learnt

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        self.out.bias = nn.Parameter(torch.full((1,), math.log(self.START)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W): how far off each pixel is expected to be, gray levels."""
        return exp(self.out(F.relu(self.hidden(x.detach()))).float())


@register("basic_cnn")
class BasicCNN(Network):
    """The challenge's reference: 5 convolutions of kernel size 3; pixelated and known as channels; ReLU between them.

    The reference has `width` 32.
    """

    PLANES = ("pixelated", "known")

    def __init__(self, width: int, dropout: float):
        super().__init__()
        channels = [2, width, width, width, width]
        self.hidden = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(channels))
        self.drop = Dropout(dropout)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The prediction of all pixels: see `Network`."""
        known = ~blocks.unknown
        x = torch.cat([pixelated / 255, known.float()], dim=1)  # (B, 2, H, W)
        for layer in self.hidden:
            x = self.drop(F.relu(layer(x)))
        return self.output(x, 0, 255)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), no normalisation; starts as the identity, so that deep stacks train from the start."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop = Dropout(dropout)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _set_to_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W): the features after the block."""
        return self.second(self.drop(F.relu_(self.first(x)))).add_(x)  # in place: quicker, in less memory


class UNetBody(nn.Module):
    """The layers of a U-Net (Ronneberger et al. 2015) but for its last one: four levels down and up again.

    Each level halves height and width, which must be multiples of 8; the levels have 1, 1.5, 2 and 4 times `width`
    channels. A network that has this body defines its last convolution after it.

    Args:
        planes: channels of the input. width: channels of the first level, and of `features`.
        stack: makes the layers of a level from its channels and its entry of `BLOCKS`.
        kernel: side of the first convolution, pixels.

    Attributes:
        BLOCKS: number of blocks of each level, on the way down (the first four) and up.
    """

    BLOCKS: tuple[int, ...]

    def __init__(self, planes: int, width: int, stack: Callable[[int, int], nn.Module], kernel: int = 3):
        super().__init__()
        channels = [width, width * 3 // 2, width * 2, width * 4]
        levels = [*channels, *channels[-2::-1]]
        self.stem = nn.Conv2d(planes, width, kernel, padding=kernel // 2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in reversed(list(pairwise(channels))))
        self.stages = nn.ModuleList(stack(n, depth) for n, depth in zip(levels, self.BLOCKS, strict=True))

    def features(self, planes: Tensor) -> Tensor:
        """(B, width, H, W) from the input (B, planes, H, W)."""
        x = self.stages[0](self.stem(planes))  # (B, width, H, W)
        finer = []
        for down, stage in zip(self.down, self.stages[1:4], strict=True):
            finer.append(x)
            x = stage(down(x))  # (B, 4 width, H/8, W/8) in the end
        for up, stage in zip(self.up, self.stages[4:], strict=True):
            x = stage(finer.pop() + F.pixel_shuffle(up(x), 2))
        return x


@register("unet")
class UNet(UNetBody, Network):
    """A U-Net that corrects a smooth interpolation of the block means.

    Most of its depth, and of its time, is at full resolution: there it brings most.
    """

    SMOOTHING = 16
    CONTRAST = 8  # gray levels; keeps noise in flat windows small
    BLOCKS = (3, 2, 2, 2, 2, 2, 3)
    PLANES = ("pixelated", "smooth", "known", "x", "y", "width", "height", "border x", "border y")

    def __init__(self, width: int, dropout: float):
        def stack(channels: int, depth: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(channels, dropout) for _ in range(depth)))

        super().__init__(len(self.PLANES), width, stack)
        self.out = nn.Conv2d(width, 1, 3, padding=1)
        _set_to_zero(self.out)

    def inputs(self, pixelated: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor, Tensor]:
        """What it sees, (B, 9, H, W); what it corrects, (B, 1, H, W); and the unit of the correction, (B, 1, 1, 1)."""
        base = blocks.smooth(pixelated, self.SMOOTHING)
        # brightness and contrast of the window are taken out of what it sees, and put back into the correction
        level, contrast = base.mean(dim=(2, 3), keepdim=True), base.std(dim=(2, 3), keepdim=True) + self.CONTRAST
        gray = [(image - level) / contrast for image in (pixelated, base)]
        planes = torch.cat([*gray, blocks.features()], dim=1).contiguous(memory_format=torch.channels_last)
        return planes, base, contrast

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The prediction of all pixels: see `Network`."""
        planes, base, contrast = self.inputs(pixelated, blocks)
        return self.output(self.features(planes), base, contrast)


@register("unet_deep")
class DeepUNet(UNet):
    """The same, deeper where that brings most: 8 blocks for 3 at full resolution, 4 for 2 at half, 1 for 2 at 1/8.

    It takes 2.2 times as long as a `unet` of its width and has about as many parameters: for those who have a GPU.
    """

    BLOCKS = (8, 4, 2, 1, 2, 4, 8)
