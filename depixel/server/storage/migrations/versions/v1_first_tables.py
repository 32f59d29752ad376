"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Make the tables, and the row of the challenge itself."""
    state = op.create_table(
        "state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deadline", sa.BigInteger),
        sa.Column("extra_attempts", sa.Integer, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("opened_at", sa.BigInteger),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "teams",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("alias", sa.String(100), unique=True),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("extra_attempts", sa.Integer, nullable=False),
        sa.Column("deadline", sa.BigInteger),
        sa.Column("disqualified", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "organisers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("team_id", sa.Integer, sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("team_id", "sha256"),
        sqlite_autoincrement=True,
    )
    revisions = op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("targets", sa.String(100), nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("submission_id", sa.Integer, sa.ForeignKey("submissions.id"), primary_key=True),
        sa.Column("revision", sa.Integer, sa.ForeignKey("revisions.id"), primary_key=True),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in ("rmse", "mean", "ratio", "shown_rmse", "shown_mean", "shown_ratio")
        ),
    )
    op.create_table(
        "rejections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("team_id", sa.Integer, sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint("team_id", "sha256"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("team_id", sa.Integer, index=True),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.bulk_insert(state, [{"id": 1, "extra_attempts": 0, "revision": 1}])
    op.bulk_insert(revisions, [{"id": 1, "at": 0, "who": "", "reason": "as created", "targets": "targets.npz"}])
