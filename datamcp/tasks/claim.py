"""Where a task is claimed: a message comes in, and the ledger says whether it may start.

A message of ours is a hint and names a row. A plain Celery message, sent by a program that does
not use our app, carries its own arguments: it is adopted first, and acknowledged only after that
(protocol R14).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamcp.errors import PipelineError, TaskError
from datamcp.tasks.enqueue import Enqueuer, PlainCall
from datamcp.tasks.ledger import Claimed, TaskLedger
from datamcp.tasks.limit import Limit
from datamcp.tasks.patience import patiently
from datamcp.tasks.places import Places, Refused
from datamcp.tasks.ports import Continuation, TaskType, TaskTypes
from datamcp.tasks.task import Task
from datamcp.tasks.wake import Waker
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

    def __init__(
        self,
        *,
        types: TaskTypes,
        ledger: TaskLedger,
        places: Places,
        waker: Waker,
        continuation: Continuation,
        enqueuer: Enqueuer,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts; `enqueuer` checks and inserts what is adopted."""
        self._types = types
        self._ledger = ledger
        self._places = places
        self._waker = waker
        self._continuation = continuation
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
        kind = self._types.resolve(delivery.task_type)
        if kind.limit is not None:
            return self._claim_place(delivery, kind, kind.limit)
        return self._ledger.claim(delivery.task_id, delivery.fence, delivery.agent_id)

    def _claim_place(self, delivery: Delivery, kind: TaskType, limit: Limit) -> Claimed | None:
        """Claim a task under a limit; one that has to wait is left to who gives its place up."""
        key = self._key(delivery.task_id, kind, limit)
        found = self._places.claim(delivery.task_id, delivery.fence, delivery.agent_id, key, limit)
        match found:
            case Refused(seconds=float() as seconds):
                self._waker.later(key, seconds)
            case Claimed(pause=pause):
                self._waker.next_after(key, pause, limit)
                return found
        return None

    def _key(self, task_id: str, kind: TaskType, limit: Limit) -> str:
        task = None if limit.per is None else self._places.peek(task_id)
        return limit.key(kind.name, {} if task is None else self._parameters(task, kind))

    def _parameters(self, task: Claimed, kind: TaskType) -> Mapping[str, Any]:
        """Return a task's parameters; none where they are wrong, which its attempt will tell."""
        try:
            text = task.parameters
            if task.run_id is not None:
                text, _ = self._continuation.inputs(task)
            parameters: Mapping[str, Any] = kind.parameters.load(text)
        except (TaskError, PipelineError):
            return {}
        return parameters

    def _adopt(self, delivery: Delivery) -> None:
        task = Task(task_id=delivery.task_id, task_type=delivery.task_type)
        self._enqueuer.insert(task, delivery.plain)
