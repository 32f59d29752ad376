"""From an upload to an attempt: what counts, what does not, and what is told."""

import bz2
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depixel.challenge import test_sets, truth
from tests.server.conftest import Clock, content, make_folder, received, submission, targets

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

from sqlalchemy import func, select

from depixel.server import leaderboard, organising, submissions
from depixel.server.refusals import RefusedError
from depixel.server.rules import HOUR
from depixel.server.service import Service
from depixel.server.storage.schema import Submission


def team(service, name="one"):
    return organising.add_team(service, "test", name).number


def refused(service, number, data, **how) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        received(service, number, data, **how)
    return caught.value


def test_a_submission_is_scored_as_the_library_does_and_kept(challenge):
    service = challenge()
    root, number = service.folder.root, team(service)
    data = submission(root, 5, seed=3)
    answer = received(service, number, data)
    predictions = test_sets.predictions_of(data, "x")
    expected = truth.score(predictions, truth.read(root / "private", test_sets.read_test_set(service.folder.test_set)))
    assert (
        answer.accepted and not answer.repeated and answer.attempts.model_dump() == {"used": 1, "left": 4, "allowed": 5}
    )
    assert answer.submission.score.rmse == round(expected["rmse_pooled"], 3)
    assert answer.submission.score.rmse_mean == round(expected["rmse_mean"], 3)
    assert answer.submission.score.ratio == round(expected["ratio_pooled"], 3)
    assert service.folder.submission(hashlib.sha256(data).hexdigest()).read_bytes() == data


def test_the_same_file_again_costs_nothing_and_gets_the_same_answer(challenge):
    service = challenge(attempts=1)
    number, data = team(service), submission(service.folder.root)
    first = received(service, number, data)
    for again in (data, bz2.compress(data)):  # packed it is the same content
        answer = received(service, number, again)
        assert answer.repeated and answer.submission == first.submission and answer.attempts == first.attempts


def test_an_invalid_file_costs_no_attempt_and_hears_what_check_says(challenge):
    service = challenge()
    number, samples = team(service), test_sets.read_test_set(service.folder.test_set)
    true = targets(service.folder.root)
    for wrong in (true[:-1], true[::-1], [true[0][:-1], *true[1:]], [np.zeros(64 * 64, np.uint8)] * len(true)):
        error = refused(service, number, content(wrong))
        assert error.status == 422
        for problem in test_sets.check(wrong, samples):
            assert problem in str(error)
    for broken in (b"", b"\0", b"\7abc", content(true)[:-3], content(true) + b"\0", bz2.compress(content(true))[:50]):
        assert refused(service, number, broken).status == 422
    assert submissions.attempts_now(service, number).used == 0


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_quick_check_and_the_library_agree(data):
    scorer, root = SCORER()
    good = content(targets(root))
    kind = data.draw(st.sampled_from(["field", "cut", "more", "width", "byte"]))
    if kind == "cut":
        good = good[: data.draw(st.integers(1, len(good)))]
    elif kind == "more":
        good += data.draw(st.binary(min_size=1, max_size=5))
    else:
        place = 0 if kind == "width" else data.draw(st.integers(0, 40 if kind == "field" else len(good) - 1))
        good = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    try:
        problems = test_sets.check(test_sets.predictions_of(good, "x"), scorer.test_set)
    except Exception:
        problems = ["broken"]
    try:
        scorer.check(good)
        assert not problems
    except Exception as error:
        assert problems, error


_LOADED: list = []


def SCORER():  # noqa: N802
    if not _LOADED:
        import tempfile
        from pathlib import Path

        root = make_folder(Path(tempfile.mkdtemp()) / "c")
        _LOADED.append((Service(root).scorer()[1], root))
    return _LOADED[0]


def test_a_length_field_may_be_wider_than_it_must(challenge):
    service = challenge()
    true = targets(service.folder.root)
    wide = b"\4" + b"".join((len(t) - 1).to_bytes(4, "big") + t.tobytes() for t in true)
    assert received(service, team(service), wide).submission.score.rmse == 0


def test_no_attempt_beyond_the_limit_and_the_organiser_gives_back(challenge):
    service = challenge(attempts=2)
    number, root = team(service), service.folder.root
    for seed in (1, 2):
        received(service, number, submission(root, seed=seed))
    assert refused(service, number, submission(root, seed=3)).status == 409
    organising.give_attempts(service, "organiser", number, 1, "an upload was lost")
    assert received(service, number, submission(root, seed=3)).attempts.left == 0
    organising.give_attempts(service, "organiser", None, 1, "for all")
    assert submissions.attempts_now(service, number).left == 1
    organising.give_attempts(service, "organiser", None, -5, "taken back")
    assert submissions.attempts_now(service, number).model_dump() == {"used": 3, "left": 0, "allowed": 0}


def test_many_uploads_of_one_team_at_once_never_make_more_than_the_limit(challenge):
    service = challenge(attempts=5)
    number, root = team(service), service.folder.root
    files = [submission(root, seed=seed) for seed in range(1, 11)]
    gate = threading.Barrier(len(files))

    def send(data):
        gate.wait()
        try:
            return received(service, number, data).accepted
        except RefusedError as error:
            return error.status

    with ThreadPoolExecutor(len(files)) as pool:
        answers = list(pool.map(send, files))
    assert sorted(map(str, answers)) == ["409"] * 5 + ["True"] * 5
    with service.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Submission)) == 5


def test_the_same_file_many_times_at_once_counts_once(challenge):
    service = challenge()
    number, data = team(service), submission(service.folder.root)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: received(service, number, data), range(8)))
    assert sum(not answer.repeated for answer in answers) == 1
    assert {answer.submission.submission for answer in answers} == {answers[0].submission.submission}
    assert submissions.attempts_now(service, number).used == 1


