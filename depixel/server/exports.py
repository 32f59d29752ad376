"""What organisers take with them: all submissions, as a ZIP or a table; the trail; a read-only leaderboard."""

import csv
import io
import zipfile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from sqlalchemy import select

from depixel.base.errors import DepixelError
from depixel.server.leaderboard import leaderboard, safe
from depixel.server.service import Service
from depixel.server.standing import ended, sight
from depixel.server.storage import trail
from depixel.server.storage.database import state
from depixel.server.storage.schema import Scored, Submission, Team

_SITE = Path(__file__).with_name("site")
_COLUMNS = ["submission", "team", "name", "alias", "at", "sha256", "bytes", "revision"]
_SCORES = ["rmse", "mean", "ratio", "shown_rmse", "shown_mean", "shown_ratio"]


def submissions_csv(service: Service) -> str:
    """Every submission with all its scores, also those by earlier targets; for organisers."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_COLUMNS, *_SCORES])
    query = select(Submission, Scored, Team).join(Scored).join(Team, Team.id == Submission.team_id)
    with service.database.reading() as session:
        for one, scores, team in session.execute(query.order_by(Submission.id, Scored.revision)):
            row = [one.id, team.id, team.name, team.alias, service.rules.told(one.at), one.sha256, one.size]
            row += [scores.revision, *(getattr(scores, name) for name in _SCORES)]
            writer.writerow(safe(cell) for cell in row)
    return file.getvalue()


def trail_csv(service: Service) -> str:
    """Who did what, the newest first; for organisers."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["at", "who", "action", "team", "detail"])
    with service.database.reading() as session:
        for event in trail.everything(session):
            row = [service.rules.told(event.at), event.who, event.action, event.team_id, event.detail]
            writer.writerow(safe(cell) for cell in row)
    return file.getvalue()


def write_zip(service: Service, path: Path) -> None:
    """Write a ZIP of all submissions, as team-NUMBER/submission-NUMBER.bin, with their table."""
    with service.database.reading() as session:
        submissions = session.scalars(select(Submission).order_by(Submission.id)).all()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("submissions.csv", submissions_csv(service))
        for one in submissions:
            file = service.folder.submission(one.sha256)
            if file.is_file():  # the data of its team may have been deleted meanwhile
                archive.write(file, f"team-{one.team_id}/submission-{one.id}.bin")


def read_only_copy(service: Service) -> str:
    """The final leaderboard as one HTML file that needs no server.

    Raises:
        DepixelError: somebody can still submit, or the results are not open.
    """
    with service.database.reading() as session:
        now, moment = state(session), service.clock()
        if not ended(session, service.rules, now, moment):
            raise DepixelError("teams can still submit. Close the challenge first")
        if not sight(session, service.rules, now, moment).opened:
            raise DepixelError("the results are not open. Open them first")
    site = Environment(loader=FileSystemLoader(_SITE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return site.get_template("copy.html").render(
        name=service.rules.name,
        rows=leaderboard(service).rows,
        told=service.rules.told,
        moment=moment,
        style=(_SITE / "style.css").read_text(encoding="utf-8"),
    )
