"""What a worker's main process hands to its slots, and when; the slots are the test's."""

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from datamcp.tasks.gather import Gatherer
from datamcp.tasks.pace import MOST_AT_ONCE, Brevity

BREVITY = Brevity()


class Request:
    """A message that has come."""

    def __init__(
        self, name: str, *, shares: bool = True, is_revoked: bool = False, urgency: int = 5
    ) -> None:
        """Take its task's type, and whether it may share a slot."""
        self.urgency = urgency
        self.type = name
        self.id = f"{name}-{id(self)}"
        self.fence = "f"
        self.may_share_a_slot = shares
        self.entry = (name, self.id)
        self.ended = 0
        self._is_revoked = is_revoked

    def revoked(self) -> bool:
        """Tell whether somebody has revoked it."""
        return self._is_revoked

    def execute_using_pool(self, pool: "Worker") -> None:
        """Run alone."""
        pool.jobs.append([self.id])
        self._succeeded = self.on_success

    def on_success(self, _result: Any) -> None:
        """Hear of the end."""
        self.ended += 1

    def end(self, seconds: float) -> None:
        """End, after so many seconds."""
        self._succeeded((0, "", seconds))

    def share(self, fence: str) -> None:
        """Run with others."""
        self.fence = fence


class Worker:
    """A worker of two slots: its consumer, its controller and its pool in one."""

    def __init__(self) -> None:
        """Begin with all slots free."""
        self.num_processes, self.free = 2, 2
        self.pool = self.timer = self
        self.controller = SimpleNamespace(max_concurrency=None)
        self.app = SimpleNamespace(intake=self)
        self.returned: list[str] = []
        self.jobs: list[list[str]] = []
        self.tickets: deque[Any] = deque()
        self.looks: list[Any] = []
        self.now = 0.0
        self.narrowed = self.widened = 0
        self.gatherer = Gatherer(self, self.process, self.release, BREVITY, clock=lambda: self.now)

    def narrow(self) -> None:
        """Note that there is none."""
        self.narrowed += 1

    def widen(self) -> None:
        """Note that there is room."""
        self.widened += 1

    def give_back(self, requests: Sequence[Request]) -> None:
        """Note what goes back, in order."""
        self.returned += [request.id for request in requests]

    def process(self, ticket: Any) -> None:
        """Have a ticket wait for a slot, as Celery's semaphore does."""
        self.tickets.append(ticket)
        self._grant()

    def release(self) -> None:
        """Have a slot become free."""
        self.free += 1
        self._grant()

    def _grant(self) -> None:
        if self.free and self.tickets:
            self.free -= 1
            self.tickets.popleft().execute_using_pool(self)

    def apply_async(self, _target: Any, args: Any, **_callbacks: Any) -> None:
        """Take a job of many."""
        self.jobs.append([entry[1] for entry in args[0]])

    def call_after(self, _seconds: float, look: Any) -> None:
        """Note what is to be done later."""
        self.looks.append(look)

    def come(self, *requests: Request) -> list[list[str]]:
        """Have messages come; return the jobs that this leads to."""

        def take() -> None:
            for request in requests:
                self.gatherer(request)

        return self._jobs_after(take)

    def end_one(self) -> list[list[str]]:
        """Have a slot become free; return the jobs that this leads to."""
        return self._jobs_after(self.release)

    def look(self, seconds: float) -> None:
        """Let time pass, and have done what is due then."""
        self.now += seconds
        looks, self.looks = self.looks, []
        for one in looks:
            one()

    def _jobs_after(self, act: Any) -> list[list[str]]:
        before = len(self.jobs)
        act()
        return self.jobs[before:]


def short(count: int, name: str = "lab.echo") -> list[Request]:
    """Return messages of short tasks."""
    return [Request(name) for _ in range(count)]


@pytest.fixture
def worker() -> Worker:
    """Have a worker that has seen that these tasks are short."""
    made = Worker()
    for name in ("lab.echo", "lab.note"):
        (seen,) = short(1, name)
        made.come(seen)
        seen.end(0.001)
        made.end_one()
    made.jobs.clear()
    return made


def ids(requests: list[Request]) -> list[str]:
    """Return the ids of some messages."""
    return [request.id for request in requests]


def test_a_worker_that_knows_nothing_takes_no_more_than_it_has_slots() -> None:
    """Nor does one whose last task was long, or can't share a slot."""
    worker, (seen,) = Worker(), short(1)
    assert worker.gatherer.room == 0
    worker.come(seen)
    seen.end(60.0)
    assert worker.gatherer.room == 0
    alone = Request("lab.echo", shares=False)
    worker.come(alone)
    alone.end(0.001)
    assert worker.gatherer.room == 0


def test_after_short_tasks_it_takes_some_more(worker: Worker) -> None:
    """So many as its slots will soon need."""
    assert worker.gatherer.room == 2 * MOST_AT_ONCE


