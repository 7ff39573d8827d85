"""The way in: check a task, insert it, commit, publish a hint.

A task is real once its row is committed: here, or where the caller's own transaction is. If the broker does not answer then, the call returns all
the same and the row waits: the reconciler publishes it (protocol R4).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from pydantic_core import to_json

from datamcp.clock import Clock
from datamcp.errors import (
    BackendUnavailable,
    BulkEnqueueError,
    IdempotencyConflictError,
    InvalidParametersError,
    Problem,
    TaskError,
)
from datamcp.infra.callers import AfterCommit, Callers, CallersConnection
from datamcp.infra.database import Connection
from datamcp.tasks.ledger import Hint, Inserted, NewTask, TaskLedger
from datamcp.tasks.ports import Publisher, Room, TaskType, TaskTypes
from datamcp.tasks.retry import RetryPolicy, kept, overridden
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
        room: Room,
        clock: Clock,
        telemetry: Telemetry,
        default_timeout: float,
        default_retries: RetryPolicy,
    ) -> None:
        """Take the parts; the defaults are for task types without a timeout (s) or policy."""
        self._types = types
        self._ledger = ledger
        self._publisher = publisher
        self._room = room
        self._clock = clock
        self._telemetry = telemetry
        self._default_timeout = default_timeout
        self._callers = Callers(ledger.database)
        self._committed = AfterCommit(self._send_committed)
        self._default_retries = default_retries

    def enqueue(
        self, task: Task, connection: CallersConnection | None = None, *, wait: float = 0.0
    ) -> Enqueued:
        """Take in one task; in the transaction of the caller's connection, if one is given.

        Waits up to `wait` seconds for room in its queue. Raises UnknownTaskTypeError,
        InvalidParametersError and QueueFullError before anything is written,
        IdempotencyConflictError if its key is taken, BackendUnavailable if the database is away.
        """
        new = self._checked(task)
        self._require_room([new], wait)
        if connection is not None:
            return self._enqueue_within(connection, [new])[0]
        inserted = self._ledger.insert(new)
        require_same(inserted, new)
        if not _is_to_be_sent(inserted):
            return Enqueued(inserted.task_id, is_new=inserted.is_new)
        hint = hint_of(new)
        self.tell([hint])
        return Enqueued(inserted.task_id, unpublished=self._publish([hint]))

    def enqueue_many(
        self,
        tasks: Iterable[Task],
        connection: CallersConnection | None = None,
        *,
        wait: float = 0.0,
    ) -> list[Enqueued]:
        """Take in many tasks, all or none; return what became of each, in order.

        Waits up to `wait` seconds for room in their queues. Raises BulkEnqueueError and
        QueueFullError with nothing written, BackendUnavailable if the database is away.
        """
        new = [self._checked_one(index, task) for index, task in enumerate(tasks)]
        self._require_room(new, wait)
        if connection is not None:
            return self._enqueue_within(connection, new)
        with self._ledger.database.transaction() as own:
            inserted = self._insert_many(own, new)
        queued = [
            hint_of(one) for one, row in zip(new, inserted, strict=True) if _is_to_be_sent(row)
        ]
        self.tell(queued)
        unpublished = self._publish(self._together(queued))
        return [
            Enqueued(row.task_id, row.is_new, unpublished if _is_to_be_sent(row) else None)
            for row in inserted
        ]

    def _checked_one(self, index: int, task: Task) -> NewTask:
        try:
            return self._checked(task)
        except TaskError as error:
            raise BulkEnqueueError(index, str(error)) from error

    def _insert_many(self, connection: Connection, new: Sequence[NewTask]) -> list[Inserted]:
        """Insert tasks of which some may be the same one, by their ids or their keys."""
        firsts = _firsts(new)
        places = sorted(set(firsts))
        rows = self._ledger.insert_many_on(connection, [new[place] for place in places])
        found = dict(zip(places, rows, strict=True))
        inserted = []
        for index, (one, first) in enumerate(zip(new, firsts, strict=True)):
            row = found[first] if index == first else replace(found[first], is_new=False)
            try:
                require_same(row, one)
            except IdempotencyConflictError as error:
                raise BulkEnqueueError(index, str(error)) from error
            inserted.append(row)
        return inserted

    def _enqueue_within(self, given: CallersConnection, new: Sequence[NewTask]) -> list[Enqueued]:
        """Insert tasks in the caller's transaction, and send them once that is committed."""
        connection = self._callers.connection(given)
        with self._ledger.database.translated():
            if len(new) == 1:
                inserted = [self._ledger.insert_on(connection, new[0])]
                require_same(inserted[0], new[0])
            else:
                with connection.begin_nested():  # all or none, whatever the caller commits
                    inserted = self._insert_many(connection, new)
        queued = [row.task_id for row in inserted if _is_to_be_sent(row)]
        if queued:
            self._committed.note(connection, queued)
        return [Enqueued(row.task_id, row.is_new) for row in inserted]

    def _send_committed(self, task_ids: Sequence[str]) -> None:
        """Send those of these tasks that are there; what can't be sent now, the sweep sends (R4)."""
        try:
            queued = self._ledger.queued(task_ids)
        except BackendUnavailable as error:
            self._telemetry.emit("task.publish_failed", count=len(task_ids), reason=error.reason)
            return
        self.tell(queued)
        self._publish(self._together(queued))

    def _together(self, hints: Sequence[Hint]) -> list[Hint]:
        """Return the same hints, with those of tiny tasks of one kind as batches (protocol R18)."""
        found: list[Hint] = []
        for kind, group in groupby(hints, lambda hint: replace(hint, task_id="")):
            alike, size = list(group), self._types.resolve(kind.task_type).batch
            if size == 1 or kind.canvas is not None or kind.celery_result:
                found += alike
                continue
            for start in range(0, len(alike), size):
                first, *others = alike[start : start + size]
                ids = tuple(one.task_id for one in others)
                found.append(replace(first, others=ids))
        return found

    def tell(self, queued: Sequence[Hint]) -> None:
        """Announce tasks that are new, and due."""
        match queued:
            case [hint]:
                self._telemetry.emit(
                    "task.enqueued", task_id=hint.task_id, task_type=hint.task_type
                )
            case [_, *_]:
                self._telemetry.emit("task.enqueued", count=len(queued))

    def require_room(self, queue: str, due: datetime | None) -> None:
        """Make sure that a client may put a task into a queue; raises QueueFullError.

        What is not `due` yet waits elsewhere.
        """
        if self._is_due(due):
            self._room.require(queue)

    def _require_room(self, new: Sequence[NewTask], wait: float) -> None:
        counts = Counter(one.queue for one in new if self._is_due(one.scheduled_at))
        for queue, count in sorted(counts.items()):
            self._room.require(queue, count, wait=wait)

    def _is_due(self, due: datetime | None) -> bool:
        return due is None or due <= self._clock.now()

    def check(self, task: Task, plain: PlainCall | None = None) -> NewTask:
        """Return a task as it is to be inserted, with nothing written; raises as `enqueue` does."""
        return self._checked(task, plain)

    def send(self, new: NewTask) -> None:
        """Send a new task whose row is committed; if the broker is away, it is sent later."""
        self._publish([hint_of(new)])

    def send_all(self, queued: Sequence[Hint]) -> None:
        """Announce and send tasks whose rows are committed; what can't be sent now is sent later."""
        if queued:
            self.tell(queued)
            self._publish(self._together(queued))

    def type_of(self, name: str) -> TaskType:
        """Return a task type; raises UnknownTaskTypeError."""
        return self._types.resolve(name)

    def insert(self, task: Task, plain: PlainCall | None = None) -> tuple[Inserted, Hint]:
        """Check a task and commit its row, without publishing it.

        A plain call brings its own arguments, in place of the task's parameters.
        """
        new = self._checked(task, plain)
        inserted = self._ledger.insert(new)
        require_same(inserted, new)
        return inserted, hint_of(new)

    def _checked(self, task: Task, plain: PlainCall | None = None) -> NewTask:
        task_type = self._types.resolve(task.task_type)
        return self._prepare(task, task_type, plain)

    def _prepare(self, task: Task, task_type: TaskType, plain: PlainCall | None) -> NewTask:
        default = None if task_type.may_run_for_ever else self._default_timeout
        policy = self._retries(task, task_type)
        new = NewTask(
            task_id=task.task_id or new_id(self._clock.now()),
            task_type=task.task_type,
            queue=task_type.queue,
            priority=task.priority,
            parameters="" if plain else task_type.parameters.dump(task.parameters),
            max_attempts=task_type.max_attempts if policy is None else policy.max_attempts,
            retry_policy=None if policy is None else kept(policy),
            timeout=task.timeout or task_type.timeout or default,
            scheduled_at=task.scheduled_at,
            idempotency_key=task.idempotency_key,
            tags=json.dumps(task.tags) if task.tags else None,
            metadata=_metadata(task),
        )
        return new if plain is None else _as_called(new, task_type, plain)

    def _retries(self, task: Task, task_type: TaskType) -> RetryPolicy | None:
        """Return the policy of a task; None for a Celery task, which decides for itself."""
        if task_type.celery_task is None:
            usual = task_type.retry_policy or self._default_retries
            return overridden(usual, task.retry_policy, task.retry_count)
        if task.retry_policy is not None or task.retry_count is not None:
            raise TaskError(
                f"{task.task_type} is a Celery task, which decides for itself when it is tried "
                "again (max_retries, autoretry_for); leave out retry_count and retry_policy"
            )
        return None

    def _publish(self, hints: Sequence[Hint]) -> str | None:
        """Send hints; return why not, where the broker is away."""
        try:
            self._publisher.publish(hints)
        except BackendUnavailable as error:
            which = {"task_id": hints[0].task_id} if len(hints) == 1 else {"count": len(hints)}
            self._telemetry.emit("task.publish_failed", **which, reason=error.reason)
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


