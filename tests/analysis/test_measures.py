"""Measures of photos whose light, sharpness, encoding and camera are known."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from depixel.analysis import measures
from depixel.curation import synthetic
from depixel.photos.decoding import UnreadableError, decode, square


@pytest.fixture(scope="module")
def photos():
    """Eight photos, RGB."""
    return [decode(synthetic.photo(5, contributor, 1)) for contributor in range(8)]


@pytest.fixture(scope="module")
def images(photos):
    return np.stack([square(photo, 64) for photo in photos])


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 92, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_quality_is_that_of_the_encoding(photos, quality, mode):
    assert measures.of_file(encoded(photos[0].convert(mode), quality=quality)).quality == quality


def test_other_tables_have_the_quality_of_the_nearest(photos):
    tables = [[17] * 64, [18] * 64]  # their sum is that of quality 85
    assert 80 <= measures.of_file(encoded(photos[0], qtables=tables)).quality <= 90


def test_strong_compression_is_blocky(photos):
    photos = [photo.resize((160, 160)) for photo in photos]  # without the grid of their own encoding
    found = [np.median([measures.of_file(encoded(p, quality=q)).blockiness for p in photos]) for q in (5, 10, 50, 95)]
    assert found[0] > found[1] > 2 > found[2] > found[3] and found[3] == pytest.approx(1, abs=0.1)


def test_one_edge_is_not_blocky():
    pixels = np.zeros((128, 160), np.uint8)
    pixels[64:] = 200
    assert measures._blockiness(pixels) == 1


def test_gray_photos_have_no_color(photos):
    gray, green = Image.new("RGB", (120, 120), (90, 90, 90)), Image.new("RGB", (120, 120), (0, 255, 0))
    assert measures.of_file(encoded(gray)).color == measures.of_file(encoded(photos[0].convert("L"))).color == 0
    # Rec. 601: Cb = 128 - 0.3313 * 255, Cr = 128 - 0.4187 * 255
    assert measures.of_file(encoded(green, quality=100)).color == pytest.approx(255 * np.hypot(0.3313, 0.4187), abs=1)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("Apple", "iPhone 7", "Apple iPhone 7"),
        ("", "", ""),
        ("evil\x1b[2J\nname", "x" * 500, "evil [2J name " + "x" * 40),
        (None, None, ""),
    ],
)
def test_the_camera_is_that_of_the_exif(photos, make, model, camera):
    exif = Image.Exif()
    if make is not None:
        exif[271], exif[272] = make, model
    assert measures.of_file(encoded(photos[0], exif=exif)).camera == camera


def test_broken_exif_is_no_camera(photos):
    assert measures.of_file(encoded(photos[0], exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).camera == ""


@pytest.mark.parametrize("data", [b"", b"no photo", b"\xff\xd8\xff\xe0 cut"])
def test_what_is_no_photo_is_told(data):
    with pytest.raises(UnreadableError):
        measures.of_file(data)


def test_light_and_contrast_are_mean_and_deviation(images):
    found = measures.of_images(images)
    np.testing.assert_allclose(found.brightness, images.mean(axis=(1, 2)), atol=1e-3)
    np.testing.assert_allclose(found.contrast, images.std(axis=(1, 2)), atol=1e-3)


def test_detail_is_the_error_that_blocks_leave(images):
    blocks = images.reshape(-1, 8, 8, 8, 8).astype(float)
    error = blocks - blocks.mean(axis=(2, 4), keepdims=True)
    np.testing.assert_allclose(
        measures.of_images(images).detail, np.sqrt(np.square(error).mean(axis=(1, 2, 3, 4))), atol=1e-3
    )


def test_sharpness_is_that_of_the_laplacian(images):
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    expected = [ndimage.convolve(image.astype(float), kernel)[1:-1, 1:-1].std() for image in images]
    np.testing.assert_allclose(measures.of_images(images).sharpness, expected, atol=1e-3)


def test_a_blurred_photo_is_blurred_whatever_its_contrast(images):
    dull = (100 + images * 0.3).round().astype(np.uint8)
    blurred = ndimage.gaussian_filter(images.astype(np.float32), (0, 2, 2)).round().astype(np.uint8)
    plain, less, more = (measures.of_images(some).blur for some in (images, dull, blurred))
    assert (more > plain + 0.15).all() and (more > 0.6).all()
    np.testing.assert_allclose(less, plain, atol=0.1)  # rounding adds steps of its own


def test_stripes_are_not_blurred():
    stripes = np.tile((np.arange(64) // 2 % 2 * 200).astype(np.uint8), (1, 64, 1))
    assert measures.of_images(stripes).blur < 0.2
    assert measures.of_images(stripes.swapaxes(1, 2)).blur < 0.2


def test_clipped_pixels_are_counted():
    image = np.full((1, 64, 64), 100, np.uint8)
    image[0, :16], image[0, 16:32] = 0, 255
    assert measures.of_images(image).clipped == 0.5


def test_images_of_other_sizes_measure_alike(photos):
    found = [measures.of_images(np.stack([square(photo, side) for photo in photos])) for side in (64, 128)]
    np.testing.assert_allclose(found[0].brightness, found[1].brightness, atol=2)
    np.testing.assert_allclose(found[0].detail, found[1].detail, atol=3)


def test_descriptors_know_where_and_in_which_direction():
    across, down = np.full((64, 64), 128, np.uint8), np.full((64, 64), 128, np.uint8)
    across[:16, :16] = np.arange(16) % 4 // 2 * 100  # vertical stripes in the first cell
    down[48:, 48:] = (np.arange(16) % 4 // 2 * 100)[:, None]
    light, energies, shares = measures.descriptors(np.stack([across, down]))
    assert (light.shape, energies.shape, shares.shape) == ((2, 16), (2, 18), (2, 288))
    assert light[0, 0] == across[:16, :16].mean() and light[0, 5] == 128
    assert energies[0, :6].argmax() == 0 and energies[1, :6].argmax() == 3  # of directions 0 to 150 degrees
    spread = np.square(shares.reshape(2, 18, 16))
    assert spread[0, 0].argmax() == 0 and spread[1, 3].argmax() == 15
    np.testing.assert_allclose(spread[0, 0].sum(), 1, atol=1e-3)


def test_any_number_of_images():
    assert [part.shape for part in measures.of_images(np.zeros((1, 64, 64), np.uint8))] == [(1,)] * 6
    many = np.zeros((measures.BATCH + 1, 64, 64), np.uint8)
    assert len(measures.of_images(many).blur) == len(measures.descriptors(many)[0]) == measures.BATCH + 1
