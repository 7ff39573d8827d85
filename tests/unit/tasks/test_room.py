from dataclasses import dataclass
from itertools import islice

import pytest

from datamcp.clock import SystemClock
from datamcp.errors import QueueFullError
from datamcp.tasks import context as contexts
from datamcp.tasks.room import SHARE, QueueRoom, pauses
from datamcp.testing.clock import FakeClock


@dataclass
class Queue:
    """A queue that is counted, and how often it was."""

    waiting: int = 0
    looks: int = 0
    empties_after: int | None = None

    def count(self, _queue: str, most: int) -> int:
        """Count what waits, up to a number."""
        self.looks += 1
        if self.looks == self.empties_after:
            self.waiting = 0
        return min(most, self.waiting)


@dataclass(frozen=True)
class Bundle:
    """Room for a hundred tasks, the queue, and a clock that stands still."""

    room: QueueRoom
    queue: Queue
    clock: FakeClock


@pytest.fixture
def bundle() -> Bundle:
    """Return a queue that is empty."""
    queue, clock = Queue(), FakeClock()
    return Bundle(QueueRoom(queue.count, 100, clock), queue, clock)


def test_a_full_queue_takes_nothing(bundle: Bundle) -> None:
    """The error says which queue, which limit, and which setting it is."""
    bundle.queue.waiting = 100
    with pytest.raises(QueueFullError, match=r"queue bench is full: 100 .*max_queue_size"):
        bundle.room.require("bench")
    bundle.queue.waiting = 99
    bundle.room.require("bench")


def test_many_tasks_need_room_for_all(bundle: Bundle) -> None:
    """None of them is put in if they do not all fit."""
    bundle.queue.waiting = 95
    bundle.room.require("bench", 5)
    with pytest.raises(QueueFullError, match="6 more do not fit"):
        bundle.room.require("bench", 6)


def test_a_queue_that_is_far_from_full_is_seldom_counted(bundle: Bundle) -> None:
    """A part of the room that is left is filled without another look; each queue by itself."""
    bundle.room.require("bench")
    for _ in range(99 // SHARE):
        bundle.room.require("bench")
    assert bundle.queue.looks == 1
    bundle.room.require("bench")
    assert bundle.queue.looks == 2
    bundle.room.require("other")
    assert bundle.queue.looks == 3


def test_a_look_is_good_for_a_moment(bundle: Bundle) -> None:
    """Others may have filled the queue since."""
    bundle.room.require("bench")
    bundle.clock.advance(seconds=2)
    bundle.room.require("bench")
    assert bundle.queue.looks == 2


def test_a_burst_does_not_overshoot() -> None:
    """As many processes as the share is for, each as fast as it can, fill the queue and no more."""
    queue = Queue()
    rooms = [QueueRoom(queue.count, 1000, FakeClock()) for _ in range(SHARE)]
    refused = set[int]()
    while len(refused) < SHARE:
        for number, room in enumerate(rooms):
            try:
                room.require("bench")
            except QueueFullError:
                refused.add(number)
            else:
                queue.waiting += 1
    assert queue.waiting == 1000


def test_whoever_waits_gets_room_when_there_is_some() -> None:
    """And is told after the time that it was ready to wait."""
    queue = Queue(waiting=100, empties_after=3)
    QueueRoom(queue.count, 100, SystemClock()).require("bench", wait=60)
    assert queue.looks == 3
    queue.waiting = 100
    with pytest.raises(QueueFullError):
        QueueRoom(queue.count, 100, SystemClock()).require("bench", wait=0.05)


def test_nobody_waits_for_more_room_than_there_ever_is(bundle: Bundle) -> None:
    """It is refused at once."""
    with pytest.raises(QueueFullError):
        bundle.room.require("bench", 101, wait=3600)


def test_inside_of_a_task_there_is_always_room(bundle: Bundle) -> None:
    """Else a queue that is full of tasks that enqueue would never empty."""
    bundle.queue.waiting = 100
    token = contexts.current.set(object())  # type: ignore[arg-type]  # any task will do
    try:
        bundle.room.require("bench")
    finally:
        contexts.current.reset(token)


def test_pauses_grow_and_never_end() -> None:
    """Up to half a second."""
    first = list(islice(pauses(), 8))
    assert first == sorted(first)
    assert first[-1] == 0.5
