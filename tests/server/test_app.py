"""The server over HTTP: who is let in, what is never reachable, and that it answers as its schema says."""

import csv
import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import run
from tests.server.conftest import content, serving, submission, targets

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

import requests

from depixel.server import organising, tokens
from depixel.server.http import access, intake

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sent(address, token, data, **more):
    return requests.post(f"{address}/api/submissions", data, headers=bearer(token), timeout=60, **more)


@pytest.fixture
def running(challenge):
    """A challenge that is served: its service, address, a team and an organiser."""
    service = challenge(size_limit_mb=1)
    team, ada = organising.add_team(service, "o", "one"), organising.add_organiser(service, "o", "Ada")
    with serving(service) as address:
        yield service, address, team, ada


@pytest.mark.skipif(not shutil.which("schemathesis", path=Path(sys.executable).parent), reason="no schemathesis here")
@pytest.mark.parametrize("kind", ["nobody", "team", "organiser"])
def test_it_answers_as_its_schema_says_whatever_it_is_asked(running, kind, tmp_path):
    _, address, team, ada = running
    known = {"nobody": [], "team": ["-H", f"Authorization: Bearer {team.token}"]}
    known["organiser"] = ["-H", f"Authorization: Bearer {ada.token}"]
    command = ("schemathesis", "run", f"{address}/openapi.json", "--max-examples=15", f"--checks={CHECKS}", "--seed=1")
    assert "passed" in run(*command, *known[kind], cwd=tmp_path).stdout


def test_every_part_of_the_schema_is_described(running):
    for operations in requests.get(f"{running[1]}/openapi.json", timeout=60).json()["paths"].values():
        for operation in operations.values():
            assert operation["description"] and {"200", "201", "204"} & set(operation["responses"])


def test_targets_are_reachable_by_no_path(running):
    service, address, team, ada = running
    sent(address, team.token, submission(service.folder.root))
    secret = [path for path in service.folder.private.rglob("*") if path.is_file()]
    assert len(secret) > 3
    names = [path.relative_to(service.folder.root).as_posix() for path in secret] + ["private", "rules.yaml"]
    for token in ("", team.token, ada.token):
        for name in names:
            for lead in ("", "../", "public/../", "%2e%2e/", "static/../../", "/", "..%2f", "test_set.pkl/../"):
                request = requests.Request("GET", address, headers=bearer(token) if token else {}).prepare()
                request.url = f"{address}/{lead}{name}"  # as it stands: `requests` would tidy it
                answer = requests.Session().send(request, timeout=60)
                assert answer.status_code in (403, 404, 405), request.url


def test_no_answer_tells_of_targets_paths_or_more_than_three_decimals(running):
    service, address, team, _ = running
    true = targets(service.folder.root)
    texts = [
        sent(address, team.token, data).text
        for data in (content(true), content(true[:-1]), b"", b"\7", content(true)[:-9], b"PK\3\4", b"BZh9")
    ]
    texts += [requests.get(address + path, timeout=60).text for path in ("/api/leaderboard", "/api/challenge", "/nope")]
    for text in texts:
        assert str(service.folder.root) not in text and "Traceback" not in text and "private" not in text
        assert not re.search(r"\d\.\d{4}", text)


def test_scoring_does_the_same_work_whatever_the_values(challenge, monkeypatch):
    """No branch depends on a value: the same calls of NumPy, on arrays of the same shapes."""
    import numpy as np

    service = challenge()
    _, scorer = service.scorer()
    lines: list[list[int]] = []

    def trace(frame, event, _):
        if frame.f_code.co_filename.endswith("scorer.py"):
            lines[-1].append(frame.f_lineno)
            return trace
        return None

    true = targets(service.folder.root)
    for predictions in (true, [255 - one for one in true], [np.zeros_like(one) for one in true]):
        data = content(predictions)
        scorer.score(data)
        lines.append([])
        sys.settrace(trace)
        scorer.check(data)
        scorer.score(data)
        sys.settrace(None)
    assert lines[0] and lines[0] == lines[1] == lines[2]


