"""Where a task is claimed: a message comes in, and the ledger says whether it may start.

A message of ours is a hint and names a row. A plain Celery message, sent by a program that does
not use our app, carries its own arguments: it is adopted first, and acknowledged only after that
(protocol R14).
"""

from dataclasses import dataclass

from datamcp.tasks.enqueue import Enqueuer, PlainCall
from datamcp.tasks.ledger import Claimed, TaskLedger
from datamcp.tasks.patience import patiently
from datamcp.tasks.task import Task
from datamcp.telemetry import Telemetry

_PATIENCE = (0.1, 0.5, 1.0)  # seconds between the tries of one claim


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a worker got it; `plain` is what it asks for, if it is no hint."""

    task_id: str
    task_type: str
    fence: str  # made by the worker for this delivery (R2)
    agent_id: str
    is_hint: bool
    is_carried: bool = False  # part of a canvas
    plain: PlainCall | None = None


class Claimer:
    """Turns deliveries into claims."""

    def __init__(self, *, ledger: TaskLedger, enqueuer: Enqueuer, telemetry: Telemetry) -> None:
        """Take the ledger, and who checks and inserts what is adopted."""
        self._ledger = ledger
        self._enqueuer = enqueuer
        self._telemetry = telemetry

    def claim(self, delivery: Delivery) -> Claimed | None:
        """Claim the task of a message; None if it may not start, now or ever again.

        A database that is away is tried again, for a moment: with one fence, two claims are one.
        """
        return patiently(
            lambda: self._claim(delivery),
            _PATIENCE,
            lambda error: self._telemetry.emit("task.claim_delayed", reason=error.reason),
        )

    def _claim(self, delivery: Delivery) -> Claimed | None:
        if not delivery.is_hint:
            self._adopt(delivery)
        return self._ledger.claim(delivery.task_id, delivery.fence, delivery.agent_id)

    def _adopt(self, delivery: Delivery) -> None:
        task = Task(task_id=delivery.task_id, task_type=delivery.task_type)
        self._enqueuer.insert(task, delivery.plain)
