"""What may be seen, and until when: hidden scores are hidden everywhere."""

import json
import logging

import pytest

from depixel.base.errors import DepixelError
from tests.server.conftest import content, received, submission, targets

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

from depixel.server import exports, leaderboard, organising, team_view
from depixel.server.http import api
from depixel.server.rules import HOUR, Rules

END = 1806195600_000


def everything_public(service, number) -> str:
    """All that anybody but the organisers can read."""
    board = leaderboard.leaderboard(service)
    context = api.Context(service)
    return "\n".join(
        [
            board.model_dump_json(),
            leaderboard.as_csv(board, service.rules),
            team_view.team_view(service, number).model_dump_json(),
            team_view.facts(service).model_dump_json(),
            *context.board(),
        ]
    )


def order(service) -> list[str]:
    return [row.team for row in leaderboard.leaderboard(service).rows if row.kind == "team"]


def test_hidden_scores_are_hidden_everywhere_until_they_are_opened(challenge, clock, caplog):
    caplog.set_level(logging.DEBUG)
    service = challenge(
        scores="hidden", results="by the organiser", deadline="2027-03-28 03:00", time_zone="Europe/Vienna"
    )
    clock.moment = END - 5 * HOUR
    numbers = {name: organising.add_team(service, "o", name).number for name in ("b", "a", "c")}
    root = service.folder.root
    (service.folder.references / "identity.bin").write_bytes(submission(root, 8, seed=8))
    for name, off in (("a", 9), ("b", 4), ("c", 6)):
        answer = received(service, numbers[name], submission(root, off, seed=off))
        assert answer.submission.score is None and "until the organisers open" in answer.submission.hidden
    rows = leaderboard.leaderboard(service, everything=True).rows
    scores = {json.dumps(value) for row in rows for value in (row.rmse, row.rmse_mean, row.ratio)}
    assert len(scores) > 9 and "null" not in scores
    for moment in (END - HOUR, END + HOUR):
        clock.moment = moment
        assert not [score for score in scores if score in everything_public(service, numbers["a"])]
        assert order(service) == ["a", "b", "c"]
        with pytest.raises(DepixelError, match=r"still submit|not open"):
            exports.read_only_copy(service)
    assert not [score for score in scores if score in caplog.text]
    organising.open_results(service, "o")
    assert order(service) == ["b", "c", "a"]
    assert all(score in everything_public(service, numbers["a"]) for score in scores)


def test_a_team_with_an_alias_is_called_so_wherever_others_look(challenge):
    service = challenge()
    one, two = (organising.add_team(service, "o", name).number for name in ("Kepler", "Noether"))
    received(service, one, submission(service.folder.root))
    organising.choose_alias(service, one, "the stars")
    assert "Kepler" not in everything_public(service, two) and order(service) == ["the stars", "Noether"]
    assert "Kepler,the stars" in exports.submissions_csv(service)
    assert organising.find_team(service, "the stars") == organising.find_team(service, "Kepler") == one
    organising.choose_alias(service, one, "")
    assert order(service) == ["Kepler", "Noether"]


def test_blind_hours_show_what_was_before_them(challenge, clock):
    service = challenge(blind_hours=2, deadline="2027-03-28 03:00", time_zone="Europe/Vienna")
    one, two = (organising.add_team(service, "o", name).number for name in ("one", "two"))
    root = service.folder.root
    clock.moment = END - 3 * HOUR
    received(service, one, submission(root, 5))
    received(service, two, submission(root, 6))
    clock.moment = END - 2 * HOUR
    answer = received(service, two, submission(root, 2))
    assert answer.submission.score is None
    assert "from Sun 28 Mar 2027, 00:00 (Europe/Vienna, UTC+01:00) on" in answer.submission.hidden  # the clocks change
    better = leaderboard.leaderboard(service, everything=True).rows[0].rmse
    assert order(service) == ["one", "two"] and str(better) not in everything_public(service, two)
    clock.moment = END
    assert order(service) == ["one", "two"]
    clock.moment = END + 1
    assert order(service) == ["two", "one"]


def test_a_team_with_a_later_deadline_keeps_the_results_closed(challenge, clock):
    service = challenge(scores="hidden", deadline="2027-03-28 03:00", time_zone="Europe/Vienna")
    one, two = (organising.add_team(service, "o", name).number for name in ("one", "two"))
    received(service, one, submission(service.folder.root), begun=END)
    organising.move_deadline(service, "o", two, "2027-03-28T05:00+02:00", "ill")
    clock.moment = END + HOUR
    assert not leaderboard.leaderboard(service).final
    with pytest.raises(DepixelError, match="Close the challenge first"):
        organising.open_results(service, "o")
    with pytest.raises(DepixelError, match="can still submit"):
        exports.read_only_copy(service)
    clock.moment = END + 2 * HOUR + 1
    assert leaderboard.leaderboard(service).final
    assert "one" in exports.read_only_copy(service)


def test_only_the_shown_samples_score_before_the_end(challenge):
    hidden = [0, 1, 2, 3, 4, 5]
    service = challenge(hidden=hidden)
    number, root = organising.add_team(service, "o", "one").number, service.folder.root
    good_where_shown = [t if i not in hidden else t ^ 64 for i, t in enumerate(targets(root))]
    assert received(service, number, content(good_where_shown)).submission.score.rmse == 0
    assert leaderboard.leaderboard(service).rows[0].rmse == 0
    organising.close(service, "o")
    assert leaderboard.leaderboard(service).rows[0].rmse > 20


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"attempts": 0}, "attempts"),
        ({"deadline": "tomorrow"}, "no time"),
        ({"deadline": "2026-12-24"}, "hour"),
        ({"time_zone": "Vienna"}, "Europe/Vienna"),
        ({"time_zone": "../../etc/passwd"}, "time zone"),
        ({"deadline": "2027-03-28 02:30", "time_zone": "Europe/Vienna"}, "the clocks skip"),
        ({"atempts": 3}, "the rules are name, attempts"),
    ],
)
def test_a_wrong_rule_is_told(challenge, rule, told):
    with pytest.raises(DepixelError, match=told):
        challenge(**rule)


def test_a_deadline_means_one_moment_however_it_is_written():
    zone = {"time_zone": "America/New_York"}
    moments = {
        Rules(deadline=text, **zone).end()
        for text in ("2026-11-01 00:30", "2026-11-01T04:30Z", "2026-11-01T05:30+01:00", "2026-11-01 00:30:00")
    }
    assert len(moments) == 1
    twice = Rules(deadline="2026-11-01 01:30", **zone)  # the clocks show it twice
    assert twice.told(twice.end()) == "Sun 1 Nov 2026, 01:30 (America/New_York, UTC-04:00)"
