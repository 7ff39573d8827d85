"""The way in: check a task, insert it, commit, publish a hint.

A task is real once its row is committed. If the broker does not answer then, the call returns all
the same and the row waits: the reconciler publishes it (protocol R4).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from datamcp.clock import Clock
from datamcp.errors import (
    BackendUnavailable,
    IdempotencyConflictError,
    InvalidParametersError,
    Problem,
    TaskError,
)
from datamcp.tasks.ledger import Hint, Inserted, NewTask, TaskLedger
from datamcp.tasks.ports import Publisher, TaskType, TaskTypes
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.telemetry import Telemetry
from datamcp.types import new_id


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of an enqueue. `unpublished` says why the broker has not got it yet."""

    task_id: str
    is_new: bool = True
    unpublished: str | None = None


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A plain Celery call: its arguments, and what else it asks for.

    `celery_result` tells that its caller waits at Celery's result backend. `canvas` is JSON: the
    rest of a chain, the chord, the links that its message has to carry whenever it is sent.
    `attempt` counts attempts that others have made.
    """

    celery_result: bool
    canvas: str | None = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    timeout: float | None = None
    due: datetime | None = None
    expires_at: datetime | None = None
    attempt: int = 0
    root_id: str | None = None
    parent_id: str | None = None


class Enqueuer:
    """Takes tasks in."""

    def __init__(
        self,
        *,
        types: TaskTypes,
        ledger: TaskLedger,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
        default_timeout: float,
    ) -> None:
        """Take the parts; `default_timeout` (s) is for task types without one of their own."""
        self._types = types
        self._ledger = ledger
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        self._default_timeout = default_timeout

    def enqueue(self, task: Task) -> Enqueued:
        """Take in one task.

        Raises UnknownTaskTypeError and InvalidParametersError before anything is written,
        IdempotencyConflictError if its key is taken, BackendUnavailable if the database is away.
        """
        inserted, hint = self.insert(task)
        if not inserted.is_new or inserted.state is not State.QUEUED:
            return Enqueued(inserted.task_id, is_new=inserted.is_new)
        self._telemetry.emit("task.enqueued", task_id=hint.task_id, task_type=hint.task_type)
        return Enqueued(inserted.task_id, unpublished=self._publish(hint))

    def type_of(self, name: str) -> TaskType:
        """Return a task type; raises UnknownTaskTypeError."""
        return self._types.resolve(name)

    def insert(self, task: Task, plain: PlainCall | None = None) -> tuple[Inserted, Hint]:
        """Check a task and commit its row, without publishing it.

        A plain call brings its own arguments, in place of the task's parameters.
        """
        task_type = self._types.resolve(task.task_type)
        _require_one_attempt(task)
        new = self._prepare(task, task_type, plain)
        inserted = self._ledger.insert(new)
        if not inserted.is_new and not _is_same(inserted, new):
            by_id = task.idempotency_key is None or inserted.task_id == task.task_id
            key = new.task_id if by_id else str(task.idempotency_key)
            raise IdempotencyConflictError(task.task_type, key, inserted.task_id)
        return inserted, _hint(new)

    def _prepare(self, task: Task, task_type: TaskType, plain: PlainCall | None) -> NewTask:
        default = None if task_type.may_run_for_ever else self._default_timeout
        new = NewTask(
            task_id=task.task_id or new_id(self._clock.now()),
            task_type=task.task_type,
            queue=task_type.queue,
            priority=task.priority,
            parameters="" if plain else task_type.parameters.dump(task.parameters),
            max_attempts=task_type.max_attempts,
            timeout=task.timeout or task_type.timeout or default,
            scheduled_at=task.scheduled_at,
            idempotency_key=task.idempotency_key,
            tags=json.dumps(task.tags) if task.tags else None,
            metadata=_metadata(task),
        )
        return new if plain is None else _as_called(new, task_type, plain)

    def _publish(self, hint: Hint) -> str | None:
        try:
            self._publisher.publish([hint])
        except BackendUnavailable as error:
            self._telemetry.emit("task.publish_failed", task_id=hint.task_id, reason=error.reason)
            return str(error)
        return None


def _as_called(new: NewTask, task_type: TaskType, plain: PlainCall) -> NewTask:
    """Return a new task as a plain call has it."""
    return replace(
        new,
        parameters=task_type.parameters.dump_call(plain.args, plain.kwargs),
        queue=task_type.queue if plain.queue is None else plain.queue,
        timeout=plain.timeout or new.timeout,
        scheduled_at=plain.due,
        expires_at=plain.expires_at,
        attempt=plain.attempt,
        celery_result=plain.celery_result,
        canvas=plain.canvas,
        root_id=plain.root_id,
        parent_id=plain.parent_id,
    )


def _is_same(inserted: Inserted, new: NewTask) -> bool:
    """Tell whether a row that was there already is what was to be inserted."""
    if inserted.task_type != new.task_type:
        return False
    # As text, too: NaN is not equal to itself.
    return inserted.parameters == new.parameters or (
        json.loads(inserted.parameters) == json.loads(new.parameters)
    )


def _require_one_attempt(task: Task) -> None:
    """Raise TaskError for a task that asks for more than this version does."""
    attempts = 1 if task.retry_policy is None else task.retry_policy.max_attempts
    if task.retry_count or attempts > 1:
        raise TaskError(
            "retries are not available in this version; leave out retry_count and retry_policy"
        )


def _metadata(task: Task) -> str | None:
    if not task.metadata:
        return None
    try:
        return to_json(task.metadata).decode()
    except ValueError as error:
        raise InvalidParametersError(task.task_type, [Problem("metadata", str(error))]) from error


def _hint(new: NewTask) -> Hint:
    return Hint(
        new.task_id,
        new.task_type,
        new.queue,
        new.priority,
        new.timeout,
        new.root_id,
        new.parent_id,
        new.celery_result,
        new.canvas,
        attempt=new.attempt,
    )
