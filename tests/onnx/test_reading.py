import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.curation.synthetic import unseen_photos
from depixel.detection.search import find
from depixel.model import locations, networks, predictor
from depixel.model.blocks import Blocks
from depixel.model.windows import VIEWS
from depixel.photos.archives import Entries, read
from depixel.photos.decoding import decode, grayscale, square
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from tests.conftest import REPOSITORY

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

from depixel.onnx import writing
from depixel.onnx.reading import Exported
from depixel.onnx.writing import export

pytestmark = pytest.mark.usefixtures("one_thread")


def trained() -> predictor.Predictor:
    """A network of random weights that does not predict the interpolation only."""
    torch.manual_seed(3)
    network = networks.build("unet", 4, uncertainty=True)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 0.1)
    configuration = predictor.ModelConfiguration(
        network="unet", width=4, uncertainty=True, size=64, area_width=[4, 32], area_height=[4, 32], block_size=[4, 16]
    )
    return predictor.Predictor(network, configuration, "cpu")


@pytest.fixture(scope="module")
def model() -> predictor.Predictor:
    return trained()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module", autouse=True)
def translated_once(folder):
    """Translating takes PyTorch a minute: done for the first file, copied for others."""
    translate, once = writing.translate, folder / "translated.onnx"

    def remembered(*arguments):
        if not once.exists():
            translate(*arguments[:-1], once)
        shutil.copy(once, arguments[-1])

    writing.translate = remembered
    yield
    writing.translate = translate


@pytest.fixture(scope="module", autouse=True)
def photos_made_once():
    """Generating them takes longer than all predictions for them. Fewer are the first ones of more."""
    make = cache(unseen_photos)

    def first(seed: int, count: int) -> tuple[np.ndarray, ...]:
        assert count <= 2 * writing.PHOTOS
        return tuple(part[:count].copy() for part in make(seed, 2 * writing.PHOTOS))

    writing.unseen_photos = first
    yield
    writing.unseen_photos = unseen_photos


def test_fewer_generated_photos_are_the_first_ones_of_more():
    for few, more in zip(unseen_photos(writing.SEED, 2), writing.unseen_photos(writing.SEED, 5), strict=True):
        np.testing.assert_array_equal(few, more[:2])


@pytest.fixture(scope="module")
def file(model, folder) -> Path:
    path = folder / "model.onnx"
    check = export(model, path)
    assert check.largest < 0.01 and abs(check.rmse - check.rmse_torch) < 1e-3
    return path


def test_a_file_does_not_tell_where_it_was_made(file):
    import onnx

    model = onnx.load(file)
    graph = model.graph
    assert {each.key for each in model.metadata_props} == {"configuration", "weights"} and not model.functions
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        assert not part.metadata_props and not part.doc_string
    assert str(REPOSITORY).encode() not in file.read_bytes()


def windows(height: int, width: int, areas: list) -> tuple[np.ndarray, np.ndarray]:
    """Noise, pixelated in the areas."""
    random = np.random.default_rng(height)
    images = torch.from_numpy(random.integers(0, 256, (len(areas), 1, height, width))).float()
    within = torch.tensor([(*area, *(0,) * (7 - len(area))) for area in areas])
    return Blocks(within, height, width).pixelate(images)[:, 0].numpy(), within.numpy()


@pytest.mark.parametrize("views", [1, 2, 8])
@pytest.mark.parametrize(
    ("height", "width", "areas"),
    [(64, 64, [(3, 9, 31, 22, 7)]), (24, 56, [(9, 2, 40, 17, 6, 4, 1), (0, 0, 56, 24, 16), (50, 20, 6, 4, 4, 1, 0)])],
)
def test_it_predicts_what_the_network_predicts(model, file, views, height, width, areas):
    """In windows of any shape, one or many, also where the first blocks are cut off, by themselves or mirrored."""
    shown, within = windows(height, width, areas)
    expected = model.predict_windows(shown, within, VIEWS[:views])
    found = Exported(file).predict_windows(shown, within, VIEWS[:views])
    assert found.shape == shown.shape
    assert np.abs(expected - shown).max() > 1  # it says something
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_file_says_what_the_model_was_trained_for(model, file):
    exported = Exported(file)
    assert exported.weights == model.digest()
    assert predictor.ModelConfiguration.model_validate(exported.configuration) == model.configuration


