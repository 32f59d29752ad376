"""The tables of a challenge. Moments are milliseconds since 1970 in UTC; scores have three decimals."""

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from depixel.server.scorer import Score


class Base(DeclarativeBase):
    """What all tables have in common: how constraints are called, so that a migration can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class State(Base):
    """What the organisers changed of the whole challenge: one row, number 1.

    Attributes:
        deadline: instead of that of the rules. extra_attempts: beside those of the rules, for all teams.
        closed_at: nobody can submit since. opened_at: the results are open since. revision: of the targets in force.
    """

    __tablename__ = "state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    deadline: Mapped[int | None] = mapped_column(BigInteger)
    extra_attempts: Mapped[int] = mapped_column(Integer, default=0)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    opened_at: Mapped[int | None] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(Integer, default=1)


class Team(Base):
    """A team.

    Attributes:
        name: as the organisers know it. alias: as the leaderboard calls it, if it chose one.
        token_hash: SHA-256 of its token, hexadecimal. extra_attempts, deadline: what it alone was given.
        disqualified: the reason; None if it is not.
    """

    __tablename__ = "teams"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  the number of a deleted team is never given again

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    alias: Mapped[str | None] = mapped_column(String(100), unique=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    extra_attempts: Mapped[int] = mapped_column(Integer, default=0)
    deadline: Mapped[int | None] = mapped_column(BigInteger)
    disqualified: Mapped[str | None] = mapped_column(Text)

    @property
    def shown_name(self) -> str:
        """What others see."""
        return self.alias or self.name


class Organiser(Base):
    """Somebody who runs the challenge."""

    __tablename__ = "organisers"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    token_hash: Mapped[str] = mapped_column(String(64))


class Submission(Base):
    """An accepted attempt. at: when its upload began. sha256, size: of the content, unpacked."""

    __tablename__ = "submissions"
    __table_args__ = (UniqueConstraint("team_id", "sha256"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    at: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    scores: Mapped[list["Scored"]] = relationship(order_by="Scored.revision", cascade="all, delete-orphan")


class Revision(Base):
    """Targets that scores were computed with. targets: the file in the private folder."""

    __tablename__ = "revisions"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    targets: Mapped[str] = mapped_column(String(100))


class Scored(Base):
    """The scores of a submission by one revision of the targets; older ones stay."""

    __tablename__ = "scores"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(ForeignKey("revisions.id"), primary_key=True)
    rmse: Mapped[float] = mapped_column(Float)
    mean: Mapped[float] = mapped_column(Float)
    ratio: Mapped[float] = mapped_column(Float)
    shown_rmse: Mapped[float] = mapped_column(Float)
    shown_mean: Mapped[float] = mapped_column(Float)
    shown_ratio: Mapped[float] = mapped_column(Float)

    def score(self, final: bool) -> Score:
        """The score on all samples, or on those that are shown before the deadline."""
        if final:
            return Score(self.rmse, self.mean, self.ratio)
        return Score(self.shown_rmse, self.shown_mean, self.shown_ratio)


class Rejection(Base):
    """An upload that was no valid submission. sha256: of the upload as it came. reason: what its team heard."""

    __tablename__ = "rejections"
    __table_args__ = (UniqueConstraint("team_id", "sha256"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    at: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)


class Event(Base):
    """Who did what: the trail. A line is never changed; those about a team go when its data are deleted.

    Attributes:
        who: a team's number, an organiser's name, or who used the command line. team_id: whom it concerns; None: all.
        told: whether the team, or all teams, see it among their messages.
    """

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(50))
    team_id: Mapped[int | None] = mapped_column(Integer, index=True)
    detail: Mapped[str] = mapped_column(Text)
    told: Mapped[bool] = mapped_column(Boolean, default=False)
