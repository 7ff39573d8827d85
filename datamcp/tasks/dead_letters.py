"""`rt.tasks.dead_letters`: tasks that failed or timed out for good, to be looked at and tried anew.

A final state stays final (protocol R11): to requeue a dead letter makes a new task, which takes
over its idempotency key, its parameters and what its attempts have noted.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable, NotDeadLetterError, TaskNotFoundError
from datamcp.infra.database import Row
from datamcp.tasks.dead import DeadRows
from datamcp.tasks.history import history_of
from datamcp.tasks.ledger import Hint, TaskLedger
from datamcp.tasks.past import attempts_of
from datamcp.tasks.ports import Publisher
from datamcp.tasks.statements import DEAD
from datamcp.tasks.states import State
from datamcp.tasks.task import DeadLetter, TaskEvent
from datamcp.telemetry import Telemetry
from datamcp.types import new_id

_AT_ONCE = 500  # dead letters that one transaction takes

T = TypeVar("T")


class DeadLetters:
    """The dead letters of a ledger. Safe to share between threads."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        rows: DeadRows,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts."""
        self._ledger = ledger
        self._rows = rows
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry

    def list(
        self, *, task_type: str | None = None, since: datetime | None = None, limit: int = 50
    ) -> Sequence[DeadLetter]:
        """Return dead letters, the last dead first; `since` is the earliest `dead_at`."""
        with self._ledger.database.autocommit() as connection:
            rows = self._rows.list(connection, task_type=task_type, since=since, limit=limit)
        return [_letter(row) for row in rows]

    def show(self, task_id: str) -> DeadLetter:
        """Return one, with its history, also after it was requeued or discarded.

        Raises TaskNotFoundError, and NotDeadLetterError for a task that never was one.
        """
        row = self._row(task_id)
        if State(row.state) not in DEAD or row.run_id is not None:
            raise NotDeadLetterError(task_id, row.state)
        return _letter(row, history_of(row, attempts_of(self._ledger.database, task_id)))

    def requeue(self, task_id: str) -> str:
        """Make a new task of a dead letter, and return its id; the old one leaves the list.

        It takes over the idempotency key, the parameters, the retry policy, what follows it in a
        canvas, and the details that the attempts have noted. Raises TaskNotFoundError, and
        NotDeadLetterError if it is none, or none any more.
        """
        requeued = self._requeue(task_id=task_id)
        if not requeued:
            raise self._refusal(task_id)
        return requeued[task_id]

    def requeue_all(
        self,
        *,
        task_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Mapping[str, str]:
        """Requeue those that fit, the first dead first; return the new ids by the old ones.

        What dies again meanwhile is left alone.
        """
        requeued: dict[str, str] = {}
        filters = {"task_type": task_type, "since": since, "before": self._now()}
        while size := _size(limit, len(requeued)):
            some = self._requeue(**filters, limit=size)
            requeued |= some
            if len(some) < size:
                break
        return requeued

    def discard(self, task_id: str) -> None:
        """Take one off the list; its row and its history stay.

        Raises TaskNotFoundError, and NotDeadLetterError if it is none, or none any more.
        """
        if not self._discard(task_id=task_id):
            raise self._refusal(task_id)

    def discard_all(
        self,
        *,
        task_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[str]:
        """Discard those that fit, the first dead first; return their ids."""
        discarded: list[str] = []
        filters = {"task_type": task_type, "since": since, "before": self._now()}
        while size := _size(limit, len(discarded)):
            some = self._discard(**filters, limit=size)
            discarded += some
            if len(some) < size:
                break
        return discarded

    def _requeue(self, **wanted: Any) -> dict[str, str]:
        hints: list[Hint] = []
        requeued: dict[str, str] = {}
        with self._ledger.database.transaction() as connection:
            for row in self._rows.take(connection, **wanted):
                requeued[row.task_id] = new_id(self._clock.now())
                hints.append(self._rows.repeat(connection, row, requeued[row.task_id]))
        self._send(hints)
        return requeued

    def _discard(self, **wanted: Any) -> Sequence[str]:
        with self._ledger.database.transaction() as connection:
            return [row.task_id for row in self._rows.take(connection, **wanted)]

    def _send(self, hints: Sequence[Hint]) -> None:
        try:
            self._publisher.publish(hints)
        except BackendUnavailable as error:
            # The rows are queued: they are published once the broker is back (R4).
            self._telemetry.emit("task.publish_failed", count=len(hints), reason=error.reason)

    def _now(self) -> datetime:
        with self._ledger.database.autocommit() as connection:
            return self._rows.now(connection)

    def _row(self, task_id: str) -> Row[Any]:
        row = self._ledger.get(task_id)
        if row is None:
            raise TaskNotFoundError(task_id)
        return row

    def _refusal(self, task_id: str) -> NotDeadLetterError:
        row = self._row(task_id)
        return NotDeadLetterError(task_id, row.state, row.followed_by)


class InThread(Protocol):
    """Runs a function on a thread of a pool."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Return what awaits its end."""
        ...


class AsyncDeadLetters:
    """The awaitable twin of `DeadLetters`, for use on an event loop."""

    def __init__(self, letters: DeadLetters, in_thread: InThread) -> None:
        """Take the twin, and what runs its methods elsewhere."""
        self._letters = letters
        self._in_thread = in_thread

    async def list(self, **filters: Any) -> Sequence[DeadLetter]:
        """Return dead letters, the last dead first."""
        return await self._in_thread(lambda: self._letters.list(**filters))

    async def show(self, task_id: str) -> DeadLetter:
        """Return one, with its history."""
        return await self._in_thread(self._letters.show, task_id)

    async def requeue(self, task_id: str) -> str:
        """Make a new task of a dead letter, and return its id."""
        return await self._in_thread(self._letters.requeue, task_id)

    async def requeue_all(self, **filters: Any) -> Mapping[str, str]:
        """Requeue those that fit; return the new ids by the old ones."""
        return await self._in_thread(lambda: self._letters.requeue_all(**filters))

    async def discard(self, task_id: str) -> None:
        """Take one off the list."""
        await self._in_thread(self._letters.discard, task_id)

    async def discard_all(self, **filters: Any) -> Sequence[str]:
        """Discard those that fit; return their ids."""
        return await self._in_thread(lambda: self._letters.discard_all(**filters))


def _size(limit: int | None, done: int) -> int:
    return _AT_ONCE if limit is None else min(_AT_ONCE, limit - done)


def _letter(row: Row[Any], history: Sequence[TaskEvent] = ()) -> DeadLetter:
    parsed = {
        "parameters": json.loads(row.parameters),
        "details": json.loads(row.details) if row.details else {},
        "history": tuple(history),
    }
    names = DeadLetter.model_fields.keys() - parsed.keys()
    return DeadLetter(**{name: getattr(row, name) for name in names}, **parsed)
