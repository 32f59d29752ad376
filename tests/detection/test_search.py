import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from depixel.areas.area import Area
from depixel.base.errors import DepixelError
from depixel.detection import learned, search, tiles
from depixel.detection.boxes import Box, Candidate, apart
from depixel.detection.jpeg import luma, quantization
from depixel.detection.watch import Watch
from depixel.model import locations
from depixel.model.pixelation import prepare_image
from depixel.pictures import pixels

pytestmark = pytest.mark.usefixtures("detector")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W) uint8 with a photo's spectrum, about 1 / f."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    layers = sum(scale * gaussian_filter(noise, scale) * 60 for scale in (0.7, 1.5, 3, 6))
    return np.clip(128 + layers, 0, 255).astype(np.uint8)


def pixelate(image: np.ndarray, *area: int) -> np.ndarray:
    return prepare_image(image[None], *area)[0][0]


def as_jpeg(image: np.ndarray, quality: int, **options) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file))


def certain(image: np.ndarray) -> set[tuple[int, ...]]:
    """x, y, width, height, block size and offsets of what is found for certain."""
    return {tuple([*found.area.numbers(), 0, 0][:7]) for found in search.find(image) if found.certain}


@pytest.mark.parametrize("area", [(10, 20, 30, 25, 7), (0, 0, 16, 12, 4), (40, 50, 24, 14, 12), (5, 5, 9, 40, 3)])
def test_an_area_of_a_lossless_picture_is_found_exactly(area):
    assert certain(pixelate(photo(64, 64), *area)) == {(*area, 0, 0)}


def test_blocks_of_two_and_of_two_hundred_pixels_are_found():
    assert certain(pixelate(photo(80, 90), 20, 30, 22, 16, 2)) == {(20, 30, 22, 16, 2, 0, 0)}
    assert certain(pixelate(photo(700, 900), 40, 30, 800, 600, 200)) == {(40, 30, 800, 600, 200, 0, 0)}


def test_several_areas_are_found_each_with_its_blocks():
    areas = [(10, 10, 30, 24, 5), (60, 20, 40, 36, 9), (20, 70, 50, 33, 12)]
    image = photo(120, 120)
    for area in areas:
        image = pixelate(image, *area)
    assert certain(image) == {(*area, 0, 0) for area in areas}


def test_a_grid_that_does_not_begin_at_the_area_is_told_by_its_offsets():
    image = photo(100, 100)
    blocks = pixelate(image, 15, 22, 63, 54, 9)
    image[26:70, 18:72] = blocks[26:70, 18:72]
    assert certain(image) == {(18, 26, 54, 44, 9, 3, 4)}


@pytest.mark.parametrize(
    ("block", "lacks"), [(8, (4, 4)), (16, (8, 8)), (10, (5, 5)), (8, (0, 4)), (8, (2, 4)), (9, (3, 6)), (12, (6, 3))]
)
def test_what_first_blocks_lack_may_share_a_factor_with_their_size(block, lacks):
    image, whole = photo(140, 150), (16, 20, 6 * block, 6 * block, block)
    blocks = pixelate(image, *whole)
    x, y = (start + lack for start, lack in zip(whole, lacks, strict=False))
    image[y : y + 4 * block, x : x + 4 * block] = blocks[y : y + 4 * block, x : x + 4 * block]
    assert certain(image) == {(x, y, 4 * block, 4 * block, block, *lacks)}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("block", [4, 8, 16])
def test_a_row_beside_an_area_that_is_in_part_as_its_blocks_is_no_part_of_it(block, turned):
    x, y, width, height = 30, 20, 4 * block, 40
    shown = pixelate(photo(90, 120), x, y, width, height, block)
    shown[y - 1, x + block : x + width] = np.repeat([30, 200, 90], block)
    area = (y, x, height, width) if turned else (x, y, width, height)
    assert certain(shown.T if turned else shown) == {(*area, block, 0, 0)}


def test_of_two_areas_that_overlap_by_little_the_lesser_one_is_cut():
    better, lesser = Box(10, 10, 40, 40, 6, 0, 0), Box(38, 12, 70, 50, 8, 3, 0)
    found = apart([Candidate(50.0, lesser, True), Candidate(90.0, better, True), Candidate(20.0, better, False)])
    assert found == [Candidate(90.0, better, True), Candidate(50.0, Box(40, 12, 70, 50, 8, 5, 0), True)]


