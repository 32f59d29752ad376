"""What a file holds beside its picture is told."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.photos.jpeg import end_of_image
from depixel.pictures import besides, formats

PHOTO = Image.effect_noise((64, 48), 60).convert("RGB")
GAIN = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r hdrgm:Version="1.0" Item:Semantic="GainMap"/></x:xmpmeta>'
DEPTH = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r Item:Semantic="Depth"/></x:xmpmeta>'


def made(form: str, image: Image.Image = PHOTO, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def told(data: bytes) -> str:
    return "; ".join(formats.decoded(data).notes)


def test_an_ordinary_file_needs_no_note():
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "TGA", "PPM", "AVIF", "GIF", "JPEG2000"):
        assert told(made(form)) == "", form


def test_what_stands_behind_a_jpeg_is_told():
    small = made("JPEG", PHOTO.resize((16, 12)))
    assert "the file also holds an HDR gain map, which" in told(made("JPEG", xmp=GAIN) + small)
    assert "the file also holds a depth map, which" in told(made("JPEG", xmp=DEPTH) + small)
    assert "holds another picture, which" in told(made("JPEG") + small)
    assert "holds a video, which" in told(made("JPEG") + b"\0\0\0\x18ftypmp42" + bytes(99) + small)
    assert "holds 5000 bytes behind the picture" in told(made("JPEG") + b"x" * 5000)
    assert told(made("JPEG", xmp=GAIN)) == ""  # it was taken out before
    assert told(made("JPEG") + bytes(5000)) == ""


def test_what_stands_behind_a_png_is_told():
    assert "holds 5000 bytes behind the picture" in told(made("PNG") + b"x" * 5000)


def test_the_other_pictures_of_an_mpo_are_told():
    assert "holds another picture, which" in told(made("MPO", save_all=True, append_images=[PHOTO]))
    assert "holds 2 more pictures, which" in told(made("MPO", save_all=True, append_images=[PHOTO, PHOTO]))


def test_bits_that_are_not_kept_are_told():
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    ppm = b"P6\n# a comment\n7 5\n65535\n" + deep.astype(">u2").tobytes()
    assert "the lower bits of its 16 bits a channel" in told(ppm)
    np.testing.assert_array_equal(formats.decoded(ppm).pixels, np.round(deep / 257).astype(np.uint8))
    assert told(made("JPEG2000", Image.fromarray(deep[..., 0]))) == ""
    jp2 = bytearray(made("JPEG2000"))
    at = jp2.index(b"\xff\x4f\xff\x51") + 42
    jp2[at : at + 9 : 3] = bytes([11] * 3)  # 12 bits
    assert "the lower bits of its 12 bits a channel" in told(bytes(jp2))


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_animations_and_pages_are_refused(form):
    frames = [PHOTO.rotate(angle) for angle in (90, 180)]
    with pytest.raises(DepixelError, match=r"is animated, or has several pages, but .*ffmpeg"):
        formats.decoded(made(form, save_all=True, append_images=frames))


def test_a_jpeg_that_lacks_data_is_told():
    whole = made("JPEG")
    assert "the file is damaged: data is missing" in told(whole[: end_of_image(whole) // 2 + 300] + b"\xff\xd9")


def test_pixels_under_alpha_0_are_not_searched():
    pixels = np.dstack([np.asarray(PHOTO), np.full((48, 64), 255, np.uint8)])
    picture = formats.Picture(pixels, "PNG")
    np.testing.assert_array_equal(picture.searchable(), np.asarray(PHOTO))
    assert not picture.clear().any()
    pixels = pixels.copy()
    pixels[8:40, 8:40] = [7, 7, 7, 0]
    picture = formats.Picture(pixels, "PNG")
    assert picture.clear().sum() == 32 * 32
    inside, outside = picture.searchable()[8:40, 8:40], picture.searchable()[:, 40:]
    assert inside.std() > 50 and (outside == np.asarray(PHOTO)[:, 40:]).all()


def test_bytes_behind_a_png_begin_after_its_first_end():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(file, "PNG")
    png = file.getvalue()

    def behind(data: bytes) -> tuple[str, ...]:
        with Image.open(io.BytesIO(data)) as image:
            return tuple(note for note in besides.notes(image, data) if "behind the picture" in note)

    assert behind(png) == ()
    assert str(len(png)) in behind(png + png)[0]  # another picture, such as one that was cropped
