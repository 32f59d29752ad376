import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depixel.base.errors import DepixelError
from depixel.model import layers, networks
from depixel.model.layers import ACTIVATIONS, NORMALIZATIONS, Activation, BatchNorm, named
from tests.model.test_networks import batch, every_network, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_the_books(name):
    x = torch.linspace(-40, 40, 20001, dtype=torch.float32, requires_grad=True)
    known = torch.tanh if name == "tanh" else getattr(F, name)
    found, wanted = ACTIVATIONS[name](x * 1), known(x.double())
    torch.testing.assert_close(found.double(), wanted, rtol=4e-6, atol=1e-6)
    (slope,) = torch.autograd.grad(found.sum(), x, retain_graph=True)
    (right,) = torch.autograd.grad(wanted.sum(), x)
    torch.testing.assert_close(slope, right, rtol=1e-5, atol=1e-6)


@every_network
@pytest.mark.parametrize("chosen", [{"activation": "silu"}, {"normalization": "batch"}, {"normalization": "group"}])
def test_every_network_uses_what_is_chosen(name, chosen):
    _, pixelated, blocks = batch()
    predictions = []
    for choice in ({}, chosen):
        torch.manual_seed(0)
        network = networks.build(name, 4, **choice)
        gradients = train(network, 3)
        assert all(gradient is not None and gradient.any() for gradient in gradients.values())
        with torch.no_grad():
            predictions.append(network.eval()(pixelated, blocks))
    assert not torch.equal(*predictions)


@every_network
def test_every_layer_but_the_last_belongs_to_a_level(name):
    network = networks.build(name, 4, normalization="batch", uncertainty=True)
    levels = [{id(p) for layer in level for p in layer.parameters()} for level in network.levels()]
    assert all(levels) and len(set().union(*levels)) == sum(map(len, levels))
    beside = {key.split(".")[0] for key, p in network.named_parameters() if id(p) not in set().union(*levels)}
    assert beside == {"out", "spread"}


def test_a_network_of_its_own_activation_is_told():
    class Plain(networks.Network):
        def __init__(self, width, dropout):
            super().__init__()
            self.out = nn.Conv2d(1, 1, 3)

    try:
        networks.register("plain")(Plain)
        networks.build("plain", 4)
        with pytest.raises(DepixelError, match=r"plain has its own activation.*train.activation: relu"):
            networks.build("plain", 4, activation="gelu")
    finally:
        del networks._REGISTRY["plain"]


# Batch normalization


def features(count, seed=0):
    return torch.randn(count, 6, 5, 4, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def passed(norm, parts, names):
    made = []
    for name, part in zip(names, parts, strict=True):
        with named(name, torch.device("cpu")):
            made.append(norm(part))
    norm.settle()
    return made


def test_one_part_is_normalized_as_by_pytorch():
    ours, theirs = BatchNorm(6), nn.BatchNorm2d(6)
    for seed in range(3):
        (made,) = passed(ours, [features(4, seed)], ["a"])
        torch.testing.assert_close(made, theirs(features(4, seed)))
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    torch.testing.assert_close(ours.eval()(features(4, 9)), theirs.eval()(features(4, 9)))


def test_statistics_are_those_of_all_parts_whatever_came_first():
    x = features(7)
    forward, backward = BatchNorm(6), BatchNorm(6)
    passed(forward, x.split([4, 3]), ["a", "b"])
    passed(backward, x.split([4, 3])[::-1], ["b", "a"])
    assert torch.equal(forward.mean, backward.mean) and torch.equal(forward.variance, backward.variance)
    whole = BatchNorm(6)
    passed(whole, [x], ["a"])
    torch.testing.assert_close(forward.mean, whole.mean)
    torch.testing.assert_close(forward.variance, whole.variance, rtol=0.02, atol=0)


def test_prediction_and_frozen_levels_leave_the_statistics():
    norm = BatchNorm(6)
    passed(norm, [features(4)], ["a"])
    before = norm.mean.clone()
    passed(norm.eval(), [features(4, 1)], ["b"])
    norm.train().requires_grad_(False)
    frozen = passed(norm, [features(4, 1)], ["b"])[0]
    assert torch.equal(norm.mean, before)
    torch.testing.assert_close(frozen, norm.eval()(features(4, 1)))


def test_group_normalization_takes_any_number_of_channels():
    for channels in (1, 5, 8, 24, 36):
        layer = Activation(channels)
        layer.choose("relu", "group")
        assert layer(torch.randn(2, channels, 4, 4)).isfinite().all()


def test_settle_reaches_all_layers():
    network = networks.build("basic_cnn", 4, normalization="batch")
    _, pixelated, blocks = batch()
    with named("a", torch.device("cpu")):
        network(pixelated, blocks)
    layers.settle(network)
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == 4 and all(norm.mean.any() for norm in norms)
    assert set(NORMALIZATIONS) == {"none", "batch", "group"}
