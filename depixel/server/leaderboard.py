"""The leaderboard: the best score of each team, as far as it may be seen, beside the reference rows."""

import csv
import io
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from depixel.server.rules import Rules
from depixel.server.scorer import Scores
from depixel.server.service import Service
from depixel.server.standing import Sight, sight
from depixel.server.storage import trail
from depixel.server.storage.database import state
from depixel.server.storage.schema import Scored, State, Submission, Team


class Row(BaseModel):
    """A row of the leaderboard. Without a score, rank, rmse, rmse_mean, ratio and at are None."""

    rank: int | None = Field(description="1 is the best. Of equal scores, the earlier one is better.")
    team: str
    kind: Literal["team", "reference"]
    rmse: float | None = Field(description="RMSE over all pixels, gray levels. This one decides.")
    rmse_mean: float | None = Field(description="Mean of the pictures' RMSEs.")
    ratio: float | None = Field(description="RMSE divided by that of the identity.")
    attempts: int | None = Field(description="Accepted submissions; None of a reference.")
    at: int | None = Field(description="When the best submission began: milliseconds since 1970 in UTC.")


class Leaderboard(BaseModel):
    """The leaderboard at a moment."""

    rows: list[Row]
    final: bool = Field(description="The results are open: the scores are those on all samples.")
    hidden: str = Field(description="Which scores are hidden, and until when; empty if none is.")


class Best(NamedTuple):
    """A team's best submission that may be seen."""

    rmse: float
    submission: int
    mean: float
    ratio: float
    at: int


def version(service: Service) -> str:
    """What differs if the leaderboard does."""
    with service.database.reading() as session:
        now = state(session)
        seen = sight(session, service.rules, now, service.clock())
        return f"{trail.last(session)}-{now.revision}-{seen.opened:d}{seen.any:d}-{seen.before or 0}"


def leaderboard(service: Service, everything: bool = False) -> Leaderboard:
    """The leaderboard as anybody may see it, or with all final scores, for the organisers."""
    references = service.references()
    with service.database.reading() as session:
        now = state(session)
        seen = sight(session, service.rules, now, service.clock())
        if everything:
            seen = Sight(opened=True, any=True, before=None, why="")
        return Leaderboard(rows=_rows(session, now, seen, references), final=seen.opened, hidden=seen.why)


def _rows(session: Session, now: State, seen: Sight, references: dict[str, Scores]) -> list[Row]:
    teams = session.scalars(select(Team).where(Team.disqualified.is_(None))).all()
    best, used = bests(session, now, seen)
    scored = sorted((best[team.id], team.shown_name, team.id) for team in teams if team.id in best)
    rows = [
        Row(
            rank=rank,
            team=name,
            kind="team",
            rmse=one.rmse,
            rmse_mean=one.mean,
            ratio=one.ratio,
            attempts=used[number],
            at=one.at,
        )
        for rank, (one, name, number) in enumerate(scored, 1)
    ]
    for name, (final, early) in references.items() if seen.any else ():
        rmse, mean, ratio = final if seen.opened else early
        rows.append(
            Row(rank=None, team=name, kind="reference", rmse=rmse, rmse_mean=mean, ratio=ratio, attempts=None, at=None)
        )
    rows.sort(key=lambda row: row.rmse or 0)  # stable: of equal scores the teams stay in their order
    others = sorted((team.shown_name, used.get(team.id, 0)) for team in teams if team.id not in best)
    rows += [
        Row(rank=None, team=name, kind="team", rmse=None, rmse_mean=None, ratio=None, attempts=count, at=None)
        for name, count in others
    ]
    return rows


def bests(session: Session, now: State, seen: Sight) -> tuple[dict[int, Best], dict[int, int]]:
    """The best submission of each team that may be seen, and the number of all its submissions."""
    best: dict[int, Best] = {}
    used: dict[int, int] = {}
    query = select(Submission, Scored).join(Scored).where(Scored.revision == now.revision)
    for submission, scores in session.execute(query):
        used[submission.team_id] = used.get(submission.team_id, 0) + 1
        if seen.shows(submission):
            one = scores.score(seen.opened)
            found = Best(one.rmse, submission.id, one.mean, one.ratio, submission.at)
            best[submission.team_id] = min(found, best.get(submission.team_id, found))
    return best, used


def as_csv(board: Leaderboard, rules: Rules) -> str:
    """The leaderboard as a table; moments in the challenge's time zone."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Row.model_fields)
    for row in board.rows:
        values = row.model_dump()
        values["at"] = rules.told(row.at) if row.at is not None else None
        writer.writerow(safe(value) for value in values.values())
    return file.getvalue()


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