def test_an_area_that_two_others_cut_is_cut_once_where_once_is_enough():
    lesser = Box(30, 10, 70, 50, 8, 0, 0)
    kept = [Candidate(90.0, Box(10, 10, 34, 50, 6, 0, 0), True), Candidate(80.0, Box(20, 48, 33, 90, 5, 0, 0), True)]
    (*_, cut) = apart([Candidate(50.0, lesser, True)], before=kept)
    assert cut.box == Box(34, 10, 70, 50, 8, 4, 0)


def test_colors_are_looked_at_too():
    image = np.stack([photo(64, 64, seed) for seed in range(3)], axis=2)
    image = np.stack([pixelate(image[:, :, i], 12, 9, 33, 27, 8) for i in range(3)], axis=2)
    assert certain(image) == {(12, 9, 33, 27, 8, 0, 0)}


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_an_area_is_found_after_it_was_saved_as_jpeg(quality):
    image = as_jpeg(pixelate(photo(64, 64), 12, 15, 32, 30, 6), quality)
    (found,) = [one for one in search.find(image) if one.certain]
    area = found.area
    edges = np.array([area.x, area.y, area.x + area.width, area.y + area.height])
    assert np.abs(edges - [12, 15, 44, 45]).max() <= 1
    assert area.block_size == 6


def shaped(image: np.ndarray, area: tuple[int, ...], mask: np.ndarray) -> np.ndarray:
    """A picture of which the part of an area is pixelated that a mask (h, w) covers."""
    return pixels.pixelate(image, [replace(Area.of(area), mask=mask)])


def ellipse(height: int, width: int) -> np.ndarray:
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return x**2 + y**2 <= 1


@pytest.mark.parametrize("quality", [75, 90])
def test_the_shape_of_an_area_is_found_after_it_was_saved_as_jpeg(quality):
    mask = ellipse(80, 96)
    image = as_jpeg(shaped(photo(128, 144), (24, 22, 96, 80, 8), mask), quality)
    (found,) = [one.area for one in search.find(image) if one.certain]
    seen, true = np.zeros((2, 128, 144), bool)
    seen[found.part], true[22:102, 24:120] = found.mask, mask
    assert (seen & true).sum() > 0.9 * (seen | true).sum()
    assert found.block_size == 8
    assert (found.x + 8 - found.offset_x) % 8 == 24 % 8 and (found.y + 8 - found.offset_y) % 8 == 22 % 8


def test_an_l_is_found_after_it_was_saved_as_jpeg():
    mask = np.ones((72, 80), bool)
    mask[:36, 40:] = False
    image = as_jpeg(shaped(photo(120, 128), (20, 21, 80, 72, 8), mask), 85)
    (found,) = [one.area for one in search.find(image) if one.certain]
    assert found.numbers()[:5] == [20, 21, 80, 72, 8]
    assert (found.mask == mask).mean() > 0.97


def test_areas_that_touch_are_found_after_they_were_saved_as_jpeg():
    image = pixelate(pixelate(photo(128, 160), 20, 22, 56, 70, 14), 76, 22, 51, 70, 10)
    assert certain(as_jpeg(image, 85)) == {(20, 22, 56, 70, 14, 0, 0), (76, 22, 51, 70, 10, 0, 0)}


@pytest.mark.parametrize("blocks", ["16x8", "6x15", "10x7.5"])
def test_blocks_that_are_no_squares_are_found_after_they_were_saved_as_jpeg(blocks):
    area = Area.of([16, 20, 80, 60, blocks])
    image = as_jpeg(pixels.pixelate(photo(112, 128), [area]), 85)
    (found,) = [one.area for one in search.find(image) if one.certain]
    assert found.place == area.place and found.blocks == blocks


def test_an_area_with_text_over_it_is_found_after_it_was_saved_as_jpeg():
    picture = Image.fromarray(pixelate(photo(128, 160), 20, 16, 108, 96, 12))
    ImageDraw.Draw(picture).text((40, 50), "hidden", fill=255, font_size=20)
    assert certain(as_jpeg(np.asarray(picture), 85)) == {(20, 16, 108, 96, 12, 0, 0)}


