"""The times of one schedule: within its bounds, and moved by its jitter. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import takewhile
from zoneinfo import ZoneInfo

from datamcp.scheduling.when import When

_TICK = timedelta(microseconds=1)
_SPAN = timedelta(minutes=1)  # that is looked at first for the newest times
_WIDER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a schedule fires.

    `key` is the schedule's id: two schedules with the same times are moved by different jitter.
    `jitter` is the most that a time is moved.
    """

    when: When
    zone: ZoneInfo
    anchor: datetime
    start: datetime | None = None
    end: datetime | None = None
    jitter: timedelta = timedelta()
    key: str = ""

    def after(self, instant: datetime) -> datetime | None:
        """Return the first time after an instant, in UTC; None if there is none any more."""
        if self.start is not None and instant < self.start:
            instant = self.start - _TICK
        at = self.when.after(instant, self.zone, self.anchor)
        return None if at is None or (self.end is not None and at > self.end) else at

    def times(self, first: datetime | None) -> Iterator[datetime]:
        """Yield this time and all that follow."""
        while first is not None:
            yield first
            first = self.after(first)

    def due(self, at: datetime) -> datetime:
        """Return when the task of a time is to be sent: later by its jitter, each time the same."""
        if not self.jitter:
            return at
        digest = sha256(f"{self.key}/{at.isoformat()}".encode()).digest()
        return at + self.jitter * (int.from_bytes(digest[:6]) / (1 << 48))

    def passed(self, first: datetime, now: datetime) -> Iterator[datetime]:
        """Yield the times from one on that are due, the oldest first."""
        return takewhile(lambda at: self.due(at) <= now, self.times(first))

    def newest(self, first: datetime, now: datetime, most: int) -> list[datetime]:
        """Return the newest of the times from one on that are due, in order.

        However long that is, no more than some times as many are looked at.
        """
        span = _SPAN
        while now - span > first:
            found = list(self.passed_since(now - span, now))
            if len(found) >= most:
                return found[-most:]
            span *= _WIDER
        return list(self.passed(first, now))[-most:]

    def passed_since(self, instant: datetime, now: datetime) -> Iterator[datetime]:
        """Yield the times after an instant that are due, the oldest first."""
        at = self.after(instant)
        return iter(()) if at is None else self.passed(at, now)
