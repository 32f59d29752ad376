import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.pictures import formats, kinds
from tests.pictures.test_formats import PROFILE, XMP, exif, pixels

WRITTEN = [key for key, form in kinds.FORMATS.items() if form.written]
WITH_METADATA = [key for key in WRITTEN if kinds.FORMATS[key].metadata]


@pytest.mark.parametrize("form", WITH_METADATA)
@pytest.mark.parametrize("source", ["JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_keeps_pixels_and_metadata_in_another_format(tmp_path, source, form, orientation):
    path, tags = tmp_path / "picture", exif(orientation)
    options = {} if source == "TIFF" else {"xmp": XMP}
    if source == "TIFF":
        tags[700] = XMP
    Image.fromarray(pixels(3)).save(path, source, exif=tags, icc_profile=PROFILE, **options)
    picture = formats.read(path)
    formats.write(path, formats.as_format(picture, form))
    again = formats.read(path)
    assert (again.format, again.orientation) == (form, orientation)
    assert again.pixels.shape == picture.pixels.shape
    if form not in ("JPEG", source):  # one that stays what it is may be lossy
        np.testing.assert_array_equal(again.pixels, picture.pixels)
    with Image.open(path) as image:
        assert image.getexif()[271] == "Maker" and image.getexif().get(274, 1) == orientation
        assert image.info["icc_profile"] == PROFILE and XMP in path.read_bytes()


@pytest.mark.parametrize("form", sorted({*WRITTEN} - {*WITH_METADATA}))
def test_a_format_without_metadata_gets_the_picture_upright(form):
    picture = formats.Picture(pixels(3), "PNG", 6, {"icc_profile": PROFILE, "exif": exif(6).tobytes()})
    made = formats.as_format(picture, form)
    np.testing.assert_array_equal(formats.decoded(formats.encoded(made)).pixels, picture.pixels)
    assert made.notes == (f"the {kinds.FORMATS[form].name} leaves out all metadata",)


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("channels", [None, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_picture_is_written_or_refused_plainly(form, channels, dtype):
    picture = formats.Picture(pixels(channels, dtype), "other")
    if channels in (2, 4) and not kinds.FORMATS[form].alpha:
        with pytest.raises(DepixelError, match=f"has alpha, which is not written in {kinds.FORMATS[form].name}"):
            formats.as_format(picture, form)
        return
    made = formats.as_format(picture, form)
    seen = formats.decoded(formats.encoded(made)).seen().astype(int)
    expected = picture.seen().astype(int)
    expected = np.dstack([expected] * 3) if expected.ndim < seen.ndim else expected  # WebP has no gray
    assert np.abs(seen - expected).mean() < (30 if form == "JPEG" else 1e-9)
    reduced = dtype == np.uint16 and form not in ("PNG", "TIFF")
    assert any("8 bits a channel" in note for note in made.notes) == reduced


def test_what_is_only_read_is_refused():
    with pytest.raises(DepixelError, match="AVIF is read, but not written"):
        formats.as_format(formats.Picture(pixels(3), "PNG"), "AVIF")
