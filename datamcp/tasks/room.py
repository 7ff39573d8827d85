"""Room in a queue: whether a client may put more into it (protocol R16).

Only clients are asked to wait: what runs here as a task may enqueue more, and so do schedules,
steps, retries and rescues. To count a queue costs some time, so whoever found it far from full
enqueues a part of the room that is left without looking again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Lock

from datamcp.clock import Clock
from datamcp.errors import QueueFullError
from datamcp.tasks import attempt as attempts
from datamcp.tasks import context as contexts

SHARE = 20
"""The part of the room that is left which one process fills without looking again: one in so many.

So as many processes may enqueue at once without filling the queue further than it goes.
"""

HOLDS = 1.0  # seconds for which a look at the queue is good
_COST = 50  # and so many times as long as it took
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5)  # seconds between the looks of who waits


def pauses() -> Iterator[float]:
    """Yield the seconds between two looks of one who waits for room, without end."""
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


@dataclass(slots=True)
class _Allowance:
    """How many tasks may follow before the next look, and until when."""

    left: int
    until: float


class QueueRoom:
    """Knows whether there is room in a queue. Safe to share between threads."""

    def __init__(self, count: Callable[[str, int], int], limit: int, clock: Clock) -> None:
        """Take what counts the queued tasks of a queue, up to a number; and how many it holds."""
        self._count = count
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._allowances: dict[str, _Allowance] = {}

    def require(self, queue: str, count: int = 1, *, wait: float = 0.0) -> None:
        """Make sure that so many tasks fit into a queue; wait up to `wait` seconds for that.

        Inside of a task there is always room. Raises QueueFullError; at once for more tasks than
        the queue ever holds.
        """
        if attempts.current.get() is not None or contexts.current.get() is not None:
            return
        until, waits = self._clock.monotonic() + wait, pauses()
        while not self._has_room(queue, count):
            left = until - self._clock.monotonic()
            if left <= 0 or count > self._limit:
                raise QueueFullError(queue, self._limit, count)
            Event().wait(min(left, next(waits)))

    def _has_room(self, queue: str, count: int) -> bool:
        with self._lock:
            now = self._clock.monotonic()
            allowance = self._allowances.get(queue)
            if allowance is not None and allowance.left >= count and now < allowance.until:
                allowance.left -= count
                return True
            room = self._limit - self._count(queue, self._limit)
            took = self._clock.monotonic() - now
            holds = max(HOLDS, _COST * took)
            left = max(0, (room - count) // SHARE)
            self._allowances[queue] = _Allowance(left, now + holds)
            return count <= room
