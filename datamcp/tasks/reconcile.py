"""Compare the ledger with the broker, and send what is due or was lost.

Nothing is recorded as lost: it is inferred, per
queue, and a backlog that simply waits causes nothing (protocol R4).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from datamcp.tasks.ageing import Ageing
from datamcp.tasks.ledger import Hint, TaskLedger
from datamcp.tasks.ports import Publisher, TaskTypes
from datamcp.tasks.settle import Settler
from datamcp.tasks.wake import Waker
from datamcp.telemetry import Telemetry

GRACE = 5.0  # seconds that a hint may take to be claimed while its queue is empty
WINDOW = 64  # hints sent per queue and sweep, at least
PER_SLOT = 4  # hints sent per slot of all workers, where that is more


class Depths(Protocol):
    """Knows how many messages are ready in a queue."""

    def ready(self, queue: str) -> int:
        """Return how many messages no worker has yet; raise BackendUnavailable."""
        ...


class RunSweep(Protocol):
    """Looks after pipeline runs."""

    def sweep(self) -> float | None:
        """Do what is due; return in how many seconds the next thing is, None if nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep sent: tasks that fell due, and tasks whose message was lost.

    `next_due` is in how many seconds the next one falls due; None if none waits for its time.
    """

    due: int
    lost: int
    next_due: float | None = None


class Reconciler:
    """Sweeps the ledger."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        types: TaskTypes,
        publisher: Publisher,
        settler: Settler,
        waker: Waker,
        ageing: Ageing,
        runs: RunSweep,
        depths: Depths,
        slots: Callable[[], int],
        telemetry: Telemetry,
    ) -> None:
        """Take the ledger and the broker; `slots` tells how many tasks all workers can run."""
        self._slots = slots
        self._ledger = ledger
        self._settler = settler
        self._waker = waker
        self._ageing = ageing
        self._runs = runs
        self._types = types
        self._publisher = publisher
        self._depths = depths
        self._telemetry = telemetry

    def sweep(self) -> Sweep:
        """End what has expired, send what is due or has its turn, then what was lost.

        Raises BackendUnavailable.
        """
        self._settler.expire()
        due = self._ledger.release_due(WINDOW)
        self._publisher.publish(due)
        self._waker.sweep()
        lost = self._all_lost()
        if lost:
            self._telemetry.emit("task.republished", count=len(lost))
            self._publisher.publish(lost)
            self._ledger.sent_again([hint.task_id for hint in lost])
        self._ageing.sweep()
        nexts = [self._runs.sweep(), self._ledger.seconds_until_due()]
        return Sweep(len(due), len(lost), min((at for at in nexts if at is not None), default=None))

    def _all_lost(self) -> list[Hint]:
        """Return rows of all queues whose message must be lost; most of the time one look tells."""
        if not self._ledger.is_any_queued_longer_than(GRACE):
            return []
        taken = self._ledger.last_taken()
        return [
            hint
            for queue in self._types.queues()
            for hint in self._lost(queue, taken.get(queue, {}))
        ]

    def _window(self) -> int:
        return max(WINDOW, PER_SLOT * self._slots())

    def _lost(self, queue: str, passed: Mapping[int, datetime]) -> list[Hint]:
        """Return rows whose message must be lost: nothing is ready, or later ones were taken.

        The broker is asked only where a row has waited for long.
        """
        if not self._ledger.queued_longer_than(queue, GRACE, 1):
            return []
        window = self._window()
        if not self._depths.ready(queue):
            return self._ledger.queued_longer_than(queue, GRACE, window)
        lost: list[Hint] = []
        for priority, at in passed.items():
            lost += self._ledger.queued_before(queue, priority, at, GRACE, window)
        return lost[:window]