@pytest.mark.parametrize("quality", [75, 90])
@pytest.mark.parametrize("size", [8, 9])
def test_what_was_resized_afterwards_is_found_in_the_blocks_it_has_now_or_not_for_certain(size, quality):
    image = Image.fromarray(pixelate(photo(128, 128), 20, 20, 80, 72, size)).resize(
        (192, 192), Image.Resampling.BICUBIC
    )
    for one in search.find(as_jpeg(np.asarray(image), quality)):
        if one.certain:
            sides = one.area.x, one.area.y, one.area.x + one.area.width, one.area.y + one.area.height
            assert np.abs(np.subtract(sides, (30, 30, 150, 138))).max() <= 1
            assert one.area.grid.width == one.area.grid.height == 1.5 * size


def test_an_area_is_found_in_a_color_jpeg_with_subsampled_colors():
    image = np.stack([pixelate(photo(96, 96), 25, 30, 48, 40, 10)] * 3, axis=2)
    image[:, :, 2] = pixelate(photo(96, 96, 1), 25, 30, 48, 40, 10)
    assert (25, 30, 48, 40, 10, 0, 0) in certain(as_jpeg(image, 85, subsampling="4:2:0"))


def test_an_area_that_was_pixelated_after_the_photo_was_a_jpeg_is_found_exactly():
    image = pixelate(as_jpeg(photo(128, 128), 80), 37, 41, 50, 45, 11)
    assert certain(image) == {(37, 41, 50, 45, 11, 0, 0)}


@pytest.mark.parametrize("quality", [0, 60, 75, 90])
def test_untouched_pictures_show_no_area(quality):
    images = [photo(96, 96, seed) for seed in range(4)]
    images = [as_jpeg(image, quality) if quality else image for image in images]
    assert [certain(image) for image in images] == [set()] * 4


def drawn() -> np.ndarray:
    """A window with a bar, a button and text-like strokes."""
    image = np.full((120, 160), 240, np.uint8)
    image[:14] = 60
    image[40:60, 30:90] = 200
    image[40:60, [30, 89]] = image[[40, 59], 30:90] = 90
    for k in range(12):
        image[80 + k % 3 : 88, 20 + 7 * k : 22 + 7 * k] = 20
    return image


def barred() -> np.ndarray:
    image = photo(96, 96)
    image[:12] = image[-12:] = 0
    return image


def sky() -> np.ndarray:
    image = photo(96, 96)
    image[:50] = np.linspace(180, 210, 50).astype(np.uint8)[:, None]
    return image


@pytest.mark.parametrize("make", [drawn, barred, sky])
@pytest.mark.parametrize("quality", [0, 60, 90])
def test_flat_parts_are_not_taken_for_blocks(make, quality):
    assert certain(as_jpeg(make(), quality) if quality else make()) == set()


def test_pictures_of_one_value_and_tiny_ones_show_nothing():
    assert search.find(np.full((50, 60), 7, np.uint8)) == []
    assert search.find(np.zeros((3, 3), np.uint8)) == []


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros(8, np.uint8)])
def test_what_is_no_picture_of_bytes_is_refused(image):
    with pytest.raises(DepixelError, match="a picture to search must be"):
        search.find(image)


@pytest.mark.parametrize("quality", [60, 75, 90, 95, 98])
def test_the_quantization_is_seen_in_the_pixels(quality):
    file = io.BytesIO()
    Image.fromarray(photo(96, 96)).save(file, "JPEG", quality=quality)
    image = Image.open(file)
    table = np.array(image.quantization[0]).reshape(8, 8)
    np.testing.assert_array_equal(quantization(luma(np.asarray(image))), table)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_jpeg_that_was_turned_upright_is_one_still(turns):
    """As phones save them: the pixels lie, and the metadata says how they are turned."""
    image = np.rot90(as_jpeg(pixelate(photo(96, 120), 20, 24, 45, 50, 9), 85), turns)
    table = quantization(luma(as_jpeg(photo(96, 120), 85)))
    np.testing.assert_array_equal(quantization(luma(image)), table.T if turns % 2 else table)
    ((x, y, width, height, size, _, _),) = certain(image)
    expected = {1: (24, 120 - 65, 50, 45), 2: (120 - 65, 96 - 74, 45, 50), 3: (96 - 74, 20, 50, 45)}[turns]
    assert np.abs(np.subtract((x, y, width, height), expected)).max() <= 1 and size == 9


def test_a_large_picture_is_searched_as_a_small_one_where_its_quantization_cannot_be_told():
    image = as_jpeg(pixelate(photo(1010, 1000), 200, 300, 110, 88, 11), 100)
    assert quantization(luma(image)) is None
    assert certain(image) == {(200, 300, 110, 88, 11, 0, 0)}


