"""Published networks for comparison in the table of quality, as their authors built them except for the input planes.

Their inputs are those of the challenge: the pixelated picture, and which pixels are known. The projection afterwards is
the same for all. They need further packages, in a separate environment:

    python -m venv .scratch/peers
    .scratch/peers/bin/pip install -r requirements.lock -r recipes/requirements-peers.txt
    .scratch/peers/bin/pip install --no-deps -e .
    .scratch/peers/bin/python recipes/predictor.py train peers --photos ../shared/photos --bench ../shared/bench

torch and torchvision must come from the same index: both for CUDA, or both for the CPU.
"""

import segmentation_models_pytorch as smp
import torch
from spandrel.architectures import DnCNN, DRUNet, NAFNet, SwinIR
from torch import Tensor, nn

from depixel.model.blocks import Blocks
from depixel.model.networks import register

PLANES = 2


class Peer(nn.Module):
    """A published network, `body`, with two input planes; its first output plane is the prediction / 255."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        return self.body(torch.cat([pixelated / 255, blocks.unknown.float()], dim=1))[:, :1].float() * 255


@register("dncnn")
class DnCNNPeer(Peer):
    """DnCNN (Zhang et al. 2017): 17 convolutions of 64 channels; `width` 64."""

    def __init__(self, width: int, dropout: float):
        super().__init__(DnCNN.DnCNN(in_nc=PLANES, out_nc=PLANES, nc=width, nb=17))


@register("drunet")
class DRUNetPeer(Peer):
    """DRUNet (Zhang et al. 2021): a residual U-Net of four levels; the authors' `width` is 64."""

    def __init__(self, width: int, dropout: float):
        super().__init__(DRUNet.DRUNet(in_nc=PLANES, out_nc=PLANES, nc=[width, 2 * width, 4 * width, 8 * width], nb=4))


@register("nafnet")
class NAFNetPeer(Peer):
    """NAFNet (Chen et al. 2022), the authors' version for denoising; their `width` is 32."""

    def __init__(self, width: int, dropout: float):
        blocks = {"enc_blk_nums": [2, 2, 4, 8], "middle_blk_num": 12, "dec_blk_nums": [2, 2, 2, 2]}
        super().__init__(NAFNet.NAFNet(img_channel=PLANES, width=width, **blocks))
        self.body.ending = self.body._modules.pop("ending")  # Muon expects that the last layer is defined last


@register("swinir")
class SwinIRPeer(Peer):
    """SwinIR (Liang et al. 2021), the authors' lightweight version; their `width` is 60."""

    def __init__(self, width: int, dropout: float):
        super().__init__(
            SwinIR.SwinIR(
                in_chans=PLANES, embed_dim=width, depths=[6] * 4, num_heads=[6] * 4, window_size=8, mlp_ratio=2
            )
        )


@register("smp_unet")
class UNetPeer(nn.Module):
    """The plain U-Net of segmentation-models-pytorch with a ResNet-18 encoder; it corrects the pixelated picture.

    `width` is the width of the decoder's last level; the package's default is 16.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.body = smp.Unet(
            "resnet18",
            encoder_depth=4,
            encoder_weights=None,
            decoder_channels=[16 * width, 8 * width, 4 * width, width],
            in_channels=PLANES,
        )
        self.body.encoder.layer4 = nn.Identity()  # unused

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        return pixelated + self.body(torch.cat([pixelated / 255, blocks.unknown.float()], dim=1)).float() * 255
