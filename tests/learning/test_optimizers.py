import copy

import pytest
import torch

from depixel.learning import optimizers
from depixel.learning.optimizers import Chosen, MuonAdam
from depixel.model import networks

pytestmark = pytest.mark.usefixtures("one_thread")
every_network = pytest.mark.parametrize("name", networks.names())


def network_with_gradients(name="unet", seed=0):
    torch.manual_seed(seed)
    network = networks.build(name, 8).to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


def steps(network, optimizer, count, seed=0):
    random = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for parameter in network.parameters():
            drawn = torch.randn(parameter.shape, generator=random)
            parameter.grad = torch.empty_like(parameter).copy_(drawn)  # in its memory format, as `fit` gives it
        optimizer.step()


@every_network
def test_it_moves_every_parameter(name):
    network = network_with_gradients(name)
    before = copy.deepcopy(network.state_dict())
    MuonAdam(network, Chosen(1e-2)).step()
    assert [key for key, value in network.state_dict().items() if torch.equal(value, before[key])] == []


def test_the_update_of_an_inner_convolution_is_orthogonal():
    network = network_with_gradients()
    weight = network.stages[0][0].first.weight
    before, rate = weight.detach().clone(), 1e-2
    MuonAdam(network, Chosen(rate)).step()
    update = (before - weight.detach()).permute(0, 2, 3, 1).flatten(1) / rate
    singular = torch.linalg.svdvals(update / (0.2 * max(update.shape) ** 0.5))  # Moonshot AI 2025, equation 4
    assert singular.min() > 0.6 and singular.max() < 1.3  # Newton-Schulz is not exact


@every_network
def test_matrices_of_one_shape_at_once_move_as_one_by_one(name, monkeypatch):
    one, other = network_with_gradients(name), network_with_gradients(name)
    batched = MuonAdam(one, Chosen(1e-2))
    monkeypatch.setattr(optimizers, "_Muon", torch.optim.Muon)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)  # in which PyTorch's computes
    alone = MuonAdam(other, Chosen(1e-2))
    steps(one, batched, 3)
    steps(other, alone, 3)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", ["stem", "out"])
def test_the_first_and_the_last_layer_are_for_adam(layer):
    network = network_with_gradients()
    weight = getattr(network, layer).weight
    before = weight.detach().clone()
    MuonAdam(network, Chosen(1e-2)).step()
    torch.testing.assert_close((before - weight.detach()).abs(), torch.full_like(before, 1e-2))  # Adam's first step


def test_the_learning_rate_can_be_set():
    network = network_with_gradients()
    optimizer = MuonAdam(network, Chosen(1e-2))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(network.state_dict())
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_saved_and_loaded_it_goes_on_the_same():
    one = network_with_gradients()
    optimizer = MuonAdam(one, Chosen(1e-2))
    steps(one, optimizer, 3)
    other = copy.deepcopy(one)
    resumed = MuonAdam(other, Chosen(1.0))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [group["lr"] for group in resumed.param_groups] == [1e-2] * len(resumed.param_groups)
    steps(one, optimizer, 2, seed=1)
    steps(other, resumed, 2, seed=1)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_weights_that_it_would_not_reach_are_refused():
    with pytest.raises(ValueError, match="not in channels_last"):
        MuonAdam(networks.build("unet", 8), Chosen(1e-2))


# Those of PyTorch

SETTINGS = [{}, {"momentum": 0.5, "weight_decay": 0.1}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("name", "kind", "usual"),
    [
        ("adam", torch.optim.Adam, {}),
        ("adamw", torch.optim.AdamW, {"weight_decay": 0.0}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9}),
        ("rmsprop", torch.optim.RMSprop, {}),
        ("adadelta", torch.optim.Adadelta, {}),
        ("adagrad", torch.optim.Adagrad, {}),
    ],
)
def test_they_move_as_those_of_pytorch(name, kind, usual, settings):
    if name in optimizers.WITHOUT_MOMENTUM:
        settings = {key: value for key, value in settings.items() if key != "momentum"}
    # with the layout of the gradients that `steps` makes, as the training loop sees to it
    one, other = (network_with_gradients().to(memory_format=torch.contiguous_format) for _ in range(2))
    arguments = usual | settings
    if name.startswith("adam") and "momentum" in arguments:
        arguments["betas"] = (arguments.pop("momentum"), 0.999)
    ours, theirs = optimizers.build(name, one, Chosen(1e-2, **settings)), kind(other.parameters(), 1e-2, **arguments)
    steps(one, ours, 3)
    steps(other, theirs, 3)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_a_weight_without_gradient_stays_and_a_gradient_of_0_is_no_number_less(name):
    network = network_with_gradients()
    optimizer = optimizers.build(name, network, Chosen(1e-2))
    network.stem.weight.grad, network.stages[0][0].first.weight.grad = None, None
    network.out.weight.grad.zero_()
    before = copy.deepcopy(network.state_dict())
    optimizer.step()
    after = network.state_dict()
    same = {key for key, value in after.items() if torch.equal(value, before[key])}
    assert same >= {"stem.weight", "stages.0.0.first.weight"} and len(same) < 5
    assert all(value.isfinite().all() for value in after.values())


def test_muon_shrinks_the_weights():
    one, other = network_with_gradients(), network_with_gradients()
    MuonAdam(one, Chosen(1e-2)).step()
    MuonAdam(other, Chosen(1e-2, weight_decay=0.5)).step()
    untouched = network_with_gradients().state_dict()
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value - other.state_dict()[key], 0.005 * untouched[key], rtol=1e-3, atol=1e-6)