def test_a_free_slot_gets_the_next_task_at_once(worker: Worker) -> None:
    """It waits for no company."""
    first, second = short(2)
    assert worker.come(first) == [[first.id]]
    assert worker.come(second) == [[second.id]]


def test_a_slot_gets_its_share_of_what_waits(worker: Worker) -> None:
    """The others have theirs; in order."""
    worker.come(*short(2))
    waiting = short(9)
    assert worker.come(*waiting) == []
    assert worker.end_one() == [ids(waiting[:5])]
    assert worker.end_one() == [ids(waiting[5:7])]
    assert worker.end_one() == [ids(waiting[7:8])]
    assert worker.end_one() == [ids(waiting[8:])]
    assert {request.fence for request in waiting} == {"f"}


def test_the_most_urgent_goes_first(worker: Worker) -> None:
    """Whichever came first; equals keep their order."""
    worker.come(*short(2))
    waiting = [Request("lab.echo", urgency=urgency) for urgency in (0, 5, 9, 5)]
    worker.come(*waiting)
    first, second, third, fourth = waiting
    assert worker.end_one() == [ids([third, second])]
    assert worker.end_one() == [[fourth.id]]
    assert worker.end_one() == [[first.id]]


def test_room_ends_with_the_flow(worker: Worker) -> None:
    """Where no short task has ended for a moment, the slots have something else to do."""
    assert worker.gatherer.room
    assert worker.widened == 1
    worker.now += BREVITY.flow
    assert worker.gatherer.room == 0


def test_types_are_not_mixed_and_nothing_is_passed(worker: Worker) -> None:
    """What must be alone is, in its turn."""
    worker.come(*short(2))
    first, other = short(2), short(2, "lab.note")
    alone = Request("lab.echo", shares=False)
    worker.come(*first, *other, alone, *(last := short(4)))
    jobs = [job for _ in range(6) for job in worker.end_one()]
    assert jobs == [ids(first), ids(other), [alone.id], ids(last[:2]), [last[2].id], [last[3].id]]


def test_no_task_is_twice_in_one_job(worker: Worker) -> None:
    """A message that came twice runs nothing twice: the second is claimed by itself."""
    worker.come(*short(2))
    first, again, other = short(3)
    again.id = first.id
    worker.come(first, again, other)
    assert worker.end_one() == [[first.id]]
    assert worker.end_one() == [[again.id]]


def test_what_is_revoked_takes_no_slot(worker: Worker) -> None:
    """Also where nothing else waits."""
    worker.come(*short(2))
    revoked = [Request("lab.echo", is_revoked=True) for _ in range(3)]
    worker.come(*revoked)
    assert [worker.end_one() for _ in range(2)] == [[], []]
    assert worker.free == 2


def test_what_has_waited_for_a_moment_goes_back(worker: Worker) -> None:
    """All of it; nothing more is taken until a short task ends; a slot that is free then is free."""
    busy, waiting = short(2), short(3)
    worker.come(*busy, *waiting)
    worker.look(BREVITY.hold / 2)
    assert worker.returned == []
    worker.look(BREVITY.hold)
    assert worker.returned == ids(waiting)
    assert worker.gatherer.room == 0
    assert worker.narrowed == 1
    assert worker.end_one() == []
    (late,) = short(1)
    assert worker.come(late) == [[late.id]]
    busy[0].end(0.001)
    assert busy[0].ended == 1
    assert worker.gatherer.room


def test_what_goes_back_is_in_the_order_in_which_it_is_taken(worker: Worker) -> None:
    """The most urgent first, and equals as they came."""
    worker.come(*short(2))
    waiting = [Request("lab.echo", urgency=urgency) for urgency in (0, 5, 9, 5)]
    worker.come(*waiting)
    worker.look(2 * BREVITY.hold)
    assert worker.returned == ids([waiting[number] for number in (2, 1, 3, 0)])


def test_what_comes_after_the_flow_has_ended_goes_back_at_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked for while there was room; others may have a slot for it, or what is more urgent."""
    worker.come(*short(2))
    monkeypatch.setattr("celery.worker.state.reserved_requests", [0, 1, 2])
    (early,) = short(1)
    worker.come(early)
    assert worker.returned == []
    worker.now += BREVITY.hold
    (late,) = short(1)
    worker.come(late)
    assert worker.returned == ids([early, late])


def test_a_lost_connection_takes_along_what_waits(worker: Worker) -> None:
    """Its messages come again; the next ones find their slots."""
    worker.come(*short(5))
    worker.gatherer.stop()
    worker.tickets.clear()  # as Celery's worker does
    (late,) = short(1)
    worker.come(late)
    assert worker.end_one() == [[late.id]]


def test_what_waits_after_a_lost_connection_is_looked_at_again(worker: Worker) -> None:
    """Celery's worker may have forgotten what was to be done later."""
    worker.come(*short(3))
    worker.gatherer.stop()
    worker.looks.clear()
    (waiting,) = short(1)
    worker.come(waiting)
    worker.look(2 * BREVITY.hold)
    assert worker.returned == [waiting.id]
