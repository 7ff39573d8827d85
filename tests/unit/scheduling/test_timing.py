"""The times of a schedule within its bounds; the newest are found without counting all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.scheduling.timing import Timing
from datamcp.scheduling.when import parse

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
TEXTS = ["every 1s", "every 13m", "every 3d", "*/7 * * * *", "30 2 * * *", "0 0 1 * *"]


def timing(text: str, **fields: object) -> Timing:
    """Return the times of an expression in Berlin."""
    return Timing(when=parse(text), zone=ZoneInfo("Europe/Berlin"), anchor=START, **fields)  # type: ignore[arg-type]


@given(
    text=st.sampled_from(TEXTS),
    later=st.timedeltas(timedelta(0), timedelta(hours=3)),
    most=st.integers(1, 50),
    jitter=st.sampled_from([0, 40]),
)
def test_the_newest_are_the_last_of_all(
    text: str, later: timedelta, most: int, jitter: int
) -> None:
    """As if all had been counted."""
    times = timing(text, jitter=timedelta(seconds=jitter), key="one")
    first = times.after(START)
    assert first is not None
    now = first + later
    assert times.newest(first, now, most) == list(times.passed(first, now))[-most:]


def test_years_of_seconds_are_not_counted() -> None:
    """Nor are those of minutes."""
    for text in ("every 1s", "* * * * *"):
        times = timing(text)
        first = times.after(START)
        assert first is not None
        newest = times.newest(first, START + timedelta(days=3650), 3)
        assert len(newest) == 3


@pytest.mark.parametrize("text", TEXTS)
def test_the_bounds_hold(text: str) -> None:
    """What is at a bound is within it."""
    free = timing(text)
    first = free.after(START)
    assert first is not None
    second = free.after(first)
    assert second is not None
    third = free.after(second)
    bound = timing(text, start=second, end=third)
    assert list(bound.times(bound.after(START))) == [second, third]
