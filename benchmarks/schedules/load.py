"""The schedules that each side has. Pure.

Each fires once a day, at a time on the clock of UTC: that is what all sides can say. Some fire at
the same instant, the others hours later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_MINUTE = timedelta(minutes=1)
_SOONEST = timedelta(hours=2)  # after the instant: the first of the others
_SPAN = timedelta(hours=20)  # over which they are spread


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule; it fires at the same time of each day."""

    name: str
    hour: int
    minute: int

    @property
    def cron(self) -> str:
        """Return it as a cron expression."""
        return f"{self.minute} {self.hour} * * *"


@dataclass(frozen=True, slots=True)
class Load:
    """So many schedules; `due` of them fire at the instant `due_at`, a full minute in UTC."""

    count: int
    due: int
    due_at: datetime

    def __post_init__(self) -> None:
        """Refuse what can't be kept."""
        if not 0 < self.due <= self.count:
            raise ValueError(f"{self.due} of {self.count} schedules can't be due")
        if self.due_at.second or self.due_at.microsecond:
            raise ValueError(f"{self.due_at} is no full minute")

    @property
    def entries(self) -> Sequence[Entry]:
        """Return the schedules; those that are due together come first."""
        others = self.count - self.due
        instants = [self.due_at] * self.due
        instants += [self.due_at + _SOONEST + _SPAN * number / others for number in range(others)]
        return [
            Entry(f"schedule-{number:05}", at.hour, at.minute) for number, at in enumerate(instants)
        ]


def next_minute(now: datetime, lead: timedelta) -> datetime:
    """Return the first full minute that is at least so long after an instant."""
    earliest = now + lead
    minute = earliest.replace(second=0, microsecond=0)
    return minute if minute == earliest else minute + _MINUTE


def lead_of(count: int, idle: float) -> timedelta:
    """Return how long it takes to keep so many schedules, to start a beat, and to see it idle."""
    return timedelta(seconds=20 + count / 200 + idle)
