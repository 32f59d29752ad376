"""What the tests of the page share: a server in a thread of this process, and pictures to send to it."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from PIL import Image

from depixel.pictures import formats
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from depixel.web import app, listening
from depixel.web.models import Models
from tests.model import test_predictor
from tests.pictures.test_restorer import photo

AREA = (24, 16, 64, 48, 8)


@contextmanager
def running(restorer, host="127.0.0.1", allowed=()):
    """The address of a server in a thread of this process."""
    with listening.listen("127.0.0.1", 0) as socket:
        models = restorer if isinstance(restorer, Models) else Models(["tiny"], lambda name: restorer)
        web = app.make_server(models, host, allowed)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield listening.address(socket, "127.0.0.1")
        finally:
            web.should_exit = True
            thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def restorer():
    """A small network of random weights."""
    return Restorer(test_predictor.predictor())


@pytest.fixture(scope="package")
def url(restorer):
    """The address of one server for all tests that do not change its limits."""
    with running(restorer) as address:
        yield address


def told(area=AREA) -> str:
    return ",".join(map(str, area))


def file_of(pixels: np.ndarray, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def pixelated(kind="PNG", area=AREA, **options) -> bytes:
    return file_of(pixelate(photo(120, 140), [area]), kind, **options)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "a camera"
    return tags


PICTURES = {
    "PNG": lambda: pixelated(),
    "gray": lambda: file_of(pixelate(photo(120, 140, None), [AREA])),
    "alpha": lambda: file_of(pixelate(photo(120, 140, 4), [AREA])),
    "16 bits": lambda: file_of(pixelate(photo(120, 140, None, np.uint16), [AREA])),
    "deep color TIFF": lambda: formats.encoded(
        formats.Picture(pixelate(photo(120, 140, 3, np.uint16), [AREA]), "TIFF")
    ),
    "JPEG": lambda: pixelated("JPEG", quality=95, subsampling=0, exif=exif(1)),
    "WebP": lambda: pixelated("WEBP", lossless=True),
}


def long_search(side=2400) -> bytes:
    """A JPEG in which the search for areas takes many seconds."""
    return file_of(photo(side, side), "JPEG", quality=90)


@contextmanager
def asking(url: str, path: str, data: bytes, name: str):
    """A request in a thread, and its answer as a future. It is cancelled at the end."""
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(requests.post, f"{url}api/{path}?job={name}", data, timeout=120)
        finally:
            requests.delete(f"{url}api/jobs/{name}", timeout=60)


def events(url: str, name: str):
    """The progress of a job, as it comes."""
    with requests.get(f"{url}api/jobs/{name}", stream=True, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.text
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b'data: {"state"'):
                yield json.loads(line[6:])
