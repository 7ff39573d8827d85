"""Celery's entries mean here what they mean there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import BeatLazyFunc
from celery.schedules import BaseSchedule, crontab, schedule, solar
from hypothesis import given
from hypothesis import strategies as st

from datamcp.scheduling.entries import declared_in, spec_for
from datamcp.scheduling.schedule import Source
from datamcp.scheduling.target import CallTarget
from datamcp.scheduling.when import parse, read_zone

START = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)

_minutes = st.one_of(
    st.sampled_from(["*", "*/15", "0", "5-10", "5-50/7", "1,2,50", "50-5"]), st.integers(0, 59)
)
_hours = st.one_of(st.sampled_from(["*", "*/3", "8-18", "22-2", "*/4,8-10"]), st.integers(0, 23))
_days = st.one_of(st.sampled_from(["*", "1-7", "13", "*/2", "1,15,28"]), st.integers(1, 28))
_weekdays = st.one_of(
    st.sampled_from(["*", "mon-fri", "sunday", "fri-mon", "mon,wed", "*/2"]), st.integers(0, 6)
)
_months = st.sampled_from(["*", "*/3", "1-6", "may", "1,2,3,4,5,6,7,8,9,10,11,12"])


@pytest.fixture
def app() -> Celery:
    """Return an app of a project."""
    app = Celery("project", broker="memory://", set_as_current=False)
    app.conf.timezone = "Europe/Berlin"
    return app


@given(_minutes, _hours, _days, _months, _weekdays)
def test_a_crontab_fires_on_the_same_minutes(
    minute: Any, hour: Any, day: Any, month: Any, weekday: Any
) -> None:
    """Both of its day fields have to fit, as Celery has it."""
    app = Celery("project", broker="memory://", set_as_current=False)
    times = crontab(
        minute=minute,
        hour=hour,
        day_of_month=day,
        month_of_year=month,
        day_of_week=weekday,
        app=app,
    )
    spec = spec_for(times)
    at, zone = START, read_zone(spec.timezone)
    for _ in range(5):
        following = parse(spec.schedule).after(at, zone, START)
        assert following is not None
        wanted = at + times.remaining_delta(at)[1]
        assert following == _celery_next(times, at), (spec.schedule, wanted)
        at = following


def _celery_next(times: crontab, last: datetime) -> datetime:
    """Return what Celery takes for the next time, by its own sets."""
    at = last.replace(second=0, microsecond=0)
    while True:
        at += timedelta(minutes=1)
        if (
            at.month in times.month_of_year
            and at.day in times.day_of_month
            and at.isoweekday() % 7 in times.day_of_week
        ):
            if at.hour in times.hour and at.minute in times.minute:
                return at
        else:
            at = at.replace(hour=23, minute=59)


def test_entries_are_taken_over(app: Celery) -> None:
    """With their times, the app's zone, and what they send."""
    app.conf.beat_schedule = {
        "nightly": {
            "task": "proj.report",
            "schedule": crontab(minute=30, hour=2, app=app),
            "args": (1, "two"),
            "kwargs": {"three": [3]},
            "options": {"queue": "reports", "expires": timedelta(minutes=5), "priority": 7},
        },
        "often": {"task": "proj.tick", "schedule": 30.0},
        "round": {"task": "proj.tick", "schedule": timedelta(minutes=5), "relative": True},
        "dusk": {"task": "proj.tick", "schedule": solar("sunset", 52.5, 13.4, app=app)},
    }
    found, refused = declared_in(app)
    assert not refused
    assert {one.source for one in found} == {Source.CELERY}
    specs = {one.name: (one.spec.schedule, one.spec.timezone) for one in found}
    assert specs == {
        "nightly": ("30 2 * * *", "Europe/Berlin"),
        "often": ("every 30s", "UTC"),
        "round": ("every 300s", "UTC"),
        "dusk": ("solar sunset 52.5 13.4", "UTC"),
    }
    nightly = next(one for one in found if one.name == "nightly").target
    assert nightly == CallTarget(
        task_type="proj.report",
        args=(1, "two"),
        kwargs={"three": [3]},
        options={"queue": "reports", "expires": 300.0, "priority": 7},
    )
    start = next(one.spec.start for one in found if one.name == "round")
    assert start == datetime(1970, 1, 1, tzinfo=UTC)


class Moon(BaseSchedule):
    """A kind of schedule of somebody's own."""


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"task": "proj.tick", "schedule": Moon()}, "Moon is not known here"),
        ({"schedule": 30}, "is no entry"),
        ({"task": "proj.tick"}, "is no entry"),
        ({"task": "proj.tick", "schedule": schedule(0.01)}, "must be from 0.1 seconds"),
        (
            {"task": "proj.tick", "schedule": 30, "kwargs": {"now": BeatLazyFunc(list)}},
            "can't be kept as JSON",
        ),
    ],
)
def test_what_can_t_be_taken_over_says_why(app: Celery, entry: Any, message: str) -> None:
    """And keeps no other from it."""
    app.conf.beat_schedule = {"wrong": entry, "right": {"task": "proj.tick", "schedule": 30}}
    found, refused = declared_in(app)
    assert [one.name for one in found] == ["right"]
    assert message in refused["wrong"]
