"""Every statement on the table of what tasks have logged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, tuple_

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.tasks.tables import task_logs
from datamcp.tasks.task import TaskLogLine

Now = Callable[[], ColumnElement[datetime]]


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line as it is written; `ago` is how long ago (s) it was logged."""

    line: int
    ago: float
    level: str
    message: str


class LogLedger:
    """The log lines of tasks. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self._database = database
        self._now = now

    def write(self, task_id: str, fence: str, attempt: int, lines: Sequence[NewLine]) -> None:
        """Keep lines of one attempt. They may be lost in a crash of the database."""
        rows = [
            {
                "task_id": task_id,
                "fence": fence,
                "attempt": attempt,
                "line": one.line,
                "at": instants.after(self._now(), -one.ago),
                "level": one.level,
                "message": one.message,
            }
            for one in lines
        ]
        with self._database.autocommit(is_relaxed=True) as connection:
            connection.execute(insert(task_logs).values(rows))

    def read(self, task_id: str, *, attempt: int | None, limit: int) -> list[TaskLogLine]:
        """Return the last lines of a task, or of one attempt, the oldest first."""
        statement = select(
            task_logs.c.at,
            task_logs.c.attempt,
            task_logs.c.fence,
            task_logs.c.line,
            task_logs.c.level,
            task_logs.c.message,
        ).where(task_logs.c.task_id == task_id)
        if attempt is not None:
            statement = statement.where(task_logs.c.attempt == attempt)
        newest = statement.order_by(task_logs.c.at.desc(), task_logs.c.line.desc()).limit(limit)
        with self._database.autocommit() as connection:
            rows: Sequence[Any] = connection.execute(newest).all()
        return [
            TaskLogLine(at=row.at, attempt=row.attempt, level=row.level, message=row.message)
            for row in sorted(rows, key=lambda row: (row.at, row.fence, row.line))
        ]

    def prune(self, age: float, limit: int) -> int:
        """Remove some lines that are older than so many seconds; return how many."""
        old = task_logs.c.at < instants.after(self._now(), -age)
        key = (task_logs.c.task_id, task_logs.c.fence, task_logs.c.line)
        some = select(*key).where(old).limit(limit)
        with self._database.autocommit() as connection:
            return connection.execute(delete(task_logs).where(tuple_(*key).in_(some))).rowcount
