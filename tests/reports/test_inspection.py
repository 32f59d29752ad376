import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from depixel import sheets
from depixel.base.errors import DepixelError
from depixel.base.tables import write_table
from depixel.challenge.test_sets import write_test_set
from depixel.cli import main
from depixel.dataset.augmentation import AugmentSettings
from depixel.dataset.prepared import Photo
from depixel.dataset.samples import Photos, fixed_samples
from depixel.dataset.splits import Assigned
from depixel.model import networks
from depixel.model.blocks import Blocks
from depixel.model.pixelation import PixelationSettings, prepare_image
from depixel.model.predictor import ModelConfiguration, Predictor, restore
from depixel.reports import inspection
from depixel.reports.inspection import Sample
from depixel.scoring import scores

pytestmark = pytest.mark.usefixtures("one_thread")
AREA = np.array([20, 12, 20, 16, 8])
WINDOW = np.s_[4:36, 10:50]  # what the network sees of it: 40 x 32 pixels


def photo(seed: int = 0, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)).copy()


def sample(seed: int = 0, area: np.ndarray = AREA) -> Sample:
    pixelated, _, _ = prepare_image(photo(seed)[None], *map(int, area))
    return Sample(pixelated[0], area, photo(seed), "a photo")


def model(name: str = "unet", seed: int = 0, zero: bool = False, uncertainty: bool = False) -> Predictor:
    """A model of random weights; those of the last layers, which start at 0, too."""
    torch.manual_seed(seed)
    network = networks.build(name, 4, uncertainty=uncertainty)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.0 if zero else 0.1)
    configuration = ModelConfiguration(
        network=name,
        width=4,
        size=64,
        area_width=(4, 32),
        area_height=(4, 32),
        block_size=(4, 16),
        uncertainty=uncertainty,
    )
    return Predictor(network, configuration, "cpu")


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("uncertainty", [False, True])
def test_the_shares_of_all_pixels_together_are_the_detail(name, uncertainty):
    predictor, looked_at = model(name, uncertainty=uncertainty), sample()
    values = inspection.attribution(predictor, looked_at, steps=200)
    assert (values.shape, values.dtype) == ((64, 64), np.float32)

    window = torch.from_numpy(looked_at.pixelated[WINDOW]).float()[None, None]
    blocks = Blocks(torch.from_numpy(AREA - [10, 4, 0, 0, 0])[None], 32, 40)
    with torch.no_grad():
        restored, of_level = (
            restore(predictor.network, image, blocks, "float32")[:, :1]
            for image in (window, window.mean().expand_as(window))
        )
        detail = (restored - window) * blocks.unknown
        explained = ((restored - of_level) * detail).sum() / detail.norm()
    assert float(detail.norm()) > 1
    assert values.sum() == pytest.approx(float(explained), rel=0.02)


def test_only_what_the_network_sees_matters():
    values = inspection.attribution(model(), sample())
    seen = np.zeros((64, 64), bool)
    seen[WINDOW] = True
    assert not values[~seen].any() and np.count_nonzero(values[seen]) > 0.9 * seen.sum()


def test_the_pixels_of_a_block_share_what_it_did():
    values = inspection.attribution(model(), sample())
    blocks = [values[top : min(top + 8, 28), left : min(left + 8, 40)] for top in (12, 20) for left in (20, 28, 36)]
    assert all(np.ptp(block) == pytest.approx(0, abs=1e-6) for block in blocks)
    assert len({round(float(block[0, 0]), 5) for block in blocks}) == 6


def test_one_block_can_be_asked_about():
    predictor, looked_at = model("basic_cnn"), sample()  # sees five pixels around each
    values = inspection.attribution(predictor, looked_at, block=(2, 1))
    assert values[20:28, 41:45].any() and not values[4:12, 12:20].any()
    assert not np.allclose(values, inspection.attribution(predictor, looked_at))


@pytest.mark.parametrize("block", [(3, 0), (0, 2), (-1, 0)])
def test_a_block_that_is_not_there(block):
    with pytest.raises(DepixelError, match="3 columns and 2 rows"):
        inspection.attribution(model(), sample(), block)


def test_without_detail_nothing_mattered():
    looked_at = Sample(np.full((64, 64), 90, np.uint8), AREA, None, "even")
    assert not inspection.attribution(model(zero=True), looked_at).any()


def test_without_captum_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(DepixelError, match="pip install captum"):
        inspection.attribution(model(), sample())


