"""The rules of a challenge: one file that the organiser edits, and what they mean at a moment."""

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from depixel.base.errors import DepixelError
from depixel.base.settings import Settings

HOUR = 3_600_000
"""Milliseconds of an hour. Moments are milliseconds since 1970 in UTC: no change of a clock moves them."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

TEMPLATE = """\
# The rules of this challenge. A running server reads them when it starts.

# What the page calls the challenge.
name: Depixelation challenge

# Number of valid submissions that a team has. Invalid ones, repeated ones and failures of the server cost none.
attempts: 5

# The last moment at which an upload may begin, in the time zone below; or null for none. Example: 2026-12-24 18:00
deadline: null
time_zone: UTC

# Largest upload in megabytes.
size_limit_mb: 20

# Whether a team sees its score at once: "at once" or "hidden" until the results are opened.
scores: at once

# Number of hours before the deadline in which new scores are hidden.
blind_hours: 0

# Who opens the results when nobody can submit any more: "by itself" or "by the organiser".
results: by itself
"""


class Rules(Settings):
    """The rules as rules.yaml states them.

    Attributes:
        name: of the challenge. attempts: number of valid submissions a team has. deadline: as the file has it.
        time_zone: that in which deadlines are stated. size_limit_mb: of an upload. scores: when a team sees them.
        blind_hours: hours before the deadline in which new scores are hidden. results: who opens them.
    """

    name: str = Field("Depixelation challenge", min_length=1, max_length=100)
    attempts: int = Field(5, ge=1, le=1000)
    deadline: str | None = None
    time_zone: str = "UTC"
    size_limit_mb: int = Field(20, ge=1, le=500)
    scores: Literal["at once", "hidden"] = "at once"
    blind_hours: float = Field(0, ge=0, le=10_000)
    results: Literal["by itself", "by the organiser"] = "by itself"

    @field_validator("deadline", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """YAML makes a time of `2026-12-24 18:00:00`, and a date of `2026-12-24`."""
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("no time zone; one is called like Europe/Vienna, America/New_York or UTC") from error
        return value

    @model_validator(mode="after")
    def _deadline_is_one(self) -> "Rules":
        self.end()
        return self

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest upload."""
        return self.size_limit_mb * 1_000_000

    def end(self) -> int | None:
        """The deadline, a moment; None if there is none."""
        return self.moment(self.deadline) if self.deadline else None

    def moment(self, text: str) -> int:
        """The moment that a person names: `2026-12-24 18:00` in the challenge's time zone, or with an offset.

        A time that the clocks show twice is the first of both.

        Raises:
            ValueError: the text names no moment.
        """
        try:
            told = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"{text!r} is no time; write it like 2026-12-24 18:00") from None
        if ":" not in text:
            raise ValueError(f"{text!r} names no hour; write it like 2026-12-24 18:00")
        if told.tzinfo is None:
            told = told.replace(tzinfo=ZoneInfo(self.time_zone))
            if told.astimezone(timezone.utc).astimezone(told.tzinfo).replace(tzinfo=None) != told.replace(tzinfo=None):
                raise ValueError(f"{text!r} does not exist in {self.time_zone}: the clocks skip this hour")
        return round(told.timestamp() * 1000)

    def told(self, moment: int) -> str:
        """A moment for people, with the time zone: Thu 24 Dec 2026, 18:00 (Europe/Vienna, UTC+01:00)."""
        at = datetime.fromtimestamp(moment / 1000, ZoneInfo(self.time_zone))
        seconds = f":{at.second:02}" if at.second else ""
        offset = at.isoformat()[-6:]
        return (
            f"{_DAYS[at.weekday()]} {at.day} {_MONTHS[at.month - 1]} {at.year}, {at.hour:02}:{at.minute:02}{seconds} "
            f"({self.time_zone}, UTC{offset})"
        )


def read_rules(path: Path) -> Rules:
    """Read rules.yaml.

    Raises:
        DepixelError: the file cannot be read, or a rule is unknown or out of range; names it.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DepixelError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content or {}, dict):
        raise DepixelError(f"{path}: must hold rules, such as `attempts: 5`, but holds {content!r}")
    try:
        return Rules.model_validate(content or {})
    except ValidationError as error:
        raise DepixelError("\n".join(_explained(path, problem) for problem in error.errors())) from error


def _explained(path: Path, problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown rule {key}; the rules are {', '.join(Rules.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {message}" if key else f"{path}: deadline: {message}"
