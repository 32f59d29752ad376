"""The trail: who did what, in the order in which it happened. Every change of a challenge leaves a line."""

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from depixel.server.storage.schema import Event


def note(
    session: Session, at: int, who: str, action: str, team: int | None, detail: str = "", told: bool = False
) -> None:
    """Add a line, see `Event`."""
    session.add(Event(at=at, who=who, action=action, team_id=team, detail=detail, told=told))


def last(session: Session) -> int:
    """The number of the last line; 0 if there is none. It grows with every change."""
    return session.scalar(select(func.max(Event.id))) or 0


def messages(session: Session, team: int) -> list[Event]:
    """What a team is told, the newest first."""
    mine = or_(Event.team_id == team, Event.team_id.is_(None))
    return list(session.scalars(select(Event).where(Event.told, mine).order_by(Event.id.desc())))


def everything(session: Session) -> list[Event]:
    """All lines, the newest first."""
    return list(session.scalars(select(Event).order_by(Event.id.desc())))
