"""The rows of dead letters: tasks that failed or timed out for good (protocol R11)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, literal, select, update

from datamcp.infra.instants import Instant
from datamcp.tasks.ledger import HINT_COLUMNS, Hint, Now, is_task
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

_TAKEN_OVER = (
    "task_type",
    "queue",
    "priority",
    "parameters",
    "max_attempts",
    "retry_policy",
    "timeout",
    "celery_result",
    "canvas",
    "idempotency_key",
    "tags",
    "metadata",
    "root_id",
    "parent_id",
    "details",
)
"""What a task has of the dead letter that it repeats."""


class DeadRows:
    """Statements on dead letters, for connections of the caller's."""

    def __init__(self, now: Now) -> None:
        """Take the clock of the ledger."""
        self._now = now

    def list(
        self,
        connection: Connection,
        *,
        task_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[Row[Any]]:
        """Return whole rows, the last dead first."""
        statement = select(tasks).where(*_wanted(task_type, since))
        statement = statement.order_by(tasks.c.dead_at.desc(), tasks.c.task_id.desc())
        return connection.execute(statement.limit(limit)).all()

    def now(self, connection: Connection) -> datetime:
        """Return the instant of the ledger's clock."""
        found: datetime = connection.execute(select(self._now())).scalar_one()
        return found

    def take(
        self,
        connection: Connection,
        *,
        task_id: str | None = None,
        task_type: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[Row[Any]]:
        """Take dead letters off the list, the first dead first; return their rows as they were.

        Those that died at `before` are among them, and none that died later.
        Of those who want the same one, one gets it. Whoever wants that very task waits for the
        others, whoever wants many leaves theirs to them.
        """
        found: Select[Any] = select(tasks).where(*_wanted(task_type, since))
        if task_id is not None:
            found = found.where(is_task(task_id))
        if before is not None:
            found = found.where(tasks.c.dead_at <= literal(before, Instant()))
        found = found.order_by(tasks.c.dead_at, tasks.c.task_id).limit(limit)
        rows = connection.execute(found.with_for_update(skip_locked=task_id is None)).all()
        ids = [row.task_id for row in rows]
        gone = update(tasks).where(tasks.c.task_id.in_(ids)).values(dead_at=None)
        connection.execute(gone)
        return rows

    def repeat(self, connection: Connection, row: Row[Any], task_id: str) -> Hint:
        """Insert the task that repeats a dead letter; its message is to be sent after the commit."""
        followed = update(tasks).where(is_task(row.task_id))
        connection.execute(followed.values(followed_by=task_id, idempotency_key=None))
        statement = (
            insert(tasks)
            .values(
                **{name: row._mapping[tasks.c[name]] for name in _TAKEN_OVER},  # noqa: SLF001  SQLAlchemy's public name for it
                task_id=task_id,
                retry_of=row.task_id,
                state=State.QUEUED,
                created_at=self._now(),
                queued_at=self._now(),
            )
            .returning(*HINT_COLUMNS)
        )
        return Hint(*connection.execute(statement).one())


def _wanted(task_type: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [tasks.c.dead_at.is_not(None)]
    if task_type is not None:
        wanted.append(tasks.c.task_type == task_type)
    if since is not None:
        wanted.append(tasks.c.dead_at >= literal(since, Instant()))
    return wanted
