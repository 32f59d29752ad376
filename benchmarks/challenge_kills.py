"""Kill the server of a challenge at random moments while teams submit, and look whether anything was lost.

    python benchmarks/challenge_kills.py               # 500 kills, half an hour
    python benchmarks/challenge_kills.py --kills 20    # as tests/server/test_kills.py does

Teams submit all the time, two uploads at once each. After each kill the server starts again on the same folder. In the
end every submission that was answered must be in the database, once, with the score that the library computes. No team
may have more than its attempts, and the leaderboard must follow from the submissions.
"""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
import requests

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from sqlalchemy import select  # noqa: E402

from depixel.challenge import test_sets, truth  # noqa: E402
from depixel.server import leaderboard, organising  # noqa: E402
from depixel.server.schema import Scored, Submission  # noqa: E402
from depixel.server.service import Service  # noqa: E402

TEAMS, GIVEN = 6, 3
"""Number of teams; attempts that each gets before each start of the server."""


class Team(threading.Thread):
    """A team that submits until it is told to stop, from one of its two computers."""

    def __init__(self, url: str, number: int, token: str, files: "list[bytes]", stop: threading.Event):
        super().__init__(daemon=True)
        self.url, self.number, self.token, self.files, self.stop = url, number, token, files, stop
        self.answered: list[tuple[str, int, float]] = []  # hash, number and score of each submission

    def run(self) -> None:
        while not self.stop.is_set():
            data = random.choice(self.files)
            try:
                answer = requests.post(
                    f"{self.url}/api/submissions", data, headers={"Authorization": f"Bearer {self.token}"}, timeout=30
                )
            except requests.RequestException:
                time.sleep(0.05)
                continue
            if answer.status_code in (200, 201):
                one = answer.json()["submission"]
                self.answered.append((hashlib.sha256(data).hexdigest(), one["submission"], one["score"]["rmse"]))
            elif answer.status_code not in (409, 429, 503):
                raise AssertionError(f"{answer.status_code}: {answer.text}")
            time.sleep(random.uniform(0, 0.05))


def run(root: Path, files: "list[list[bytes]]", kills: int, seed: int = 0) -> dict[str, int]:
    """Kill the server of the challenge in a folder; returns what was counted. Raises AssertionError if it is wrong.

    Args:
        files: those of each team; its attempts must allow none at first.
    """
    service = Service(root)
    teams = [organising.add_team(service, "kills", f"team {i}") for i in range(len(files))]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, stop, moments = f"http://127.0.0.1:{port}", threading.Event(), random.Random(seed)
    threads = [Team(url, t.number, t.token, own, stop) for t, own in zip(teams, files, strict=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        organising.give_attempts(service, "kills", None, GIVEN, "")
        server = serve(root, port)
        time.sleep(moments.uniform(0, 1.0))
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    server = serve(root, port)
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    server.send_signal(signal.SIGINT)
    server.wait(30)
    try:
        return check(service, threads, kills)
    finally:
        service.database.close()


def serve(root: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "depixel.cli", "challenge", "serve", str(root), "--port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    for _ in range(600):
        try:
            requests.get(f"http://127.0.0.1:{port}/api/challenge", timeout=5)
            return server
        except requests.RequestException:
            assert server.poll() is None, "the server ended"
            time.sleep(0.05)
    raise AssertionError("the server does not start")


def check(service: Service, threads: "list[Team]", kills: int) -> dict[str, int]:
    known = truth.read(service.folder.private, test_sets.read_test_set(service.folder.test_set))
    with service.database.reading() as session:
        rows = session.execute(select(Submission, Scored).join(Scored)).all()
    found = {(one.team_id, one.sha256): (one.id, scores.rmse) for one, scores in rows}
    assert len(found) == len(rows), "a submission is there twice"
    for thread in threads:
        for sha256, number, rmse in thread.answered:
            assert found.get((thread.number, sha256)) == (number, rmse), "an answered submission is lost or changed"
    for one, scores in rows:
        predictions = test_sets.read_submission(service.folder.submission(one.sha256))
        assert scores.rmse == round(truth.score(predictions, known)["rmse_pooled"], 3)
    for team in organising.teams(service):
        assert team.attempts.used == sum(number == team.number for number, _ in found) <= team.attempts.allowed
    best = {}
    for (team, _), (number, rmse) in found.items():
        best[team] = min(best.get(team, (rmse, number)), (rmse, number))
    names = {team.number: team.name for team in organising.teams(service)}
    expected = [names[team] for team in sorted(best, key=best.__getitem__)]
    assert [row.team for row in leaderboard.leaderboard(service).rows if row.rank] == expected
    return {"kills": kills, "counted": len(rows), "answered": sum(len(thread.answered) for thread in threads)}


@click.command()
@click.option("--kills", default=500, show_default=True)
def main(kills: int) -> None:
    """Kill the server of a challenge at random moments, and look whether anything was lost."""
    from tests.server.conftest import content, make_folder, targets

    with tempfile.TemporaryDirectory() as folder:
        root = make_folder(Path(folder) / "challenge", attempts=1)
        noise, true = np.random.default_rng(0), targets(root)
        files = [
            [content([t ^ noise.integers(0, 8, len(t), np.uint8) for t in true]) for _ in range(GIVEN * kills + 20)]
            for _ in range(TEAMS)
        ]
        print(run(root, files, kills))


if __name__ == "__main__":
    main()
