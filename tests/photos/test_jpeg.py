"""Where a JPEG ends, and whether data is missing before that."""

import io
from contextlib import suppress

import pytest
from PIL import Image

from depixel.analysis.measures import of_file
from depixel.photos.decoding import UnreadableError
from depixel.photos.jpeg import end_of_image, lacks_data

END = b"\xff\xd9"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}, {"subsampling": 0}, {"quality": 100}])
def test_what_is_cut_off_and_ended_properly_lacks_data(jpeg, options):
    whole = jpeg(3, (200, 160), **options)
    end = end_of_image(whole)
    assert whole[end:] == END and end_of_image(whole + b"more" + whole) == end
    assert not lacks_data(whole) and not lacks_data(whole + b"a film") and not of_file(whole).cut_off
    start = whole.index(b"\xff\xda")
    for share in (0.2, 0.5, 0.8, 0.97):
        cut = whole[: start + int(share * (end - start))].rstrip(b"\xff") + END
        assert lacks_data(cut), share
        with suppress(UnreadableError):  # within a table of a later scan
            assert of_file(cut).cut_off


def test_gray_at_the_end_of_a_photo_is_no_damage(jpeg):
    photo = Image.open(io.BytesIO(jpeg(3, (200, 160))))
    photo.paste((128, 128, 128), (0, 80, 200, 160))
    for options in ({"quality": 75}, {"quality": 100, "restart_marker_rows": 1}, {"progressive": True}):
        file = io.BytesIO()
        photo.save(file, "JPEG", **options)
        assert not lacks_data(file.getvalue())


def test_what_is_no_jpeg_has_no_end():
    for data in (b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00"):
        assert end_of_image(data) is None and not lacks_data(data)
