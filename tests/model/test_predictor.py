import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from depixel.base.errors import DepixelError
from depixel.base.names import photo_ids
from depixel.model import networks
from depixel.model.blocks import Blocks
from depixel.model.pixelation import (
    PixelationSettings,
    draw_areas,
    infer_block_sizes,
    prepare_image,
    uniforms,
)
from depixel.model.predictor import (
    ModelConfiguration,
    Predictor,
    best_device,
    best_precision,
    model_path,
    restore,
    window_side,
)

pytestmark = pytest.mark.usefixtures("one_thread")
every_network = pytest.mark.parametrize("name", networks.names())


def predictor(name="unet", precision="float32", largest=12, seed=0):
    """A network of width 8 with random weights, none of them 0."""
    torch.manual_seed(seed)
    network = networks.build(name, 8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    configuration = ModelConfiguration(
        network=name,
        width=8,
        size=32,
        area_width=(4, largest),
        area_height=(4, largest),
        block_size=(3, 6),
        precision=precision,
    )
    return Predictor(network, configuration, "cpu")


def samples(count=10, height=40, width=40, largest=12, seed=0):
    """pixelated (N, H, W) of random images, and their areas (N, 5)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 1, height, width), dtype=np.uint8)
    settings = PixelationSettings(width=(4, largest), height=(4, largest), block_size=(3, 6))
    ids = photo_ids([f"{i}" for i in range(count)])
    areas = draw_areas(uniforms(ids, f"areas {seed}", 5), min(height, width), settings)
    return np.stack([prepare_image(i, *a)[0][0] for i, a in zip(images, areas, strict=True)]), areas


def assert_equal(predictions, others, tolerance=0):
    assert len(predictions) == len(others)
    for one, other in zip(predictions, others, strict=True):
        np.testing.assert_allclose(one.astype(int), other.astype(int), rtol=0, atol=tolerance)


@pytest.fixture
def model(tmp_path):
    """A saved unet."""
    predictor().save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


# Predictions


@every_network
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(40, 40), (64, 64), (37, 51), (13, 90), (12, 12)])
def test_predictions_are_the_pixels_of_the_areas(name, precision, size):
    """Images of any size: odd, smaller than a window, as small as the largest area."""
    pixelated, areas = samples(5, *size)
    predictions = predictor(name, precision).predict(pixelated, areas)
    assert [p.shape for p in predictions] == [(w * h,) for _, _, w, h, _ in areas]
    assert {p.dtype for p in predictions} == {np.dtype(np.uint8)}
    for prediction, image, (x, y, w, h, size) in zip(predictions, pixelated, areas, strict=True):
        shown = image[y : y + h, x : x + w].ravel()
        assert (prediction != shown).any()  # the network has its say
        whole = np.zeros((1, h, w), np.uint8)
        whole[0] = prediction.reshape(h, w)
        means, _, _ = prepare_image(whole.astype(float), 0, 0, w, h, size)
        inner = (shown > 60) & (shown < 195)  # elsewhere clipping may move a mean
        assert np.abs(means.ravel() - shown - 0.5)[inner].max(initial=0) <= 1  # rounding may move it by half a level


@every_network
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_predictions_do_not_depend_on_the_batch(name, precision):
    """Up to one gray level: convolutions of other batch sizes may sum in another order."""
    pixelated, areas = samples(10)
    one = predictor(name, precision)
    together = one.predict(pixelated, areas)
    for batch_size in (1, 3, 10):
        assert_equal(one.predict(pixelated, areas, batch_size=batch_size), together, tolerance=1)
    order = np.arange(9, -1, -1)
    assert_equal(one.predict(pixelated[order], areas[order])[::-1], together, tolerance=1)


def test_inferred_block_sizes_predict_the_same():
    pixelated, areas = samples(40)
    same = infer_block_sizes(pixelated, areas, (3, 6)) == areas[:, 4]
    assert same.sum() >= 20
    one = predictor()
    assert_equal(one.predict(pixelated[same], areas[same, :4]), one.predict(pixelated[same], areas[same]))


def test_the_block_size_matters():
    pixelated, areas = samples(5)
    other = areas.copy()
    other[:, 4] += 5
    one = predictor()
    differ = [(a != b).any() for a, b in zip(one.predict(pixelated, areas), one.predict(pixelated, other), strict=True)]
    assert all(differ)


def test_areas_larger_than_those_of_the_training_are_restored():
    pixelated, areas = samples(3, largest=40)
    assert areas[:, 2:4].max() > 24
    predictions = predictor(largest=8).predict(pixelated, areas)
    assert [p.size for p in predictions] == (areas[:, 2] * areas[:, 3]).tolist()


def test_pixels_outside_the_window_say_nothing():
    """What is shown within a window decides, so a picture may be of any size."""
    pixelated, _ = samples(1, 90, 90)
    area = np.array([[40, 41, 12, 10, 5]])
    pixelated[0, 41:51, 40:52] = 99
    far = pixelated.copy()
    far[:, :20], far[:, :, 70:] = 0, 255
    one = predictor()
    assert_equal(one.predict(pixelated, area), one.predict(far, area))
    near = pixelated.copy()
    near[:, 39] = 0
    assert (one.predict(near, area)[0] != one.predict(pixelated, area)[0]).any()


@pytest.mark.parametrize("batch_size", [1, 10])
def test_windows_are_as_large_as_their_area_needs(batch_size):
    """Whatever the other areas of a batch are; or a prediction would depend on them."""
    seen = []

    class Watched(torch.nn.Module):
        def forward(self, pixelated, blocks):
            shape = tuple(pixelated.shape[2:])
            areas = blocks.unknown[:, 0]
            for extents, side in zip((areas.any(2).sum(1), areas.any(1).sum(1)), shape, strict=True):
                seen.extend((extent, side) for extent in extents.tolist())
            return pixelated

    pixelated, areas = samples(10, 64, 64, largest=32)
    Predictor(Watched(), predictor(largest=32).configuration, "cpu").predict(pixelated, areas, batch_size=batch_size)
    assert len(seen) == 20
    assert all(side == window_side(extent) for extent, side in seen)
    assert len({side for _, side in seen}) > 1


def test_progress_wraps_the_batches():
    seen = []

    def progress(batches):
        for batch in batches:
            seen.append(len(batch))
            yield batch

    pixelated, areas = samples(10, largest=8)  # windows of one shape
    assert len(predictor().predict(pixelated, areas, batch_size=4, progress=progress)) == 10
    assert seen == [4, 4, 2]


def test_predictions_are_clipped_and_rounded():
    class Extreme(torch.nn.Module):
        def forward(self, pixelated, blocks):
            stripes = torch.arange(pixelated.shape[3]) % 2 * 600.0 - 300
            return pixelated + 0.3 + stripes

    pixelated = np.full((1, 16, 16), 100, np.uint8)
    prediction = Predictor(Extreme(), predictor().configuration, "cpu").predict(pixelated, np.array([[4, 4, 4, 4, 4]]))
    assert prediction[0].reshape(4, 4).tolist() == [[0, 255, 0, 255]] * 4

    class Fraction(torch.nn.Module):
        def forward(self, pixelated, blocks):
            return pixelated + 0.7

    prediction = Predictor(Fraction(), predictor().configuration, "cpu").predict(pixelated, np.array([[4, 4, 4, 4, 4]]))
    assert prediction[0].tolist() == [101] * 16  # 100.7, possible for a block shown as 100


@every_network
def test_restore_returns_what_is_shown_outside_and_passes_gradients(name):
    pixelated, areas = samples(3, 24, 24)
    images, blocks = torch.from_numpy(pixelated).float()[:, None], Blocks(torch.from_numpy(areas), 24, 24)
    network = predictor(name).network
    restored = restore(network, images, blocks, "bfloat16")
    assert restored.dtype == torch.float32
    assert torch.equal(restored[~blocks.unknown], images[~blocks.unknown])
    mean = blocks.sums(restored) / blocks.count
    assert ((mean >= images - 1e-3) & (mean <= images + 1 + 1e-3))[blocks.unknown].all()
    restored.square().sum().backward()
    assert all(parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(("largest", "side"), [(8, 24), (9, 32), (32, 48), (33, 56)])
def test_window_side(largest, side):
    assert window_side(largest) == side


def test_the_best_of_this_machine_works():
    one = predictor(precision=best_precision(best_device()))
    pixelated, areas = samples(2)
    on_it = Predictor(one.network, one.configuration)
    assert on_it.device == best_device()
    assert len(on_it.predict(pixelated, areas)) == 2


# Save and load


@every_network
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_round_trip(name, precision, tmp_path):
    pixelated, areas = samples()
    one = predictor(name, precision)
    one.save(tmp_path / "models" / "a.safetensors")
    again = Predictor.load(tmp_path / "models" / "a.safetensors", "cpu")
    assert again.configuration == one.configuration
    predictions = again.predict(pixelated, areas)
    assert_equal(predictions, one.predict(pixelated, areas), tolerance=2)  # weights are kept as float16
    again.save(tmp_path / "b.safetensors")
    for suffix in (".safetensors", ".json"):
        first = (tmp_path / "models" / "a").with_suffix(suffix).read_bytes()
        assert (tmp_path / "b").with_suffix(suffix).read_bytes() == first
    assert_equal(Predictor.load(tmp_path / "b.safetensors", "cpu").predict(pixelated, areas), predictions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "b.safetensors", "models"]


def test_weights_are_float16_without_code(model):
    assert {weight.dtype for weight in load_file(model).values()} == {torch.float16}
    assert json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))["network"] == "unet"


def test_loaded_networks_are_in_evaluation_mode(tmp_path):
    configuration = predictor().configuration.model_copy(update={"dropout": 0.5})
    Predictor(networks.build("unet", 8, 0.5), configuration, "cpu").save(tmp_path / "m.safetensors")
    assert not Predictor.load(tmp_path / "m.safetensors").network.training


# What is not a model


def refused(path, *expected):
    with pytest.raises(DepixelError) as error:
        Predictor.load(path, "cpu")
    for text in expected:
        assert text in str(error.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_missing_files_are_named(model, suffix):
    missing = model.with_suffix(suffix)
    missing.unlink()
    refused(model, f"{missing}: there is no such file", "dvc pull", "--model")


def test_a_folder_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    refused(tmp_path / "model.safetensors", f"{tmp_path / 'model.safetensors'}: not a model")


@pytest.mark.parametrize("damage", ["cut off", "empty", "noise", "pickle"])
def test_weights_that_are_no_safetensors(model, damage):
    data = model.read_bytes()
    damaged = {"cut off": data[:-1], "empty": b"", "noise": b"\xff" * 99, "pickle": pickle.dumps({"a": 1})}
    model.write_bytes(damaged[damage])
    refused(model, f"{model}: not a safetensors file, or cut off")


class _Touch:
    """A pickle of it creates a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_pickle_is_run(model, tmp_path):
    data = pickle.dumps(_Touch(tmp_path / "trap"))
    model.write_bytes(data)
    refused(model, f"{model}: not a safetensors file")
    assert not (tmp_path / "trap").exists()
    pickle.loads(data).close()
    assert (tmp_path / "trap").exists()  # what would have happened


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{'network': 1}"])
def test_configurations_that_are_no_json(model, content):
    described = model.with_suffix(".json")
    described.write_bytes(content)
    refused(model, f"{described}: not JSON", str(model))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"network": "resnet"}, ["network", "basic_cnn, unet"]),
        ({"network": None}, ["network"]),
        ({"width": 0}, ["width", "1"]),
        ({"width": "eight"}, ["width"]),
        ({"size": 4}, ["size", "8"]),
        ({"dropout": 1.0}, ["dropout"]),
        ({"block_size": [9, 4]}, ["block_size", "[4, 9]"]),
        ({"precision": "int8"}, ["precision", "bfloat16"]),
        ({"layers": 5}, ["layers"]),
    ],
    ids=str,
)
def test_configurations_with_a_wrong_value(model, change, expected):
    described = model.with_suffix(".json")
    content = json.loads(described.read_text(encoding="utf-8")) | change
    described.write_text(json.dumps(content), encoding="utf-8")
    refused(model, f"{described}: ", *expected, "not a configuration of depixel")


