"""Ledgers whose clock is moved by hand, and rows for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam

from datamcp.infra.database import Database
from datamcp.infra.instants import Instant
from datamcp.tasks.history import history_of
from datamcp.tasks.ledger import (
    Death,
    Deferred,
    Hint,
    NewTask,
    Settled,
    TaskLedger,
    is_claim,
    is_task,
)
from datamcp.tasks.outcome import Ending, Final, Retry, Snooze, defer, settle
from datamcp.tasks.past import attempts_of
from datamcp.tasks.task import TaskEvent

_numbers = count()


class HandClock:
    """A clock in the database's place, which stands still until it is moved."""

    def __init__(self) -> None:
        """Begin anywhere."""
        self.instant = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> ColumnElement[datetime]:
        """Return the instant, for use in SQL: that of the execution, not of the statement."""
        return bindparam(None, callable_=lambda: self.instant, type_=Instant(), unique=True)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.instant += timedelta(seconds=seconds)


@dataclass(frozen=True)
class LedgerOnHand:
    """A ledger, its clock, and what a test does with them in one word."""

    ledger: TaskLedger
    clock: HandClock

    def add(self, **fields: Any) -> str:
        """Insert a row and return its id."""
        task = new_task(**fields)
        assert self.ledger.insert(task).is_new
        return task.task_id

    def row(self, task_id: str) -> Row[Any]:
        """Return a row that is there."""
        row = self.ledger.get(task_id)
        assert row is not None
        return row

    def history(self, task_id: str) -> Sequence[TaskEvent]:
        """Return what happened to a task."""
        return history_of(self.row(task_id), attempts_of(self.ledger.database, task_id))

    def defer(self, task_id: str, fence: str, outcome: Retry | Snooze) -> Deferred | Settled | None:
        """Let another attempt follow, in a transaction of its own."""
        with self.ledger.database.transaction() as connection:
            return self.ledger.defer(connection, task_id, fence, defer(outcome))

    def finish(self, task_id: str, fence: str, outcome: Final) -> Settled | None:
        """End an attempt, in a transaction of its own."""
        return self.write(task_id, fence, settle(outcome))

    def write(self, task_id: str, fence: str, ending: Ending) -> Settled | None:
        """Write an ending, in a transaction of its own."""
        with self.ledger.database.transaction() as connection:
            return self.ledger.finish(connection, task_id, fence, ending)

    def cancel(self, task_id: str) -> list[Settled]:
        """Cancel a task, in a transaction of its own."""
        with self.ledger.database.transaction() as connection:
            return self.ledger.cancel(connection, is_task(task_id))

    def give_back(
        self, task_id: str, fence: str, death: Death = Death.ALONE
    ) -> tuple[list[Hint], list[Settled]]:
        """Give a claim back, in a transaction of its own."""
        with self.ledger.database.transaction() as connection:
            return self.ledger.give_back(connection, is_claim(task_id, fence), death)


def ledger_at_hand(database: Database) -> LedgerOnHand:
    """Return a ledger whose clock is moved by hand."""
    clock = HandClock()
    return LedgerOnHand(TaskLedger(database, now=clock), clock)


def new_id() -> str:
    """Return an id, or a key, that nothing else in this run has."""
    return f"task-{next(_numbers)}"


def new_task(**fields: Any) -> NewTask:
    """Return a task to be inserted, with an id of its own."""
    usual: dict[str, Any] = {
        "task_id": new_id(),
        "task_type": "bench.add",
        "queue": "bench",
        "priority": 5,
        "parameters": '{"a": 1}',
    }
    return NewTask(**{**usual, **fields})
