"""Beat sleeps until there is something to do, and is woken when there is sooner."""

import threading
import time
from collections.abc import Callable
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from datamcp.errors import BackendUnavailable
from datamcp.scheduling.beat import BELL, Alarm, Bell, LedgerScheduler
from datamcp.telemetry import Telemetry

LONG = 60.0  # seconds that nobody waits for here


class Firer:
    """Fires nothing, and says what it is told to."""

    def __init__(self, *answers: float | Exception | None) -> None:
        """Take what each look leads to."""
        self.answers = [*answers]

    def go(self) -> float | None:
        """Return the next answer, or raise it."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Slept(Alarm):
    """Notes how long it should sleep."""

    def __init__(self) -> None:
        """Begin with no sleep."""
        super().__init__()
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note it."""
        self.seconds.append(seconds)


def scheduler(*answers: float | Exception | None) -> tuple[LedgerScheduler, Slept, list[str]]:
    """Return a scheduler over a firer, its alarm, and the events that it tells."""
    app = Celery("test", broker="memory://", set_as_current=False)
    events: list[str] = []
    app.telemetry = Telemetry(lambda event, _fields: events.append(event))
    app.runtime = SimpleNamespace(firer=Firer(*answers))
    made = LedgerScheduler(app, lazy=True)
    made.alarm = slept = Slept()
    return made, slept, events


def test_it_sleeps_no_longer_than_a_second() -> None:
    """A notice may be lost; and not at all while there is more to fire."""
    beat, slept, _ = scheduler(0.0, 0.25, 100.0, None)
    for _ in range(4):
        assert beat.tick() == 0.0
    assert slept.seconds == [0.25, 1.0, 1.0]
    assert beat.last_look is not None


def test_a_service_that_is_away_is_told_once() -> None:
    """And tried again a second later; that was no look."""
    away = BackendUnavailable("database", "gone")
    beat, slept, events = scheduler(away, away, None, away)
    for _ in range(2):
        beat.tick()
    assert beat.last_look is None
    for _ in range(2):
        beat.tick()
    assert events == ["schedule.delayed", "schedule.delayed"]
    assert slept.seconds == [1.0] * 4


def test_whatever_else_goes_wrong_ends_no_beat() -> None:
    """It is told, and tried again."""
    beat, slept, events = scheduler(ZeroDivisionError(), None)
    beat.tick()
    beat.tick()
    assert events == ["schedule.stopped"]
    assert slept.seconds == [1.0, 1.0]


def test_an_alarm_ends_a_sleep() -> None:
    """Also one that rings before; often is as good as once, and the next sleep is long again."""
    alarm = Alarm()
    for _ in range(100_000):
        alarm.ring()
    began = time.monotonic()
    alarm.sleep(LONG)
    while time.monotonic() - began < LONG / 2:  # what is left of many rings
        before = time.monotonic()
        alarm.sleep(0.01)
        if time.monotonic() - before >= 0.01:
            break
    thread = threading.Thread(target=alarm.sleep, args=(LONG,))
    thread.start()
    alarm.ring()
    thread.join(LONG / 2)
    assert not thread.is_alive()


class Ear:
    """Hears what a test puts into a queue."""

    def __init__(self, notices: "Queue[Any]") -> None:
        """Take the queue."""
        self.notices = notices
        self.keys: list[str] = []

    def listen(self, key: str) -> None:
        """Note what it listens to."""
        self.keys.append(key)

    def hear(self, timeout: float, heard: Callable[[str], None]) -> None:
        """Pass the next notice on, or raise it."""
        notice = self.notices.get(timeout=LONG)
        if isinstance(notice, Exception):
            raise notice
        assert timeout > 0
        heard(notice)

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("lost", [0, 1])
def test_a_change_anywhere_ends_the_sleep(lost: int) -> None:
    """Also after the connection by which it is heard was lost."""
    alarm = Alarm()
    notices: Queue[Any] = Queue()
    ears: list[Ear] = []

    def ear() -> Ear:
        ears.append(Ear(notices))
        return ears[-1]

    for _ in range(lost):
        notices.put(ConnectionError("gone"))
    bell = Bell(alarm, ear)
    bell.start()
    notices.put(BELL)
    alarm.sleep(LONG)
    notices.put(ConnectionError("the end"))
    bell.stop(LONG)
    assert [one.keys for one in ears] == [[BELL]] * (lost + 1)
