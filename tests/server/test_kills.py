"""SIGKILL of the server at random moments under load: nothing accepted is lost, counted twice, or beyond the limit."""

import hashlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.server.conftest import make_folder, submission

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

import requests
from sqlalchemy import select

from depixel.server import leaderboard, organising
from depixel.server.schema import Submission
from depixel.server.service import Service

KILLS, TEAMS, ATTEMPTS, FILES = 20, 6, 8, 16


class Sender(threading.Thread):
    """A team that sends its files again and again, in a random order, to whatever server is there.

    Attributes:
        answered: SHA-256 of each content that the server said it accepted, and the number that it gave it.
        wrong: what must never happen.
    """

    def __init__(self, token: str, files: list[bytes], address: dict, seed: int):
        super().__init__(daemon=True)
        self.token, self.files, self.address, self.random = token, files, address, random.Random(seed)
        self.answered: dict[str, int] = {}
        self.wrong: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            data = self.random.choice(self.files)
            headers = {"Authorization": f"Bearer {self.token}"}
            try:
                answer = requests.post(f"{self.address['now']}/api/submissions", data, headers=headers, timeout=30)
                said = answer.json()
            except (requests.RequestException, ValueError, KeyError):
                time.sleep(0.02)
                continue
            key = hashlib.sha256(data).hexdigest()
            if answer.status_code in (200, 201):
                number = said["submission"]["submission"]
                if self.answered.setdefault(key, number) != number:
                    self.wrong.append(f"{key} was {self.answered[key]}, then {number}")
                if answer.status_code == 201 and said["repeated"]:
                    self.wrong.append("a repeated one used an attempt")
            elif answer.status_code == 409:
                if key in self.answered:
                    self.wrong.append(f"{key} was accepted, and is forgotten")
            elif answer.status_code not in (429, 503):
                self.wrong.append(f"{answer.status_code}: {answer.text}")
            if said.get("attempts") and said["attempts"]["used"] > said["attempts"]["allowed"]:
                self.wrong.append(f"{said['attempts']}")


def start(root, url) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "depixel.cli", "challenge", "serve", str(root), "--port=0"]
    command += ["--database", url] if url else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, re.match(r"(http://\S+?)/ ", process.stdout.readline())[1]


@pytest.mark.soak
def test_killed_at_random_moments_it_loses_and_doubles_nothing(tmp_path, database_url, seed=0):
    root = make_folder(tmp_path / "c", attempts=ATTEMPTS)
    service = Service(root, database_url)
    files = [[submission(root, 1 + i, seed=1 + 100 * t + i) for i in range(FILES)] for t in range(TEAMS)]
    tokens = [organising.add_team(service, "o", f"team {t}").token for t in range(TEAMS)]
    chance, address = random.Random(seed), {}
    teams = [Sender(token, files[t], address, seed + t) for t, token in enumerate(tokens)]
    extra = 0
    for team in teams:
        team.start()
    for kill in range(KILLS):
        process, address["now"] = start(root, database_url)
        time.sleep(chance.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if kill % 5 == 4:  # so that there is always something to accept
            organising.give_attempts(service, "o", None, 1, "")
            extra += 1
    process, address["now"] = start(root, database_url)
    time.sleep(3)
    for team in teams:
        team.stopped.set()
    for team in teams:
        team.join(60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check(service, teams, extra)
    service.database.close()


def check(service: Service, teams: list[Sender], extra: int) -> None:
    """What the database holds is what the teams heard, and no more than the limit."""
    with service.database.reading() as session:
        kept = session.scalars(select(Submission)).all()
        best: dict[int, list[float]] = {}
        for one in kept:
            assert hashlib.sha256(service.folder.submission(one.sha256).read_bytes()).hexdigest() == one.sha256
            best.setdefault(one.team_id, []).append(one.scores[0].rmse)
    assert len({(one.team_id, one.sha256) for one in kept}) == len(kept)
    for number, team in enumerate(teams, 1):
        assert team.wrong == []
        mine = {one.sha256: one.id for one in kept if one.team_id == number}
        assert team.answered.items() <= mine.items()
        assert 0 < len(mine) <= ATTEMPTS + extra
    rows = {row.team: row for row in leaderboard.leaderboard(service).rows if row.kind == "team"}
    for number, scores in best.items():
        row = rows[f"team {number - 1}"]
        assert row.rmse == min(scores) and row.attempts == len(scores)
    ranked = sorted(rows.values(), key=lambda row: row.rank)
    assert [row.rmse for row in ranked] == sorted(min(scores) for scores in best.values())
