import pytest
import torch
from torch import nn

from depixel.base.names import photo_ids
from depixel.model import networks
from depixel.model.blocks import Blocks
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms

pytestmark = pytest.mark.usefixtures("one_thread")
every_network = pytest.mark.parametrize("name", networks.names())


def batch(count=3, height=24, width=32, seed=0):
    """pixelated (B, 1, H, W) and blocks of random images."""
    torch.manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, height, width)).float()
    ids = photo_ids([f"{i}" for i in range(count)])
    areas = draw_areas(uniforms(ids, f"{seed}", 5), min(height, width), PixelationSettings(width=(4, 8), height=(4, 8)))
    blocks = Blocks(torch.from_numpy(areas), height, width)
    return images, blocks.pixelate(images), blocks


def train(network, steps, seed=0):
    """The gradients of the last of some steps."""
    images, pixelated, blocks = batch(seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.step()
        optimizer.zero_grad()
        ((network(pixelated, blocks) - images)[blocks.unknown] / 255).square().mean().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@every_network
@pytest.mark.parametrize("size", [(24, 32), (48, 48), (8, 8)])
def test_shape_and_dtype(name, size):
    torch.manual_seed(0)
    _, pixelated, blocks = batch(2, *size)
    prediction = networks.build(name, 4)(pixelated, blocks)
    assert (prediction.shape, prediction.dtype) == (pixelated.shape, torch.float32)
    assert prediction.isfinite().all()


@every_network
def test_bfloat16_is_close_to_float32(name):
    torch.manual_seed(0)
    network = networks.build(name, 8)
    train(network, 3)
    _, pixelated, blocks = batch(seed=1)
    with torch.no_grad():
        exact = network(pixelated, blocks)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(pixelated, blocks)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=2)


@every_network
def test_the_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    gradients = train(networks.build(name, 8), 3)  # layers that start at 0 pass it on later
    assert gradients
    assert [key for key, gradient in gradients.items() if gradient is None or not gradient.any()] == []


@every_network
@pytest.mark.parametrize("wider", [4, 5, 8])
def test_a_wider_network_goes_on_where_a_narrower_one_ended(name, wider):
    torch.manual_seed(0)
    narrow = networks.build(name, 4)
    train(narrow, 3)
    wide = networks.build(name, wider)
    networks.grow(wide, narrow.state_dict())
    _, pixelated, blocks = batch(seed=1)
    torch.testing.assert_close(wide(pixelated, blocks), narrow(pixelated, blocks), rtol=1e-4, atol=1e-2)
    before = {key: value.clone() for key, value in wide.state_dict().items()}
    gradients = train(wide, 3)
    new = {key: gradients[key][tuple(map(slice, narrow.state_dict()[key].shape))] for key in before}
    assert all(gradient.any() for gradient in new.values())
    if wider > 4:  # the new channels learn too
        changed = [key for key, value in wide.state_dict().items() if value.shape != narrow.state_dict()[key].shape]
        assert changed and all((wide.state_dict()[key] != before[key]).any() for key in changed)


@every_network
def test_samples_of_a_batch_do_not_meet(name):
    torch.manual_seed(0)
    network = networks.build(name, 8).eval()
    train(network, 3)
    areas = torch.tensor([[3, 4, 8, 7, 4], [10, 2, 5, 8, 3]])
    images = torch.randint(0, 256, (2, 1, 24, 24)).float()
    together = Blocks(areas, 24, 24)
    with torch.no_grad():
        both = network(together.pixelate(images), together)
        for i in range(2):
            alone = Blocks(areas[i : i + 1], 24, 24)
            one = network(alone.pixelate(images[i : i + 1]), alone)
            torch.testing.assert_close(one, both[i : i + 1], rtol=0, atol=1e-2)


@every_network
def test_dropout_is_for_training_only(name):
    torch.manual_seed(0)
    network = networks.build(name, 8, dropout=0.5)
    train(network, 3)
    _, pixelated, blocks = batch(seed=1)
    with torch.no_grad():
        assert not torch.equal(network(pixelated, blocks), network(pixelated, blocks))
        network.eval()
        assert torch.equal(network(pixelated, blocks), network(pixelated, blocks))


@every_network
def test_width_sets_the_number_of_parameters(name):
    few, many = (networks.parameter_count(networks.build(name, width)) for width in (4, 8))
    assert 0 < 2 * few < many


@every_network
def test_it_sees_what_is_known(name):
    """The known pixels around the area change the prediction within it."""
    torch.manual_seed(0)
    network = networks.build(name, 8).eval()
    train(network, 3)
    _, pixelated, blocks = batch(seed=1)
    with torch.no_grad():
        before = network(pixelated, blocks)
        after = network(torch.where(blocks.unknown, pixelated, 255 - pixelated), blocks)
    assert ((before - after) * blocks.unknown).abs().amax(dim=(1, 2, 3)).min() > 0.1


def test_basic_cnn_is_the_reference():
    network = networks.build("basic_cnn", 32)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 5
    assert [layer.out_channels for layer in convolutions] == [32, 32, 32, 32, 1]
    assert networks.parameter_count(network) == (2 * 9 + 1) * 32 + 3 * (32 * 9 + 1) * 32 + (32 * 9 + 1)


def test_unet_has_the_size_it_promises():
    assert 1_200_000 < networks.parameter_count(networks.build("unet", 32)) < 1_300_000
    assert 1_300_000 < networks.parameter_count(networks.build("unet_deep", 32)) < 1_400_000


def test_unet_starts_as_the_smooth_interpolation():
    _, pixelated, blocks = batch()
    network = networks.build("unet", 4)
    with torch.no_grad():
        assert torch.equal(network(pixelated, blocks), blocks.smooth(pixelated, network.SMOOTHING))


@every_network
def test_how_far_off_it_is_teaches_the_network_nothing(name):
    torch.manual_seed(0)
    network = networks.build(name, 4, uncertainty=True)
    torch.nn.init.normal_(network.spread.out.weight)
    _, pixelated, blocks = batch()
    both = network(pixelated, blocks)
    assert both.shape == (3, 2, 24, 32) and both[:, 1].min() > 0
    both[:, 1].sum().backward()
    taught = {
        key for key, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert taught and all(key.startswith("spread.") for key in taught)
