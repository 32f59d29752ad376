"""New scores after corrected targets: all at once, beside the old ones, which stay."""

import shutil
from pathlib import Path

from sqlalchemy import func, select

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.server.service import Service
from depixel.server.storage import trail
from depixel.server.storage.database import state
from depixel.server.storage.schema import Revision, Submission
from depixel.server.submissions import scored


def rescore(service: Service, who: str, targets: Path, reason: str) -> tuple[int, int]:
    """Score every submission by other targets of the same test set. A running server takes them at once.

    Args:
        who: acts, a name for the trail.
        targets: a targets.npz, or the folder that holds it.
        reason: what was wrong; the teams are told.

    Returns:
        The number of this revision of the targets, and how many submissions were scored.

    Raises:
        DepixelError: there is no reason, the targets do not fit the test set, or a submission's file is missing.
    """
    if not reason.strip():
        raise DepixelError("name the reason: the teams are told")
    source = targets / "targets.npz" if targets.is_dir() else targets
    scorer = service.scorer_of(source)
    with service.database.writing() as session:
        now = state(session, lock=True)
        number = (session.scalar(select(func.max(Revision.id))) or 0) + 1
        kept = service.folder.private / f"targets-{number}.npz"
        with replacing(kept) as beside:
            shutil.copyfile(source, beside)
            beside.chmod(0o600)
        session.add(Revision(id=number, at=service.clock(), who=who, reason=reason, targets=kept.name))
        session.flush()
        submissions = session.scalars(select(Submission)).all()
        for submission in submissions:
            path = service.folder.submission(submission.sha256)
            if not path.is_file():
                raise DepixelError(f"{path}: the file of submission {submission.id} is missing; restore a backup")
            submission.scores.append(scored(number, scorer.score(path.read_bytes())))
        now.revision = number
        told = f"All submissions have new scores. {reason}"
        trail.note(session, service.clock(), who, "rescored", None, told, told=True)
        return number, len(submissions)
