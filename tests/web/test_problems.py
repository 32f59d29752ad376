"""What requests hear that are not answered."""

import zlib
from functools import cache

import pytest
import requests

from depixel.pictures import writing
from tests.web.conftest import AREA, pixelated, told

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def bomb() -> bytes:
    """A PNG of 400 megapixels in half a megabyte."""
    side = 20_000
    coder = zlib.compressobj(9)
    rows = b"".join(coder.compress(bytes(side + 1)) for _ in range(side)) + coder.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(writing.chunk(*chunk) for chunk in chunks)


WRONG = {
    "no picture": (lambda: b"no picture at all", told(), "is text, not a picture; PNG, JPEG, WebP, TIFF,"),
    "nothing": (lambda: b"", told(), "the picture: is empty"),
    "a page": (lambda: b"<html><script>alert(1)</script></html>", told(), "is a web page (HTML)"),
    "a video": (lambda: b"\0\0\0\x18ftypmp42" + bytes(99), told(), "video is not supported. Extract frames"),
    "cut off": (lambda: pixelated()[:3000], told(), "the file is damaged"),
    "a bomb": (bomb, told(), "more than 50 million pixels; cut out the part"),
    "too far": (
        pixelated,
        "14,6,84,68",
        f"not all of it is pixelated, but 24,16,64,48 in blocks of 8 is. Name that area: {told()}",
    ),
    "outside": (pixelated, "100,16,64,48", "not inside the picture, which is 140 pixels wide and 120 high"),
    "other blocks": (pixelated, told((*AREA[:4], 7)), "it shows blocks of 8 pixels, not of 7"),
    "twice": (pixelated, f"{told()}&area={told()}", "overlap"),
    "no numbers": (pixelated, "a,b,c,d", "area"),
    "too few": (pixelated, "1,2,3", "area"),
    "negative": (pixelated, "-1,2,30,30", "area"),
    "a huge number": (pixelated, "99999999999999999999,2,30,30", "area"),
    "huge blocks": (pixelated, told((*AREA[:4], 900)), "blocks must have 2 to 200 pixels"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("asked", ["restore", "doubt"])
def test_what_is_wrong_is_said(url, what, asked):
    data, area, problem = WRONG[what]
    answer = requests.post(f"{url}api/{asked}?area={area}", data(), timeout=60)
    assert answer.status_code == 422
    assert problem in answer.json()["problem"]


def test_settings_that_there_are_not_are_refused(url):
    for query in ("views=3", "trust=none", "block=1", "block=201"):
        answer = requests.post(f"{url}api/restore?area=24,16,64,48&{query}", pixelated(), timeout=60)
        assert answer.status_code == 422
        assert query.split("=")[0] in answer.json()["problem"]
    problem = requests.post(f"{url}api/restore", pixelated(), timeout=60).json()["problem"]
    assert problem.startswith("area: is missing. Name an area, x,y,width,height") and "/api/find" in problem