def test_a_token_is_kept_as_a_hash_only(running):
    service, _, team, ada = running
    service.database.close()
    kept = b"".join(path.read_bytes() for path in service.folder.private.rglob("*") if path.is_file())
    for one in (team, ada):
        assert one.token.partition(".")[2].encode() not in kept
    if service.database.is_sqlite:
        assert hashlib.sha256(team.token.partition(".")[2].encode()).hexdigest().encode() in kept


def test_wrong_tokens_are_limited_for_an_address(running, monkeypatch):
    _, address, team, _ = running
    wrong = f"team-{team.number}.{'x' * 43}"
    codes = [requests.get(f"{address}/api/team", headers=bearer(wrong), timeout=60).status_code for _ in range(12)]
    assert codes == [401] * tokens.MOST_OF_ONE + [429] * 2
    answer = requests.get(f"{address}/api/team", headers=bearer(team.token), timeout=60)
    assert answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= tokens.WINDOW + 1
    assert requests.get(f"{address}/api/team", headers=bearer("team-2." + "x" * 43), timeout=60).status_code == 401


def test_a_session_of_the_page_needs_its_cookie_and_its_proof(running):
    service, address, team, _ = running
    page = requests.Session()
    answer = page.post(f"{address}/api/session", json={"token": team.token}, timeout=60)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and team.token not in cookie
    assert page.get(f"{address}/api/team", timeout=60).json()["name"] == "one"
    change = {"url": f"{address}/api/team/alias", "json": {"alias": "uno"}, "timeout": 60}
    assert page.put(**change).status_code == 403  # another site could send the cookie, but not the proof
    csrf = page.get(f"{address}/api/session", timeout=60).json()["csrf"]
    assert page.put(**change, headers={"X-CSRF-Token": csrf}).json()["alias"] == "uno"
    assert page.put(**change, headers={"X-CSRF-Token": csrf, "Origin": "https://evil.example"}).status_code == 403
    forged = requests.get(f"{address}/api/team", cookies={access.COOKIE: cookie[:-5] + "aaaaa"}, timeout=60)
    assert forged.status_code == 401
    organising.new_token(service, "o", team.number)
    assert page.get(f"{address}/api/team", timeout=60).status_code == 401  # it began with the old token


def test_a_team_does_nothing_of_the_organisers_nor_they_of_a_team(running):
    _, address, team, ada = running
    paths = requests.get(f"{address}/openapi.json", timeout=60).json()["paths"]
    theirs = [(method, path) for path, all_ in paths.items() if "/organiser" in path for method in all_]
    assert len(theirs) > 12
    for method, path in theirs:
        url = address + path.replace("{team}", "1").replace("{change}", "close")
        body = {"name": "x", "team": None, "count": 1, "deadline": "2099-01-01 10:00", "text": "x", "reason": "x"}
        assert requests.request(method, url, headers=bearer(team.token), json=body, timeout=60).status_code == 403, path
        assert requests.request(method, url, json=body, timeout=60).status_code == 401, path
    assert requests.get(f"{address}/api/team", headers=bearer(ada.token), timeout=60).status_code == 403


def test_an_upload_above_the_limit_is_refused_while_it_comes(running):
    service, address, team, _ = running

    def endless():
        for _ in range(200):
            yield bytes(100_000)

    answer = sent(address, team.token, endless())
    assert answer.status_code == 413 and "1 MB" in answer.json()["problem"] and answer.json()["attempts"]["used"] == 0
    assert not list(service.folder.incoming.iterdir())


def test_a_small_file_that_unpacks_to_much_is_refused(running):
    import bz2

    _, address, team, _ = running
    answer = sent(address, team.token, bz2.compress(bytes(50_000_000)))
    assert answer.status_code in (413, 422) and answer.json()["attempts"]["used"] == 0


