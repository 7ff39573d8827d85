"""What a schedule may say of its times."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidScheduleError
from datamcp.scheduling.when import ByCron, Every, Once, parse, read_zone, upcoming

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 30s", 30),
        ("every 90 seconds", 90),
        ("every 5m", 300),
        ("every 1h30m", 5400),
        ("Every 1h 30 min", 5400),
        ("every 2 days", 172_800),
        ("every 1w", 604_800),
        ("every 1.5h", 5400),
        ("every 0.25 s", 0.25),
        ("  every 1 s ", 1),
    ],
)
def test_intervals(text: str, seconds: float) -> None:
    """Numbers with units, one after the other."""
    found = parse(text)
    assert isinstance(found, Every)
    assert found.period == timedelta(seconds=seconds)


def test_an_interval_is_counted_from_its_anchor() -> None:
    """Whoever asks, and whenever; clocks that are changed do not matter."""
    when, anchor = parse("every 1h"), NOW - timedelta(minutes=10)
    times = list(islice(upcoming(when, zone=BERLIN, since=NOW, anchor=anchor), 20))
    assert times == [anchor + timedelta(hours=number) for number in range(1, 21)]
    assert when.after(NOW - timedelta(days=1), BERLIN, anchor) == anchor
    assert when.after(anchor, BERLIN, anchor) == anchor + timedelta(hours=1)


@given(st.integers(1, 100_000), st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_intervals_leave_nothing_out(seconds: int, later: timedelta) -> None:
    """The next time is later, by one period at most, and a whole number of them from the anchor."""
    when, period = parse(f"every {seconds}s"), timedelta(seconds=seconds)
    found = when.after(NOW + later, BERLIN, NOW)
    assert found is not None
    assert timedelta(0) < found - (NOW + later) <= period
    assert (found - NOW) % period == timedelta(0)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-29T12:00:00Z", "2026-03-29T12:00Z"),
        ("2026-03-29T12:00+05:30", "2026-03-29T06:30Z"),
        ("2026-03-29 12:00", "2026-03-29T10:00Z"),  # in Berlin
        ("2026-03-29T02:30", "2026-03-29T01:30Z"),  # there is no such time: put forward
        ("2026-10-25T02:30", "2026-10-25T00:30Z"),  # there are two: the first
        ("2026-03-29", "2026-03-28T23:00Z"),
    ],
)
def test_instants(text: str, instant: str) -> None:
    """One without an offset is a time of the schedule's zone; it comes once."""
    found = parse(text)
    assert isinstance(found, Once)
    assert list(upcoming(found, zone=BERLIN, since=NOW)) == [datetime.fromisoformat(instant)]
    assert list(upcoming(found, zone=BERLIN, since=datetime.fromisoformat(instant))) == []


@pytest.mark.parametrize("text", ["30 2 * * *", "@daily", " */5 * * * mon-fri "])
def test_cron(text: str) -> None:
    """Anything else is cron."""
    assert isinstance(parse(text), ByCron)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a cron expression, `every 30s`, an ISO 8601 instant, or `solar"),
        ("tomorrow", "'tomorrow' is not a cron expression"),
        ("every", "'every' does not say how long; such as `every 30s`"),
        ("every day", "`day` is no length of time"),
        ("every 5 lightyears", "`5 lightyears` is no length of time"),
        ("every -5s", "`-5s` is no length of time"),
        ("every 1.5.5h", "is no length of time"),
        ("every 0s", "must be from 0.1 seconds to ten years"),
        ("every 999999999w", "must be from 0.1 seconds to ten years"),
        ("2026-13-01T00:00", "'2026-13-01T00:00' is no ISO 8601 instant"),
        ("9999-12-31T00:00", "is not within the years 1970 to 9989"),
        ("0001-01-01T00:00", "is not within the years 1970 to 9989"),
        ("61 * * * *", "minute: must be from 0 to 59, got '61'"),
        ("* * * * * *", "has 6 fields"),
        ("0 0 13 * &", "day of week"),
        ("@fortnightly", "@fortnightly is none of @yearly"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    """In one line, which says what would be right."""
    with pytest.raises(InvalidScheduleError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.text == text.strip() or text in caught.value.text


def test_zones() -> None:
    """By their names; a near one is suggested."""
    assert read_zone("Europe/Berlin") == BERLIN
    for name in ("Europe/Berln", "", "../../etc/passwd", "CEST"):
        with pytest.raises(InvalidScheduleError, match="no time zone is called"):
            read_zone(name)
    with pytest.raises(InvalidScheduleError, match="did you mean 'Europe/Berlin'"):
        read_zone("Europe/Berln")
