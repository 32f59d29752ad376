"""The examples of `deploy/`: real Caddy and nginx in front of a server; the compose file; the image."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.server.conftest import make_folder, serving, submission
from tests.web.browsers import CHROMIUM, browser, only_chromium  # noqa: F401  a fixture

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

import requests
import urllib3.util.connection

from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.server import client, organising, tokens
from depixel.server.rules import HOUR
from depixel.server.service import Service

DEPLOY, HOST = REPOSITORY / "deploy", "challenge.example.org"
URL = f"https://{HOST}"


def free_port() -> int:
    """A port below those that connections get, so that none takes it meanwhile."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(15_000, 30_000))) as one:
            return one.getsockname()[1]


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return found or pytest.skip(f"{name} is not installed: apt-get install {name}")


@contextlib.contextmanager
def begun(place: Path, port: int, *command: str, **variables: str):
    """A proxy as a process, from the moment at which it listens."""
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            assert process.poll() is None and time.monotonic() < end, (place / "log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextlib.contextmanager
def caddy(place: Path, server: str):
    """Caddy by deploy/Caddyfile, except for its ports and who signs its certificate; its port and that certificate."""
    port = free_port()
    options = f"admin off\nlocal_certs\nskip_install_trust\nhttp_port {free_port()}\nhttps_port {port}\n"
    (place / "Caddyfile").write_text(f"{{\n{options}}}\nimport {DEPLOY / 'Caddyfile'}\n")
    command = (program("caddy"), "run", "--adapter", "caddyfile", "--config", str(place / "Caddyfile"))
    home = {"HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    with begun(place, port, *command, **home, NAME=HOST, SERVER=server):
        root = place / "caddy/pki/authorities/local/root.crt"
        end = time.monotonic() + 30
        while not list(place.glob(f"caddy/certificates/*/*/{HOST}.crt")):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield port, root


@contextlib.contextmanager
def nginx(place: Path, server: str, without: str = ""):
    """nginx by deploy/nginx.conf, except for its port, its certificate and the server's port; or without a line."""
    port = free_port()
    command = [
        program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={HOST}",
    ]
    command += ["-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(place / "key"), "-out", str(place / "cert")]
    subprocess.run(command, check=True, capture_output=True)
    example = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen {port} ssl"),
        ("/etc/ssl/challenge.pem", str(place / "cert")),
        ("/etc/ssl/challenge.key", str(place / "key")),
        ("127.0.0.1:8000", server),
        (without, ""),
    ):
        assert old in example
        example = example.replace(old, new)
    user = "user root;\n" if os.geteuid() == 0 else ""
    folders = "\n".join(
        f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"{user}daemon off;\npid {place}/pid;\nerror_log stderr;\nevents {{}}\n"
    (place / "nginx.conf").write_text(f"{main}http {{\naccess_log off;\n{folders}\n{example}\n}}\n")
    with begun(place, port, program("nginx"), "-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr"):
        yield port, place / "cert"


@pytest.fixture(params=[caddy, nginx], ids=["caddy", "nginx"])
def behind(request, tmp_path, clock, monkeypatch):
    """A challenge behind a proxy: its service, the proxy's port, and a function that sets the caller's address.

    Requests to https://challenge.example.org go to the proxy, which shows a certificate for this name.
    """
    service = Service(make_folder(tmp_path / "c", size_limit_mb=1, deadline="2027-01-15 09:00"), clock=clock)
    with serving(service, [HOST], "127.0.0.1") as address, request.param(tmp_path, address[7:]) as (port, certificate):
        yield service, port, lead_to(port, certificate, monkeypatch)
    service.database.close()


def lead_to(port: int, certificate: Path, monkeypatch) -> Callable[[str], None]:
    """Let requests to `URL` reach a proxy; returns what sets the address that they come from."""
    source, real = ["127.0.0.2"], urllib3.util.connection.create_connection

    def connect(where, *arguments, **more):
        assert where == (HOST, 443)
        return real(("127.0.0.1", port), *arguments, **more | {"source_address": (source[0], 0)})

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return lambda new: source.__setitem__(0, new)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.slow
def test_a_team_submits_through_a_proxy_and_the_leaderboard_changes(behind, tmp_path):
    service, _, _ = behind
    token = organising.add_team(service, "o", "one").token
    (tmp_path / "a.bin").write_bytes(submission(service.folder.root, 3))
    first = requests.get(f"{URL}/api/leaderboard", timeout=60)
    same = {"If-None-Match": first.headers["ETag"]}
    assert requests.get(f"{URL}/api/leaderboard", headers=same, timeout=60).status_code == 304
    assert client.submit(URL, tmp_path / "a.bin", token, dry_run=False).content["attempts"]["used"] == 1
    assert client.submit(URL, tmp_path / "a.bin", token, dry_run=False).content["repeated"]
    changed = requests.get(f"{URL}/api/leaderboard", headers=same, timeout=60)
    assert changed.status_code == 200 and changed.json()["rows"][0]["rmse"] == 3
    assert "default-src 'self'" in changed.headers["Content-Security-Policy"]


@pytest.mark.slow
def test_wrong_tokens_count_for_the_address_that_the_proxy_saw_whatever_the_caller_claims(behind):
    service, _, come_from = behind
    token = organising.add_team(service, "o", "one").token
    wrong = bearer(f"team-1.{'x' * 43}")
    tries = range(tokens.MOST_OF_ONE + 1)
    codes = [requests.get(f"{URL}/api/team", headers=wrong | claims(i), timeout=60).status_code for i in tries]
    assert codes == [401] * tokens.MOST_OF_ONE + [429]
    assert requests.get(f"{URL}/api/team", headers=bearer(token), timeout=60).status_code == 429
    come_from("127.0.0.3")
    assert requests.get(f"{URL}/api/team", headers=bearer(token), timeout=60).json()["name"] == "one"


def claims(i: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"10.0.0.{i}", "X-Real-IP": f"10.0.0.{i}", "Forwarded": f"for=10.0.0.{i}"}


@pytest.mark.slow
def test_a_session_through_a_proxy_is_for_https_alone(behind):
    service, _, _ = behind
    page = requests.Session()
    token = organising.add_team(service, "o", "one").token
    cookie = page.post(f"{URL}/api/session", json={"token": token}, timeout=60).headers["Set-Cookie"]
    assert "Secure" in cookie and "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    proof = {"X-CSRF-Token": page.get(f"{URL}/api/session", timeout=60).json()["csrf"]}
    change = {"url": f"{URL}/api/team/alias", "json": {"alias": "uno"}, "timeout": 60}
    assert page.put(**change, headers=proof | {"Origin": URL}).json()["alias"] == "uno"
    assert page.put(**change, headers=proof | {"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.slow
def test_an_upload_through_a_proxy_counts_from_when_it_begins(behind, clock):
    service, _, _ = behind
    token, data = organising.add_team(service, "o", "one").token, submission(service.folder.root)
    clock.moment = service.rules.end()

    def slowly():
        yield data[:100]
        end = time.monotonic() + 30
        while not list(service.folder.incoming.iterdir()):
            assert time.monotonic() < end, "the server has not seen the upload begin"
            time.sleep(0.02)
        clock.moment += HOUR
        yield data[100:]

    answer = requests.post(f"{URL}/api/submissions", slowly(), headers=bearer(token), timeout=60)
    assert answer.status_code == 201, answer.text
    other = submission(service.folder.root, seed=1)
    assert requests.post(f"{URL}/api/submissions", other, headers=bearer(token), timeout=60).status_code == 403


@pytest.mark.slow
def test_a_file_above_the_limit_hears_so_through_a_proxy(behind, tmp_path):
    service, _, _ = behind
    token = organising.add_team(service, "o", "one").token
    answer = requests.post(f"{URL}/api/submissions", bytes(2_000_000), headers=bearer(token), timeout=60)
    assert answer.status_code == 413 and "1 MB" in answer.json()["problem"] and answer.json()["attempts"]["left"] == 5
    (tmp_path / "a.bin").write_bytes(bytes(51_000_000))
    with pytest.raises(DepixelError, match="more than 1 MB, which is the limit"):
        client.submit(URL, tmp_path / "a.bin", token, dry_run=False)
    service.rules = service.rules.model_copy(update={"size_limit_mb": 500})  # the most that the rules allow
    with pytest.raises(DepixelError, match="not a submission"):
        client.submit(URL, tmp_path / "a.bin", token, dry_run=False)
    assert not list(service.folder.incoming.iterdir())


def test_a_file_above_the_limit_of_a_proxy_is_told(challenge, tmp_path, monkeypatch):
    service = challenge()
    token = organising.add_team(service, "o", "one").token
    (tmp_path / "a.bin").write_bytes(bytes(3_000_000))
    line = "client_max_body_size 0;"
    with (
        serving(service, [HOST], "127.0.0.1") as server,
        nginx(tmp_path, server[7:], without=line) as (port, certificate),
    ):
        lead_to(port, certificate, monkeypatch)
        with pytest.raises(DepixelError, match="too large for the proxy"):
            client.submit(URL, tmp_path / "a.bin", token, dry_run=False)


@pytest.mark.parametrize("proxy", [caddy, nginx])
def test_a_server_that_is_away_is_told_through_a_proxy(proxy, monkeypatch, tmp_path):
    with proxy(tmp_path, f"127.0.0.1:{free_port()}") as (port, certificate):
        lead_to(port, certificate, monkeypatch)
        with pytest.raises(DepixelError, match="behind its proxy is away"):
            client.leaderboard(URL)


def test_a_browser_sees_the_leaderboard_change_and_submits_through_a_proxy(behind, browser, tmp_path):  # noqa: F811
    from playwright.sync_api import expect

    only_chromium(browser, "Firefox takes no address of a host from its command line")
    service, port, _ = behind
    token = organising.add_team(service, "o", "Kepler").token
    (tmp_path / "good.bin").write_bytes(submission(service.folder.root, 4))
    rules = f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{port}"
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
    context = own.new_context(ignore_https_errors=True)
    try:
        board, page = context.new_page(), context.new_page()
        board.goto(URL)
        expect(board.locator("#rows tr")).to_have_count(1)
        page.goto(f"{URL}/team")
        page.fill("#token", token)
        page.click("#sign-in button")
        expect(page.locator("#left")).to_have_text("5", timeout=15_000)
        page.set_input_files("#file", tmp_path / "good.bin")
        expect(page.locator("#answer")).to_contain_text("RMSE 4.000", timeout=15_000)
        board.bring_to_front()
        expect(board.locator("#rows tr").first).to_contain_text("4.000", timeout=15_000)
    finally:
        context.close()
        own.close()


# -- containers --------------------------------------------------------------------------------------------------------


def tool(name: str) -> str:
    found = shutil.which(name, path=Path(sys.executable).parent)
    return found or pytest.skip(f"{name} is not installed: pip install -e .[dev]")


def test_the_compose_file_fits_the_specification_of_compose():
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_compose_file_starts_a_server_that_its_proxy_reaches(tmp_path):
    """The command of the container is one that the command line takes, and its parts name each other rightly."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    server = services["challenge"]
    values = {"NAME": HOST, "PASSWORD": "p", "FOLDER": str(tmp_path)}
    given = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], json.dumps(server))
    command = json.loads(given)["command"]
    assert command[:2] == ["depixel", "challenge"]
    arguments = (
        main.commands["challenge"]
        .commands["serve"]
        .make_context("serve", [str(make_folder(tmp_path / "c")), *command[4:]])
    )
    assert arguments.params["allowed"] == (HOST,) and arguments.params["host"] == "0.0.0.0"
    assert services["caddy"]["environment"]["SERVER"] == f"challenge:{arguments.params['port']}"
    url = json.loads(given)["environment"]["DEPIXEL_DATABASE"]
    assert url == f"postgresql://{services['database']['environment']['POSTGRES_USER']}:p@database/depixel"
    assert json.loads(given)["volumes"] == [f"{tmp_path}:{command[3]}"]


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = subprocess.run([tool("hadolint"), str(REPOSITORY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == ""


def test_a_containers_health_check_asks_for_what_the_server_answers(challenge):
    path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", (REPOSITORY / "Dockerfile").read_text())[1]
    with serving(challenge()) as address:
        assert requests.get(address + path, timeout=60).text == "ok\n"
