"""Cron expressions of five fields, in any time zone, right where clocks change. Pure.

    minute hour day-of-month month day-of-week

A field is `*`, a number, a range (`1-5`), a list (`1,3,5`), each with a step if wanted (`*/15`,
`8-18/2`); months and days of the week also have names (`jan`, `mon`), and 7 is Sunday, as 0 is.
`@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and `@yearly` (`@annually`) stand for what
they say. As in Vixie's cron, a day has to fit both of its fields where one of them begins with `*`,
and either of them where none does; `&` before the last field asks for both (`0 0 13 * &fri`).

Where clocks are put forward or back, the hour field decides. If it begins with `*`, time that passes
is what counts: the hour that comes twice has its firings twice, the hour that is left out has none.
Else a firing belongs to the local day: it happens once, the first time its clock time comes, and
later by what was left out if it does not come at all (02:30 is then 03:30).
"""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import takewhile
from operator import ge
from zoneinfo import ZoneInfo

_LAST_YEAR = 9990
_YEARS = 60  # in which each expression that can ever fire does so; 29 February on a Sunday: 40
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Field:
    """What may stand in a field; names stand for the numbers from the least on."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field(
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    _Field("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was read. `text` is what it was read from."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool
    """Whether a day has to fit one of its two fields only."""
    by_elapsed_time: bool
    """Whether an hour that comes twice has its firings twice."""

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read an expression; raises ValueError, which says what is wrong with which field."""
        words = NICKNAMES.get(text.strip().lower(), text).split()
        if len(words) == 1 and words[0].startswith("@"):
            raise ValueError(f"{words[0]} is none of {', '.join(NICKNAMES)}")
        if len(words) != len(_FIELDS):
            raise ValueError(
                f"{text!r} has {len(words)} fields; cron has five: "
                "minute, hour, day of month, month, day of week"
            )
        both_days = words[4].startswith("&")
        words[4] = words[4].removeprefix("&")
        minutes, hours, days, months, weekdays = (
            _numbers(word, field) for word, field in zip(words, _FIELDS, strict=True)
        )
        cron = cls(
            text=text,
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=frozenset(days),
            months=frozenset(months),
            weekdays=frozenset(number % 7 for number in weekdays),
            either_day=not (both_days or words[2].startswith("*") or words[4].startswith("*")),
            by_elapsed_time=words[1].startswith("*"),
        )
        if not cron.either_day and not any(
            day <= monthrange(2000, month)[1] for month in months for day in days
        ):
            raise ValueError(f"{text!r} names a day that none of its months has")
        return cron

    def after(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first firing after an instant, in UTC; None if there is none any more."""
        instant = instant.astimezone(UTC)
        if self.by_elapsed_time:
            return self._elapsed(instant, zone)
        return self._local(instant, zone)

    def _elapsed(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """Go through the stretches of time in which the zone's offset stays the same."""
        strictly = True
        while True:
            offset = _offset(instant, zone)
            wall = self._wall(_naive(instant) + offset, strictly=strictly)
            if wall is None:
                return None
            found = (wall - offset).replace(tzinfo=UTC)
            if _offset(found, zone) == offset:
                first = _resolve(wall, zone)  # earlier, if the offset was another one in between
                return first if instant < first < found else found
            instant, strictly = _change(instant, found, zone), False

    def _local(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """Go by the clock on the wall."""
        local = _naive(instant.astimezone(zone))
        wall = self._wall(local, strictly=True)
        if wall is None:
            return None
        found = _resolve(wall, zone)
        spread = max(_spread(instant, zone), _spread(found, zone))
        if not spread:
            return found
        # Near a change, what comes later on the clock may come earlier in time, and vice versa.
        near = takewhile(partial(ge, wall + spread), self._walls(local - spread))
        return min(each for each in (_resolve(one, zone) for one in near) if each > instant)

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        """Yield all clock times after this one that fit."""
        found = self._wall(wall, strictly=True)
        while found is not None:
            yield found
            found = self._wall(found, strictly=True)

    def _wall(self, wall: datetime, *, strictly: bool) -> datetime | None:
        """Return the first clock time after this one, or at it, that fits."""
        minute = wall.replace(second=0, microsecond=0)
        if strictly or minute != wall:
            minute += _MINUTE
        if self._fits(minute.date()):
            found = self._time_from(minute.time())
            if found is not None:
                return datetime.combine(minute.date(), found)
        day = self._day_after(minute.date())
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[0], self.minutes[0]))

    def _time_from(self, at: time) -> time | None:
        """Return the first clock time of a day, from one on, that fits."""
        if at.hour in self.hours:
            number = bisect_right(self.minutes, at.minute - 1)
            if number < len(self.minutes):
                return time(at.hour, self.minutes[number])
        number = bisect_right(self.hours, at.hour)
        if number == len(self.hours):
            return None
        return time(self.hours[number], self.minutes[0])

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week

    def _day_after(self, day: date) -> date | None:
        year, month, number = day.year, day.month, day.day + 1
        while year < min(_LAST_YEAR, day.year + _YEARS):
            if month in self.months:
                for each in range(number, monthrange(year, month)[1] + 1):
                    if self._fits(date(year, month, each)):
                        return date(year, month, each)
            month, number = month + 1, 1
            if month > 12:
                year, month = year + 1, 1
        return None


def _numbers(word: str, field: _Field) -> set[int]:
    """Return the numbers that a field names."""
    found: set[int] = set()
    for part in word.lower().split(","):
        body, slash, step_text = part.partition("/")
        step = _number(step_text, field, "step") if slash else 1
        if step < 1:
            raise ValueError(f"{field.name}: a step must be at least 1, got {part!r}")
        if body == "*":
            least, most = field.least, _most(field)
        else:
            first, dash, last = body.partition("-")
            least = _value(first, field)
            most = _value(last, field) if dash else (field.most if slash else least)
            if dash and most < least:
                raise ValueError(
                    f"{field.name}: {body!r} goes backwards; write "
                    f"{first}-{_most(field)},{field.least}-{last}"
                )
        found.update(range(least, most + 1, step))
    return found


def _value(word: str, field: _Field) -> int:
    if word in field.names:
        return field.least + field.names.index(word)
    number = _number(word, field, "number")
    if not field.least <= number <= field.most:
        raise ValueError(f"{field.name}: must be from {field.least} to {field.most}, got {word!r}")
    return number


def _number(word: str, field: _Field, what: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 5):
        names = f" or one of {', '.join(field.names)}" if field.names and what == "number" else ""
        raise ValueError(f"{field.name}: a {what}{names} should stand where {word!r} does")
    return int(word)


def _most(field: _Field) -> int:
    """Return the last number of a field that no other stands for."""
    return field.least + len(field.names) - 1 if field.names else field.most


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return by how much a zone's clocks are ahead at an instant."""
    return instant.astimezone(zone).utcoffset() or timedelta()


def _resolve(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a clock time: the first one, or what it is put forward to."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _spread(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return by how much a zone's clocks are changed within a day and a half of an instant."""
    return _spread_on(instant.date(), zone)


@lru_cache(maxsize=4096)
def _spread_on(day: date, zone: ZoneInfo) -> timedelta:
    start = datetime.combine(day, time(), UTC)
    offsets = {_offset(start + part * _DAY / 4, zone) for part in range(-6, 11)}
    return max(offsets) - min(offsets)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return an instant between two at which the zone's offset changes, to a second."""
    offset = _offset(before, zone)
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle <= before:
            break
        if _offset(middle, zone) == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
