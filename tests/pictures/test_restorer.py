import threading
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

import depixel
from depixel.base.errors import DepixelError
from depixel.model import predictor
from depixel.model.pixelation import block_means, prepare_image
from depixel.photos.decoding import decode
from depixel.pictures import restorer as fullsize
from depixel.pictures.restorer import Area, Restorer, disagreement, pixelate, resolve
from depixel.scoring.baselines import Interpolation
from tests.conftest import REPOSITORY
from tests.model import test_predictor as test_restoration

pytestmark = pytest.mark.usefixtures("one_thread")


def restorer() -> Restorer:
    """With random weights."""
    return Restorer(test_restoration.predictor())


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
    lacks = Area(*area).lacks
    return np.abs(block_means(one, area[4], lacks) - block_means(other, area[4], lacks))


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
    monkeypatch.setattr(fullsize, "TILE", 128)
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


def test_what_first_blocks_cannot_lack_is_told():
    shown = pixelate(photo(), [(10, 10, 40, 30, 8)])
    with pytest.raises(DepixelError, match=r"10,10,40,30: first blocks lack 0 to 8 - 1 columns and rows, not 8 and 0"):
        resolve(shown, [(10, 10, 40, 30, 8, 8, 0)])
    with pytest.raises(DepixelError, match="the block size is to be named"):
        resolve(shown, [(10, 10, 40, 30, None, 3, 0)])
    with pytest.raises(DepixelError, match="is no area"):
        resolve(shown, [(10, 10, 40, 30, 8, 3)])
    assert resolve(shown, [(18, 18, 3, 5, 8, 4, 3)]) == [(18, 18, 3, 5, 8, 0, 0)]  # no line is seen in one block
    with pytest.raises(DepixelError, match="in blocks of 9 pixels, of which the first lack 3 columns and 0 rows"):
        resolve(shown, [(13, 10, 37, 30, 9, 3, 0)])
    assert resolve(shown, [(13, 10, 37, 30, 8, 3, 0)])
    with pytest.raises(DepixelError, match="does not look pixelated"):  # four parts of blocks larger than the area
        resolve(photo(), [(10, 10, 24, 24, 24, 12, 12)])


@pytest.mark.parametrize("extent", range(236, 264))
@pytest.mark.parametrize("block", [4, 5, 8, 12])
def test_every_tile_shows_a_part_of_the_area_and_together_they_give_all(extent, block):
    for before in (-3, 0, 5, 20):
        for after in (0, 1, 8, 30):
            spans = fullsize._spans(extent, block, before, after)
            assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
            assert spans[-1].end == extent
            for span in spans:
                assert 0 <= span.first <= span.begin < span.end <= span.last <= extent
                assert span.start >= -before
                assert span.first % block == 0 and span.begin % block == 0


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


@pytest.mark.parametrize(
    ("side", "block", "seen"), [(32, 16, 16), (33, 16, 8), (33, 12, 12), (32, 17, 8), (32, 4, 4), (32, 3, 4)]
)
def test_blocks_are_restored_as_they_were_learnt(side, block, seen):
    assert fullsize._Shown(Area(0, 0, side, 20, block), "exact").block == seen


def test_tiles_agree_with_one_window(monkeypatch):
    """With the interpolation, which looks 64 pixels far but hardly, cut in tiles or not."""
    image = photo(400, 330, None, seed=3)
    area = (0, 30, 330, 370, 6)
    shown = pixelate(image, [area])
    model = Restorer(predictor.Predictor(Interpolation(), restorer().model.configuration, "cpu"))
    monkeypatch.setattr(fullsize, "TILE", 128)
    tiles = list(fullsize._tiles(fullsize._Shown(Area(*area), "rounded"), image.shape))
    assert len(tiles) >= 9 and {tile.side for tile in tiles} == {(128, 128)}
    in_tiles = model.restore(shown, [area])
    monkeypatch.setattr(fullsize, "TILE", 800)
    assert len(list(fullsize._tiles(fullsize._Shown(Area(*area), "rounded"), image.shape))) == 1
    at_once = model.restore(shown, [area])
    assert np.abs(in_tiles.astype(int) - at_once).max() <= 1


@pytest.mark.parametrize("block", [4, 5, 7, 8, 9, 11, 12])
@pytest.mark.parametrize("extent", [3, 30, 239, 240, 241, 250, 257, 500, 999, 1500])
def test_spans_cover_an_area_with_margins(block, extent):
    for before, after in ((0, 0), (3, 0), (0, 5), (50, 50), (500, 1)):
        spans = fullsize._spans(extent, block, before, after)
        assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
        assert spans[-1].end == extent
        for span in spans:
            assert span.side % 8 == 0 and span.side <= fullsize.TILE
            assert span.first <= span.begin < span.end <= span.last <= span.start + span.side
            assert span.start >= -before or span.side > extent
            assert span.begin % block == 0 and span.first % block == 0
            assert span.last == extent or span.last % block == 0
            if len(spans) > 1:
                assert span.begin == 0 or span.begin - span.first >= fullsize.MARGIN - block
                assert span.end == extent or span.last - span.end >= fullsize.MARGIN - 2 * block


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
    with pytest.raises(DepixelError, match="3 pictures and areas of 4"):
        one.restore_many(shown[:3], areas)


@pytest.mark.parametrize(("options", "told"), [({"views": 4}, "views = 4"), ({"trust": "nope"}, "trust = 'nope'")])
def test_wrong_options_are_told(options, told):
    with pytest.raises(DepixelError, match=told):
        restorer().restore(photo(), [(0, 0, 8, 8, 4)], **options)


