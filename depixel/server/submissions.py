"""From an upload to an accepted attempt: checked, scored, and on disk before it is answered.

Nothing is counted before the last step, one transaction that holds the team's row: two uploads at once never use more
than the attempts that are left, and an interrupted upload or a failure of the server uses none.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from depixel.base.errors import DepixelError
from depixel.server.refusals import RefusedError
from depixel.server.rules import HOUR
from depixel.server.scorer import Scorer, Scores
from depixel.server.service import Service
from depixel.server.standing import Attempts, attempts, barred, sight
from depixel.server.storage import trail
from depixel.server.storage.database import locked, state
from depixel.server.storage.schema import Rejection, Scored, State, Submission, Team

MOST_INVALID = 20
"""Invalid uploads of a team within an hour. Each costs work, and no attempt."""

GONE = "This team does not exist any more."


class Upload(NamedTuple):
    """A file that came in whole. sha256: of the file as it came. begun: when the upload began."""

    path: Path
    sha256: str
    begun: int


class ShownScore(BaseModel):
    """A score that may be seen; gray levels, lower is better."""

    rmse: float = Field(description="RMSE over all pixels. This one decides.")
    rmse_mean: float = Field(description="Mean of the pictures' RMSEs.")
    ratio: float = Field(description="RMSE divided by that of the identity.")


class Shown(BaseModel):
    """A submission as its team sees it."""

    submission: int = Field(description="Its number.")
    at: int = Field(description="When its upload began: milliseconds since 1970 in UTC.")
    sha256: str = Field(description="SHA-256 of its content, unpacked.")
    score: ShownScore | None = Field(description="None while it is hidden.")
    hidden: str = Field(description="Why the score is hidden; empty if it is not.")


class Answer(BaseModel):
    """What a team hears of an upload that was let in."""

    accepted: bool = Field(description="False of a dry run, which only checks.")
    repeated: bool = Field(description="The team has submitted the same content before; no attempt was used.")
    submission: Shown | None = Field(description="None of a dry run.")
    attempts: Attempts


class _StaleError(Exception):
    """The targets changed while a submission was scored."""


def receive(service: Service, team: int, upload: Upload, dry_run: bool = False) -> Answer:
    """Check an upload; unless it is a dry run, score and keep it as an attempt of a team.

    Raises:
        RefusedError: the upload is no valid submission (422), or the team may not submit it.
        OSError, sqlalchemy.exc.DBAPIError: the server failed, and nothing was counted.
    """
    revision, scorer = service.scorer()
    content = _checked(service, team, upload, scorer)
    if dry_run:
        return Answer(accepted=False, repeated=False, submission=None, attempts=attempts_now(service, team))
    sha256 = hashlib.sha256(content).hexdigest()
    with service.database.reading() as session:
        if answer := _decided(session, service, state(session), _team(session, team), sha256, upload.begun):
            return answer
    keep(service, content, sha256)
    while True:
        try:
            answer = _count(service, team, upload.begun, sha256, len(content), revision, scorer.score(content))
        except _StaleError:
            revision, scorer = service.scorer()
            continue
        keep(service, content, sha256)  # if the data of another team with the same content were deleted meanwhile
        return answer


def attempts_now(service: Service, team: int) -> Attempts:
    """What attempts a team has. Raises `RefusedError` if it does not exist."""
    with service.database.reading() as session:
        return attempts(session, service.rules, state(session), _team(session, team))


def _checked(service: Service, team: int, upload: Upload, scorer: Scorer) -> bytes:
    """The content of a valid upload; an invalid one is noted and refused."""
    with service.database.reading() as session:
        _team(session, team)
        known = select(Rejection.reason).where(Rejection.team_id == team, Rejection.sha256 == upload.sha256)
        if reason := session.scalar(known):
            raise RefusedError(422, reason)
        _refuse_too_many(session, service, team)
    try:
        content = scorer.content(upload.path.read_bytes(), service.rules.most_bytes)
        scorer.check(content)
        return content
    except DepixelError as error:
        raise reject(service, team, str(error), upload.sha256) from error


def reject(service: Service, team: int, reason: str, sha256: str = "", status: int = 422) -> RefusedError:
    """Note an invalid upload, which uses no attempt; returns what to raise.

    Args:
        sha256: of the upload as it came; "" if it did not come whole.
    """
    with service.database.writing() as session:
        if not locked(session, Team, team):
            return RefusedError(401, GONE)
        _refuse_too_many(session, service, team)
        sha256 = sha256 or uuid4().hex
        if not session.scalar(select(Rejection.id).where(Rejection.team_id == team, Rejection.sha256 == sha256)):
            session.add(Rejection(team_id=team, at=service.clock(), sha256=sha256, reason=reason))
    return RefusedError(status, reason)


def _refuse_too_many(session: Session, service: Service, team: int) -> None:
    since = service.clock() - HOUR
    recent = select(func.count(), func.min(Rejection.at)).where(Rejection.team_id == team, Rejection.at > since)
    count, first = session.execute(recent).one()
    if count >= MOST_INVALID:
        wait = max((first - since) // 1000 + 1, 1)
        raise RefusedError(
            429,
            f"{count} invalid uploads within an hour; that is the limit. Try again in {-(-wait // 60)} minutes. Check "
            "a file on your own machine: depixel check SUBMISSION TEST_SET",
            wait,
        )


def _team(session: Session, number: int) -> Team:
    team = session.get(Team, number)
    if team is None:
        raise RefusedError(401, GONE)
    return team


def _decided(session: Session, service: Service, now: State, team: Team, sha256: str, begun: int) -> Answer | None:
    """The answer to content that the team has submitted before; None if it may be counted. Else it is refused."""
    left = attempts(session, service.rules, now, team)
    known = select(Submission).where(Submission.team_id == team.id, Submission.sha256 == sha256)
    if earlier := session.scalar(known):
        return Answer(accepted=True, repeated=True, submission=shown(session, service, earlier, now), attempts=left)
    if reason := barred(service.rules, now, team, begun):
        raise RefusedError(403, reason)
    if not left.left:
        raise RefusedError(409, f"All {left.allowed} attempts of this team are used.")
    return None


def _count(service: Service, number: int, begun: int, sha256: str, size: int, revision: int, scores: Scores) -> Answer:
    """Count an attempt: one transaction, which is on disk when this returns."""
    with service.database.writing() as session:
        now, team = state(session, lock=False), locked(session, Team, number)
        if team is None:
            raise RefusedError(401, GONE)
        if answer := _decided(session, service, now, team, sha256, begun):
            return answer
        if now.revision != revision:
            raise _StaleError
        submission = Submission(team_id=number, at=begun, sha256=sha256, size=size)
        submission.scores.append(scored(revision, scores))
        session.add(submission)
        session.flush()
        trail.note(session, service.clock(), f"team {number}", "submitted", number, f"submission {submission.id}")
        return Answer(
            accepted=True,
            repeated=False,
            submission=shown(session, service, submission, now),
            attempts=attempts(session, service.rules, now, team),
        )


def scored(revision: int, scores: Scores) -> Scored:
    """The row of a submission's scores."""
    final, early = scores
    return Scored(
        revision=revision,
        rmse=final.rmse,
        mean=final.mean,
        ratio=final.ratio,
        shown_rmse=early.rmse,
        shown_mean=early.mean,
        shown_ratio=early.ratio,
    )


def shown(session: Session, service: Service, submission: Submission, now: State) -> Shown:
    """A submission as its team may see it at this moment."""
    seen = sight(session, service.rules, now, service.clock())
    found = None
    if seen.shows(submission):
        one = next(row for row in submission.scores if row.revision == now.revision).score(seen.opened)
        found = ShownScore(rmse=one.rmse, rmse_mean=one.mean, ratio=one.ratio)
    return Shown(
        submission=submission.id,
        at=submission.at,
        sha256=submission.sha256,
        score=found,
        hidden="" if found else seen.why,
    )


def keep(service: Service, content: bytes, sha256: str) -> None:
    """Put the content of a submission on disk, whole or not at all. It stays there through a loss of power."""
    path = service.folder.submission(sha256)
    if not path.exists():
        beside = service.folder.incoming / uuid4().hex
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
