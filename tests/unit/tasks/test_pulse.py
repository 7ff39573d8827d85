from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from datamcp.errors import BackendUnavailable
from datamcp.tasks.pulse import PAUSE, Pulse
from datamcp.telemetry import Telemetry
from datamcp.testing import FakeClock


@dataclass
class Desk:
    """A ledger that notes what is written, a clock, and what is to be done later."""

    clock: FakeClock = field(default_factory=FakeClock)
    written: list[tuple[float | None, str | None]] = field(default_factory=list)
    later: list[Callable[[], None]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    wants_cancel: bool = False

    def write(self, progress: float | None, details: str | None) -> bool:
        """Write a heartbeat, or fail."""
        if self.failures:
            raise self.failures.pop()
        self.written.append((progress, details))
        return self.wants_cancel

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Note what is to be done later."""
        assert 0 < seconds <= PAUSE
        self.later.append(act)

    def pass_by(self) -> None:
        """Let the time come of all that is to be done later."""
        self.clock.advance(seconds=PAUSE)
        due, self.later = self.later, []
        for act in due:
            act()


@pytest.fixture
def desk() -> Desk:
    """Return a desk."""
    return Desk()


@pytest.fixture
def pulse(desk: Desk) -> Pulse:
    """Return the heartbeats of an attempt that the desk notes."""
    return Pulse(desk.write, clock=desk.clock, later=desk, telemetry=Telemetry())


def test_the_first_is_written_at_once(desk: Desk, pulse: Pulse) -> None:
    """Nobody waits for a sign of life."""
    pulse.beat(0.1, None)
    assert desk.written == [(0.1, None)]


def test_a_loop_costs_a_write_in_a_while(desk: Desk, pulse: Pulse) -> None:
    """However often it beats: of what came since, the last counts."""
    for number in range(1000):
        pulse.beat(number / 1000, str(number))
    assert desk.written == [(0.0, "0")]
    assert len(desk.later) == 1
    desk.pass_by()
    assert desk.written == [(0.0, "0"), (0.999, "999")]
    pulse.beat(1, None)
    desk.pass_by()
    assert desk.written[2:] == [(1, "999")]


def test_who_beats_in_time_spares_the_other_thread_its_write(desk: Desk, pulse: Pulse) -> None:
    """A beat that comes when the time is up is written at once, and only once."""
    pulse.beat(0.1, None)
    pulse.beat(0.2, None)
    (due,) = desk.later
    desk.clock.advance(seconds=PAUSE)
    pulse.beat(0.3, None)
    pulse.beat(0.4, None)
    due()
    assert desk.written == [(0.1, None), (0.3, None)]
    desk.pass_by()
    assert desk.written[2:] == [(0.4, None)]


def test_the_last_is_written_at_the_end(desk: Desk, pulse: Pulse) -> None:
    """Once; and what was due later has nothing to do then."""
    pulse.beat(0.1, None)
    pulse.beat(0.2, "{}")
    pulse.end()
    assert desk.written == [(0.1, None), (0.2, "{}")]
    pulse.end()
    desk.pass_by()
    assert len(desk.written) == 2


def test_without_a_beat_there_is_nothing_to_write(desk: Desk, pulse: Pulse) -> None:
    """A task that never beats costs nothing."""
    pulse.end()
    assert desk.written == []


def test_learns_that_it_is_cancelled(desk: Desk, pulse: Pulse) -> None:
    """At the next write, and never unlearns it."""
    assert not pulse.beat(None, None)
    desk.wants_cancel = True
    assert not pulse.beat(None, None)
    desk.pass_by()
    assert pulse.beat(None, None)


def test_a_database_that_is_away_is_no_failure_of_the_task(desk: Desk, pulse: Pulse) -> None:
    """What it did not take is written by the next beat, or at the end."""
    desk.failures.append(BackendUnavailable("database", "away"))
    pulse.beat(0.1, "{}")
    assert desk.written == []
    desk.pass_by()
    assert desk.written == [(0.1, "{}")]
    desk.failures.append(BackendUnavailable("database", "away"))
    desk.clock.advance(seconds=PAUSE)
    pulse.beat(0.2, None)
    pulse.end()
    assert desk.written[1:] == [(0.2, "{}")]


def test_an_interrupted_write_is_made_again(desk: Desk, pulse: Pulse) -> None:
    """The time may run out while a heartbeat is written: it is not lost with that."""
    desk.failures.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pulse.beat(0.1, "{}")
    pulse.end()
    assert desk.written == [(0.1, "{}")]