def test_what_is_loosely_trusted_may_move_by_as_much():
    image, area = photo(channels=None), (8, 12, 64, 64, 8)
    shown = pixelate(image, [area])
    exact, loose = (restorer().restore(shown, [area], trust=trust) for trust in ("rounded", "loose"))
    assert deviations(exact, shown, area).max() <= 1 < deviations(loose, shown, area).max() <= fullsize.LOOSE + 1


def test_pixelated_areas_do_not_overlap():
    with pytest.raises(DepixelError, match="overlap"):
        pixelate(photo(), [(0, 0, 40, 40, 8), (30, 30, 40, 40, 8)])


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
    light = 255 * fullsize._encoded(block_means(fullsize._linear(colors / 255), 16))
    shown[part(area)] = fullsize.spread(light.round(), 16, (64, 64))
    restored = restorer().restore(shown, [area], trust="linear")
    again = 255 * fullsize._encoded(block_means(fullsize._linear(restored[part(area)] / 255), 16))
    assert np.abs(again - light.round()).max() <= 1
    otherwise = restorer().restore(shown, [area], trust="rounded")
    assert restored[part(area)].mean() < otherwise[part(area)].mean()  # averages of light are brighter than others


# Block sizes, found and checked


def test_block_sizes_are_found():
    image = photo(200, 220)
    for block in (2, 3, 8, 13, 50):
        area = (10, 10, 150, 170)
        assert resolve(pixelate(image, [(*area, block)]), [area]) == [Area(*area, block)]


def test_an_area_of_one_value_is_one_block():
    flat = np.full((60, 60), 100, np.uint8)
    assert resolve(flat, [(5, 5, 20, 30)])[0].block_size == 30


def test_a_wrong_block_size_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    assert resolve(shown, [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"shows blocks of 12 pixels, not of 6"):  # which are as flat
        resolve(shown, [(10, 10, 96, 96, 6)])
    with pytest.raises(DepixelError, match=r"area 10,10,96,96: .* shows blocks of 12 pixels, not of 16"):
        resolve(shown, [(10, 10, 96, 96, 16)])
    with pytest.raises(DepixelError, match=r"shows blocks of 3 pixels, not of 8.*corner at which a block begins"):
        resolve(shown, [(13, 13, 93, 93, 8)])


def test_an_area_that_begins_within_a_block_has_the_blocks_that_are_seen():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    for size in (None, 12):
        assert resolve(shown, [(13, 14, 93, 92, size)]) == [Area(13, 14, 93, 92, 12, 3, 4)]
        assert resolve(shown, [(22, 14, 84, 92, size)]) == [Area(22, 14, 84, 92, 12, 0, 4)]
    # steps along one axis, or two, may be of any blocks
    strip = pixelate(photo(), [(10, 10, 96, 6, 6)])
    assert resolve(strip, [(10, 10, 96, 6)]) == [Area(10, 10, 96, 6, 6)]
    with pytest.raises(DepixelError, match="does not look pixelated in blocks that begin at"):
        resolve(shown, [(13, 14, 30, 30)])


def test_an_area_that_is_not_pixelated_is_told():
    for block in (None, 8):
        with pytest.raises(DepixelError, match="does not look pixelated"):
            resolve(photo(), [(10, 10, 96, 96, block)])


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


def test_importing_the_package_is_quick():
    import subprocess
    import sys

    code = "import sys, depixel; print('numpy' in sys.modules); depixel.Restorer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = depixel.nothing


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
    even_handed = test_restoration.predictor()
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
        off = np.abs((laptop.restore(shown, [area]).astype(float) - image) @ fullsize.LUMINANCE)
        correlations.append(
            spearmanr(off[part(area)].ravel(), disagreement(laptop, shown, [area])[part(area)].ravel())[0]
        )
    assert np.mean(correlations) > 0.25


def test_blocks_of_more_than_the_largest_size_are_taken_apart():
    image = np.random.default_rng(1).integers(0, 256, (4, 4), dtype=np.uint8).repeat(260, axis=0).repeat(260, axis=1)
    (area,) = resolve(image, [(0, 0, 1040, 1040)])
    assert area.block_size == 130 and resolve(image, [area]) == [area]


def test_a_single_block_is_looked_at_too():
    with pytest.raises(DepixelError, match="does not look pixelated"):
        resolve(photo(), [(10, 10, 40, 40, 40)])
    shown = pixelate(photo(), [(10, 10, 40, 40, 40)])
    assert resolve(shown, [(10, 10, 40, 40, 40)]) == [Area(10, 10, 40, 40, 40)]


def test_an_area_that_reaches_beyond_the_blocks_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"area 10,10,108,96"):
        resolve(shown, [(10, 10, 108, 96, 12)])


@pytest.mark.parametrize("wrong", [None, "photo.png", 5])
def test_what_is_no_picture_is_told(wrong):
    with pytest.raises(DepixelError, match="a picture is an array of NumPy or an image of Pillow"):
        restorer().restore(wrong, [(0, 0, 10, 10, 5)])


@pytest.mark.parametrize("areas", [5, ["abcd"], [5], [(0, 0, float("nan"), 10)], [(0, 0, 10)]])
def test_what_is_no_area_is_told(areas):
    with pytest.raises(DepixelError, match="no area"):
        restorer().restore(photo(), areas)


def test_pixelating_takes_what_restoring_takes():
    image = photo()
    shown = pixelate(Image.fromarray(image), [(10, 10, 96, 96, 12)])
    np.testing.assert_array_equal(np.asarray(shown), pixelate(image, [(10, 10, 96, 96, 12)]))
    with pytest.raises(DepixelError, match="name the side of its blocks"):
        pixelate(image, [(10, 10, 96, 96)])
    with pytest.raises(DepixelError, match="a picture is"):
        pixelate(image.astype(float), [(10, 10, 96, 96, 12)])
