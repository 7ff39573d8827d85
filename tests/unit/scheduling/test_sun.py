"""Times of the sun, beside Celery's own."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import solar

from datamcp.errors import InvalidScheduleError
from datamcp.scheduling.when import parse

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
EVENTS = sorted(solar._all_events)


def _celery_next(event: str, place: tuple[float, float], at: datetime) -> datetime:
    later = at + timedelta(minutes=5)  # so soon after an event, it may come again
    app = Celery("project", broker="memory://", set_as_current=False)
    theirs = solar(event, *place, app=app, nowfun=lambda: later)
    found: datetime = later + theirs.remaining_estimate(later)
    return found


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("place", [(52.52, 13.4), (-33.9, 151.2), (0, -78.5), (78.2, 15.6)])
def test_each_event_is_celery_s(event: str, place: tuple[float, float]) -> None:
    """For a week, to the second.

    Near the poles days leave it out; on the first that does not, libraries may disagree.
    """
    when, at = parse(f"solar {event} {place[0]} {place[1]}"), START
    for _ in range(7):
        following = when.after(at, ZONE, START)
        assert following is not None
        wanted = _celery_next(event, place, at)
        if abs(place[0]) > 70 and wanted < following - timedelta(hours=1):
            wanted = _celery_next(event, place, wanted)
        assert abs(following - wanted) < timedelta(seconds=2)
        at = following


@pytest.mark.parametrize("event", EVENTS)
def test_a_day_has_each_event_once(event: str) -> None:
    """Whenever it is asked for: what was found last does not come again a second later."""
    when = parse(f"solar {event} -33.9 151.2")
    at, times = START, []
    for _ in range(60):
        following = when.after(at, ZONE, START)
        assert following is not None
        assert following == when.after(following - timedelta(seconds=1), ZONE, START)
        times.append(following)
        at = following
    steps = [later - before for before, later in pairwise(times)]
    assert all(timedelta(hours=23) < step < timedelta(hours=25) for step in steps)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("solar sunset", "solar EVENT LATITUDE LONGITUDE"),
        ("solar sunst 1 2", "did you mean 'sunset'"),
        ("solar sunset north 2", "latitude: 'north' is no number"),
        ("solar sunset 91 2", "latitude: must be from -90 to 90"),
        ("solar sunset 1 200", "longitude: must be from -180 to 180"),
        ("solar sunset nan 2", "latitude: must be"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    """In a line."""
    with pytest.raises(InvalidScheduleError, match=message):
        parse(text)