@pytest.mark.parametrize("name", networks.names())
def test_every_layer_has_maps(name):
    predictor = model(name)
    found = {
        layer: inspection.feature_maps(predictor, sample(), layer) for layer in inspection.layers(predictor.network)
    }
    assert all(maps.ndim == 3 and np.isfinite(maps).all() for maps in found.values())
    assert found["out"].shape == (1, 32, 40)


def test_the_maps_are_what_the_layer_puts_out():
    predictor, looked_at = model("basic_cnn"), sample()
    maps = inspection.feature_maps(predictor, looked_at, "hidden.0")
    planes = torch.from_numpy(np.stack([looked_at.pixelated / 255, np.ones((64, 64))])).float()
    planes[1, 12:28, 20:40] = 0
    with torch.no_grad():
        expected = predictor.network.hidden[0](planes[None])[0]
    np.testing.assert_allclose(maps[:, 1:-1, 1:-1], expected[:, 5:35, 11:49], rtol=1e-4, atol=1e-5)
    assert not predictor.network.hidden[0]._forward_hooks


def test_a_layer_that_is_not_there():
    with pytest.raises(DepixelError, match=r"no layer of this network; its layers are stem, .*out"):
        inspection.feature_maps(model(), sample(), "head")


@pytest.mark.parametrize("name", networks.names())
def test_the_first_filters_and_the_names_of_what_they_see(name):
    network = model(name).network
    filters = inspection.first_filters(network)
    assert filters.shape == (4, len(network.PLANES), 3, 3)
    picture = inspection.filters_picture(filters, network.PLANES)
    assert picture.mode == "RGB"


def test_a_small_picture_is_looked_at_as_well():
    small = Sample(photo(size=24), np.array([4, 4, 16, 12, 8]), None, "small")
    values = inspection.attribution(model(), small, steps=8)
    assert values.shape == (24, 24) and values.any()


def test_the_panel_is_red_where_pixels_speak_for_the_detail_and_blue_where_against_it():
    looked_at, values = sample(), np.zeros((64, 64), np.float32)
    values[2, 3], values[5, 6] = 4, -4
    panel = inspection.attribution_panel(looked_at, values, scale=2)
    assert (panel.shape, panel.dtype) == ((128, 128, 3), np.uint8)
    red, blue, nothing = panel[4, 6].astype(int), panel[10, 12].astype(int), panel[100, 100]
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50 and len(set(nothing.tolist())) == 1
    assert not panel[24, 40:80].any() and not panel[55, 40:80].any() and panel[23, 40:80].any()


# Where samples are from


def test_a_sample_of_a_test_set(tmp_path):
    write_test_set(tmp_path / "set", np.stack([photo(0), photo(1)]), np.stack([AREA, [3, 4, 12, 30, 5]]))
    found = inspection.of_test_set(tmp_path / "set/test_set.pkl", 1, (4, 16))
    np.testing.assert_array_equal(found.pixelated, sample(1, np.array([3, 4, 12, 30, 5])).pixelated)
    assert found.area.tolist() == [3, 4, 12, 30, 5] and found.truth is None
    with pytest.raises(DepixelError, match=r"--number 2: .*test_set\.pkl has only 2 samples"):
        inspection.of_test_set(tmp_path / "set/test_set.pkl", 2, (4, 16))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working folder: three prepared photos, two of them on the test side, and a model."""
    listed = [Photo("k1", "a.jpg", "0"), Photo("k2", "b.jpg", "1"), Photo("k2", "c.jpg", "2")]
    write_table(tmp_path / "data/prepared/index.csv", Photo, listed)
    np.save(tmp_path / "data/prepared/images.npy", np.stack([photo(i) for i in range(3)]))
    sides = ("train", "test", "test")
    write_table(
        tmp_path / "data/split.csv", Assigned, [Assigned(*one, side) for one, side in zip(listed, sides, strict=True)]
    )
    (tmp_path / "params.yaml").write_text("evaluate: {areas_per_photo: 3}\n", encoding="utf-8")
    model().save(tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_test_photo_is_pixelated_as_the_evaluation_does_it(project):
    settings, pixelation = scores.EvaluateSettings(areas_per_photo=3), PixelationSettings()
    found = inspection.of_test_photo("k2/c.jpg", 2, "data/prepared", "data/split.csv", settings, pixelation)
    photos = Photos.load("data/prepared", "data/split.csv", "test")
    samples = fixed_samples(photos, pixelation, scores.test_streams(settings))
    assert found.area.tolist() == samples.areas[5].tolist()
    np.testing.assert_array_equal(found.pixelated, samples.pixelated[5])
    np.testing.assert_array_equal(found.truth, photo(2))
    for name, number, message in (
        ("k1/a.jpg", 0, "k1/a.jpg: not a photo of the test side. That has 2 photos, such as k2/"),
        ("k2/c.jpg", 3, "--number 3: k2/c.jpg has only 3 areas"),
        ("k2/c.jpg", -1, "--number -1"),
    ):
        with pytest.raises(DepixelError, match=message):
            inspection.of_test_photo(name, number, "data/prepared", "data/split.csv", settings, pixelation)


# The commands


def depixel(*arguments):
    return CliRunner().invoke(main, ["inspect", *arguments], prog_name="depixel")


@pytest.mark.parametrize(
    "command",
    [
        ("attribution", "k2/c.jpg", "--number", "1", "--block", "0,0"),
        ("features", "k2/b.jpg", "--layer", "stages.3"),
        ("features", "k2/b.jpg"),
        ("filters",),
    ],
)
def test_a_picture_by_one_command(project, command):
    command = (*command, "--model", "model.safetensors", "-o", "picture.png")
    done = depixel(*command)
    assert done.exit_code == 0 and "Picture: picture.png" in done.output, done.output
    first = (project / "picture.png").read_bytes()
    with Image.open(project / "picture.png") as picture:
        assert picture.mode == "RGB" and min(picture.size) > 60
    again = depixel(*command)
    assert again.exit_code == 1 and "--force" in again.output
    assert depixel(*command, "--force").exit_code == 0 and (project / "picture.png").read_bytes() == first


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the sheets that are drawn, by their captions."""
    panels = {}

    def sheet(samples, titles, captions, **options):
        panels.update(zip(captions, samples, strict=True))
        return whole(samples, titles, captions, **options)

    whole = sheets.contact_sheet
    monkeypatch.setattr(sheets, "contact_sheet", sheet)
    return panels


