"""Kill the server of a challenge at random moments while teams submit, and look whether anything was lost.

    python benchmarks/challenge_kills.py                # 500 kills; Ctrl-C at any time, the same command continues
    python benchmarks/challenge_kills.py --kills 20

Each team submits from two computers at once, new files and old ones. After each kill the server starts again on the
same folder. After each round of 20 kills, every submission that was answered must be in the database, once, with the
score that the library computes; no team may have more than its attempts; and the leaderboard must follow from the
submissions. Rounds belong to a commit and are counted in .endurance/challenge_kills.jsonl.
"""

import hashlib
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import click
import requests

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from sqlalchemy import select  # noqa: E402

from depixel.challenge import test_sets, truth  # noqa: E402
from depixel.server import leaderboard, organising  # noqa: E402
from depixel.server.service import Service  # noqa: E402
from depixel.server.storage.schema import Scored, Submission  # noqa: E402

ROUND = 20
"""Kills of one challenge."""
TEAMS, GIVEN = 6, 10
"""Number of teams; attempts that each gets before each start of the server."""
LONGEST = 0.8
"""Most seconds from the first answer of a server to its kill."""


class Team:
    """What a team has sent and heard, from both of its computers.

    Attributes:
        sent: contents. answered: SHA-256 of each content that was accepted, with its number and score.
        wrong: what must never happen. heard: how often each status came; 0: the connection broke.
    """

    def __init__(self, number: int, token: str, content: bytes, seed: int):
        self.number, self.token, self._content, self._random = number, token, content, random.Random(seed)
        self.sent: list[bytes] = []
        self.answered: dict[str, tuple[int, float]] = {}
        self.wrong: list[str] = []
        self.heard: Counter[int] = Counter()

    def file(self) -> bytes:
        """A submission: two times in three a new one, else one that was sent before."""
        if self.sent and self._random.random() < 1 / 3:
            return self._random.choice(self.sent)
        self.sent.append(self._content[:-8] + self._random.randbytes(8))
        return self.sent[-1]

    def submit(self, address: str) -> None:
        """Send a file, and note what was heard."""
        data = self.file()
        key = hashlib.sha256(data).hexdigest()
        known = key in self.answered
        try:
            headers = {"Authorization": f"Bearer {self.token}"}
            answer = requests.post(f"{address}/api/submissions", data, headers=headers, timeout=30)
            said = answer.json()
        except (requests.RequestException, ValueError):
            self.heard[0] += 1
            time.sleep(0.02)
            return
        self.heard[answer.status_code] += 1
        if answer.status_code in (200, 201):
            one = (said["submission"]["submission"], said["submission"]["score"]["rmse"])
            if self.answered.setdefault(key, one) != one:
                self.wrong.append(f"{key} was {self.answered[key]}, then {one}")
            if known and not said["repeated"]:
                self.wrong.append(f"{key} was counted a second time")
        elif known or answer.status_code not in (409, 429, 503):
            self.wrong.append(f"{answer.status_code} for a file that was {'' if known else 'not '}accepted: {said}")
        if said.get("attempts") and said["attempts"]["used"] > said["attempts"]["allowed"]:
            self.wrong.append(f"beyond the limit: {said['attempts']}")


def run(root: Path, content: bytes, kills: int, seed: int = 0, database: str | None = None) -> dict[str, int]:
    """Kill the server of a challenge; returns what was counted. Raises AssertionError if anything is wrong.

    Args:
        root: the folder of the challenge. content: a valid submission. database: the URL; None: the one in the folder.
    """
    service = Service(root, database)
    made = [organising.add_team(service, "kills", f"team {i}") for i in range(TEAMS)]
    teams = [Team(one.number, one.token, content, 100 * seed + i) for i, one in enumerate(made)]
    address, stop, moments = [""], threading.Event(), random.Random(seed)

    def send(team: Team) -> None:
        while not stop.is_set():
            team.submit(address[0])

    threads = [threading.Thread(target=send, args=(team,)) for team in teams for _ in range(2)]
    try:
        for last in [False] * kills + [True]:
            server, address[0] = serve(root, database)
            organising.give_attempts(service, "kills", None, GIVEN, "")
            if not threads[0].ident:
                for thread in threads:
                    thread.start()
            time.sleep(2 if last else moments.uniform(0, LONGEST))
            if last:
                stop.set()
                for thread in threads:
                    thread.join()
            server.send_signal(signal.SIGKILL)
            server.communicate()
        return {"kills": kills} | check(service, teams)
    finally:
        stop.set()
        service.database.close()


def serve(root: Path, database: str | None) -> "tuple[subprocess.Popen[str], str]":
    """A server as a process of its own, and its address."""
    command = [sys.executable, "-m", "depixel.cli", "challenge", "serve", str(root), "--port=0"]
    command += ["--database", database] if database else []
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    found = re.match(r"(http://\S+?)/ ", server.stdout.readline())
    assert found, "the server does not start"
    return server, found[1]


def check(service: Service, teams: list[Team]) -> dict[str, int]:
    """What the database holds is what the teams heard, and no more than the limit; returns what was counted."""
    known = truth.read(service.folder.private, test_sets.read_test_set(service.folder.test_set))
    with service.database.reading() as session:
        rows = session.execute(select(Submission, Scored).join(Scored).order_by(Submission.id)).all()
    found = {(one.team_id, one.sha256): (one.id, scores.rmse) for one, scores in rows}
    assert len(found) == len(rows), "a submission is there twice"
    for team in teams:
        assert not team.wrong, team.wrong
        for key, one in team.answered.items():
            assert found.get((team.number, key)) == one, "an answered submission is lost or changed"
    for one, scores in rows:
        content = service.folder.submission(one.sha256).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one.sha256
        predictions = test_sets.predictions_of(content, one.sha256)
        assert scores.rmse == round(truth.score(predictions, known)["rmse_pooled"], 3)
    listed = organising.teams(service)
    for team in listed:
        assert team.attempts.used == sum(number == team.number for number, _ in found) <= team.attempts.allowed
    best: dict[int, tuple[float, int]] = {}
    for (number, _), (submission, rmse) in found.items():
        best[number] = min(best.get(number, (rmse, submission)), (rmse, submission))
    names = {team.number: team.name for team in listed}
    expected = [names[number] for number in sorted(best, key=best.__getitem__)]
    assert [row.team for row in leaderboard.leaderboard(service).rows if row.rank] == expected
    heard = sum((team.heard for team in teams), Counter())
    return {
        "counted": len(rows),
        "answered": heard[200] + heard[201],
        "broken off": heard[0],
        "refused": heard[409],
        "other": sum(count for status, count in heard.items() if status not in (0, 200, 201, 409)),
    }


@click.command(help=__doc__)
@click.option("--kills", default=500, show_default=True)
def main(kills: int) -> None:
    from benchmarks.endurance import STATE, commit
    from tests.server.conftest import make_folder, submission

    path, this = STATE / "challenge_kills.jsonl", commit()
    STATE.mkdir(exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rounds = [one for one in map(json.loads, lines) if one["commit"] == this]
    while (done := sum(one["kills"] for one in rounds)) < kills:
        with tempfile.TemporaryDirectory() as place:
            root = make_folder(Path(place) / "challenge", attempts=1)
            counted = run(root, submission(root), min(ROUND, kills - done), seed=len(rounds))
        rounds.append({"commit": this} | counted)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounds[-1]) + "\n")
        total = {name: sum(one[name] for one in rounds) for name in counted}
        click.echo(f"{this}: {total}")


if __name__ == "__main__":
    main()
