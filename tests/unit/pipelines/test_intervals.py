"""Intervals of data that runs are for."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import PipelineError
from datamcp.pipelines.intervals import Interval, between
from datamcp.scheduling.schedule import Spec

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = Spec(schedule="@daily")


def days(since: datetime, until: datetime, spec: Spec = DAILY) -> list[tuple[str, str]]:
    """Return the intervals as the texts of their ends."""
    found = between(since, until, spec)
    return [(one.start.isoformat(), one.end.isoformat()) for one in found]


def test_of_days() -> None:
    """From midnight to midnight, the first one included."""
    assert days(NEW_YEAR, NEW_YEAR + 2 * DAY) == [
        ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"),
        ("2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"),
    ]


def test_begin_at_times_of_the_schedule_only() -> None:
    """The first one not before `since`; the last one may end after `until`."""
    since, until = NEW_YEAR + timedelta(hours=1), NEW_YEAR + timedelta(days=1, hours=1)
    assert days(since, until) == [("2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00")]


def test_of_a_zone_with_a_change_of_the_clock() -> None:
    """A day of 23 hours is one."""
    spec = Spec(schedule="@daily", timezone="Europe/Berlin")
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    (one,) = between(since, since + DAY, spec)
    assert one.end - one.start == timedelta(hours=23)


def test_of_a_length() -> None:
    """`every` counts from `since`, or from where the schedule starts."""
    (one, other) = between(NEW_YEAR, NEW_YEAR + DAY, Spec(schedule="every 12h"))
    assert (one.start, one.end, other.start) == (
        NEW_YEAR,
        NEW_YEAR + DAY / 2,
        NEW_YEAR + DAY / 2,
    )


def test_none_is_an_error() -> None:
    """It says of what."""
    with pytest.raises(PipelineError, match=r"'@daily' has no time between 2026"):
        between(NEW_YEAR + DAY / 2, NEW_YEAR + DAY * 2 / 3, DAILY)
    with pytest.raises(PipelineError, match="has no time between"):
        between(NEW_YEAR, NEW_YEAR - DAY, DAILY)


def test_too_many_are_an_error() -> None:
    """Before they are all there."""
    with pytest.raises(PipelineError, match="more than 10,000 intervals"):
        between(NEW_YEAR, NEW_YEAR + 300 * 365 * DAY, Spec(schedule="every 1s"))


@given(
    st.integers(0, 10**7),
    st.integers(1, 10**6),
    st.sampled_from(["@daily", "@hourly", "0 */6 * * 1-5", "every 7h", "@weekly"]),
)
def test_leave_no_gap(start: int, length: int, schedule: str) -> None:
    """Each begins where the one before ends, and all begin in the range."""
    since = NEW_YEAR + timedelta(seconds=start)
    until = since + timedelta(seconds=length)
    try:
        found = between(since, until, Spec(schedule=schedule))
    except PipelineError:
        return
    assert all(one.end == other.start for one, other in pairwise(found))
    assert all(since <= one.start < until and one.start < one.end for one in found)
    assert found[-1].end >= until


def test_runs_are_told_apart_by_all_that_they_are_for() -> None:
    """And by nothing else, such as the zone in which an instant is written."""
    one = Interval(NEW_YEAR, NEW_YEAR + DAY)
    same = Interval(NEW_YEAR, NEW_YEAR + DAY)
    ids = {
        one.run_id("p", {"x": 1}),
        one.run_id("p", {"x": 2}),
        one.run_id("q", {"x": 1}),
        Interval(NEW_YEAR, NEW_YEAR + 2 * DAY).run_id("p", {"x": 1}),
    }
    assert len(ids) == 4
    assert same.run_id("p", {"x": 1}) in ids
    assert one.run_id("p", {"a": 1, "b": 2}) == one.run_id("p", {"b": 2, "a": 1})
    east = timezone(timedelta(hours=5))
    moved = Interval(one.start.astimezone(east), one.end.astimezone(east))
    assert moved.run_id("p", {"x": 1}) in ids
