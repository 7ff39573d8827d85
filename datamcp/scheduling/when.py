"""What a schedule may say of its times: cron, an interval, or one instant. Pure.

`parse` reads what users write. Whatever it is, `after` is all that others ask it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, available_timezones

from datamcp.errors import InvalidScheduleError
from datamcp.naming import did_you_mean
from datamcp.scheduling.cron import Cron
from datamcp.scheduling.sun import BySun

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86_400, "day": 86_400, "days": 86_400,
    "w": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]+)\s*")
_SHORTEST, _LONGEST = timedelta(seconds=0.1), timedelta(days=3650)
_YEARS = range(1970, 9990)
_FORMS = "a cron expression, `every 30s`, an ISO 8601 instant, or `solar sunset LAT LON`"


class When(Protocol):
    """The times of a schedule; `text` is how they were written."""

    @property
    def text(self) -> str:
        """Return what was read."""
        ...

    def after(self, instant: datetime, zone: ZoneInfo, anchor: datetime) -> datetime | None:
        """Return the first time after an instant, in UTC; None if there is none any more.

        `zone` is whose clocks count, `anchor` the instant from which intervals are counted.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByCron:
    """Times on the clock of a zone."""

    cron: Cron

    @property
    def text(self) -> str:
        """Return the expression."""
        return self.cron.text

    def after(self, instant: datetime, zone: ZoneInfo, anchor: datetime) -> datetime | None:  # noqa: ARG002  it needs none
        """Return the first time after an instant."""
        return self.cron.after(instant, zone)


@dataclass(frozen=True, slots=True)
class Every:
    """One time after the other, as long apart, whatever clocks do."""

    text: str
    period: timedelta

    def after(self, instant: datetime, zone: ZoneInfo, anchor: datetime) -> datetime | None:  # noqa: ARG002  no clock counts
        """Return the first time after an instant; the anchor is the first of all."""
        if instant < anchor:
            return anchor.astimezone(UTC)
        passed = (instant - anchor) // self.period
        try:
            return (anchor + (passed + 1) * self.period).astimezone(UTC)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Once:
    """One instant. Without an offset it is a time on the clock of the zone."""

    text: str
    at: datetime

    def after(self, instant: datetime, zone: ZoneInfo, anchor: datetime) -> datetime | None:  # noqa: ARG002  it is the only one
        """Return it, if it is still to come."""
        at = self.at if self.at.tzinfo else self.at.replace(tzinfo=zone)
        at = at.astimezone(UTC)
        return at if at > instant else None


@lru_cache(maxsize=4096)
def parse(text: str) -> When:
    """Read the times of a schedule; raises InvalidScheduleError."""
    words = text.strip()
    if words.lower().startswith("every"):
        return Every(words, _period(words))
    if words.lower().startswith("solar"):
        return BySun.parse(words)
    if len(words) > 9 and words[:4].isdigit() and words[4] == "-":
        return Once(words, _instant(words))
    try:
        return ByCron(Cron.parse(words))
    except ValueError as error:
        is_cron = words.startswith("@") or len(words.split()) > 3
        reason = str(error) if is_cron else f"{text!r} is not {_FORMS}"
        raise InvalidScheduleError(text, reason) from None


def read_zone(name: str) -> ZoneInfo:
    """Return an IANA time zone, such as `Europe/Berlin`; raises InvalidScheduleError."""
    if name in _zones():
        return ZoneInfo(name)
    raise InvalidScheduleError(
        name, f"no time zone is called {name!r}{did_you_mean(name, _zones())}"
    )


def upcoming(
    when: When, *, zone: ZoneInfo, since: datetime, anchor: datetime | None = None
) -> Iterator[datetime]:
    """Yield the times after an instant, in UTC; intervals are counted from the anchor, or from it.

    Raises InvalidScheduleError for an instant that is not within the years 1970 to 9989.
    """
    _require_year(since, str(since))
    at = when.after(since, zone, anchor or since)
    while at is not None:
        yield at
        at = when.after(at, zone, anchor or since)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _period(words: str) -> timedelta:
    rest, period = words[len("every") :].strip().lower(), timedelta()
    if not rest:
        raise InvalidScheduleError(words, f"{words!r} does not say how long; such as `every 30s`")
    while rest:
        part = _PART.match(rest)
        if part is None or part[2] not in _UNITS:
            raise InvalidScheduleError(
                words,
                f"{words!r}: `{rest}` is no length of time; such as `every 30s`, `every 1h 30m`",
            )
        seconds = min(float(part[1]) * _UNITS[part[2]], 2 * _LONGEST.total_seconds())
        period += timedelta(seconds=seconds)
        rest = rest[part.end() :]
    if not _SHORTEST <= period <= _LONGEST:
        raise InvalidScheduleError(words, f"{words!r} must be from 0.1 seconds to ten years")
    return period


def _instant(words: str) -> datetime:
    try:
        instant = datetime.fromisoformat(words)
    except ValueError as error:
        raise InvalidScheduleError(words, f"{words!r} is no ISO 8601 instant: {error}") from None
    _require_year(instant, words)
    return instant


def _require_year(instant: datetime, words: str) -> None:
    """Refuse what calendars and zones do not reach."""
    if instant.year not in _YEARS:
        raise InvalidScheduleError(words, f"{words!r} is not within the years 1970 to 9989")