def test_every_change_of_the_augmentation_is_drawn_alone_with_the_area_framed(project, drawn):
    (project / "params.yaml").write_text("augment: {noise: [90, 100], flip: false}\n", encoding="utf-8")
    done = depixel("augmentation", "-o", "picture.png")
    assert done.exit_code == 0 and "Picture: picture.png" in done.output, done.output
    first = (project / "picture.png").read_bytes()
    assert {caption.split(" [")[0] for caption in drawn} == {"as they are", *AugmentSettings.model_fields}
    assert "noise [90, 100]" in drawn and "rotate [-30, 30], which is off" in drawn

    (plain,) = drawn.pop("as they are")
    unframed = photo(0)[..., None].repeat(3, axis=-1)
    area = np.argwhere((plain != unframed).any(axis=-1))
    (x, y), (right, bottom) = area.min(axis=0)[::-1], area.max(axis=0)[::-1]
    frame = np.zeros(plain.shape[:2], bool)
    frame[y : bottom + 1, x : right + 1] = True
    frame[y + 1 : bottom, x + 1 : right] = False
    assert (plain[frame] == 0).all()
    np.testing.assert_array_equal(plain[~frame], unframed[~frame])
    drawn.pop("flip")  # of one photo, it may be none of the 8
    for caption, (changed,) in drawn.items():
        assert (changed[frame] == 0).all() and not np.array_equal(changed[~frame], plain[~frame]), caption
    assert np.abs(drawn["noise [90, 100]"][0].astype(int) - plain)[~frame].mean() > 40

    again = depixel("augmentation", "-o", "picture.png")
    assert again.exit_code == 1 and "--force" in again.output
    assert depixel("augmentation", "-o", "picture.png", "--force").exit_code == 0
    assert (project / "picture.png").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attribution",), "name either a test photo"),
        (("attribution", "k2/c.jpg", "--test-set", "x.pkl"), "name either a test photo"),
        (("attribution", "k2/c.jpg", "--block", "1;2"), "name a column and a row"),
        (("attribution", "k2/d.jpg"), "not a photo of the test side"),
        (("features", "k2/c.jpg", "--layer", "head"), "its layers are stem"),
        (("features", "--test-set", "no.pkl"), "no.pkl"),
    ],
)
def test_a_mistake_is_told_and_writes_nothing(project, arguments, message):
    done = depixel(*arguments, "--model", "model.safetensors", "-o", "picture.png")
    assert done.exit_code == 1 and done.output.startswith("Error: ") and message in done.output
    assert not (project / "picture.png").exists()
