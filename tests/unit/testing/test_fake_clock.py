from datetime import UTC, datetime, timedelta, timezone

import pytest

from datamcp.clock import Clock, SystemClock
from datamcp.testing import FakeClock

START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


def test_stands_still() -> None:
    """It is a clock, and nobody but the test moves it."""
    clock: Clock = FakeClock(START)
    assert clock.now() == clock.now() == START
    assert clock.monotonic() == 0


def test_begins_at_the_machine_s_instant() -> None:
    """What a program reads from the machine is not far from it."""
    before = SystemClock().now()
    clock = FakeClock()
    assert before <= clock.now() <= SystemClock().now()
    assert clock.now().tzinfo is UTC


def test_moves_by_a_duration() -> None:
    """However it is given; instants and seconds move together."""
    clock = FakeClock(START)
    assert clock.advance(timedelta(hours=1)) == START + timedelta(hours=1)
    assert clock.advance(minutes=30, seconds=0.5) == clock.now()
    assert clock.now() == START + timedelta(hours=1, minutes=30, seconds=0.5)
    assert clock.monotonic() == 5400.5


def test_moves_to_an_instant() -> None:
    """Of any time zone; it tells UTC."""
    clock = FakeClock(START)
    clock.move_to(datetime(2026, 3, 29, 4, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 3, 29, 2, tzinfo=UTC)
    assert clock.monotonic() == 5400
    assert repr(clock) == "FakeClock(2026-03-29T02:00:00+00:00)"


def test_does_not_go_back() -> None:
    """As the machine's should not, either."""
    clock = FakeClock(START)
    with pytest.raises(ValueError, match="time does not go back, got -1 day, 23:59:59"):
        clock.advance(seconds=-1)
    with pytest.raises(ValueError, match="time does not go back"):
        clock.move_to(START - timedelta(hours=1))
    assert clock.now() == START


def test_wants_a_time_zone() -> None:
    """An instant without one is nobody's."""
    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="needs a time zone, got 2026-03-29T00:30:00"):
        FakeClock(naive)
    with pytest.raises(ValueError, match="needs a time zone"):
        FakeClock(START).move_to(naive)