def test_a_picture_that_never_was_a_jpeg_has_no_quantization():
    assert quantization(luma(photo(96, 96))) is None


@pytest.mark.parametrize("quality", [0, 92])
def test_large_pictures_are_searched_in_tiles_and_areas_across_them_found_whole(monkeypatch, quality):
    monkeypatch.setattr(search, "AT_ONCE", 30_000)
    for name, value in (("_TILE", 160), ("_OVERLAP", 40), ("_LARGEST", 90_000)):
        monkeypatch.setattr(tiles, name, value)
    areas = [(100, 90, 120, 100, 10), (250, 20, 40, 30, 5)]
    image = photo(320, 330)
    for area in areas:
        image = pixelate(image, *area)
    assert certain(as_jpeg(image, quality) if quality else image) == {(*area, 0, 0) for area in areas}


def test_a_search_tells_what_is_done_and_found():
    image = pixelate(pixelate(photo(128, 160), 10, 20, 60, 50, 10), 90, 60, 48, 56, 8)
    for picture in (image, as_jpeg(image, 85)):
        told: list[tuple[float, set]] = []

        def watch(share: float, found: list[search.Found], told=told) -> bool:
            told.append((share, {one.area.place for one in found}))
            return True

        last = search.find(picture, watch)
        shares = [share for share, _ in told]
        assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1 and len(set(shares)) > 3
        assert told[-1][1] == {one.area.place for one in last if one.certain} == {"10,20,60,50", "90,60,48,56"}
        assert not told[0][1]


def test_a_search_that_is_ended_returns_what_it_has_so_far():
    image = as_jpeg(pixelate(pixelate(photo(128, 160), 10, 20, 60, 50, 10), 90, 60, 48, 56, 8), 85)
    assert not search.find(image, lambda share, found: False)
    assert len(search.find(image, lambda share, found: not found)) == 1
    assert len([one for one in search.find(image) if one.certain]) == 2


def test_the_tile_that_looks_most_like_it_is_searched_first(monkeypatch):
    monkeypatch.setattr(search, "AT_ONCE", 30_000)
    for name, value in (("_TILE", 160), ("_OVERLAP", 40), ("_LARGEST", 90_000)):
        monkeypatch.setattr(tiles, name, value)
    image = as_jpeg(pixelate(photo(420, 430), 340, 330, 60, 64, 8), 85)
    shares = []
    (found,) = search.find(image, lambda share, found: shares.append(share) or not found)
    assert found.area.place == "340,330,60,64"
    assert shares[-1] < 0.3  # the last of nine tiles by its place


def test_what_a_watcher_raises_ends_the_search():
    class GivenUpError(Exception):
        pass

    def watch(share: float, found: list[search.Found]) -> bool:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        search.find(pixelate(photo(64, 64), 10, 20, 30, 25, 7), watch)


def test_a_picture_seen_in_windows_is_seen_as_a_whole(monkeypatch):
    gray = luma(as_jpeg(pixelate(photo(200, 230), 60, 50, 90, 80, 9), 85))
    picture = learned._Picture(gray, float(np.sqrt(np.mean(quantization(gray) ** 2 / 12))), True, screened=False)
    whole = learned._steps(picture, [], Watch())
    monkeypatch.setattr(learned, "_WINDOW", 160)
    monkeypatch.setattr(learned, "_HALO", 40)
    parts = learned._steps(picture, [], Watch())
    for name in ("inside", "line"):
        for one, other in ((whole, parts), (whole.turned, parts.turned)):
            difference = np.abs(getattr(one, name) - getattr(other, name))
            assert np.quantile(difference, 0.9) < 1  # contrast is that of each window


def test_in_a_large_picture_the_network_looks_where_the_screen_sees_something(monkeypatch):
    load, looked = learned._network, []

    def watched(file):
        network = load(file)
        return lambda gray, noise: looked.append((file, gray.size)) or network(gray, noise)

    monkeypatch.setattr(learned, "_network", watched)
    image = as_jpeg(pixelate(photo(1000, 1040), 200, 300, 110, 80, 11), 90)
    assert certain(image) == {(200, 300, 110, 80, 11, 0, 0)}
    screen, detector = (sum(size for of, size in looked if of == file) for file in (learned.SCREEN, learned.DETECTOR))
    assert screen > detector > 0  # if it looked everywhere, at windows that overlap, it would be 1.6 times as much


