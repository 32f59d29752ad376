import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from depixel.photos.decoding import (
    UnreadableError,
    as_stored,
    decode,
    from_linear,
    grayscale,
    opened,
    orientation,
    pixels_as_stored,
    scan,
    square,
    to_linear,
    upright,
    upright_pixels,
)


def plain_gray(red: int, green: int, blue: int) -> int:
    """The challenge's formula, number by number in Python's floats."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red / 255, green / 255, blue / 255)]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return round(255 * (12.92 * y if y <= 0.0031308 else 1.055 * y ** (1 / 2.4) - 0.055))


def plain_square(image: Image.Image, size: int) -> np.ndarray:
    """The challenge's steps for a test image, one after the other."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long = int(size * long / short)
    image = image.resize((size, long) if width <= height else (long, size), Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return grayscale(np.asarray(image)[top : top + size, left : left + size])


def picture(seed: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def test_grayscale_is_exact_to_the_gray_level():
    grays = np.repeat(np.arange(256)[:, None], 3, axis=1)
    corners = np.array(list(itertools.product((0, 1, 10, 11, 254, 255), repeat=3)))
    colors = np.concatenate([grays, corners, np.random.default_rng(0).integers(0, 256, (20_000, 3))]).astype(np.uint8)
    gray = grayscale(colors[None])
    assert gray.dtype == np.uint8 and gray.shape == (1, len(colors))
    assert gray[0].tolist() == [plain_gray(*map(int, color)) for color in colors]
    assert gray[0, :256].tolist() == list(range(256))


def test_grayscale_leaves_gray_images_alone():
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert grayscale(gray) is gray


def test_the_curve_of_srgb_goes_there_and_back():
    values = np.linspace(0, 1, 1001)
    light = to_linear(values)
    assert light[0] == 0 and light[-1] == pytest.approx(1) and (np.diff(light) > 0).all()
    assert to_linear(np.array([0.5])) == pytest.approx(0.21404114, abs=1e-8)
    np.testing.assert_allclose(from_linear(light), values, atol=1e-7)
    assert to_linear(values.astype(np.float32)).dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 900), st.integers(100, 900), st.sampled_from(["RGB", "L"]), st.sampled_from([64, 128]))
def test_square_is_the_plain_steps(width, height, mode, size):
    image = picture(width, (width, height), mode)
    np.testing.assert_array_equal(square(image, size), plain_square(image, size))


@pytest.mark.parametrize("extent", [(1000, 801), (769, 1500), (2003, 1203)])
def test_a_reducing_gap_changes_photos_little(extent):
    image = picture(3, extent)
    off = square(image, 128, reducing_gap=2.0).astype(int) - plain_square(image, 128)
    assert np.sqrt(np.mean(off**2)) < 1


@pytest.mark.parametrize("value", range(1, 9))
def test_photos_are_turned_upright_as_pillow_does(jpeg, value):
    exif = Image.Exif()
    exif[274] = value
    data = jpeg(1, exif=exif)
    stored = Image.open(io.BytesIO(data))
    assert orientation(stored) == value
    np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(ImageOps.exif_transpose(stored)))


@pytest.mark.parametrize("value", range(1, 9))
def test_pixels_are_turned_as_images_are_and_back(value):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(upright_pixels(pixels, value), np.asarray(upright(image, value)))
    np.testing.assert_array_equal(pixels_as_stored(pixels, value), np.asarray(as_stored(image, value)))
    np.testing.assert_array_equal(pixels_as_stored(upright_pixels(pixels, value), value), pixels)
    gray = pixels[..., 0]
    np.testing.assert_array_equal(upright_pixels(gray, value), upright_pixels(pixels, value)[..., 0])


@pytest.mark.parametrize("value", [0, 9, 4711])
def test_an_orientation_that_makes_no_sense_counts_as_upright(jpeg, value):
    exif = Image.Exif()
    exif[274] = value
    assert orientation(Image.open(io.BytesIO(jpeg(1, exif=exif)))) == 1


def test_broken_exif_is_no_reason_to_lose_a_photo(jpeg):
    assert decode(jpeg(1, exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")).size == (140, 110)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n%%EndComments\n",
        b"P6 30000 30000 255\n",
        b"P6 10000 10000 255\n",
    ],
    ids=["empty", "text", "EPS", "900 Mpx", "100 Mpx"],
)
def test_what_is_no_photo_is_refused(data):
    with pytest.raises(UnreadableError):
        decode(data)


def test_reasons_are_one_line_and_the_same_every_time():
    reasons = set()
    for _ in range(2):
        with pytest.raises(UnreadableError) as caught:
            decode(bytes(100))
        reasons.add(str(caught.value))
    assert reasons == {"not an image"}


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}, {"mode": "CMYK"}])
def test_scanning_finds_what_decoding_finds(jpeg, options):
    whole = jpeg(5, **options)
    for data in (whole, whole + b"more", whole[:-2], whole[:-10], whole[: len(whole) // 2], whole[:300]):
        found = []
        for read in (lambda image: image.load(), scan):
            try:
                with opened(data) as image:
                    read(image)
                found.append(True)
            except UnreadableError:
                found.append(False)
        assert found[0] == found[1]
    assert not found[0]


def test_a_jpeg_of_many_scans_is_refused_at_once():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data).size == decode(data[:-2] + last * 20 + b"\xff\xd9").size == (64, 64)
    film = np.random.default_rng(0).bytes(8_000_000)  # behind the photo, as telephones write it
    assert film.count(b"\xff\xda") > 100 and decode(data + film).size == (64, 64)
    with pytest.raises(UnreadableError, match="more than 100 scans"):
        decode(data[:-2] + last * 100 + b"\xff\xd9")