def test_two_teams_may_submit_the_same_content_and_the_earlier_wins(challenge):
    service = challenge()
    one, two, data = team(service, "one"), team(service, "two"), submission(service.folder.root)
    received(service, two, data)
    received(service, one, data)
    assert [row.team for row in leaderboard.leaderboard(service).rows] == ["two", "one"]
    organising.delete_team(service, "test", two)  # the file stays: another team has submitted it, too
    assert service.folder.submission(hashlib.sha256(data).hexdigest()).is_file()
    organising.delete_team(service, "test", one)
    assert not list(service.folder.submissions.iterdir())


def test_at_most_twenty_invalid_uploads_an_hour(challenge, clock):
    service = challenge()
    number, data = team(service), submission(service.folder.root)
    for i in range(submissions.MOST_INVALID):
        clock.moment += 1000
        assert refused(service, number, b"\7" + bytes([i])).status == 422
    assert refused(service, number, b"\7\0").status == 422  # the same again is no new one
    error = refused(service, number, data)
    assert error.status == 429 and 3500 < error.retry_after <= 3600
    assert refused(service, number, b"\7other", dry_run=True).status == 429
    clock.moment += HOUR - 19_000 + 1
    assert received(service, number, data).accepted


def test_a_dry_run_only_checks(challenge):
    service = challenge()
    number, data = team(service), submission(service.folder.root)
    answer = received(service, number, data, dry_run=True)
    assert not answer.accepted and answer.submission is None and answer.attempts.used == 0
    assert not list(service.folder.submissions.iterdir())


def test_the_deadlines_second(challenge, clock):
    service = challenge(deadline="2027-03-28 03:00", time_zone="Europe/Vienna")  # the first moment of summer time
    end = 1806195600_000
    assert service.rules.end() == end
    number, root = team(service), service.folder.root
    clock.moment = end + 60_000  # it was read and scored later
    assert received(service, number, submission(root, seed=1), begun=end).accepted
    error = refused(service, number, submission(root, seed=2), begun=end + 1)
    assert error.status == 403 and "Sun 28 Mar 2027, 03:00 (Europe/Vienna, UTC+02:00)" in str(error)
    assert received(service, number, submission(root, seed=1), begun=end + 5000).repeated
    organising.move_deadline(service, "organiser", number, "2027-03-28 04:00", "the server was down")
    assert received(service, number, submission(root, seed=2), begun=end + 1).accepted
    assert refused(service, team(service, "two"), submission(root, seed=2), begun=end + 1).status == 403


def test_a_clock_that_is_set_back_changes_no_order(challenge, clock):
    service = challenge()
    one, two, root = team(service, "one"), team(service, "two"), service.folder.root
    received(service, one, submission(root, 4))
    clock.moment -= 30 * HOUR
    received(service, two, submission(root, 4))
    assert [row.team for row in leaderboard.leaderboard(service).rows] == ["one", "two"]


def test_a_closed_challenge_and_a_disqualified_team_take_nothing(challenge):
    service = challenge()
    number, root = team(service), service.folder.root
    organising.disqualify(service, "organiser", number, "copied from the team beside it")
    assert "copied from" in str(refused(service, number, submission(root)))
    organising.readmit(service, "organiser", number)
    organising.close(service, "organiser")
    assert "closed" in str(refused(service, number, submission(root)))
    organising.reopen(service, "organiser")
    assert received(service, number, submission(root)).accepted


def test_a_failure_of_the_server_uses_no_attempt(challenge, monkeypatch):
    service = challenge()
    number, data = team(service), submission(service.folder.root)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(submissions, "keep", full)
        with pytest.raises(OSError, match="No space"):
            received(service, number, data)
    with monkeypatch.context() as broken:
        broken.setattr(submissions.trail, "note", full)
        with pytest.raises(OSError, match="No space"):
            received(service, number, data)
    assert submissions.attempts_now(service, number).used == 0
    assert not received(service, number, data).repeated


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(["submit", "submit", "submit", "give", "bad"])),
        max_size=25,
    ),
    st.integers(1, 3),
)
def test_attempts_and_ranks_follow_the_rules_whatever_happens(tmp_path_factory, acts, allowed):
    root = make_folder(tmp_path_factory.mktemp("rules") / "c", attempts=allowed)
    service = Service(root, clock=Clock())
    try:
        teams = [team(service, name) for name in ("a", "b", "c")]
        used: dict[int, dict[int, int]] = {number: {} for number in teams}  # content to order
        extra, order = dict.fromkeys(teams, 0), 0
        for which, off, act in acts:
            number = teams[which]
            if act == "give":
                organising.give_attempts(service, "o", number, 1, "")
                extra[number] += 1
            elif act == "bad":
                assert refused(service, number, b"\7" + bytes([off])).status in (422, 429)
            elif off in used[number]:
                assert received(service, number, submission(root, off)).repeated
            elif len(used[number]) >= allowed + extra[number]:
                assert refused(service, number, submission(root, off)).status == 409
            else:
                assert not received(service, number, submission(root, off)).repeated
                used[number][off] = order = order + 1
            left = submissions.attempts_now(service, number)
            assert (left.used, left.allowed) == (len(used[number]), allowed + extra[number])
        best = {number: min((off, at) for off, at in mine.items()) for number, mine in used.items() if mine}
        expected = ["abc"[teams.index(number)] for number in sorted(best, key=best.__getitem__)]
        assert [row.team for row in leaderboard.leaderboard(service).rows if row.rank] == expected
    finally:
        service.database.close()
