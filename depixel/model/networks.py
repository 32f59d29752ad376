"""The networks, by name. Each predicts the pixels of the areas from pixelated images and their blocks.

All share one interface, `forward(pixelated, blocks) -> prediction`, in gray levels. `predictor.restore` projects the
prediction onto the block means afterwards. To add a network, derive from `Network` and use `@register`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.base.errors import DepixelError
from depixel.base.spelling import suggestion
from depixel.model.blocks import Blocks
from depixel.model.functions import exp
from depixel.model.layers import Activation, Dropout

_REGISTRY: dict[str, Callable[[int, float], "Network"]] = {}
Made = TypeVar("Made", bound=Callable[[int, float], "Network"])
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def register(name: str) -> Callable[[Made], Made]:
    """Class decorator: register a network as `train.network: name`. Its `__init__` takes `width` and `dropout`."""

    def add(network: Made) -> Made:
        _REGISTRY[name] = network
        return network

    return add


def names() -> list[str]:
    """The names of all registered networks."""
    return sorted(_REGISTRY)


def _registered(name: str) -> str:
    if name not in _REGISTRY:
        raise ValueError(f"there is no such network; the networks are {', '.join(names())}.{suggestion(name, names())}")
    return name


Name = Annotated[str, AfterValidator(_registered)]
"""A setting that holds the name of a registered network."""


def build(
    name: str,
    width: int,
    dropout: float = 0.0,
    uncertainty: bool = False,
    activation: str = "relu",
    normalization: str = "none",
) -> "Network":
    """Make the network `name` with random weights, drawn from PyTorch's global generator.

    Args:
        name: a registered name, see `names`.
        width: channels of the first level.
        dropout: share of the channels that are set to 0 in training, 0 <= dropout < 1.
        uncertainty: whether the network also predicts its own error.
        activation, normalization: names of `layers.ACTIVATIONS` and `layers.NORMALIZATIONS`.

    Raises:
        DepixelError: an activation or normalization is chosen, and the network has no `Activation` layers.
    """
    network = _REGISTRY[name](width, dropout)
    if (activation, normalization) != ("relu", "none"):
        layers = [module for module in network.modules() if isinstance(module, Activation)]
        if not layers:
            raise DepixelError(
                f"the network {name} has its own activation and normalization. Set train.activation: relu and "
                "train.normalization: none, or choose another train.network"
            )
        for layer in layers:
            layer.choose(activation, normalization)
    if uncertainty:
        network.spread = Spread(width)  # last, so that it does not change the random weights of the other layers
    return network


def parameter_count(network: nn.Module) -> int:
    """The number of parameters that the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def on_device(network: AnyNetwork, device: str) -> AnyNetwork:
    """Move a network to a device, in the memory format that makes convolutions fastest; returns the network."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it


def grow(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy the weights of a network of the same kind and at most the same width (Chen et al. 2016, "Net2Net").

    The first channels get the weights of the narrower network; the other channels keep their random weights. The first
    channels ignore the others at the start, so both networks predict the same.

    Args:
        network: the wider network, changed in place.
        weights: the `state_dict` of the narrower one.
    """
    state = network.state_dict()
    for name, known in weights.items():
        if name not in state:  # weights of a `spread` that this network lacks
            continue
        here = state[name]  # a view of the weights
        if here.dim() == 4:  # outputs, inputs, height, width
            here[: known.shape[0], known.shape[1] :] = 0
        here[tuple(map(slice, known.shape))] = known


def _set_to_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


LARGEST = 127.5
"""The largest standard deviation that gray levels of 0..255 can have: an upper bound of expected errors. Without it, a
few pixels unlike those of the training have expected errors of thousands."""


class Network(nn.Module):
    """The base of all networks.

    Attributes:
        PLANES: names of the input planes of the first convolution.
        out: the last convolution.
        spread: predicts the error of each pixel; None if the network does not predict its error.
    """

    PLANES: tuple[str, ...]
    out: nn.Conv2d

    def __init__(self) -> None:
        super().__init__()
        self.spread: Spread | None = None

    def levels(self) -> Sequence[Sequence[nn.Module]]:
        """The layers of each level in the order of `forward`, without `out`; `train.freeze` names levels by number."""
        return ()

    def output(self, x: Tensor, base: Tensor | float, unit: Tensor | float) -> Tensor:
        """The result of `forward`.

        Args:
            x: the last features, (B, C, H, W).
            base: (B, 1, H, W) or a number, gray levels; the network predicts the difference from it.
            unit: (B, 1, 1, 1) or a number; gray levels per unit of output.

        Returns:
            (B, 1, H, W) float32: base + out(x) unit, gray levels. With `spread` (B, 2, H, W): the second plane is the
            expected error in gray levels; outside of training at most `LARGEST`.
        """
        prediction = base + self.out(x).float() * unit
        if self.spread is None:
            return prediction
        expected = self.spread(x) * unit
        if not self.training:  # there, a bound would stop the gradient that brings the error back
            expected = expected.clamp(max=LARGEST)
        return torch.cat([prediction, expected], dim=1)


