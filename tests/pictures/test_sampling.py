import numpy as np
import pytest

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, block_means, spread
from depixel.pictures import sampling
from depixel.pictures.pixels import without_alpha
from depixel.pictures.restorer import Restorer
from depixel.pictures.sampling import showing_means
from tests.pictures.test_restorer import restorer

pytestmark = pytest.mark.usefixtures("one_thread")

MIDDLE, CORNER = sampling.MIDDLE, sampling.CORNER


def photo(height=128, width=140, channels: int | None = 3, dtype=np.uint8, seed=0) -> np.ndarray:
    """Like a photo: noise of which each frequency has a power that falls with its square, all channels alike."""
    random = np.random.default_rng(seed)
    down, across = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    gain = 1 / np.maximum(np.hypot(down, across), 0.01) ** 1.5
    planes = [np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) * gain).real for _ in range(channels or 1)]
    planes = [plane / plane.std() * 40 + 128 for plane in planes]
    image = np.stack([(planes[0] + plane) / 2 for plane in planes], axis=2).clip(0, 255)
    image = (image * (1 if dtype == np.uint8 else 257)).astype(dtype)
    return image if channels else image[:, :, 0]


def sampled(image: np.ndarray, area: Area, place: tuple[float, float]) -> np.ndarray:
    """A copy in which blocks show the pixel at a place, the same along both axes."""
    made, part = image.copy(), image[area.part]
    size = area.block_size
    rows, columns = (
        (np.arange(0, n + offset, size) + int(place[0] * size) - offset).clip(0, n - 1)
        for n, offset in ((area.height, area.offset_y), (area.width, area.offset_x))
    )
    values = part[rows][:, columns]
    hidden = np.ones(part.shape[:2], bool) if area.mask is None else area.mask
    made[area.part][hidden] = spread(values, area.grid, part.shape[:2])[hidden]
    return made


def rmse(one: np.ndarray, other: np.ndarray, area: Area) -> float:
    return float(np.sqrt(np.mean((one[area.part].astype(float) - other[area.part]) ** 2)))


AREAS = [
    ResolvedArea(20, 16, 96, 96, 8),
    ResolvedArea(8, 12, 60, 101, 4),
    ResolvedArea(24, 20, 96, 84, 12),
    ResolvedArea(21, 9, 94, 98, 7, offset_x=3, offset_y=2),
]


@pytest.mark.parametrize(
    ("area", "place"), [*((area, MIDDLE) for area in AREAS), *((area, CORNER) for area in AREAS[:3])]
)  # cut off blocks tell little of their corners: then the middle is taken, which costs less
def test_the_place_of_the_pixels_is_found_and_means_are_nearer(area, place):
    image = photo()
    shown = sampled(image, area, place)
    made, (moved,) = showing_means(shown, [area])
    size = area.block_size
    lacks = size // 2 if place == CORNER else 0
    assert moved.grid == Grid.square(size, ((area.offset_x + lacks) % size, (area.offset_y + lacks) % size))
    assert rmse(made, image, area) < 0.95 * rmse(shown, image, area)
    outside = np.ones(image.shape[:2], bool)
    outside[area.part] = False
    np.testing.assert_array_equal(made[outside], shown[outside])


@pytest.mark.parametrize("place", [MIDDLE, CORNER])
def test_means_are_estimated(place):
    """Of the blocks around the pixels, better than by these pixels; in chunks as at once."""
    image, area = photo(seed=3), ResolvedArea(16, 14, 112, 96, 4)
    shown = sampled(image, area, place)
    made, (moved,) = showing_means(shown, [area])
    wrong, before = (
        np.sqrt(np.mean((block_means(a[area.part], moved.grid) - block_means(image[area.part], moved.grid)) ** 2))
        for a in (made, shown)
    )
    assert wrong < 0.8 * before


def test_chunks_do_not_show(monkeypatch):
    image, area = photo(seed=4), ResolvedArea(16, 14, 112, 96, 4)
    shown = sampled(image, area, MIDDLE)
    in_chunks, _ = showing_means(shown, [area])
    monkeypatch.setattr(sampling, "CHUNK", 40)
    at_once, _ = showing_means(shown, [area])
    assert np.abs(in_chunks.astype(int) - at_once).max() <= 4


@pytest.mark.parametrize(
    ("channels", "dtype"), [(None, np.uint8), (2, np.uint8), (3, np.uint16), (4, np.uint8), (4, np.uint16)]
)
def test_pictures_of_all_kinds(channels, dtype):
    image = photo(channels=channels, dtype=dtype)
    areas = [ResolvedArea(8, 8, 64, 56, 8), ResolvedArea(72, 8, 48, 48, 16)]
    shown = image
    for area in areas:
        shown = sampled(shown, area, CORNER)
    if channels in (2, 4):
        shown[:, :, -1] = image[:, :, -1]
    original = shown.copy()
    restored = restorer().restore(shown, areas, trust="sampled")
    np.testing.assert_array_equal(shown, original)
    assert restored.dtype == dtype and restored.shape == image.shape
    inside = np.zeros(image.shape[:2], bool)
    for area in areas:
        inside[area.part] = True
        assert (without_alpha(restored)[area.part] != without_alpha(shown)[area.part]).any()
    np.testing.assert_array_equal(restored[~inside], shown[~inside])
    if channels in (2, 4):
        np.testing.assert_array_equal(restored[:, :, -1], shown[:, :, -1])


def test_what_a_mask_does_not_hide_stays():
    image = photo()
    y, x = np.mgrid[:96, :96]
    area = ResolvedArea(16, 16, 96, 96, 8, mask=np.hypot(x - 47.5, y - 47.5) < 44)
    shown = sampled(image, area, MIDDLE)
    made, (moved,) = showing_means(shown, [area])
    np.testing.assert_array_equal(made[area.part][~area.mask], shown[area.part][~area.mask])
    assert moved.mask is area.mask
    assert rmse(made, image, area) < rmse(shown, image, area)


@pytest.mark.parametrize(
    "area",
    [
        ResolvedArea(0, 0, 140, 128, 8),  # nothing is known
        ResolvedArea(0, 0, 140, 128, 200),
        ResolvedArea(30, 30, 2, 2, 2),
        ResolvedArea(40, 40, 9, 9, 30),
        ResolvedArea(10, 10, 100, 100, 64),
        ResolvedArea(10, 10, 120, 96, 15, block_height=12),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_areas_of_all_kinds(area, flat):
    image = np.full_like(photo(), 90) if flat else photo()
    shown = image.copy()
    part = shown[area.part]
    part[:] = spread(block_means(part, area.grid).round(), area.grid, part.shape[:2])
    restored = restorer().restore(shown, [area], trust="sampled")
    assert np.abs(restored.astype(float) - shown).max() <= (3 if flat else 160)  # random weights


def test_no_pictures_are_none():
    assert Restorer(restorer().model).restore_many([], [], trust="sampled") == []
