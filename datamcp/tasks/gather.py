"""How a worker's main process hands short tasks to its slots: some at once (protocol R5, R18).

A worker takes a message when a slot is free, and no sooner: what it held back others could work on.
While short tasks end one after the other it takes some more, which wait here for a moment. The slot
that is free next gets its share of them, the most urgent first, as one job of the pool: their claims
are made in one statement, and their ends are written in one commit.

What has waited here for longer than a moment goes back to its queue, and nothing more is taken
until short tasks end again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from time import monotonic
from typing import Any
from weakref import ref

from billiard.einfo import ExceptionInfo
from celery.worker import state

from datamcp.tasks.pace import MOST_AT_ONCE, Brevity, Pace
from datamcp.tasks.worker import run_together

Process = Callable[[Any], object]


class Gatherer:
    """Stands between a worker's consumer and its pool. Of the worker's main thread."""

    def __init__(
        self,
        consumer: Any,
        process: Process,
        release: Callable[[], object],
        brevity: Brevity,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Take the consumer, what gives a request to the pool once a slot is free, and its contrary.

        `release` is for a slot that was asked for, and is not needed.
        """
        self._brevity = brevity
        self._release = release
        self._clock = clock
        self._consumer = consumer
        self._process = process
        self._waiting: list[_Waiting] = []  # the oldest first, or the most urgent
        self._pace = Pace(brevity)
        self._short_at = -inf  # when a short task ended, unless another one has since
        self._looks = False  # whether a look is due
        self._asks = False  # whether it waits for a slot

    @property
    def slots(self) -> int:
        """Return how many slots this worker has, or may have."""
        return int(self._consumer.controller.max_concurrency or self._consumer.pool.num_processes)

    @property
    def room(self) -> int:
        """Return how many messages may be taken beyond those that have a slot."""
        if self._clock() - self._short_at >= self._brevity.flow:
            return 0
        return int(self._consumer.pool.num_processes) * MOST_AT_ONCE

    def __call__(self, request: Any) -> None:
        """Take a message that has come."""
        self._waiting.append(_Waiting(request, request.urgency, self._clock()))
        self._ask()
        if self._waiting and not self.room and len(state.reserved_requests) > self.slots:
            self._stop_waiting()  # it was asked for while there was room still
        elif self._waiting and not self._looks:
            self._look_later()

    def start(self, pool: Any) -> None:
        """Give a slot that is free its share of what waits."""
        self._asks = False
        requests = self._share()
        try:
            if not requests:
                self._release()
            elif len(requests) == 1:
                self._run(requests[0], pool)
            else:
                _Job(requests, self._ended).send(pool)
        finally:
            self._ask()

    def stop(self) -> None:
        """Wait for nothing more: the connection that has brought it ends."""
        self._short_at, self._looks = -inf, False
        if state.should_stop is not None:
            self._give_back()
        self._waiting.clear()
        self._asks = False  # Celery's worker forgets who waits for a slot

    def _ask(self) -> None:
        """Wait for a slot, once for all that waits: more than one may be free at once."""
        while self._waiting and not self._asks:
            self._asks = True
            self._process(_Ticket(self))

    def _share(self) -> Sequence[Any]:
        """Take what the next slot is to run: tasks of one type, the most urgent and oldest first."""
        self._waiting.sort(key=attrgetter("urgency"), reverse=True)  # keeps the order of equals
        slots = max(1, int(self._consumer.pool.num_processes))
        share = -(-len(self._waiting) // slots)
        found: list[Any] = []
        while self._waiting and len(found) < share:
            request = self._waiting[0].request
            if found and not self._may_follow(request, found):
                break
            del self._waiting[0]
            if not request.revoked():
                found.append(request)
                if not self._goes_together(request):
                    break
                share = min(share, self._pace.at_once(request.type))
        return found

    def _may_follow(self, request: Any, others: Sequence[Any]) -> bool:
        """Tell whether a task may share the job of others; no task is in it twice.

        With one fence a second claim would be the first one, and run it again (protocol R2).
        """
        is_there = any(request.id == other.id for other in others)
        return not is_there and self._goes_together(request) and request.type == others[0].type

    def _goes_together(self, request: Any) -> bool:
        return bool(request.may_share_a_slot) and self._pace.at_once(request.type) > 1

    def _run(self, request: Any, pool: Any) -> None:
        """Have a request run by itself, and hear how it went before it does."""
        told = request.on_success

        def succeeded(result: Any, **options: Any) -> None:
            self._ended(request, result)
            told(result, **options)

        request.on_success = succeeded
        request.execute_using_pool(pool)

    def _ended(self, request: Any, result: Any) -> None:
        """Note how long a task took, as its tracer says; whatever came of it."""
        _, _, seconds = result
        if seconds is None:  # it did not run
            return
        had_room = self.room > 0
        self._pace.note(request.type, seconds)
        self._short_at = self._clock() if self._goes_together(request) else -inf
        if self.room and not had_room:
            self._consumer.app.intake.widen()

    def _look_later(self) -> None:
        self._looks = True
        self._consumer.timer.call_after(self._brevity.hold, self._look)

    def _look(self) -> None:
        self._looks = False
        now = self._clock()
        if any(now - one.since >= self._brevity.hold for one in self._waiting):
            self._stop_waiting()
        elif self._waiting:
            self._look_later()

    def _stop_waiting(self) -> None:
        self._short_at = -inf
        self._consumer.app.intake.narrow()
        self._give_back()

    def _give_back(self) -> None:
        """Return what waits to its queue, the most urgent to be the next again, then the oldest."""
        self._waiting.sort(key=attrgetter("urgency"), reverse=True)
        requests = [one.request for one in self._waiting]
        self._waiting.clear()
        if requests:
            self._consumer.app.intake.give_back(requests)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message that waits for a slot, and since when."""

    request: Any
    urgency: int
    since: float


class _Ticket:
    """Waits for a slot in the place of requests: which of them get it is decided then."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer

    def execute_using_pool(self, pool: Any) -> None:
        self._gatherer.start(pool)


class _Job:
    """Requests that a slot runs one after the other, as one job of the pool."""

    def __init__(self, requests: Sequence[Any], ended: Callable[[Any, Any], None]) -> None:
        self._requests = requests
        self._ended = ended

    def send(self, pool: Any) -> None:
        first = self._requests[0]
        for request in self._requests:
            request.share(first.fence)
        result = pool.apply_async(
            run_together,
            args=([request.entry for request in self._requests],),
            accept_callback=self._accepted,
            callback=self._succeeded,
            error_callback=self._failed,
            correlation_id=first.id,
        )
        for request in self._requests:
            request._apply_result = None if result is None else ref(result)  # noqa: SLF001  as Celery's own

    def _accepted(self, pid: int, time_accepted: float) -> None:
        for request in self._requests:
            request.on_accepted(pid, time_accepted)

    def _succeeded(self, results: Sequence[Any] | ExceptionInfo) -> None:
        """Hear how each of them went: what Celery's tracer returned of it."""
        if isinstance(results, ExceptionInfo):  # so does a thread tell what ends a process
            self._failed(results)
            return
        for request, result in zip(self._requests, results, strict=True):
            self._ended(request, result)
            request.on_success(result)

    def _failed(self, _info: object) -> None:
        """Return to the queue what the slot's process, which is gone, leaves behind."""
        first, *others = self._requests
        first.bury_all()
        for request in (first, *others):
            request.on_left()
