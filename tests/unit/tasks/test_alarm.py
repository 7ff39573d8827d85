"""The time of what runs inside of another task, in the main thread of a pool's process."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from datamcp.tasks.alarm import SIGNAL, Alarm

LONG = 30.0


@contextmanager
def interrupted() -> Iterator[None]:
    """Expect the block to be interrupted."""
    with pytest.raises(SoftTimeLimitExceeded):
        yield


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    """Have an alarm that is heard."""
    handlers = {number: signal.getsignal(number) for number in (SIGNAL, signal.SIGTERM)}
    alarm = Alarm()
    alarm.begin()
    yield alarm
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_what_is_inside_is_interrupted_for_its_own_time(alarm: Alarm) -> None:
    """And what is around it goes on."""
    ended = []
    with alarm.set(LONG):
        with interrupted(), alarm.inside(), alarm.set(0.05):
            Event().wait(LONG)
        Event().wait(0.1)
        ended.append("outer")
    assert ended == ["outer"]


@pytest.mark.parametrize("inner", [LONG, None])
def test_the_time_of_what_is_around_holds_inside(alarm: Alarm, inner: float | None) -> None:
    """Both are interrupted, one after the other; each once."""
    said = []
    with interrupted(), alarm.set(0.05):
        with interrupted(), alarm.inside(), alarm.set(inner):
            try:
                Event().wait(LONG)
            finally:
                Event().wait(0.1)
                said.append("inner")
        try:
            Event().wait(LONG)
        finally:
            Event().wait(0.1)
            said.append("outer")
    assert said == ["inner", "outer"]


def test_what_was_sent_for_one_does_not_meet_the_next(alarm: Alarm) -> None:
    """An inner one that ends as its time is up leaves its alarm behind."""
    with alarm.set(LONG):
        for _ in range(200):
            try:
                with alarm.inside(), alarm.set(0.001):
                    Event().wait(0.001)
            except SoftTimeLimitExceeded:
                pass
            Event().wait(0.0005)


def test_nothing_rings_where_no_alarm_is_set(alarm: Alarm) -> None:
    """What goes on around the code of a task is not interrupted; it is later."""
    with interrupted(), alarm.set(0.02):
        with alarm.inside():
            Event().wait(0.1)
        Event().wait(LONG)


def test_another_thread_hears_nothing(alarm: Alarm) -> None:
    """A signal comes to the main thread, which may do something else."""
    ended = []

    def work() -> None:
        with alarm.inside(), alarm.set(0.0):
            Event().wait(0.05)
            ended.append("inner")

    with alarm.set(LONG):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert ended == ["inner"]
