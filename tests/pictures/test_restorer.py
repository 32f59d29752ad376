import threading
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

import depixel
from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, block_means, spread
from depixel.base.errors import DepixelError
from depixel.model import predictor
from depixel.model.pixelation import prepare_image
from depixel.photos.decoding import decode, from_linear, to_linear
from depixel.pictures import tiles
from depixel.pictures.pixels import LUMINANCE, pixelate
from depixel.pictures.restorer import Restorer, disagreement
from depixel.scoring.baselines import Interpolation
from tests.conftest import REPOSITORY
from tests.model import test_predictor

pytestmark = pytest.mark.usefixtures("one_thread")


def restorer() -> Restorer:
    """With random weights."""
    return Restorer(test_predictor.predictor())


def photo(height=150, width=170, channels: int | None = 3, dtype=np.uint8, seed=0) -> np.ndarray:
    """Smooth colors with some noise, nowhere near black or white, so that nothing is clipped."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(50, 200, (9, 9, 3), np.uint8))
    gray_levels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).clip(50, 200)
    values = (gray_levels + random.normal(0, 3, gray_levels.shape)) * (1 if dtype == np.uint8 else 257)
    values = values.astype(dtype)
    return {None: values[:, :, 0], 2: values[:, :, :2], 3: values}.get(channels, np.dstack([values, values[:, :, 0]]))


def part(area) -> tuple[slice, slice]:
    x, y, width, height = area[:4]
    return np.s_[y : y + height, x : x + width]


def deviations(one: np.ndarray, other: np.ndarray, area) -> np.ndarray:
    """By how much the means of the blocks differ."""
    one, other = (a[part(area)].reshape(area[3], area[2], -1).astype(float) for a in (one, other))
    named = Area.of(area)
    grid = Grid(named.block_width, named.block_height, named.offset_x, named.offset_y)
    return np.abs(block_means(one, grid) - block_means(other, grid))


KINDS = [(channels, dtype) for channels in (None, 3, 4) for dtype in (np.uint8, np.uint16)] + [(2, np.uint8)]


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
@pytest.mark.parametrize("trust", ["exact", "rounded", "linear"])
def test_every_channel_keeps_its_block_means_and_all_else_stays(channels, dtype, trust):
    image, areas = (
        photo(channels=channels, dtype=dtype),
        [(8, 12, 45, 61, 7), (100, 0, 70, 66, 20), (5, 90, 60, 55, 9, 4, 8)],
    )
    shown = pixelate(image, areas)
    original = shown.copy()
    restored = restorer().restore(shown, areas, trust=trust)
    np.testing.assert_array_equal(shown, original)  # what was handed in
    assert restored.shape == image.shape and restored.dtype == dtype
    inside = np.zeros(image.shape[:2], bool)
    for area in areas:
        inside[part(area)] = True
        assert (restored[part(area)] != shown[part(area)]).any()
        if trust != "linear":
            assert deviations(restored, shown, area).max() <= 0.5 + 0.5 + (trust == "exact")  # half is for rounding
    np.testing.assert_array_equal(restored[~inside], shown[~inside])
    if channels in (2, 4):
        np.testing.assert_array_equal(restored[:, :, -1], shown[:, :, -1])


class Wild:
    """Restores noise far beyond black and white."""

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views=()) -> np.ndarray:
        return windows + np.random.default_rng(0).normal(0, 120, windows.shape).astype(np.float32)


@pytest.mark.parametrize("trust", ["rounded", "exact"])
@pytest.mark.parametrize("block", [4, 8, 20])
def test_blocks_keep_their_means_where_pixels_are_cut_off_at_black_and_white(block, trust):
    image = np.where(photo(220, 230).astype(int) > 128, 250, 9).astype(np.uint8)
    area = (10, 7, 200, 200, block)
    shown = pixelate(image, [area])
    restored = Restorer(Wild()).restore(shown, [area], trust=trust)
    assert ((restored == 0) | (restored == 255))[part(area)].mean() > 0.2
    assert deviations(restored, shown, area).max() <= 1.5


@pytest.mark.parametrize("block", [2, 3, 4, 5, 11, 12, 13, 16, 31, 64, 200])
def test_blocks_of_any_size_keep_their_means(block):
    image = photo(220, 230)
    area = (10, 7, 219, 213, block)
    shown = pixelate(image, [area])
    restored = restorer().restore(shown, [area])
    assert deviations(restored, shown, area).max() <= 1
    assert np.abs(restored.astype(float) - shown).max() < 100


@pytest.mark.parametrize(
    "area",
    [(0, 0, 40, 30, 8), (130, 120, 40, 30, 8), (0, 0, 170, 150, 8), (0, 60, 170, 31, 8), (168, 0, 2, 150, 2),
     (5, 5, 9, 9, 30), (0, 0, 170, 150, 64), (90, 0, 80, 150, 3)],
)  # fmt: skip
def test_areas_may_touch_the_border(area):
    shown = pixelate(photo(), [area])
    restored = restorer().restore(shown, [area])
    assert deviations(restored, shown, area).max() <= 1


@pytest.mark.parametrize("lacks", [(1, 2), (0, 1), (3, 0)])
@pytest.mark.parametrize("block", [4, 7, 12, 13, 31, 64])
def test_first_blocks_that_are_cut_off_keep_their_means_and_all_else_stays(block, lacks, monkeypatch):
    """Also in tiles, at the picture's border, and where a pixel that the network works with is several."""
    monkeypatch.setattr(tiles, "TILE", 128)
    lacks = tuple(lack * block // 4 for lack in lacks)
    for area in ((10, 7, 205, 190, block, *lacks), (0, 0, 230, 80, block, *lacks)):
        image = photo(220, 230)
        shown = pixelate(image, [area])
        assert deviations(shown, image, area).max() <= 0.5
        restored = restorer().restore(shown, [area])
        assert deviations(restored, shown, area).max() <= 1
        assert (restored != shown)[part(area)].mean() > 0.3
        shown[part(area)] = restored[part(area)]
        np.testing.assert_array_equal(restored, shown)


@pytest.mark.parametrize(("block", "most"), [(6, 1), (16, 8)])
def test_a_mirrored_picture_is_restored_as_the_picture_mirrored(block, most):
    """Its blocks are cut off at the left and at the top instead. Where the network works at another scale, its pixels
    lie differently; with the interpolation, which does not mind."""
    image = photo(90, 100, None)
    shown = pixelate(image, [(20, 30, 5 * block - 2, 3 * block - 1, block)])
    model = Restorer(predictor.Predictor(Interpolation(), restorer().model.configuration, "cpu"))
    restored = model.restore(shown, [(20, 30, 5 * block - 2, 3 * block - 1, block)])
    area = (100 - 20 - 5 * block + 2, 90 - 30 - 3 * block + 1, 5 * block - 2, 3 * block - 1, block, 2, 1)
    mirrored = model.restore(np.ascontiguousarray(shown[::-1, ::-1]), [area])
    assert np.abs(mirrored[::-1, ::-1].astype(int) - restored).max() <= most


@pytest.mark.parametrize("size", [(5, 5), (9, 300), (300, 7), (64, 64)])
def test_pictures_may_be_smaller_than_a_window(size):
    image = photo(*size, channels=None)
    area = (1, 1, size[1] - 2, size[0] - 2, 4)
    shown = pixelate(image, [area])
    assert deviations(restorer().restore(shown, [area]), shown, area).max() <= 1


def test_it_restores_what_predict_restores():
    """On a gray picture of the challenge's kind, to the rounding: same window, same network, same projection."""
    image = photo(64, 64, None)
    for area in ((20, 16, 12, 10, 5), (0, 3, 12, 12, 4), (52, 52, 12, 12, 6), (30, 2, 8, 12, 6), (16, 20, 32, 30, 16)):
        shown = prepare_image(image[None], *area)[0][0]
        one = restorer()
        restored = one.restore(shown, [area], trust="exact")[part(area)]
        expected = one.model.predict(shown[None], np.array([area]))[0].reshape(area[3], area[2])
        assert np.abs(restored.astype(int) - expected).max() <= 1


def test_tiles_agree_with_one_window(monkeypatch):
    """With the interpolation, which looks 64 pixels far but hardly, cut in tiles or not."""
    image = photo(400, 330, None, seed=3)
    area = (0, 30, 330, 370, 6)
    shown = pixelate(image, [area])
    model = Restorer(predictor.Predictor(Interpolation(), restorer().model.configuration, "cpu"))
    monkeypatch.setattr(tiles, "TILE", 128)
    laid = list(tiles.tiles_of(tiles.Shown(ResolvedArea(*area), "rounded"), image.shape))
    assert len(laid) >= 9 and {tile.side for tile in laid} == {(128, 128)}
    in_tiles = model.restore(shown, [area])
    monkeypatch.setattr(tiles, "TILE", 800)
    assert len(list(tiles.tiles_of(tiles.Shown(ResolvedArea(*area), "rounded"), image.shape))) == 1
    at_once = model.restore(shown, [area])
    assert np.abs(in_tiles.astype(int) - at_once).max() <= 1


def test_many_pictures_at_once_are_as_each_alone():
    kinds = [(80, 90, None, np.uint8), (64, 64, 3, np.uint8), (120, 80, 4, np.uint16), (64, 64, None, np.uint8)]
    images = [photo(height, width, channels, dtype) for height, width, channels, dtype in kinds]
    areas = [[(8, 8, 24, 24, 8)], [(8, 8, 24, 24, 8), (40, 8, 16, 16, 4)], [(0, 0, 70, 60, 20)], []]
    shown = [pixelate(image, named) for image, named in zip(images, areas, strict=True)]
    one = restorer()
    together = one.restore_many(shown, areas, views=2)
    for image, named, restored in zip(shown, areas, together, strict=True):
        alone = one.restore(image, named, views=2)
        assert restored.dtype == image.dtype
        assert np.abs(restored.astype(int) - alone).max() <= 1 * (257 if image.dtype == np.uint16 else 1)
    with pytest.raises(DepixelError, match="3 pictures, but areas of 4"):
        one.restore_many(shown[:3], areas)


@pytest.mark.parametrize(("options", "told"), [({"views": 4}, "views = 4"), ({"trust": "nope"}, "trust = 'nope'")])
def test_wrong_options_are_told(options, told):
    with pytest.raises(DepixelError, match=told):
        restorer().restore(photo(), [(0, 0, 8, 8, 4)], **options)


def test_what_is_loosely_trusted_may_move_by_as_much():
    image, area = photo(channels=None), (8, 12, 64, 64, 8)
    shown = pixelate(image, [area])
    exact, loose = (restorer().restore(shown, [area], trust=trust) for trust in ("rounded", "loose"))
    assert deviations(exact, shown, area).max() <= 1 < deviations(loose, shown, area).max() <= tiles.LOOSE + 1


def test_views_are_averaged():
    image = photo(80, 80, None)
    shown = pixelate(image, [(10, 10, 40, 40, 8)])
    one = restorer()
    made = [one.restore(shown, [(10, 10, 40, 40, 8)], views=views) for views in (1, 2, 8)]
    assert all((a != b).any() for a, b in ((made[0], made[1]), (made[1], made[2])))


def test_areas_do_not_depend_on_each_other():
    """Each sees the others pixelated, whatever the order."""
    areas = [(10, 10, 32, 32, 8), (42, 10, 32, 32, 8), (10, 42, 60, 60, 12)]
    shown = pixelate(photo(), areas)
    one = restorer()
    expected = one.restore(shown, areas)
    np.testing.assert_array_equal(one.restore(shown, areas[::-1]), expected)
    for area in areas:
        alone = one.restore(shown, [area])
        assert np.abs(alone[part(area)].astype(int) - expected[part(area)]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pillow_in_pillow_out(mode):
    channels = {"L": None, "I;16": None}.get(mode, len(mode))
    pixels = pixelate(photo(channels=channels, dtype=np.uint16 if mode == "I;16" else np.uint8), [(8, 8, 40, 40, 8)])
    image = Image.fromarray(pixels)
    assert image.mode == mode
    image.info["dpi"] = (72, 72)
    one = restorer()
    made = one.restore(image, [(8, 8, 40, 40)])
    assert made.mode == mode and made.info["dpi"] == (72, 72)
    np.testing.assert_array_equal(np.asarray(made), one.restore(pixels, [(8, 8, 40, 40, 8)]))
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_threads_may_restore_at_once():
    one, images = restorer(), [photo(seed=seed) for seed in range(4)]
    shown = [pixelate(image, [(20, 20, 60, 60, 8)]) for image in images]
    expected = [one.restore(image, [(20, 20, 60, 60, 8)]) for image in shown]
    made: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(3):
            made[i] = one.restore(shown[i], [(20, 20, 60, 60, 8)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(made[i], expected[i])


def test_linear_light_is_projected_in_linear_light():
    """Blocks that a tool averaged in linear light show its value again when they are so averaged."""
    image = photo()
    area = (8, 8, 64, 64, 16)
    colors = image[part(area)].astype(float)
    shown = image.copy()
    light = 255 * from_linear(block_means(to_linear(colors / 255), Grid.square(16)))
    shown[part(area)] = spread(light.round(), Grid.square(16), (64, 64))
    restored = restorer().restore(shown, [area], trust="linear")
    again = 255 * from_linear(block_means(to_linear(restored[part(area)] / 255), Grid.square(16)))
    assert np.abs(again - light.round()).max() <= 1
    otherwise = restorer().restore(shown, [area], trust="rounded")
    assert restored[part(area)].mean() < otherwise[part(area)].mean()  # averages of light are brighter than others


# What is refused


@pytest.mark.parametrize(
    ("areas", "problem"),
    [
        ([(-1, 0, 10, 10, 4)], "not inside the picture, which is 170 pixels wide and 150 high"),
        ([(161, 0, 10, 10, 4)], "x from 161 to 171"),
        ([(0, 141, 10, 10, 4)], "not inside"),
        ([(0, 0, 1, 10, 4)], "at least 2 pixels"),
        ([(0, 0, 10, 10, 1)], "2 to 200 pixels a side, not 1"),
        ([(0, 0, 10, 10, 201)], "2 to 200 pixels a side, not 201"),
        ([(0, 0, 10, 10, 30), (9, 9, 10, 10, 30)], "overlap"),
    ],
)
def test_wrong_areas_are_told(areas, problem):
    with pytest.raises(DepixelError, match=problem):
        restorer().restore(photo(), areas)


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.float32), np.zeros((9, 9, 5), np.uint8), np.zeros(9, np.uint8), Image.new("CMYK", (9, 9))],
)
def test_wrong_pictures_are_told(image):
    with pytest.raises(DepixelError, match="picture"):
        restorer().restore(image, [(0, 0, 4, 4, 4)])


# With the pretrained model


@pytest.fixture(scope="module")
def laptop():
    if not (REPOSITORY / "models/pretrained/laptop.safetensors").is_file():
        pytest.skip("models/pretrained is not there: dvc pull")
    return depixel.Restorer.load("laptop", "cpu")


def test_a_model_is_found_by_name_from_any_folder(laptop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert depixel.Restorer.load("laptop", "cpu").model.digest() == laptop.model.digest()
    with pytest.raises(DepixelError, match="there is no such file"):
        depixel.Restorer.load("no_such_model")


@pytest.mark.parametrize(("block", "least"), [(2, 0.95), (4, 0.95), (8, 0.95), (16, 0.95), (32, 0.95)])
def test_the_pretrained_model_is_better_than_nothing_at_every_scale(laptop, block, least):
    """On edges, which it has learnt to sharpen: RMSE against that of the pixelated picture and of interpolation."""
    y, x = np.mgrid[:256, :256]
    image = np.where((x * 0.8 + y * 0.6) // 90 % 2 > 0, 170, 80).astype(np.uint8)
    area = (32, 32, 192, 192, block)
    shown = pixelate(image, [area])
    smooth = Restorer(predictor.Predictor(Interpolation(), laptop.model.configuration, "cpu")).restore(shown, [area])
    rmse = [
        np.sqrt(np.mean((a.astype(float) - image)[part(area)] ** 2))
        for a in (laptop.restore(shown, [area]), smooth, shown)
    ]
    assert rmse[0] < least * rmse[1] and rmse[0] < 0.8 * rmse[2]


def test_the_examples_of_the_documentation_run(laptop):
    import doctest

    found = doctest.DocTestFinder().find(Restorer.restore, "restore")
    assert doctest.DocTestRunner().run(found[0]).failed == 0


def test_how_far_the_views_disagree_is_the_deviation_of_the_eight_turned_pictures():
    area = (16, 16, 32, 32, 8)  # in the middle, of whole blocks: turned, it is the same
    shown = pixelate(photo(64, 64, None), [area]).astype(np.uint16) * np.uint16(257)
    views = []
    for mirrored in (False, True):
        for quarter in range(4):
            turned = np.rot90(shown[:, ::-1] if mirrored else shown, quarter)
            restored = np.rot90(restorer().restore(np.ascontiguousarray(turned), [area]), -quarter)
            views.append((restored[:, ::-1] if mirrored else restored) / 257)
    expected = np.std(views, axis=0)
    assert expected[part(area)].max() > 1
    found = disagreement(restorer(), (shown >> 8).astype(np.uint8), [area])
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
def test_views_disagree_inside_the_areas_only_and_not_those_of_an_even_handed_method(channels, dtype):
    areas = [(8, 12, 40, 56, 8), (100, 0, 60, 60, 20)]
    shown = pixelate(photo(channels=channels, dtype=dtype), areas)
    found = disagreement(restorer(), shown, [area[:4] for area in areas])
    assert found.shape == shown.shape[:2] and found.dtype == np.float32
    for area in areas:
        assert found[part(area)].mean() > 0.1
        found[part(area)] = 0
    assert not found.any()
    even_handed = test_predictor.predictor()
    even_handed.network = Interpolation()
    interpolation = Restorer(even_handed)
    assert disagreement(interpolation, shown, areas).max() < 0.5 * disagreement(restorer(), shown, areas).max()


def test_where_the_views_disagree_the_errors_are_larger(shared, laptop):
    with ZipFile(sorted((shared / "photos").rglob("*.zip"))[0]) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".jpg")][:12]
        photos = [np.asarray(decode(archive.read(name)).convert("RGB")) for name in names]
    area = (40, 40, 48, 48, 8)
    correlations = []
    for image in photos:
        shown = pixelate(image, [area])
        off = np.abs((laptop.restore(shown, [area]).astype(float) - image) @ LUMINANCE)
        correlations.append(
            spearmanr(off[part(area)].ravel(), disagreement(laptop, shown, [area])[part(area)].ravel())[0]
        )
    assert np.mean(correlations) > 0.25


@pytest.mark.parametrize("wrong", [None, "photo.png", 5])
def test_what_is_no_picture_is_told(wrong):
    with pytest.raises(DepixelError, match="a picture must be a NumPy array or a Pillow image"):
        restorer().restore(wrong, [(0, 0, 10, 10, 5)])


@pytest.mark.parametrize("areas", [5, ["abcd"], [5], [(0, 0, float("nan"), 10)], [(0, 0, 10)]])
def test_what_is_no_area_is_told(areas):
    with pytest.raises(DepixelError, match=r"no (list of )?area"):
        restorer().restore(photo(), areas)
