"""Who works and who waits."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from depixel.web import queue
from tests.pictures.test_restorer import photo
from tests.web.conftest import AREA, file_of, pixelated, running, told

pytestmark = pytest.mark.usefixtures("one_thread")


class Slow:
    """A model that waits for `go`, and says that it was asked."""

    def __init__(self, model):
        self.model, self.asked, self.go, self.count = model, threading.Event(), threading.Event(), 0

    def predict_windows(self, *arguments):
        self.count += 1
        self.asked.set()
        assert self.go.wait(30)
        return self.model.predict_windows(*arguments)


def slow(restorer):
    return Restorer(Slow(restorer.model))


def test_too_many_at_once_are_told_to_come_again(restorer, monkeypatch):
    monkeypatch.setattr(queue, "MOST_INSIDE", 2)
    one, data = slow(restorer), pixelated()
    with running(one) as url, ThreadPoolExecutor(2) as pool:
        first = [pool.submit(requests.post, f"{url}api/restore?area={told()}", data, timeout=60) for _ in range(2)]
        deadline = time.monotonic() + 25
        while one.model.count < 2:  # both are inside
            assert time.monotonic() < deadline
            time.sleep(0.02)
        answer = requests.post(f"{url}api/show", data, timeout=60)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert "Too many" in answer.json()["problem"]
        assert requests.get(url, timeout=60).status_code == 200  # the page is there all the same
        one.model.go.set()
        assert [f.result().status_code for f in first] == [200, 200]
        assert requests.post(f"{url}api/show", data, timeout=60).status_code == 200


def test_work_that_takes_too_long_is_given_up(restorer, monkeypatch):
    monkeypatch.setattr(queue, "WORK_SECONDS", 1)
    one, other = slow(restorer), (100, 72, 32, 32, 200)
    data = file_of(pixelate(photo(120, 140), [AREA, other]))
    threading.Timer(2, one.model.go.set).start()
    with running(one) as url:
        answer = requests.post(f"{url}api/restore?area={told()}&area={told(other)}&views=8", data, timeout=60)
        assert answer.status_code == 413
        assert "longer than 1 s" in answer.json()["problem"]
        assert one.model.count <= 1


def test_nothing_is_worked_on_for_a_client_that_went(restorer):
    one = slow(restorer)
    with running(one) as url:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(f"{url}api/restore?area={told()}&views=8", pixelated(), timeout=1)
        time.sleep(1.5)
        one.model.go.set()
        assert requests.post(f"{url}api/show", pixelated(), timeout=60).status_code == 200
        assert one.model.count == 1