@pytest.mark.parametrize("content", ["[]", "5", "null", "{}"])
def test_json_that_is_no_configuration(model, content):
    described = model.with_suffix(".json")
    described.write_text(content, encoding="utf-8")
    refused(model, f"{described}: ", "not a configuration of depixel")


@pytest.mark.parametrize("change", [{"width": 9}, {"network": "basic_cnn"}])
def test_weights_of_another_network(model, change):
    described = model.with_suffix(".json")
    content = json.loads(described.read_text(encoding="utf-8")) | change
    described.write_text(json.dumps(content), encoding="utf-8")
    refused(model, f"{model}: these weights do not fit", f"{content['network']} of width {content['width']}")


def test_weights_that_lack_a_layer(model):
    weights = load_file(model)
    weights.pop("out.bias")
    save_file(weights, model)
    refused(model, f"{model}: these weights do not fit", "says unet of width 8")


@pytest.mark.parametrize("views", [1, 2, 8])
def test_views_are_averaged(views):
    """A network that says how it sees the picture: the mean over its views; each view turned back."""
    seen = []

    class Corner(torch.nn.Module):
        def forward(self, pixelated, blocks):
            seen.append(pixelated.clone())
            return pixelated + blocks.features()[:, 1:2] * 8  # brighter to the right, which mirroring turns round

    pixelated, areas = samples(6, 64, 64, largest=8)  # windows of one shape
    one = Predictor(Corner(), predictor(largest=32).configuration, "cpu")
    predictions = one.predict(pixelated, areas, views)
    assert len(seen) == views == len({tuple(image.flatten().tolist()) for image in seen})
    plain = [image[y : y + h, x : x + w].ravel() for image, (x, y, w, h, _) in zip(pixelated, areas, strict=True)]
    same = all((a == b).all() for a, b in zip(predictions, plain, strict=True))
    assert same == (views == 8)  # over all eight views, what depends on the direction cancels out


