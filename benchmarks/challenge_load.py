"""The last minute before a deadline: how fast does the server of a challenge answer, and what memory does it take?

    python benchmarks/challenge_load.py                       # SQLite
    python benchmarks/challenge_load.py --database URL        # an empty PostgreSQL database

Each team submits two different files of 6600 pictures, at random moments of a minute, and looks at the leaderboard
before each. Locust sends the requests, from this process; the server is another process. At the end every attempt must
be counted exactly once.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import gevent
import numpy as np
import psutil
from locust import HttpUser, task
from locust.env import Environment

from depixel.base.files import write_json
from depixel.base.names import photo_ids
from depixel.challenge import test_sets
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms
from depixel.server import organising
from depixel.server.service import Service

SECONDS = 60
SIZES = PixelationSettings(width=(4, 31), height=(4, 31))


def make_challenge(root: Path, pictures: int, attempts: int) -> Path:
    """A challenge of random pictures: what they show does not matter here."""
    photos = np.random.default_rng(0).integers(0, 256, (pictures, 64, 64), dtype=np.uint8)
    ids = photo_ids([str(i) for i in range(pictures)])
    test_sets.write_test_set(root / "made", photos, draw_areas(uniforms(ids, "load", 5), 64, SIZES))
    for name in ("public", "private/references"):
        (root / name).mkdir(parents=True)
    (root / "made/test_set.pkl").rename(root / "public/test_set.pkl")
    (root / "made/targets.npz").rename(root / "private/targets.npz")
    write_json(root / "private/creation.json", {"hidden": []})
    (root / "rules.yaml").write_text(f"attempts: {attempts}\n", encoding="utf-8")
    return root


def a_submission(root: Path) -> bytes:
    photos, areas = test_sets.read_targets(root / "private")
    path = root / "made/a.bin"
    test_sets.write_submission(
        path, [photos[i][y : y + h, x : x + w].ravel() for i, (x, y, w, h, _) in enumerate(areas.tolist())]
    )
    return path.read_bytes()


def seconds_to_score(service: Service, content: bytes) -> float:
    """Seconds of a core that checking and scoring one submission takes; the median of 20."""
    _, scorer = service.scorer()
    taken = []
    for _ in range(20):
        begun = time.process_time()
        scorer.check(content)
        scorer.score(content)
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def load(address: str, tokens: list[str], content: bytes, each: int) -> Environment:
    """Let all teams submit within `SECONDS`."""
    waiting = list(tokens)

    class Team(HttpUser):
        """One team: it submits `each` different files, and stops."""

        host = address

        @task
        def last_minute(self) -> None:
            token = waiting.pop()
            begun = time.monotonic()
            for moment in sorted(random.uniform(0, SECONDS) for _ in range(each)):
                gevent.sleep(max(begun + moment - time.monotonic(), 0))
                self.client.get("/api/leaderboard")
                data = bytearray(content)
                data[-1] ^= random.randrange(256)
                data[-100:-92] = random.randbytes(8)
                headers = {"Authorization": f"Bearer {token}"}
                with self.client.post("/api/submissions", bytes(data), headers=headers, catch_response=True) as answer:
                    if answer.status_code != 201:
                        answer.failure(f"{answer.status_code}: {answer.text}")
            gevent.sleep(10_000)

    environment = Environment(user_classes=[Team])
    runner = environment.create_local_runner()
    runner.start(len(tokens), spawn_rate=len(tokens))
    counted = ("/api/submissions", "POST")
    end = time.monotonic() + 5 * SECONDS
    while environment.stats.entries.get(counted) is None or (
        environment.stats.entries[counted].num_requests < each * len(tokens) and time.monotonic() < end
    ):
        gevent.sleep(0.2)
    runner.quit()
    return environment


@click.command()
@click.option("--teams", default=250, show_default=True)
@click.option("--each", default=2, show_default=True, help="Submissions of each team.")
@click.option("--pictures", default=6600, show_default=True)
@click.option("--database", help="The URL of an empty PostgreSQL database.")
def main(teams: int, each: int, pictures: int, database: str | None) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as place:
        root = make_challenge(Path(place) / "challenge", pictures, each + 1)
        service, content = Service(root, database), a_submission(root)
        tokens = [organising.add_team(service, "load", f"team {i}").token for i in range(teams)]
        click.echo(f"{teams} teams, {each} submissions each, of {len(content) / 1e6:.1f} MB")
        click.echo(f"scoring one: {1000 * seconds_to_score(service, content):.1f} ms of a core")
        command = [sys.executable, "-m", "depixel.cli", "challenge", "serve", str(root), "--port=0"]
        command += ["--database", database] if database else []
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            found = re.match(r"(http://\S+)/ ", server.stdout.readline())
            assert found
            most = [0]

            def watch() -> None:
                process = psutil.Process(server.pid)
                while True:
                    most[0] = max(most[0], process.memory_info().rss)
                    gevent.sleep(0.2)

            watching = gevent.spawn(watch)
            stats = load(found[1], tokens, content, each).stats
            watching.kill()
        finally:
            server.kill()
            server.communicate()
        counted = [team.attempts.used for team in organising.teams(service)]
        service.database.close()
    for entry in stats.entries.values():
        click.echo(
            f"{entry.method} {entry.name}: {entry.num_requests} answered, {entry.num_failures} failed; median "
            f"{entry.median_response_time:.0f} ms, p95 {entry.get_response_time_percentile(0.95):.0f} ms, longest "
            f"{entry.max_response_time:.0f} ms"
        )
    click.echo(f"memory of the server: at most {most[0] / 1e6:.0f} MB")
    for error in stats.errors.values():
        click.echo(json.dumps({"error": str(error.error), "times": error.occurrences}))
    if counted != [each] * teams:
        raise click.ClickException(f"{sum(counted)} attempts were counted, not {each * teams}")
    click.echo(f"all {sum(counted)} attempts counted once")


if __name__ == "__main__":
    main()
