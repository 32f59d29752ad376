"""Damaged picture files: an error that names the file, or the pixels that Pillow alone decodes; never others."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from depixel.base.errors import DepixelError
from depixel.photos.decoding import UnreadableError, decode, opened, scan
from depixel.pictures import formats
from tests.pictures.test_formats import deep_png, foreign_tiff, pixels

PHOTO = Image.effect_noise((34, 27), 60)
COLOR = Image.merge("RGB", [PHOTO, PHOTO.rotate(180), PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


def made(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def sideways() -> Image.Exif:
    tags = Image.Exif()
    tags[274] = 6
    return tags


CLEAR = Image.fromarray(np.dstack([np.asarray(COLOR), np.asarray(PHOTO)]))
DEEP = Image.fromarray(np.asarray(PHOTO).astype(np.uint16) * 257)
COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "zstd", "lzma")
FILES = {
    "PNG": lambda: made(COLOR, "PNG", exif=sideways()),
    "PNG, alpha": lambda: made(CLEAR, "PNG"),
    "PNG, palette": lambda: made(COLOR.convert("P"), "PNG", transparency=3),
    "PNG, 16 bits": lambda: made(DEEP, "PNG"),
    "PNG, 16 bits in colors": lambda: deep_png(pixels(3, np.uint16)),
    "PNG, 16 bits with alpha": lambda: deep_png(pixels(2, np.uint16)),
    "JPEG": lambda: made(COLOR, "JPEG", exif=sideways()),
    "JPEG, progressive": lambda: made(COLOR, "JPEG", progressive=True),
    "JPEG, gray": lambda: made(PHOTO, "JPEG", restart_marker_rows=1),
    "MPO": lambda: made(COLOR, "MPO", save_all=True, append_images=[PHOTO.convert("RGB")]),
    "WebP": lambda: made(COLOR, "WEBP", exif=sideways()),
    "WebP, lossless": lambda: made(CLEAR, "WEBP", lossless=True),
    **{f"TIFF, {how}": lambda how=how: made(COLOR, "TIFF", compression=how, exif=sideways()) for how in COMPRESSIONS},
    "TIFF, 16 bits": lambda: made(DEEP, "TIFF", compression="tiff_lzw"),
    "TIFF, 16 bits in colors": lambda: foreign_tiff(pixels(3, np.uint16), compressed=True),
    "TIFF, fax": lambda: made(PHOTO.convert("1"), "TIFF", compression="group4"),
    "AVIF": lambda: made(COLOR, "AVIF", exif=sideways()),
    "JPEG 2000": lambda: made(COLOR, "JPEG2000"),
    "JPEG 2000, lossy": lambda: made(COLOR, "JPEG2000", irreversible=True, quality_layers=[8]),
    "GIF": lambda: made(COLOR.convert("P"), "GIF", transparency=3),
    "BMP": lambda: made(COLOR, "BMP"),
    "BMP, palette": lambda: made(COLOR.convert("P"), "BMP"),
    "TGA": lambda: made(CLEAR, "TGA"),
    "TGA, packed": lambda: made(COLOR, "TGA", compression="tga_rle"),
    "PPM": lambda: made(COLOR, "PPM"),
    "PGM, 16 bits": lambda: made(DEEP, "PPM"),
}


def damaged(data: bytes, count: int) -> list[bytes]:
    """The bytes cut off, and with one bit flipped, at each of `count` places."""
    random = np.random.default_rng(0)
    found = []
    for place, bit in zip(random.integers(0, len(data), count), random.integers(0, 8, count), strict=True):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        found += [data[:place], bytes(flipped)]
    return found


def by_pillow(data: bytes) -> np.ndarray | None:
    """Upright pixels of a file as plain Pillow decodes it; None if it raises."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            clear = "transparency" in image.info
            for mode, plain, with_alpha in (
                ("P", "RGB", "RGBA"),
                ("1", "L", "L"),
                ("L", "L", "LA"),
                ("RGB", "RGB", "RGBA"),
            ):
                if image.mode == mode:
                    image = image.convert(with_alpha if clear else plain)
            return np.asarray(upright(image))
    except Exception:
        return None


def upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF is no reason to lose the picture
        return image


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether the pixels are those of Pillow, which keeps the upper 8 of 16 bits in colors and with alpha."""
    if found.dtype == np.uint16 and expected.dtype == np.uint8:
        found = (found >> 8).astype(np.uint8)
        if expected.ndim == 3 and expected.shape[2] == 4 and found.ndim == 3 and found.shape[2] == 2:
            expected = expected[:, :, ::3]  # gray with alpha as RGBA
    return np.array_equal(found, expected)


def check(kind: str, count: int, folder) -> None:
    path = folder / "picture"
    whole = FILES[kind]()
    path.write_bytes(whole)
    assert same(formats.read(path).pixels, by_pillow(whole))
    errors = 0
    for data in damaged(whole, count):
        path.write_bytes(data)
        try:
            found = formats.read(path).pixels
        except DepixelError as error:
            assert str(error).startswith(f"{path}: ")
            errors += 1
            continue
        expected = by_pillow(data)
        assert expected is not None, "Pillow alone raises"
        assert same(found, expected)
    assert errors


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_picture_is_an_error_or_what_pillow_decodes(kind, tmp_path):
    check(kind, 8, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kind", FILES)
def test_a_picture_damaged_anywhere_is_an_error_or_what_pillow_decodes(kind, tmp_path):
    check(kind, 1000, tmp_path)


def check_photo(kind: str, count: int) -> None:
    for data in damaged(FILES[kind](), count):
        try:
            found = np.asarray(decode(data))
        except UnreadableError:
            found = None
        try:
            with opened(data) as image:
                scan(image)
        except UnreadableError:
            assert found is None
        if found is not None:
            with Image.open(io.BytesIO(data)) as image:
                image.load()  # raises if this was damage
                np.testing.assert_array_equal(found, np.asarray(upright(image)))


PHOTOS = [kind for kind in FILES if not kind.startswith(("AVIF", "JPEG 2000", "TGA"))]


@pytest.mark.parametrize("kind", PHOTOS)
def test_a_damaged_photo_is_an_error_or_what_pillow_decodes(kind):
    check_photo(kind, 8)


@pytest.mark.soak
@pytest.mark.parametrize("kind", PHOTOS)
def test_a_photo_damaged_anywhere_is_an_error_or_what_pillow_decodes(kind):
    check_photo(kind, 1000)


def test_a_png_with_one_bad_bit_is_told(shared):
    with pytest.raises(DepixelError, match=r"09_damaged\.png: the file is damaged"):
        formats.read(shared / "field/09_damaged.png")
    with pytest.raises(UnreadableError, match="the file is damaged"):
        decode((shared / "field/09_damaged.png").read_bytes())