# Several models, pretrained models


def test_models_are_averaged():
    pixelated, areas = samples(5)
    models = [predictor(seed=seed) for seed in (0, 1)]
    together = Predictor.averaging(models)
    windows = torch.from_numpy(pixelated).float()[:, None], Blocks(torch.from_numpy(areas), 40, 40)
    with torch.no_grad():
        mean = sum(model.network(*windows) for model in models) / 2
        torch.testing.assert_close(together.network(*windows), mean)
    assert together.configuration == models[0].configuration
    predictions = together.predict(pixelated, areas)
    for model in models:
        assert any((a != b).any() for a, b in zip(predictions, model.predict(pixelated, areas), strict=True))
    assert Predictor.averaging(models[:1]) is models[0]


def test_projected_onto_the_center_every_block_mean_is_it():
    class Bright(torch.nn.Module):
        def forward(self, pixelated, blocks):
            return pixelated + 30

    pixelated, areas = np.full((1, 16, 16), 100, np.uint8), np.array([[4, 4, 4, 4, 4]])
    one = Predictor(Bright(), predictor().configuration, "cpu")
    images, blocks = torch.from_numpy(pixelated).float()[:, None], Blocks(torch.from_numpy(areas), 16, 16)
    inside = blocks.unknown
    interval, center = (restore(one.network, images, blocks, "float32", 1, onto) for onto in ("interval", "center"))
    torch.testing.assert_close(interval[inside], torch.full((16,), 100 + 15 / 16))
    torch.testing.assert_close(center[inside], torch.full((16,), 100 + 15 / 32))


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("laptop", "models/pretrained/laptop.safetensors"),
        ("models/laptop", "models/laptop"),
        ("./laptop", "./laptop"),
        ("laptop.safetensors", "laptop.safetensors"),
    ],
)
def test_a_bare_name_is_that_of_a_pretrained_model(named, path):
    assert model_path(named) == Path(path)