class Spread(nn.Module):
    """Predicts the error of each pixel from the features of the last layer.

    No gradient flows back into these features, so adding it does not change the predicted pixels, to the last bit.
    """

    START = 0.3  # first prediction, in units; about right for all networks, so training starts close

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        self.out.bias = nn.Parameter(torch.full((1,), math.log(self.START)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) float32: the expected error of each pixel, in the unit of `Network.output`."""
        return exp(self.out(F.relu(self.hidden(x.detach()))).float())


@register("basic_cnn")
class BasicCNN(Network):
    """The challenge's reference (there with `width` 32): 5 convolutions of kernel size 3 with ReLU between them.

    Its input channels are the pixelated image and the mask of known pixels.
    """

    PLANES = ("pixelated", "known")

    def __init__(self, width: int, dropout: float):
        super().__init__()
        channels = [2, width, width, width, width]
        self.hidden = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(channels))
        self.activation = nn.ModuleList(Activation(width) for _ in self.hidden)
        self.drop = Dropout(dropout)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def levels(self) -> Sequence[Sequence[nn.Module]]:
        """One level for each hidden convolution."""
        return list(zip(self.hidden, self.activation, strict=True))

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The prediction of all pixels: see `Network`."""
        known = ~blocks.unknown
        x = torch.cat([pixelated / 255, known.float()], dim=1)  # (B, 2, H, W)
        for layer, activation in zip(self.hidden, self.activation, strict=True):
            x = self.drop(activation(layer(x)))
        return self.output(x, 0, 255)


class ResidualBlock(nn.Module):
    """x + conv(activation(conv(x))); it starts as the identity, so that deep stacks can learn."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = Activation(channels)
        self.drop = Dropout(dropout)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _set_to_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C, H, W) features."""
        return self.second(self.drop(self.activation(self.first(x)))).add_(x)  # in place: faster, with less memory


class UNetBody(nn.Module):
    """All layers of a U-Net (Ronneberger et al. 2015) except the last one: four levels down and up again.

    Each lower level halves height and width, which must be multiples of 8. The levels have 1, 1.5, 2 and 4 times
    `width` channels. A network with this body adds its last convolution.

    Args:
        planes: channels of the input.
        width: channels of the first level and of the output of `features`.
        stack: makes the layers of a level from its number of channels and its entry in `BLOCKS`.
        kernel: side of the first convolution, pixels.

    Attributes:
        BLOCKS: number of blocks at each level: four on the way down, three on the way up.
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

    def levels(self) -> Sequence[Sequence[nn.Module]]:
        """Seven levels: a stage of blocks each, with the convolution before it; four on the way down, three up."""
        return list(zip([self.stem, *self.down, *self.up], self.stages, strict=True))

    def features(self, planes: Tensor) -> Tensor:
        """(B, planes, H, W) input to (B, width, H, W) features."""
        x = self.stages[0](self.stem(planes))  # (B, width, H, W)
        finer = []
        for down, stage in zip(self.down, self.stages[1:4], strict=True):
            finer.append(x)
            x = stage(down(x))  # at the lowest level (B, 4 width, H/8, W/8)
        for up, stage in zip(self.up, self.stages[4:], strict=True):
            x = stage(finer.pop() + F.pixel_shuffle(up(x), 2))
        return x


@register("unet")
class UNet(UNetBody, Network):
    """A U-Net that corrects a smooth interpolation of the block means.

    It spends most of its depth and time at full resolution, where depth lowers the error most.
    """

    SMOOTHING = 16  # steps
    CONTRAST = 8  # gray levels; added to the contrast, so that noise in flat windows is not amplified
    BLOCKS = (3, 2, 2, 2, 2, 2, 3)
    PLANES = ("pixelated", "smooth", "known", "x", "y", "width", "height", "border x", "border y")

    def __init__(self, width: int, dropout: float):
        def stack(channels: int, depth: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(channels, dropout) for _ in range(depth)))

        super().__init__(len(self.PLANES), width, stack)
        self.out = nn.Conv2d(width, 1, 3, padding=1)
        _set_to_zero(self.out)

    def inputs(self, pixelated: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor, Tensor]:
        """The input planes (B, 9, H, W), the interpolation (B, 1, H, W) and the unit of the correction (B, 1, 1, 1)."""
        base = blocks.smooth(pixelated, self.SMOOTHING)
        # the planes are normalized by brightness and contrast of the window; the correction is scaled back
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
    """A `UNet` that is deeper at high resolution: 8 blocks instead of 3 at full, 4 instead of 2 at half resolution.

    At 1/8 it has 1 block instead of 2. It takes 2.2 times as long as a `unet` of the same width and has about as many
    parameters; train it on a GPU.
    """

    BLOCKS = (8, 4, 2, 1, 2, 4, 8)