def _firsts(new: Sequence[NewTask]) -> list[int]:
    """Return, for each task, the place of the first one that has its id or its idempotency key."""
    places: dict[str | tuple[str, str], int] = {}
    firsts = []
    for index, one in enumerate(new):
        first = places.get(one.task_id, index)
        if one.idempotency_key is not None:
            key = (one.task_type, one.idempotency_key)
            first = places.setdefault(key, first)
        places.setdefault(one.task_id, first)
        firsts.append(first)
    return firsts


def _is_to_be_sent(inserted: Inserted) -> bool:
    return inserted.is_new and inserted.state is State.QUEUED


def require_same(inserted: Inserted, new: NewTask) -> None:
    """Raise IdempotencyConflictError if a row that was there already is another task."""
    if inserted.is_new or _is_same(inserted, new):
        return
    by_id = new.idempotency_key is None or inserted.task_id == new.task_id
    key = new.task_id if by_id else str(new.idempotency_key)
    raise IdempotencyConflictError(new.task_type, key, inserted.task_id)


def _is_same(inserted: Inserted, new: NewTask) -> bool:
    """Tell whether a row that was there already is what was to be inserted."""
    if inserted.task_type != new.task_type:
        return False
    # As text, too: NaN is not equal to itself.
    return inserted.parameters == new.parameters or (
        json.loads(inserted.parameters) == json.loads(new.parameters)
    )


def _metadata(task: Task) -> str | None:
    if not task.metadata:
        return None
    try:
        return to_json(task.metadata).decode()
    except ValueError as error:
        raise InvalidParametersError(task.task_type, [Problem("metadata", str(error))]) from error


def hint_of(new: NewTask) -> Hint:
    """Return what a message says of a task that is due."""
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