def test_weights_of_16_bits_take_16_bits_and_mean_the_same(file, tmp_path):
    import onnx

    graph = onnx.load(file)
    for weight in graph.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            rounded = onnx.numpy_helper.to_array(weight).astype(np.float16).astype(np.float32)
            weight.CopyFrom(onnx.numpy_helper.from_array(rounded, weight.name))
    onnx.save(graph, tmp_path / "whole.onnx")
    writing._halve(graph)
    onnx.save(graph, tmp_path / "half.onnx")
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < sizes[0] - 25_000  # of a network so small, the graph is most
    shown, within = windows(64, 64, [(3, 9, 31, 22, 7)])
    whole, half = (Exported(tmp_path / f"{name}.onnx").predict_windows(shown, within) for name in ("whole", "half"))
    np.testing.assert_array_equal(whole, half)


def test_real_photos_are_restored_to_one_gray_level(model, file, shared):
    entries = [entry for entry in Entries(shared / "photos") if entry.name.endswith(".jpg")]
    photos = [np.asarray(decode(read(entry, 5_000_000))) for entry in entries[:: len(entries) // 12]]
    area, by_torch, by_onnx = (30, 24, 61, 50, 7), Restorer(model), Restorer.load(file)
    for photo in (*photos, *map(grayscale, photos[:4])):
        shown = pixelate(photo, [area])
        one, other = (restorer.restore(shown, [area]).astype(int) for restorer in (by_torch, by_onnx))
        assert np.abs(one - other).max() <= 1
        assert (one != shown).any()


def test_the_file_of_the_shipped_model_predicts_what_its_weights_do_on_real_photos(shared):
    path = REPOSITORY / "models/pretrained/laptop.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there: dvc pull models/pretrained.dvc")
    weights = predictor.Predictor.load(path.with_suffix(".safetensors"), "cpu")
    weights.precision = "float32"
    entries = [entry for entry in Entries(shared / "photos") if entry.name.endswith(".jpg")]
    photos = np.stack([square(decode(read(entry, 5_000_000)), 64) for entry in entries[:: len(entries) // 12]])
    within = np.array([[13, 20, 28, 25, 6, 0, 0]] * len(photos))
    shown = Blocks(torch.from_numpy(within), 64, 64).pixelate(torch.from_numpy(photos).float()[:, None])[:, 0].numpy()
    expected, found = (model.predict_windows(shown, within) for model in (weights, Exported(path)))
    assert np.abs(expected - found).max() < 0.01 < np.abs(expected - shown).max()


def test_eight_bits_differ_little_and_are_known(model, file, tmp_path):
    check = export(model, tmp_path / "small.onnx", int8=True)
    assert check.largest > 0
    assert check.rmse < 1.02 * check.rmse_torch
    assert Exported(tmp_path / "small.onnx").configuration == Exported(file).configuration


def test_threads_may_find_and_restore_at_once(file, detector):
    """Where ONNX Runtime does both."""
    random, area = np.random.default_rng(0), (16, 24, 48, 40, 8)
    one, shown = Restorer.load(file), []
    for _ in range(4):
        coarse = Image.fromarray(random.integers(0, 256, (12, 12), dtype=np.uint8))
        with io.BytesIO() as data:
            Image.fromarray(pixelate(np.asarray(coarse.resize((96, 96))), [area])).save(data, "JPEG", quality=95)
            shown.append(np.asarray(Image.open(data)))

    def work(image: np.ndarray) -> np.ndarray:
        return one.restore(image, [found.area for found in find(image) if found.certain])

    expected = list(map(work, shown))
    assert all((made != image).any() for made, image in zip(expected, shown, strict=True))
    with ThreadPoolExecutor(4) as pool:
        for made, image in zip(pool.map(work, 2 * shown), 2 * expected, strict=True):
            np.testing.assert_array_equal(made, image)


def test_restoring_with_it_needs_neither_pytorch_nor_scipy(file):
    """Which take longer to load than all else."""
    code = f"""
import sys, numpy as np, depixel, depixel.pictures.jobs
image = np.full((64, 64), 90, np.uint8); image[8:24, 8:16] = 120; image[16:24, 8:16] = 60
depixel.Restorer.load({str(file)!r}).restore(image, [(8, 8, 8, 16, 8)])
print({{"torch", "scipy", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"


# Which file a name means


@pytest.fixture
def named(model, file, tmp_path, monkeypatch) -> Path:
    """A project whose pretrained model `m` has been exported; the folder of both."""
    folder = tmp_path / "models/pretrained"
    model.save(folder / "m.safetensors")
    (folder / "m.onnx").write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_pretrained_model_is_run_by_what_it_was_exported_to(named):
    assert isinstance(Restorer.load("m").model, Exported)
    assert isinstance(Restorer.load("m", "cpu").model, predictor.Predictor)
    assert isinstance(Restorer.load(named / "m.safetensors").model, predictor.Predictor)


def test_an_export_of_other_weights_is_not_taken(named):
    other = trained()
    torch.nn.init.normal_(other.network.out.weight, 0, 0.2)
    other.save(named / "m.safetensors")
    assert isinstance(Restorer.load("m").model, predictor.Predictor)


def test_a_damaged_export_is_not_taken(named):
    (named / "m.onnx").write_bytes(b"no model")
    assert isinstance(Restorer.load("m").model, predictor.Predictor)


def test_a_model_that_the_package_carries_is_found_last(named, tmp_path, monkeypatch):
    carried = tmp_path / "package"
    carried.mkdir()
    for name in ("only", "m"):
        (carried / f"{name}.safetensors").write_bytes(b"")
    monkeypatch.setattr(locations, "CARRIED", carried)
    assert locations.model_path("only") == carried / "only.safetensors"
    assert locations.model_path("m") == Path("models/pretrained/m.safetensors")
    assert locations.model_path("nowhere") == Path("models/pretrained/nowhere.safetensors")
    assert locations.model_path("some/m.safetensors") == Path("some/m.safetensors")


# Bad input


@pytest.mark.parametrize("content", [b"", b"no model", "half", "foreign"])
def test_what_is_no_exported_model_is_told(file, tmp_path, content):
    import onnx

    if content == "half":
        content = file.read_bytes()[: file.stat().st_size // 2]
    elif content == "foreign":
        graph = onnx.load(file)
        del graph.metadata_props[:]
        content = graph.SerializeToString()
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(DepixelError, match=r"bad\.onnx: not an ONNX model of this version of depixel"):
        Restorer.load(tmp_path / "bad.onnx")


def test_a_file_of_an_earlier_version_is_not_taken_for_one(named, file):
    import onnx

    graph = onnx.load(file)
    for node in graph.graph.node:
        node.input[:] = ["areas" if name == "blocks" else name for name in node.input]
    next(i for i in graph.graph.input if i.name == "blocks").name = "areas"
    onnx.save(graph, named / "m.onnx")
    with pytest.raises(DepixelError, match="of this version"):
        Restorer.load(named / "m.onnx")
    assert isinstance(Restorer.load("m").model, predictor.Predictor)  # by its weights


def test_a_file_cannot_have_its_weights_read_from_others(file, tmp_path):
    import onnx

    graph = onnx.load(file)
    onnx.save(graph, tmp_path / "two.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(DepixelError, match="not an ONNX model"):
        Restorer.load(tmp_path / "two.onnx")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DepixelError, match="there is no such file"):
        Restorer.load(tmp_path / "none.onnx")


def test_an_export_that_predicts_something_else_is_not_kept(file, tmp_path):
    other = trained()
    torch.nn.init.constant_(other.network.out.bias, 1)  # the translation is that of `file`
    with pytest.raises(DepixelError, match="not written, because its predictions differ"):
        export(other, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


# The command


def test_the_command_overwrites_nothing_unasked_and_wants_the_right_name(tmp_path):
    (tmp_path / "there.onnx").write_bytes(b"mine")
    for name, problem in (("there.onnx", "--force"), ("model.bin", "must end in .onnx")):
        done = CliRunner().invoke(main, ["export-model", "laptop", "-o", str(tmp_path / name)])
        assert done.exit_code == 1 and problem in done.output
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"


def test_predict_says_that_it_wants_the_weights(file):
    with pytest.raises(DepixelError, match=r"name the \.safetensors file"):
        predictor.Predictor.load(file)


def test_restore_takes_the_file(file, tmp_path):
    image = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    shown = pixelate(image, [(8, 8, 32, 32, 8)])
    Image.fromarray(shown).save(tmp_path / "photo.png")
    command = ["restore", f"{tmp_path}/photo.png", "-o", f"{tmp_path}/out", "--model", str(file), "--json"]
    done = CliRunner().invoke(main, [*command, "--area", "8,8,32,32"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pictures"][0]["areas"] == [[8, 8, 32, 32, 8]]
    restored = np.asarray(Image.open(tmp_path / "out/photo.png"))
    np.testing.assert_array_equal(restored[40:], shown[40:])
    assert (restored != shown).any()
