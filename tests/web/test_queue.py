"""Who works and who waits."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from depixel.web import queue
from depixel.web.jobs import CanceledError, Job
from tests.pictures.test_restorer import photo
from tests.web.conftest import AREA, asking, events, file_of, long_search, pixelated, running, told

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


def test_each_client_has_its_turn():
    """Of three waiting clients the one with the fewest jobs is next, and nobody has more than two at once."""

    async def turns() -> list[str]:
        lane, order = queue.Lane(2, 2), []

        async def job(client: str) -> None:
            async with lane.turn(Job("", client)):
                order.append(client)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(job(client) for client in ("a", "a", "a", "a", "b", "c", "b")))
        assert lane._working.total() == 0 and not lane._waiting
        return order

    assert asyncio.run(turns()) == ["a", "a", "b", "c", "a", "b", "a"]


def test_who_is_canceled_while_waiting_leaves_the_queue():
    async def canceled() -> None:
        lane = queue.Lane(1, 1)

        async def work(job: Job) -> None:
            async with lane.turn(job):
                await asyncio.sleep(0.05)

        jobs = [Job("", "a"), Job("", "b"), Job("", "c")]
        tasks = [asyncio.ensure_future(work(job)) for job in jobs]
        await asyncio.sleep(0.01)
        assert [job.progress().ahead for job in jobs] == [0, 1, 2]
        jobs[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), CanceledError, type(None)]
        assert lane._working.total() == 0 and not lane._waiting

    asyncio.run(canceled())


@pytest.mark.slow
@pytest.mark.usefixtures("detector")
def test_a_restoration_is_answered_while_two_searches_run(restorer):
    data, one, other = pixelated(), "first-aaaaaaaaaaaaaaaaaaaa", "other-aaaaaaaaaaaaaaaaaaaa"
    with (
        running(restorer) as url,
        asking(url, "find", long_search(), one) as a,
        asking(url, "find", long_search(), other) as b,
    ):
        for name in (one, other):
            assert any(progress["state"] == "working" and progress["share"] for progress in events(url, name))
        assert requests.post(f"{url}api/restore?area={told()}", data, timeout=60).status_code == 200
        assert not a.done() and not b.done()


def test_slow_uploads_keep_nobody_waiting(url):
    port = int(url.split(":")[2][:-1])
    with ExitStack() as stack:
        for _ in range(64):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        assert requests.post(f"{url}api/show", pixelated(), timeout=60).status_code == 200


def test_slow_uploads_do_not_keep_others_waiting(restorer):
    """64 clients that send a byte now and then: another one is answered at once."""
    with running(restorer) as url, ExitStack() as stack:
        port = int(url.split(":")[2][:-1])
        head = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc"
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(64)]
        for client in slow:
            client.sendall(head)
        requests.post(f"{url}api/restore?area={told()}", pixelated(), timeout=60)  # the first process has started
        for _ in range(3):
            for client in slow:
                client.sendall(b"d")
            begin = time.monotonic()
            assert requests.post(f"{url}api/restore?area={told()}", pixelated(), timeout=60).status_code == 200
            assert time.monotonic() - begin < 2
