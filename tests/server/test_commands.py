"""`depixel challenge` as organisers and teams use it: from photos to the closed challenge."""

import csv
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from depixel.cli import main
from tests.conftest import run
from tests.server.conftest import make_folder, submission
from tests.server.test_creation import jpeg_of, picture


@contextmanager
def served(folder, *more: str):
    """`depixel challenge serve` as a process, and the address that it tells."""
    command = [sys.executable, "-m", "depixel.cli", "challenge", "serve", str(folder), "--port=0", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, re.match(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.kill()
        process.communicate()


def ask(folder, *arguments: str, code: int = 0) -> str:
    done = run("depixel", "challenge", *map(str, arguments), cwd=folder, code=code)
    return done.stdout if code == 0 else done.stderr


def test_from_photos_to_the_closed_challenge(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(12):
        (tmp_path / f"photos/{i}.jpg").write_bytes(jpeg_of(picture(i)))
    made = ask(tmp_path, "create", "photos", "-o", "course", "--pictures", "10", "--seed", "1")
    assert "10 samples of 10 photos" in made and "identity, interpolation, kriging" in made
    token = ask(tmp_path, "team", "add", "course", "Team Kepler")
    assert re.fullmatch(r"team-1\.\S+\n", token)
    (tmp_path / "token.txt").write_text(token)
    (tmp_path / "teams.csv").write_text("name,where\nTeam Hubble,Graz\nTeam Kepler,Linz\n", encoding="utf-8")
    assert "1 new team" in ask(tmp_path, "team", "import", "course", "teams.csv", "-o", "tokens.csv")
    assert (tmp_path / "tokens.csv").stat().st_mode & 0o777 == 0o600
    (hubble,) = csv.DictReader((tmp_path / "tokens.csv").open())
    assert hubble["name"] == "Team Hubble" and hubble["token"].startswith("team-2.")
    assert ask(tmp_path, "organiser", "course", "Ada").startswith("organiser-1.")
    (tmp_path / "good.bin").write_bytes(submission(tmp_path / "course", 4))
    (tmp_path / "better.bin").write_bytes(submission(tmp_path / "course", 2))
    (tmp_path / "third.bin").write_bytes(submission(tmp_path / "course", 3))
    with served(tmp_path / "course") as (process, address):
        to = ("--server", address, "--token-file", "token.txt")
        assert "only checked" in ask(tmp_path, "submit", "good.bin", *to, "--dry-run")
        told = ask(tmp_path, "submit", "good.bin", *to)
        assert re.match(r"RMSE \d+\.\d{3}, mean ", told) and "1 used, 4 left" in told
        assert "has submitted this before" in ask(tmp_path, "submit", "good.bin", *to)
        (tmp_path / "bad.bin").write_bytes(b"\1abc")
        told = ask(tmp_path, "submit", "bad.bin", *to, code=1)
        assert "bad.bin: refused: " in told and "1 used, 4 left. This one was not counted" in told
        answer = json.loads(ask(tmp_path, "submit", "better.bin", *to, "--json"))
        assert answer["status"] == 201 and answer["attempts"]["used"] == 2
        board = ask(tmp_path, "leaderboard", "--server", address)
        assert re.search(r"(?m)^   1  Team Kepler +\d", board) and "identity" in board
        rows = json.loads(ask(tmp_path, "leaderboard", "--server", address, "--json"))["rows"]
        assert rows[0]["team"] == "Team Kepler" and rows[0]["rmse"] == answer["submission"]["score"]["rmse"]
        ask(tmp_path, "attempts", "course", "-1", "--team", "Team Kepler", "--reason", "late")
        assert "2 of 4 attempts" in ask(tmp_path, "team", "list", "course")
        assert "UTC+00:00" in ask(tmp_path, "deadline", "course", "2099-12-24 18:00")
        ask(tmp_path, "message", "course", "The last lecture is about the results.")
        ask(tmp_path, "team", "disqualify", "course", "Team Hubble", "--reason", "two accounts")
        assert "disqualified: two accounts" in ask(tmp_path, "team", "list", "course")
        ask(tmp_path, "team", "readmit", "course", "Team Hubble")
        new = ask(tmp_path, "team", "token", "course", "Team Kepler")
        assert "token is wrong" in ask(tmp_path, "submit", "good.bin", *to, code=1)
        (tmp_path / "token.txt").write_text(new)
        assert "still submit" in ask(tmp_path, "open", "course", code=1)
        assert "2 files" in ask(tmp_path, "backup", "course", "-o", "copy")
        ask(tmp_path, "close", "course")
        assert "closed" in ask(tmp_path, "submit", "third.bin", *to, code=1)
        ask(tmp_path, "open", "course")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0 and "Ended." in process.stdout.read()
    assert "without" not in ask(tmp_path, "export", "course", "-o", "results")
    page = (tmp_path / "results/leaderboard.html").read_text(encoding="utf-8")
    assert "Team Kepler" in page and "<script" not in page and "http" not in page.replace("http://www.w3.org", "")
    ask(tmp_path, "team", "delete", "course", "Team Hubble", "--yes")
    assert "Hubble" not in ask(tmp_path, "team", "list", "course")
    ask(tmp_path, "restore", "copy", "-o", "again")
    assert "Hubble" in ask(tmp_path, "team", "list", "again")


def test_targets_that_were_wrong_are_replaced(tmp_path):
    root = make_folder(tmp_path / "course")
    ask(tmp_path, "team", "add", "course", "one")
    with np.load(root / "private/targets.npz") as file:
        np.savez(tmp_path / "corrected.npz", photos=255 - file["photos"], areas=file["areas"])
    assert "revision 2" in ask(tmp_path, "rescore", "course", "corrected.npz", "--reason", "they were inverted")
    assert "rules.yaml" in ask(tmp_path, "rescore", "course", "course/rules.yaml", "--reason", "x", code=1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "."], "not the folder of a challenge"),
        (["team", "add", "course", " "], "is no name"),
        (["team", "token", "course", "nobody"], "there is no such team"),
        (["team", "import", "course", "course/rules.yaml", "-o", "t.csv"], "column `name`"),
        (["deadline", "course", "tomorrow"], "is no time"),
        (["deadline", "course", "2030-01-01 10:00", "--team", "one"], "no deadline"),
        (["submit", "a.bin", "--server", "nonsense", "--token-file", "token.txt"], "not an address"),
        (["submit", "a.bin", "--server", "http://example.org", "--token-file", "token.txt"], "https only"),
        (["submit", "a.bin", "--server", "http://127.0.0.1:9"], "no token"),
        (["submit", "a.bin", "--server", "http://127.0.0.1:9", "--token-file", "a.bin"], "cannot be read|a token and"),
        (["submit", "a.bin", "--server", "http://127.0.0.1:9", "--token-file", "token.txt"], "cannot be reached"),
        (["leaderboard", "--server", "http://127.0.0.1:9"], "cannot be reached"),
        (["serve", "course", "--database", "mysql://a@b/c"], "sqlite and postgresql are"),
        (["serve", "course", "--proxy", "localhost"], "--proxy localhost: not an IP address"),
        (["restore", "course", "-o", "again"], "not a backup"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments, told, tmp_path, monkeypatch):
    root = make_folder(tmp_path / "course")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEPIXEL_TOKEN", raising=False)
    (tmp_path / "token.txt").write_text("team-1.abc\n")
    (tmp_path / "a.bin").write_bytes(submission(root))
    if "one" in arguments:
        CliRunner().invoke(main, ["challenge", "team", "add", "course", "one"])
    done = CliRunner().invoke(main, ["challenge", *arguments])
    assert done.exit_code == 1 and done.output.startswith("Error: ") and re.search(told, done.output), done.output


def test_the_token_is_never_taken_from_the_command_line():
    done = CliRunner().invoke(main, ["challenge", "submit", "a.bin", "--server", "http://127.0.0.1", "--token", "x"])
    assert done.exit_code == 2 and "No such option" in done.output


def test_the_token_may_be_in_the_environment(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "course")
    monkeypatch.setenv("DEPIXEL_TOKEN", ask(tmp_path, "team", "add", root, "one").strip())
    (tmp_path / "a.bin").write_bytes(submission(root))
    with served(root) as (_, address):
        assert "1 used" in ask(tmp_path, "submit", "a.bin", "--server", address)


def test_the_help_is_the_same_for_all_commands():
    done = CliRunner().invoke(main, ["challenge"])
    assert done.exit_code == 0 and "Run a challenge:" in done.output and "..." not in done.output.split("Options:")[1]