def test_an_upload_that_breaks_off_uses_no_attempt(running):
    import socket
    import time

    service, address, team, _ = running
    host, port = address.removeprefix("http://").split(":")
    data = submission(service.folder.root)
    for part in (0, 1, len(data) // 2, len(data) - 1):
        with socket.create_connection((host, int(port))) as line:
            head = f"POST /api/submissions HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {team.token}\r\n"
            line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:part])
    end = time.monotonic() + 20
    while list(service.folder.incoming.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not list(service.folder.incoming.iterdir())
    assert sent(address, team.token, data).json()["attempts"] == {"used": 1, "left": 4, "allowed": 5}


def test_attempts_left_are_told_before_and_after_every_upload(running):
    service, address, team, _ = running
    left = lambda: requests.get(f"{address}/api/team", headers=bearer(team.token), timeout=60).json()["attempts"]  # noqa: E731
    assert left() == {"used": 0, "left": 5, "allowed": 5}
    good = submission(service.folder.root)
    for data, used in ((good, 1), (good, 1), (b"\7", 1), (good[:-1], 1), (submission(service.folder.root, seed=2), 2)):
        assert (
            sent(address, team.token, data).json()["attempts"]
            == left()
            == {"used": used, "left": 5 - used, "allowed": 5}
        )


def test_uploads_of_one_team_at_a_time_are_limited(running, monkeypatch):
    _, address, team, _ = running
    monkeypatch.setattr(intake, "MOST_OF_ONE", 0)
    answer = sent(address, team.token, b"\1")
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "5"


def test_requests_that_name_another_host_are_refused_and_headers_protect_the_page(running):
    _, address, _, _ = running
    assert requests.get(address, headers={"Host": "evil.example"}, timeout=60).status_code == 403
    for path in ("/", "/team", "/organiser", "/api/leaderboard", "/nope"):
        headers = requests.get(address + path, timeout=60).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and "frame-ancestors 'none'" in str(headers)


def test_the_leaderboard_is_sent_again_only_if_it_has_changed(running):
    service, address, team, _ = running
    first = requests.get(f"{address}/api/leaderboard", timeout=60)
    same = {"If-None-Match": first.headers["ETag"]}
    assert requests.get(f"{address}/api/leaderboard", headers=same, timeout=60).status_code == 304
    sent(address, team.token, submission(service.folder.root))
    again = requests.get(f"{address}/api/leaderboard", headers=same, timeout=60)
    assert again.status_code == 200 and again.json()["rows"][0]["attempts"] == 1


def test_an_organiser_takes_all_files_home(running):
    service, address, team, ada = running
    files = [submission(service.folder.root, off) for off in (3, 2)]
    for data in files:
        sent(address, team.token, data)
    take = lambda name: requests.get(f"{address}/api/organiser/{name}", headers=bearer(ada.token), timeout=60)  # noqa: E731
    with zipfile.ZipFile(io.BytesIO(take("submissions.zip").content)) as archive:
        assert [archive.read(f"team-1/submission-{number}.bin") for number in (1, 2)] == files
        assert archive.read("submissions.csv").decode() == take("submissions.csv").text
    assert not list(service.folder.incoming.iterdir())
    rows = list(csv.DictReader(take("submissions.csv").text.splitlines()))
    assert [(row["name"], row["rmse"]) for row in rows] == [("one", "3.0"), ("one", "2.0")]
    [row] = csv.DictReader(take("leaderboard.csv").text.splitlines())
    assert row["rmse"] == "2.0"
    acts = [row["action"] for row in csv.DictReader(take("trail.csv").text.splitlines())]
    assert acts == ["submitted", "submitted", "organiser added", "added"]
    assert take("copy.html").status_code == 409
    assert (
        requests.post(f"{address}/api/organiser/state/close", headers=bearer(ada.token), timeout=60).status_code == 204
    )
    assert "2.000" in take("copy.html").text


def test_a_cell_of_a_table_is_no_formula(running):
    service, address, _, _ = running
    organising.add_team(service, "o", "=HYPERLINK(1)")
    table = requests.get(f"{address}/api/leaderboard.csv", timeout=60).text
    assert "'=HYPERLINK(1)" in table and "\n=" not in table and ",=" not in table


def test_names_are_one_set_whatever_their_case_and_alias(running):
    service, address, team, _ = running
    organising.add_team(service, "o", "Two")
    answer = requests.put(f"{address}/api/team/alias", json={"alias": "tWo"}, headers=bearer(team.token), timeout=60)
    assert answer.status_code == 409 and "already" in answer.json()["problem"]
    assert json.loads(requests.get(f"{address}/api/leaderboard", timeout=60).text)["rows"][0]["team"] in ("one", "Two")
