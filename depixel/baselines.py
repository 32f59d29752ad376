"""What a network must beat: restorations that learn nothing. Same interface as the networks."""

from torch import Tensor, nn

from depixel.blocks import Blocks


class Identity(nn.Module):
    """The pixelated pixels themselves: the do-nothing model that ratios refer to."""

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        return pixelated


class Interpolation(nn.Module):
    """Smooth interpolation that keeps the block means and joins the known pixels around the area."""

    STEPS = 64

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        return blocks.smooth(pixelated, self.STEPS)


BASELINES = {"identity": Identity, "interpolation": Interpolation}