def test_the_pretrained_model_is_that_of_the_network_and_width_or_the_next_narrower(tmp_path):
    with pytest.raises(DepixelError, match=r"It is empty: `dvc pull` fills it"):
        Predictor.pretrained("unet", 8, tmp_path)
    predictor("basic_cnn").save(tmp_path / "a.safetensors")
    predictor("unet", seed=3).save(tmp_path / "b.safetensors")
    found = Predictor.pretrained("unet", 8, tmp_path)
    assert found.digest() == Predictor.load(tmp_path / "b.safetensors").digest()
    assert hashlib.sha256((tmp_path / "b.safetensors").read_bytes()).hexdigest().startswith(found.digest())
    with pytest.raises(
        DepixelError,
        match=r"no model with network unet and width 7 or less\. It has a, basic_cnn of width 8, b, unet of width 8",
    ):
        Predictor.pretrained("unet", 7, tmp_path)
    assert Predictor.pretrained("unet", 9, tmp_path).digest() == found.digest()  # to be grown
    predictor("unet").save(tmp_path / "c.safetensors")
    with pytest.raises(DepixelError, match=r"more than one model with network unet and width 8"):
        Predictor.pretrained("unet", 8, tmp_path)


# How far off it expects to be


def unsure(precision="float32"):
    one = predictor(precision=precision)
    network = networks.build("unet", 8, uncertainty=True)
    network.load_state_dict(one.network.state_dict(), strict=False)
    torch.nn.init.normal_(network.spread.out.weight, std=0.1)
    return Predictor(network, one.configuration.model_copy(update={"uncertainty": True}), "cpu")


