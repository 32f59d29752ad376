"""The runs of hours: that their batches work, are counted, and go on where they were."""

import csv

import pytest
from click.testing import CliRunner

from benchmarks import endurance


@pytest.mark.parametrize("part", endurance.TARGETS)
def test_hostile_files_give_a_result_or_a_plain_error(part):
    endurance.fuzz(part, 0, 40)


def test_a_reader_that_fails_is_found(monkeypatch):
    def careless(data, _):
        if len(data) < 100:
            raise IndexError("a short file")

    monkeypatch.setitem(endurance.TARGETS, "photos", (endurance.good_photos, careless))
    with pytest.raises(IndexError, match="a short file"):
        endurance.fuzz("photos", 0, 200)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Batches that only note that they were asked for: a list of (part, number, count)."""
    seen = []

    def batch(part):
        def run(number, count):
            seen.append((part, number, count))
            if part == "photos" and len(seen) == 3:
                raise KeyboardInterrupt
            return count, "it is wrong" if (part, number) == ("pictures", 1) else ""

        return run

    monkeypatch.setattr(endurance, "STATE", tmp_path / "state")
    monkeypatch.setattr(endurance, "PROJECT", tmp_path)
    monkeypatch.setattr(endurance, "TABLE", tmp_path / "endurance.csv")
    monkeypatch.setattr(endurance, "BATCHES", {part: batch(part) for part in endurance.GOALS})
    monkeypatch.setattr(endurance, "commit", lambda: "abc")
    return seen


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["commit"], row["part"], int(row["tried"]), int(row["failed"])) for row in csv.DictReader(file)]


def test_it_goes_on_where_it_was_and_counts_what_failed(asked, tmp_path, monkeypatch):
    command = ["photos", "pictures", "--scale", "0.004"]  # 4 000 files each, two batches
    first = CliRunner().invoke(endurance.main, command)
    assert "the same command to continue" in first.output and first.exit_code == 0
    assert asked == [("photos", 0, 2000), ("pictures", 0, 2000), ("photos", 1, 2000)]  # and there it was interrupted
    assert rows(tmp_path / "endurance.csv") == [("abc", "photos", 2000, 0), ("abc", "pictures", 2000, 0)]
    second = CliRunner().invoke(endurance.main, command)
    assert second.exit_code == 1 and "state/failures" in second.output
    assert asked[3:] == [("photos", 1, 2000), ("pictures", 1, 2000)]
    assert rows(tmp_path / "endurance.csv") == [("abc", "photos", 4000, 0), ("abc", "pictures", 4000, 1)]
    assert (tmp_path / "state/failures/pictures_1.txt").read_text(encoding="utf-8") == "it is wrong"
    assert CliRunner().invoke(endurance.main, command).exit_code == 1 and len(asked) == 5
    # of another commit, all is to do again, and the rows of the earlier one stay
    monkeypatch.setattr(endurance, "commit", lambda: "def")
    assert CliRunner().invoke(endurance.main, ["api", "--scale", "0.001"]).exit_code == 0
    assert asked[5:] == [("api", 0, 20), ("api", 1, 20)]
    assert rows(tmp_path / "endurance.csv")[-1] == ("def", "api", 40, 0) and len(rows(tmp_path / "endurance.csv")) == 3
