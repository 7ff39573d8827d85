"""Compare the ledger with the broker, and send what is due or was lost.

A timer in beat processes; any number may run. Nothing is recorded as lost: it is inferred, per
queue, and a backlog that simply waits causes nothing (protocol R4).
"""

from dataclasses import dataclass
from typing import Protocol

from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import Hint, TaskLedger
from datamcp.tasks.ports import Publisher, TaskTypes
from datamcp.tasks.settle import Settler
from datamcp.telemetry import Telemetry

GRACE = 5.0  # seconds that a hint may take to be claimed while its queue is empty
WINDOW = 64  # hints sent per queue and sweep


class Depths(Protocol):
    """Knows how many messages are ready in a queue."""

    def ready(self, queue: str) -> int:
        """Return how many messages no worker has yet; raise BackendUnavailable."""
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
        depths: Depths,
        telemetry: Telemetry,
    ) -> None:
        """Take the ledger and the broker."""
        self._ledger = ledger
        self._settler = settler
        self._types = types
        self._publisher = publisher
        self._depths = depths
        self._telemetry = telemetry

    def sweep(self) -> Sweep:
        """End what has expired, send what is due, then what was lost.

        Raises BackendUnavailable.
        """
        self._settler.expire()
        due = self._ledger.release_due(WINDOW)
        self._publisher.publish(due)
        lost = [hint for queue in self._types.queues() for hint in self._lost(queue)]
        if lost:
            self._telemetry.emit("task.republished", count=len(lost))
        self._publisher.publish(lost)
        return Sweep(len(due), len(lost), self._ledger.seconds_until_due())

    def sweep_or_tell(self) -> Sweep | None:
        """Sweep; a service that is away is announced, and the next sweep tries again."""
        try:
            return self.sweep()
        except BackendUnavailable as error:
            self._telemetry.emit("reconcile.delayed", reason=str(error))
            return None

    def _lost(self, queue: str) -> list[Hint]:
        if self._depths.ready(queue):
            return []
        return self._ledger.queued_longer_than(queue, GRACE, WINDOW)
