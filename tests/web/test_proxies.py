"""The page of `depixel serve` behind Caddy and nginx, below a path, as the files in deploy/ set them up."""

import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest
import requests

from tests.conftest import REPOSITORY
from tests.web.conftest import asking, events, long_search, pixelated, running, told

pytestmark = pytest.mark.usefixtures("one_thread", "detector")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def caddy(server: str, folder):
    port = free_port()
    text = (REPOSITORY / "deploy/page.Caddyfile").read_text()
    text = text.replace("{$NAME:pictures.example.org}", f"http://127.0.0.1:{port}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    command = [shutil.which("caddy"), "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
    environment = {"SERVER": server, "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}/depixel", process


@contextmanager
def nginx(server: str, folder):
    port = free_port()
    text = (REPOSITORY / "deploy/page.nginx.conf").read_text()
    text = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r".*ssl_certificate.*\n", "", text).replace("127.0.0.1:8000", server)
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{kept}{text}}}\n"
    )
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    with subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}/depixel", process


@pytest.fixture(params=[caddy, nginx], ids=lambda proxy: proxy.__name__)
def behind(request, restorer, tmp_path):
    """The address of the page behind a proxy, without a slash at its end."""
    if not shutil.which(request.param.__name__, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"):
        pytest.skip(f"no {request.param.__name__} here: apt-get install {request.param.__name__}")
    with running(restorer, allowed=["pictures.example.org"]) as url:
        server = url.removeprefix("http://").rstrip("/")
        with request.param(server, tmp_path) as (address, process):
            try:
                deadline = time.monotonic() + 20
                while True:
                    try:
                        requests.get(f"{address}/healthz", timeout=5)
                        break
                    except requests.ConnectionError:
                        assert process.poll() is None and time.monotonic() < deadline
                        time.sleep(0.1)
                yield address
            finally:
                process.terminate()


def test_the_page_and_its_api_are_reached_below_a_path(behind):
    answer = requests.get(behind, timeout=30)
    assert answer.url == f"{behind}/" and "depixel" in answer.text
    for path in re.findall(r'(?:href|src)="(page[^"]+)"', answer.text):
        assert requests.get(f"{behind}/{path}", timeout=30).status_code == 200
    restored = requests.post(f"{behind}/api/restore?area={told()}", pixelated(), timeout=60)
    assert restored.status_code == 200 and restored.headers["Areas"] == told()
    elsewhere = requests.get(f"{behind}/", headers={"Host": "evil.example"}, timeout=30)
    assert "depixel" not in elsewhere.text or elsewhere.status_code in (403, 404)
    too_large = requests.post(f"{behind}/api/show", bytes(31_000_000), timeout=60)
    assert too_large.status_code == 413 and "more than 30 MB" in too_large.json()["problem"]


def test_progress_comes_through_at_once_and_a_cancel_too(behind):
    name = "behind-a-proxy-0000000001"
    with asking(f"{behind}/", "find", long_search(), name) as answer:
        for progress in events(f"{behind}/", name):  # kept back by a proxy, they would come when the search is over
            if progress["state"] == "working" and progress["share"]:
                break
        assert requests.delete(f"{behind}/api/jobs/{name}", timeout=30).status_code == 204
        assert answer.result(20).status_code == 409
