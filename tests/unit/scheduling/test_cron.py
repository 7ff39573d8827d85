"""When cron expressions fire, in any zone: held against the words, and against others' code.

Since 1973 all offsets are whole minutes.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from datamcp.scheduling.cron import NICKNAMES, Cron

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ZONES = sorted(available_timezones())
FIRST, LAST = datetime(1973, 1, 1, tzinfo=UTC), datetime(2037, 1, 1, tzinfo=UTC)


def fired(text: str, zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    """Yield the firings of an expression after an instant."""
    cron, at = Cron.parse(text), Cron.parse(text).after(since, zone)
    while at is not None:
        yield at
        at = cron.after(at, zone)


def local(text: str, zone: str, since: str, count: int) -> list[str]:
    """Return the first firings of an expression as the clocks of a zone show them."""
    found = ZoneInfo(zone)
    start = datetime.fromisoformat(since).replace(tzinfo=found)
    return [
        f"{at.astimezone(found):%m-%d %H:%M %z}" for at in islice(fired(text, found, start), count)
    ]


def fits(cron: Cron, wall: datetime) -> bool:
    """Tell whether a clock time fits an expression, by its words alone."""
    of_month, of_week = wall.day in cron.days, wall.isoweekday() % 7 in cron.weekdays
    day = of_month or of_week if cron.either_day else of_month and of_week
    return (
        day
        and wall.minute in cron.minutes
        and wall.hour in cron.hours
        and wall.month in cron.months
    )


def expected(cron: Cron, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Return all firings after `start` and before `end`, by looking at every minute."""
    if cron.by_elapsed_time:
        first = start.replace(second=0, microsecond=0)
        every = [first + number * MINUTE for number in range(1, 1 + int((end - start) / MINUTE))]
        return [at for at in every if at < end and fits(cron, at.astimezone(zone))]
    first = start.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0) - 2 * DAY
    walls = [first + number * MINUTE for number in range(int((end - start) / MINUTE) + 4 * 1440)]
    found = {wall.replace(tzinfo=zone).astimezone(UTC) for wall in walls if fits(cron, wall)}
    return sorted(at for at in found if start < at < end)


