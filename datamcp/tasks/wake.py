"""Waking tasks that wait for a limit, when their turn has come.

Whoever ends a task under a limit lets the next one in: see `settle`. What waits for time alone is
woken by the process that was refused; and every sweep looks whether somebody was forgotten, as
processes may end before they have done that.
"""

from functools import partial
from threading import Lock

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable, UnknownTaskTypeError
from datamcp.tasks.limit import NAP, Limit
from datamcp.tasks.places import Freed, Places
from datamcp.tasks.ports import Publisher, TaskTypes
from datamcp.tasks.soon import Soon
from datamcp.telemetry import Telemetry

KEYS = 100  # that one sweep looks at
MOST = 64  # tasks that are woken at once
FARTHEST = 60.0  # seconds; what has to wait longer is left to the sweeps
_TIDY = 300  # sweeps between two clearings of rows that are no longer used


class Waker:
    """Wakes tasks that wait for a limit. Safe to share between threads."""

    def __init__(
        self,
        *,
        places: Places,
        types: TaskTypes,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts."""
        self._places = places
        self._types = types
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        self._soon = Soon()
        self._alarms: dict[str, float] = {}
        self._lock = Lock()
        self._after = ""
        self._sweeps = 0

    def later(self, key: str, seconds: float) -> None:
        """Wake who waits for a limit, in so many seconds; once, however often it is asked for."""
        if seconds > FARTHEST:
            return
        at = self._clock.monotonic() + seconds
        with self._lock:
            if self._alarms.get(key, float("inf")) <= at + 0.01:
                return
            self._alarms[key] = at
        self._soon.after(seconds, partial(self._ring, key))

    def next_after(self, key: str, pause: float, limit: Limit) -> None:
        """See to the next start after one that has used its turn, if anybody waits for it."""
        if limit.spacing is not None and self._places.kind_waiting(key) is not None:
            self.later(key, max(0.001, pause + limit.spacing - NAP))

    def send(self, freed: Freed) -> None:
        """Publish those who were let in, and see to those whose turn is to come."""
        for key, seconds in freed.later:
            self.later(key, seconds)
        if freed.hints:
            self._publish(freed)

    def sweep(self) -> int:
        """Let in whoever was forgotten; return how many. Raises BackendUnavailable."""
        self._sweeps += 1
        if self._sweeps % _TIDY == 0:
            self._places.tidy(MOST)
        waiting = self._places.waiting(self._after, KEYS)
        self._after = waiting[-1][0] if len(waiting) == KEYS else ""
        return sum(self._wake(key, task_type) for key, task_type in waiting)

    def _wake(self, key: str, task_type: str) -> int:
        freed = self._places.wake(key, self._limit_of(task_type), MOST)
        self.send(freed)
        return len(freed.hints)

    def _ring(self, key: str) -> None:
        with self._lock:
            self._alarms.pop(key, None)
        try:
            task_type = self._places.kind_waiting(key)
            if task_type is not None:
                self._wake(key, task_type)
        except BackendUnavailable as error:
            # They still wait, and a sweep will find them.
            self._telemetry.emit("task.wake_delayed", reason=error.reason)

    def _limit_of(self, task_type: str) -> Limit | None:
        try:
            return self._types.resolve(task_type).limit
        except UnknownTaskTypeError:
            return None

    def _publish(self, freed: Freed) -> None:
        try:
            self._publisher.publish(freed.hints)
        except BackendUnavailable as error:
            # The rows are queued: the reconciler publishes them once the broker is back (R4).
            self._telemetry.emit("task.publish_failed", count=len(freed.hints), reason=error.reason)
