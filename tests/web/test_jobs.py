"""Requests tell their progress, and end when somebody cancels them or goes away."""

import time
from itertools import count
from types import SimpleNamespace

import psutil
import pytest
import requests

from depixel.web.jobs import Job
from tests.web.conftest import asking, events, long_search, pixelated, told

pytestmark = pytest.mark.usefixtures("one_thread", "detector")
names = (f"a-test-{number:016}" for number in count())


def spent() -> float:
    """Seconds of a core that the worker processes of this process have used so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def rate(seconds: float = 0.5) -> float:
    """Cores that they use now."""
    before, begin = spent(), time.monotonic()
    time.sleep(seconds)
    return (spent() - before) / (time.monotonic() - begin)


def rested() -> bool:
    """Whether they come to rest without half of the work of a `long_search`; however busy the machine is."""
    before = spent()
    return any(rate() < 0.1 for _ in range(60)) and spent() - before < 3


def test_a_search_tells_at_once_that_it_runs_and_later_how_far_it_is(url):
    name = next(names)
    with asking(url, "find", long_search(), name) as answer:
        seen = []
        for progress in events(url, name):
            if not seen:
                assert not answer.done()
            seen.append(progress)
            shares = [one["share"] for one in seen if one["state"] == "working" and one["share"] is not None]
            if len(set(shares)) > 2:
                break
        assert shares == sorted(shares) and len(set(shares)) > 2


def test_a_canceled_search_is_answered_and_frees_the_processor(url):
    name = next(names)
    with asking(url, "find", long_search(), name) as answer:
        for progress in events(url, name):
            if progress["share"] and progress["state"] == "working":
                break
        assert requests.delete(f"{url}api/jobs/{name}", timeout=60).status_code == 204
        done = answer.result(20)
        assert done.status_code == 409 and done.json()["problem"] == "It was cancelled."
        assert rested()
    assert requests.get(f"{url}api/jobs/{name}", timeout=60).status_code == 404
    assert requests.delete(f"{url}api/jobs/{name}", timeout=60).status_code == 404


def test_a_search_whose_client_goes_away_frees_the_processor(url):
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{url}api/find", long_search(), timeout=1)
    assert rested()


def test_a_name_is_used_once_at_a_time(url):
    name = next(names)
    with asking(url, "find", long_search(), name):
        next(events(url, name))
        answer = requests.post(f"{url}api/show?job={name}", pixelated(), timeout=60)
        assert answer.status_code == 409 and "this name already" in answer.json()["problem"]
    answer = requests.post(f"{url}api/restore?area={told()}&job={name}", pixelated(), timeout=60)
    assert answer.status_code == 200
    assert requests.post(f"{url}api/show?job=short", pixelated(), timeout=60).status_code == 422


def test_the_time_left_is_that_of_the_rest_at_the_speed_so_far(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("depixel.web.jobs.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("asyncio.get_running_loop", lambda: SimpleNamespace(call_soon_threadsafe=lambda f: f()))
    job = Job("", "somebody")
    job.begin()
    job.tell(0.01)
    now[0] += 10
    assert job.progress().left is None  # too early to tell
    job.tell(0.25)
    assert job.progress().left == 30