def test_an_area_that_the_screen_sees_in_half_the_size_only_is_found_to_the_pixel(monkeypatch):
    load = learned._network

    def blind(file):  # in the picture as it is
        network = load(file)
        return lambda gray, noise: network(gray, noise) - 1000 * (file == learned.SCREEN and gray.shape == (384, 504))

    monkeypatch.setattr(learned, "_network", blind)
    monkeypatch.setattr(learned, "_SCREENED", 0)
    image = np.clip(128 + gaussian_filter(photo(380, 500).astype(float) - 128, 4) * 6, 10, 245).astype(np.uint8)
    assert certain(as_jpeg(pixelate(image, 40, 60, 333, 207, 60), 88)) == {(40, 60, 333, 207, 60, 0, 0)}


def test_it_needs_the_network(monkeypatch, tmp_path):
    monkeypatch.setattr(locations, "folders", lambda: (tmp_path / "pretrained",))
    learned._network.cache_clear()
    image = pixelate(photo(64, 64), 12, 15, 32, 30, 6)
    for small in (image, as_jpeg(image, 80)):
        with pytest.raises(DepixelError, match="dvc pull"):
            search.find(small)


@pytest.mark.parametrize("area", [(40, 60, 333, 207, 60), (51, 33, 402, 310, 100)])
def test_large_blocks_are_found_in_a_jpeg(area):
    image = np.clip(128 + gaussian_filter(photo(380, 500).astype(float) - 128, 4) * 6, 10, 245).astype(np.uint8)
    assert certain(as_jpeg(pixelate(image, *area), 88)) == {(*area, 0, 0)}


@pytest.mark.parametrize("area", [(40, 30, 150, 190, 40), (0, 7, 297, 213, 130), (33, 0, 267, 220, 100)])
def test_large_blocks_are_found_where_the_photo_around_is_smooth(area):
    image = gaussian_filter(photo(220, 300).astype(float), 12)
    image = ((image - image.min()) / np.ptp(image) * 200 + 20).astype(np.uint8)
    assert certain(pixelate(image, *area)) == {(*area, 0, 0)}


def test_margins_of_a_drawing_are_no_blocks():
    drawing = np.full((300, 400), 255, np.uint8)
    drawing[40:240, 50:200] = photo(200, 150)
    drawing[40:240, 220:370] = photo(200, 150, seed=1)
    drawing[260:270, 60:90] = drawing[260:270, 100:112] = 0
    assert certain(drawing) == set()


def test_tiles_of_more_than_the_largest_block_are_no_error():
    image = np.random.default_rng(0).integers(40, 215, (3, 3), dtype=np.uint8).repeat(220, axis=0).repeat(220, axis=1)
    assert isinstance(search.find(as_jpeg(image, 90)), list)
    assert all(max(found.area.grid.width, found.area.grid.height) <= 200 for found in search.find(image))


def test_a_flat_rectangle_in_a_jpeg_is_no_certain_block():
    image = photo(96, 96)
    image[30:47, 20:39] = 90
    assert certain(as_jpeg(image, 90)) == set()


def test_a_strip_beside_an_area_is_its_edge():
    area, strip = Box(20, 20, 80, 80, 12, 0, 0), Box(80, 40, 84, 53, 12, 0, 0)
    assert learned._is_edge_of(strip, [area]) and not learned._is_edge_of(strip.moved(6, 0), [area])
    assert not learned._is_edge_of(Box(80, 20, 104, 80, 12, 0, 0), [area])


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        (Box(0, 0, 65, 83, 133, 87, 0), False),  # less than a block
        (Box(0, 0, 71, 22, 47, 0, 0), False),  # large blocks, none of them whole
        (Box(0, 0, 30, 9, 12, 0, 0), True),
        (Box(0, 0, 16, 9, 16, 0, 0), False),  # a single block
        (Box(0, 0, 17, 9, 16, 0, 0), True),  # the second block is a pixel wide
        (Box(0, 0, 90, 60, 40, 0, 0), True),
    ],
)
def test_an_area_shows_its_blocks_or_not(box, shown):
    assert learned._is_shown(box) == shown


@pytest.mark.parametrize("quality", [75, 90])
def test_sides_of_large_blocks_are_found_in_an_enlarged_jpeg(quality):
    small = pixelate(photo(100, 100), 5, 11, 88, 75, 16)
    found = certain(as_jpeg(small.repeat(3, axis=0).repeat(3, axis=1), quality))
    assert found == {(15, 33, 264, 225, 48, 0, 0)}