def field(least: int, most: int) -> st.SearchStrategy[str]:
    """Return what may stand in a field."""
    number = st.integers(least, most)
    ranges = (
        st.tuples(number, number)
        .filter(lambda pair: pair[0] < pair[1])
        .map(lambda pair: f"{pair[0]}-{pair[1]}")
    )
    stepped = st.tuples(st.one_of(st.just("*"), ranges), st.integers(1, most)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    parts = st.one_of(number.map(str), ranges, stepped)
    return st.one_of(st.just("*"), parts, st.lists(parts, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(
    " ".join
)
OFTEN = st.tuples(field(0, 59), field(0, 23)).map(lambda pair: f"{pair[0]} {pair[1]} * * *")


@st.composite
def around_changes(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """Return a zone, and an instant up to a day and a half before its clocks are changed."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    at = draw(
        st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC))
    )
    for _ in range(400):  # days
        if (at + DAY).astimezone(zone).utcoffset() != at.astimezone(zone).utcoffset():
            break
        at += DAY
    return zone, at - draw(st.timedeltas(timedelta(0), DAY / 2))


@given(OFTEN, around_changes())
def test_every_minute_around_a_change_is_right(
    text: str, change: tuple[ZoneInfo, datetime]
) -> None:
    """In each zone that there is, whatever its clocks do."""
    (zone, start), cron = change, Cron.parse(text)
    end = start + 2 * DAY
    found = [*iter_until(fired(text, zone, start), end)]
    assert found == expected(cron, zone, start, end)


def iter_until(times: Iterator[datetime], end: datetime) -> Iterator[datetime]:
    """Yield times that come before an end."""
    for at in times:
        if at >= end:
            return
        yield at


@given(
    EXPRESSIONS,
    st.sampled_from(ZONES),
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)),
)
def test_firings_go_forward(text: str, name: str, since: datetime) -> None:
    """Each is later than the one before, and a whole minute of some clock."""
    times = [since, *islice(fired(text, ZoneInfo(name), since), 20)]
    assert times == sorted(set(times))


@settings(max_examples=300)
@given(
    EXPRESSIONS,
    st.sampled_from(ZONES),
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), 90 * DAY),
)
def test_where_one_begins_does_not_matter(
    text: str, name: str, since: datetime, later: timedelta
) -> None:
    """The next firing after any instant is the same, however one has come there."""
    zone, cron = ZoneInfo(name), Cron.parse(text)
    first = cron.after(since, zone)
    assert first is not None
    between = since + min(later, first - since - timedelta(microseconds=1))
    assert cron.after(max(since, between), zone) == first


@pytest.mark.parametrize("seed", range(4))
def test_another_implementation_agrees(seed: int) -> None:
    """On thousands of expressions; but for fixed hours that are left out, which it puts elsewhere."""
    random = Random(seed)
    zones = ["UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu"]
    for _ in range(1000):
        zone = ZoneInfo(random.choice(zones))
        text = " ".join(
            _random_field(random, *ends) for ends in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
        )
        since = datetime(2026, 1, 1, tzinfo=UTC) + random.randrange(600_000) * MINUTE
        theirs = CronSim(text, since.astimezone(zone))
        for ours in islice(fired(text, zone, since), 12):
            if not Cron.parse(text).by_elapsed_time and is_put_forward(ours, zone):
                break
            assert ours == next(theirs).astimezone(UTC), (text, zone, since)


def is_put_forward(at: datetime, zone: ZoneInfo) -> bool:
    """Tell whether clocks are put forward within a day of an instant."""
    before, after = ((at + days * DAY).astimezone(zone).utcoffset() for days in (-1, 1))
    return before is not None and after is not None and before < after


def _random_field(random: Random, least: int, most: int) -> str:
    low = random.randint(least, most - 1)
    some = f"{low}-{random.randint(low + 1, most)}"
    several = ",".join(str(random.randint(least, most)) for _ in range(3))
    step = random.randint(1, most)
    return random.choice(
        ["*", "*", f"*/{step}", str(low), some, f"{some}/{random.randint(1, 5)}", several]
    )


@pytest.mark.parametrize(
    ("text", "zone", "since", "times"),
    [
        # Spring: 02:00 is followed by 03:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:30 +0200", "03-30 02:30 +0200"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00 +0200", "03-29 03:30 +0200", "03-30 02:00 +0200"]),
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:30 +0200", "03-30 02:30 +0200"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-29T01:00", ["03-29 01:30 +0100", "03-29 03:30 +0200"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-03-29T00:30", ["03-29 04:00 +0200", "03-29 06:00 +0200"]),
        # Autumn: 03:00 is followed by 02:00.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:45", ["10-25 02:00 +0200", "10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"]),
        ("0 2 * * *", "America/New_York", "2026-11-01T00:00", ["11-01 02:00 -0500", "11-02 02:00 -0500"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00", ["11-01 01:30 -0400", "11-02 01:30 -0500"]),
        # Half an hour.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-04 02:45 +1100", "10-05 02:15 +1100"]),
        ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:20", ["04-05 01:30 +1100", "04-05 01:45 +1100", "04-05 01:30 +1030", "04-05 01:45 +1030"]),
        # At midnight: a day that begins at 01:00.
        ("@daily", "America/Havana", "2026-03-07T12:00", ["03-08 01:00 -0400", "03-09 00:00 -0400"]),
        # A day that is left out, the 30th of December 2011.
        ("0 12 * * *", "Pacific/Apia", "2011-12-28T13:00", ["12-29 12:00 -1000", "12-31 12:00 +1400", "01-01 12:00 +1400"]),
        ("0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00", ["01-02 00:00 +0545"]),
        ("0 0 1 * *", "Africa/Casablanca", "2026-02-15T00:00", ["03-01 00:00 +0000", "04-01 00:00 +0100"]),
    ],
)  # fmt: skip
def test_where_clocks_are_changed(text: str, zone: str, since: str, times: list[str]) -> None:
    """Fixed hours fire once for each day, others as time passes."""
    assert local(text, zone, since, len(times)) == times


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29"]),
        ("0 0 13 * 5", ["2026-01-02", "2026-01-09", "2026-01-13"]),  # either
        ("0 0 13 * &5", ["2026-02-13", "2026-03-13", "2026-11-13"]),  # both: it is asked for
        ("0 0 */13 * 5", ["2026-02-27", "2026-03-27"]),  # both: it begins with a star
        ("0 0 13 * */5", ["2026-02-13", "2026-03-13"]),
        ("0 0 * * 7", ["2026-01-04", "2026-01-11"]),
        ("0 0 * * SUN", ["2026-01-04", "2026-01-11"]),
        ("0 0 * * 5-7", ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-09"]),
        ("0 0 1 jan,JUL *", ["2026-07-01", "2027-01-01"]),
        ("0 0 28/2 * *", ["2026-01-28", "2026-01-30", "2026-02-28"]),
        ("0 0 31 * *", ["2026-01-31", "2026-03-31", "2026-05-31"]),
        ("0 0 29 2 */7", ["2032-02-29", "2060-02-29"]),  # a Sunday
        ("@yearly", ["2027-01-01"]),
        ("@Monthly", ["2026-02-01"]),
        ("@weekly", ["2026-01-04"]),
    ],
)
def test_days(text: str, times: list[str]) -> None:
    """Names, steps, leap years, and the two fields of days, as in Vixie's cron."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    found = [f"{at:%Y-%m-%d}" for at in islice(fired(text, UTC_ZONE, since), len(times))]
    assert found == times


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' has 0 fields; cron has five"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "minute: must be from 0 to 59, got '60'"),
        ("* 24 * * *", "hour: must be from 0 to 23, got '24'"),
        ("* * 0 * *", "day of month: must be from 1 to 31, got '0'"),
        ("* * * 13 *", "month: must be from 1 to 12, got '13'"),
        ("* * * * 8", "day of week: must be from 0 to 7, got '8'"),
        ("* * * foo *", "month: a number or one of jan, feb"),
        ("* * * * ,", "day of week: a number or one of sun"),
        ("*/0 * * * *", "minute: a step must be at least 1"),
        ("*/x * * * *", "minute: a step should stand where 'x' does"),
        ("5-1 * * * *", "minute: '5-1' goes backwards; write 5-59,0-1"),
        ("* 22-2 * * *", "hour: '22-2' goes backwards; write 22-23,0-2"),
        ("* * * * fri-mon", "day of week: 'fri-mon' goes backwards; write fri-6,0-mon"),
        ("1--2 * * * *", "minute: a number should stand where '-2' does"),
        ("-1 * * * *", "minute: a number should stand where '' does"),
        ("\u0661 * * * *", "minute: a number should stand where"),
        ("1e3 * * * *", "minute: a number should stand where"),
        ("0 0 30 2 *", "names a day that none of its months has"),
        ("0 0 31 4,6,9,11 *", "names a day that none of its months has"),
        ("@reboot", "@reboot is none of @yearly"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    """Which field, and by which value."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Cron.parse(text)


def test_nicknames_stand_for_what_they_say() -> None:
    """Each of them can be read."""
    for nickname, text in NICKNAMES.items():
        assert Cron.parse(nickname).minutes == Cron.parse(text).minutes


def test_time_ends() -> None:
    """What can't be told any more is none, not an error."""
    assert Cron.parse("0 0 1 1 *").after(datetime(9989, 6, 1, tzinfo=UTC), BERLIN) is None
    assert Cron.parse("* * * * *").after(datetime(9989, 6, 1, tzinfo=UTC), BERLIN) is not None
