"""Who and what is let in."""

import re
import socket

import pytest
import requests

from depixel.web import guard
from tests.conftest import REPOSITORY
from tests.web.conftest import pixelated, running

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.1.2"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:1234", "Origin": "http://localhost:1234"}, 200),
        ({"Host": "localhost:1234", "Origin": "http://localhost:99"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_its_own_page_and_programs_of_this_machine_are_let_in(url, headers, status):
    answer = requests.post(f"{url}api/show", pixelated(), headers=headers, timeout=60)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["problem"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_link_from_another_site_opens_the_page(url):
    assert requests.get(url, headers={"Sec-Fetch-Site": "cross-site"}, timeout=60).status_code == 200


def test_a_name_that_it_was_started_with_is_known_and_all_addresses_if_it_listens_on_all(restorer):
    for host, names in {
        "pictures.lan": {"pictures.lan:8000": 200, "localhost": 200, "10.0.0.7": 403, "evil.example": 403},
        "0.0.0.0": {"10.0.0.7:8000": 200, "[fe80::1]": 200, socket.gethostname(): 200, "evil.example": 403},
    }.items():
        with running(restorer, host) as url:
            seen = {n: requests.get(url, headers={"Host": n}, timeout=60).status_code for n in names}
            assert seen == names


def test_no_file_is_served_by_its_name(url):
    for path in ("app.py", "page.html", "..%2fpyproject.toml", "../pyproject.toml", "params.yaml", "%2e%2e/x",
                 "api/samples/..%2f..%2fparams.yaml", "docs", "redoc", "report/../params.yaml"):  # fmt: skip
        answer = requests.Session().send(_raw(url, path), timeout=60)
        assert answer.status_code in (404, 422), path
        assert answer.json()["problem"]


def _raw(url: str, path: str) -> requests.PreparedRequest:
    request = requests.Request("GET", url).prepare()
    request.url = url + path  # as it is, without tidying up
    return request


def test_the_page_may_load_nothing_from_elsewhere_and_needs_nothing(url):
    answer = requests.get(url, timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    names = ["page.html", "page.css", *(f"page/{file.name}" for file in (REPOSITORY / "depixel/web/page").glob("*.js"))]
    assert len(names) > 10
    for name in names:
        text = (REPOSITORY / "depixel/web" / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|\beval\b|innerHTML", text), name
    assert not re.search(r"<style|<script(?! type=\"module\" src)| style=| on[a-z]+=", answer.text)


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_that_is_too_large_is_refused_and_told_why(url, declared):
    data = bytes(guard.MOST_BYTES + 1)
    pieces = data if declared else (data[i : i + 2**20] for i in range(0, len(data), 2**20))
    answer = requests.post(f"{url}api/show", pieces, timeout=60)
    assert answer.status_code == 413
    assert "more than 30 MB" in answer.json()["problem"]


def test_a_slow_upload_is_given_up(restorer, monkeypatch):
    monkeypatch.setattr(guard, "UPLOAD_SECONDS", 0.5)
    with running(restorer) as url, socket.create_connection(("127.0.0.1", int(url.split(":")[2][:-1]))) as client:
        client.sendall(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        client.settimeout(20)
        assert b"408" in client.recv(1000)


def test_further_names_are_let_in_if_the_server_is_told(restorer):
    with running(restorer, allowed=["Pictures.example"]) as url:
        for name, status in (("pictures.example", 200), ("PICTURES.example:443", 200), ("other.example", 403)):
            answer = requests.get(url, headers={"Host": name}, timeout=60)
            assert answer.status_code == status
        assert "--allowed-host" in answer.json()["problem"]


def test_a_health_check_and_heads_are_answered(url):
    assert requests.get(f"{url}healthz", timeout=60).text == "ok\n"
    for path in ("", "healthz", "page.css", "page/main.js", "api/samples/0", "openapi.json"):
        whole, head = requests.get(url + path, timeout=60), requests.head(url + path, timeout=60)
        assert head.status_code == whole.status_code == 200 and head.content == b""
        assert head.headers["Content-Length"] == str(len(whole.content))
        assert head.headers["Content-Security-Policy"] == whole.headers["Content-Security-Policy"]


def test_there_are_no_websockets(url):
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    answer = requests.get(url, headers=asked | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, timeout=60)
    assert answer.status_code == 200 and "depixel" in answer.text
