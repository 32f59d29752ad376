"""What is computed for a request, through a real server on loopback."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import requests
from PIL import Image

from depixel.areas.area import Area
from depixel.detection import search
from depixel.detection.jpeg import luma
from depixel.pictures import formats
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import disagreement
from depixel.web import samples, work
from tests.pictures.test_restorer import photo
from tests.web.conftest import AREA, PICTURES, exif, file_of, pixelated, told

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_block_size_that_is_not_given_is_found_and_told(url):
    answer = requests.post(f"{url}api/restore?area={told(AREA[:4])}&area=100,80,16,16,4", pixelated(), timeout=60)
    assert answer.status_code == 422  # the second area is not pixelated
    assert "100,80,16,16" in answer.json()["problem"] and "pixelated" in answer.json()["problem"]
    answer = requests.post(f"{url}api/restore?area={told(AREA[:4])}", pixelated(), timeout=60)
    assert answer.headers["Areas"] == told()


def test_a_photo_is_pixelated_and_found_again(url):
    clean = file_of(photo(120, 140))
    answer = requests.post(
        f"{url}api/pixelate?area=20,30,40,50&block=10&area={told((80, 8, 32, 24, 4))}", clean, timeout=60
    )
    expected = pixelate(photo(120, 140), [(20, 30, 40, 50, 10), (80, 8, 32, 24, 4)])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    found = requests.post(f"{url}api/find", answer.content, timeout=60).json()
    assert (found["width"], found["height"]) == (140, 120)
    areas = {tuple(a[key] for key in ("x", "y", "width", "height", "block_size")) for a in found["areas"]}
    assert {(20, 30, 40, 50, 10), (80, 8, 32, 24, 4)} <= areas
    near = requests.post(f"{url}api/find?near=17,33,40,50", answer.content, timeout=60).json()["areas"]
    assert (near[0]["x"], near[0]["y"], near[0]["block_size"], near[0]["certain"]) == (20, 30, 10, True)


def test_areas_whose_first_blocks_are_cut_off_are_found_and_restored(url, restorer):
    image = pixelate(photo(200, 200), [(20, 30, 80, 80, 16)])
    image = image[35:, 27:]  # the first blocks keep 9 columns and 11 rows
    (found, *_) = requests.post(f"{url}api/find", file_of(image), timeout=60).json()["areas"]
    assert found.pop("certain") and found.pop("evidence") > 1000
    area = {"x": 0, "y": 0, "width": 73, "height": 75, "block_size": 16, "offset_x": 7, "offset_y": 5}
    area |= {"block_width": 16, "block_height": 16, "area": "0,0,73,75,16,7,5", "mask": None, "doubt": None}
    assert found == area
    answer = requests.post(f"{url}api/restore?area={area['area']}", file_of(image), timeout=60)
    assert answer.headers["Areas"] == area["area"]
    expected = restorer.restore(image, [(0, 0, 73, 75, 16, 7, 5)])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    answer = requests.post(f"{url}api/restore?area=0,0,73,75,16,16,5", file_of(image), timeout=60)
    assert answer.status_code == 422 and "first blocks can lack 0 to 16 - 1" in answer.json()["problem"]


def in_url(mask: np.ndarray) -> str:
    return base64.urlsafe_b64encode(file_of(mask)).decode().rstrip("=")


def test_shapes_are_named_found_and_restored(url, restorer):
    y, x = np.ogrid[-1:1:80j, -1:1:96j]
    mask = x**2 + y**2 <= 1
    query = {"area": ["16,20,96,80,8", "120,4,16,16,8"], "mask": [in_url(mask), ""]}
    shown = requests.post(f"{url}api/pixelate", file_of(photo(120, 140)), params=query, timeout=60)
    areas = [replace(Area(16, 20, 96, 80, 8), mask=mask), Area(120, 4, 16, 16, 8)]
    image = np.asarray(Image.open(io.BytesIO(shown.content)))
    np.testing.assert_array_equal(image, pixelate(photo(120, 140), areas))
    found = requests.post(f"{url}api/find", shown.content, timeout=60).json()
    assert found["complete"]
    (ellipse,) = [one for one in found["areas"] if one["mask"]]
    assert ellipse["certain"] and ellipse["block_size"] == 8
    query = {"area": [ellipse["area"]], "mask": [ellipse["mask"]]}
    restored = requests.post(f"{url}api/restore", shown.content, params=query, timeout=60)
    changed = (np.asarray(Image.open(io.BytesIO(restored.content))) != image).any(axis=2)
    assert changed[20:100, 16:112][mask].mean() > 0.8
    assert changed[20:100, 16:112][~mask].mean() < 0.05  # a pixel of the photo that has its block's color, by chance


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        ("AAAA", "mask of area 24,16,64,48: is not a picture"),
        ("A", "mask of area 24,16,64,48: not base64url"),
        (in_url(np.full((4, 4), 255, np.uint8)), "mask of area 24,16,64,48: it has 4 x 4 pixels, the area 64 x 48"),
        (in_url(np.zeros((48, 64), np.uint8)), "mask of area 24,16,64,48: the mask is dark"),
    ],
)
def test_what_is_no_shape_of_an_area_is_told(url, mask, problem):
    answer = requests.post(f"{url}api/restore", pixelated(), params={"area": told(), "mask": mask}, timeout=60)
    assert answer.status_code == 422 and problem in answer.json()["problem"]
    query = {"area": told(), "mask": [mask, ""]}
    answer = requests.post(f"{url}api/restore", pixelated(), params=query, timeout=60)
    assert answer.status_code == 422 and "2 masks for 1 areas" in answer.json()["problem"]


@pytest.mark.usefixtures("detector")
def test_what_is_drawn_roughly_is_found_in_a_jpeg(url):
    image = pixelate(photo(200, 220), [(60, 50, 90, 80, 9)])
    data = file_of(image, "JPEG", quality=90)
    for near in ("63,55,80,70", "50,41,110,100", "57,52,91,75"):
        (found, *_) = requests.post(f"{url}api/find?near={near}", data, timeout=60).json()["areas"]
        assert [found[key] for key in ("x", "y", "width", "height", "block_size")] == [60, 50, 90, 80, 9]
        assert found["certain"]


def test_where_the_views_disagree_is_told_in_sixteenths_of_a_gray_level(url, restorer):
    answer = requests.post(f"{url}api/doubt?area={told()}", pixelated(), timeout=60)
    expected = disagreement(restorer, pixelate(photo(120, 140), [AREA]), [AREA])
    levels = np.asarray(Image.open(io.BytesIO(answer.content))).astype(float)
    np.testing.assert_allclose(levels, (16 * expected).clip(0, 255), atol=0.5001)
    assert levels.max() > 8


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_every_picture_is_shown_upright_in_eight_bits(url, orientation):
    data = file_of(photo(120, 140), "JPEG", quality=95, exif=exif(orientation))
    shown = Image.open(io.BytesIO(requests.post(f"{url}api/show", data, timeout=60).content))
    np.testing.assert_array_equal(np.asarray(shown), formats.decoded(data).pixels)
    assert shown.format == "PNG" and not shown.getexif()
    deep = requests.post(f"{url}api/show", PICTURES["deep color TIFF"](), timeout=60).content
    assert np.asarray(Image.open(io.BytesIO(deep))).dtype == np.uint8


def test_samples_are_pictures_in_which_areas_are_found(url):
    pictures = [requests.get(f"{url}api/samples/{i}", timeout=60).content for i in range(len(samples.SAMPLES))]
    assert len(set(pictures)) == len(samples.SAMPLES)
    for picture in pictures:
        image = np.asarray(Image.open(io.BytesIO(picture)))
        assert image.shape == (240, 320, 3)
        area = Area(80, 60, 160, 120, 8)
        found = requests.post(f"{url}api/find", file_of(pixelate(image, [area])), timeout=60).json()["areas"]
        assert [one["area"] for one in found if one["certain"]] == ["80,60,160,120,8"]
    assert requests.get(f"{url}api/samples/99", timeout=60).status_code == 422


def test_a_large_picture_is_searched_in_parts_only(url):
    data = file_of(np.zeros((4100, 4100), np.uint8))
    answer = requests.post(f"{url}api/find", data, timeout=60)
    assert answer.status_code == 422 and "draw them roughly" in answer.json()["problem"]
    assert requests.post(f"{url}api/find?near=10,10,100,100", data, timeout=60).status_code == 200
    assert requests.post(f"{url}api/find?near=9000,10,100,100", data, timeout=60).status_code == 422


def test_a_png_comes_back_if_asked_for_or_if_the_format_is_not_written(url):
    jpeg, avif = pixelated("JPEG", quality=95, subsampling=0), file_of(photo(120, 140), "AVIF")
    for data, query in ((jpeg, "&format=png"), (avif, "")):
        answer = requests.post(f"{url}api/pixelate?area={told()}{query}", data, timeout=60)
        assert answer.headers["Content-Type"] == "image/png" and "Notes" not in answer.headers
        assert 'filename="pixelated.png"' in answer.headers["Content-Disposition"]
        expected = pixelate(formats.decoded(data).pixels, [AREA])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    answer = requests.post(f"{url}api/restore?area={told()}&format=png", jpeg + jpeg, timeout=60)
    assert answer.headers["Content-Type"] == "image/png" and "another picture" in answer.headers["Notes"]
    assert requests.post(f"{url}api/restore?area={told()}&format=gif", jpeg, timeout=60).status_code == 422


def test_the_doubts_of_many_areas_look_at_the_picture_once(monkeypatch):
    """In a large picture each look takes half a second."""
    looks = []
    monkeypatch.setattr(work, "luma", lambda image: looks.append(1) or luma(image))
    found = [search.Found(Area(8 * k, 0, 8, 8).in_blocks_of(4), 1.0, False) for k in range(5)]
    monkeypatch.setattr(search, "find", lambda image, watch: found)
    answer = work.find(
        formats.encoded(formats.Picture(np.zeros((64, 64), np.uint8), "PNG")), None, lambda share, found=(): True
    )
    assert len(answer.areas) == 5 and all(one.doubt for one in answer.areas) and len(looks) == 1