@pytest.mark.parametrize("views", [1, 2, 8])
def test_expected_errors_come_beside_the_same_predictions(views):
    pixelated, areas = samples()
    predictions, errors = unsure().predict_with_errors(pixelated, areas, views)
    assert_equal(predictions, predictor().predict(pixelated, areas, views))
    assert [len(error) for error in errors] == [w * h for w, h in areas[:, 2:4]]
    assert {error.dtype for error in errors} == {np.dtype(np.float32)}
    assert min(error.min() for error in errors) >= 12**-0.5 and np.ptp(np.concatenate(errors)) > 0.1


def test_expected_errors_turn_with_the_picture():
    one, (pixelated, areas) = unsure(), samples()
    turned = areas[:, [1, 0, 3, 2, 4]]
    errors = one.predict_with_errors(pixelated, areas, 2)[1]
    others = one.predict_with_errors(pixelated.transpose(0, 2, 1), turned, 2)[1]
    for error, other, (_, _, width, height, _) in zip(errors, others, areas, strict=True):
        np.testing.assert_allclose(error.reshape(height, width), other.reshape(width, height).T, rtol=1e-3)


def test_no_expected_error_is_larger_than_gray_levels_can_be():
    one, (pixelated, areas) = unsure(), samples()
    torch.nn.init.normal_(one.network.spread.out.weight, std=20)
    for views in (1, 8):  # each view is bounded, so that none of them decides alone
        errors = np.concatenate(one.predict_with_errors(pixelated, areas, views)[1])
        assert 100 < errors.max() < networks.LARGEST + 0.01 and errors.min() < 10


def test_a_network_that_does_not_say_expects_nothing():
    errors = predictor().predict_with_errors(*samples())[1]
    assert [len(error) for error in errors] == [0] * 10


def test_a_model_that_says_how_far_off_it_is_can_be_saved_and_loaded(tmp_path):
    one = unsure()
    one.save(tmp_path / "model.safetensors")
    loaded = Predictor.load(tmp_path / "model.safetensors", "cpu")
    assert loaded.configuration.uncertainty
    for error, other in zip(*(model.predict_with_errors(*samples())[1] for model in (one, loaded)), strict=True):
        np.testing.assert_allclose(error, other, rtol=0.02)


def test_the_configuration_of_one_that_does_not_say_is_as_it_always_was(tmp_path):
    predictor().save(tmp_path / "model.safetensors")
    assert "uncertainty" not in json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))


def test_models_are_averaged_with_their_like():
    with pytest.raises(DepixelError, match="cannot average models with and without `uncertainty`"):
        Predictor.averaging([predictor(), unsure()])
    both = Predictor.averaging([unsure(), unsure()])
    assert_equal(both.predict(*samples()), unsure().predict(*samples()))
    assert len(both.predict_with_errors(*samples())[1][0])


def test_a_device_that_is_not_there_is_told(tmp_path):
    predictor().save(tmp_path / "m.safetensors")
    for device in ("cuda", "nonsense") if not torch.cuda.is_available() else ("nonsense",):
        with pytest.raises(DepixelError, match=f"device {device}: cannot be used here"):
            Predictor.load(tmp_path / "m.safetensors", device)
