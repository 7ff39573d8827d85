"""Where a task is claimed: a message comes in, and the ledger says whether it may start.

A message of ours is a hint and names a row. A plain Celery message, sent by a program that does
not use our app, carries its own arguments: it is adopted first, and acknowledged only after that
(protocol R14).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datamcp.tasks.enqueue import Enqueuer, PlainCall
from datamcp.tasks.ledger import Claimed, TaskLedger
from datamcp.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a worker got it. `args`, `kwargs` and `plain` count only if it is no hint."""

    task_id: str
    task_type: str
    fence: str  # made by the worker for this delivery (R2)
    agent_id: str
    is_hint: bool
    is_carried: bool = False  # part of a canvas
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    plain: PlainCall | None = None


class Claimer:
    """Turns deliveries into claims."""

    def __init__(self, *, ledger: TaskLedger, enqueuer: Enqueuer) -> None:
        """Take the ledger, and who checks and inserts what is adopted."""
        self._ledger = ledger
        self._enqueuer = enqueuer

    def claim(self, delivery: Delivery) -> Claimed | None:
        """Claim the task of a message; None if it may not start, now or ever again."""
        if not delivery.is_hint:
            self._adopt(delivery)
        return self._ledger.claim(delivery.task_id, delivery.fence, delivery.agent_id)

    def _adopt(self, delivery: Delivery) -> None:
        parameters = self._enqueuer.bind(delivery.task_type, delivery.args, delivery.kwargs or {})
        task = Task(task_id=delivery.task_id, task_type=delivery.task_type, parameters=parameters)
        self._enqueuer.insert(task, delivery.plain)
