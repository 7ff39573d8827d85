"""What is kept of tasks that have ended, and for how long: statements that remove the rest.

A task goes with its attempts and with what it has logged. A dead letter stays until somebody
requeues or discards it; a step stays as long as its run (see `datamcp.pipelines.ledger`).
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, select

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.tasks.tables import attempts, task_logs, tasks

Now = Callable[[], ColumnElement[datetime]]

_AT_ONCE = 500  # tasks of one transaction: others wait for no longer than that takes


class OldTasks:
    """The rows of tasks that nobody needs any more. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self._database = database
        self._now = now

    def prune(self, age: float, limit: int) -> int:
        """Remove some tasks that ended more than so many seconds ago; return how many."""
        removed = 0
        while removed < limit:
            wanted = min(_AT_ONCE, limit - removed)
            found = self._prune_some(age, wanted)
            removed += found
            if found < wanted:
                break
        return removed

    def _prune_some(self, age: float, limit: int) -> int:
        before = instants.after(self._now(), -age)
        old = (
            select(tasks.c.task_id)
            .where(
                tasks.c.created_at < before,  # by the index; what has ended has begun
                tasks.c.finished_at < before,
                tasks.c.run_id.is_(None),
                tasks.c.dead_at.is_(None),
            )
            .order_by(tasks.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            return forget(connection, tasks.c.task_id.in_(connection.execute(old).scalars().all()))


def forget(connection: Connection, where: ColumnElement[bool]) -> int:
    """Remove the tasks of a condition, with all that is kept of them; return how many."""
    forgotten = select(tasks.c.task_id).where(where)
    for table in (attempts, task_logs):
        connection.execute(delete(table).where(table.c.task_id.in_(forgotten)))
    return connection.execute(delete(tasks).where(where)).rowcount
