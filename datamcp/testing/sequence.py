"""In which order tasks that fall due together are sent: the same in every run of a test.

The ids' own order is random within a millisecond, and a clock that stands still makes many of them
in one. So of tasks with the same instant the first is the one whose row is the oldest (SQLite), or
was the first to be written as it is now (PostgreSQL).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Text, cast, func, literal_column, select

from datamcp.infra.database import Database
from datamcp.tasks.states import WAITING, State
from datamcp.tasks.tables import tasks


def waiting(database: Database) -> dict[str, State]:
    """Return the states of all tasks that wait, by id, in the order in which they fall due."""
    falls_due = func.coalesce(tasks.c.scheduled_at, tasks.c.queued_at, tasks.c.created_at)
    statement = (
        select(tasks.c.task_id, tasks.c.state)
        .where(tasks.c.state.in_(WAITING))
        .order_by(falls_due, *_ages(database.dialect))
    )
    with database.autocommit() as connection:
        return {row.task_id: State(row.state) for row in connection.execute(statement)}


def rows_by_age(database: Database) -> Sequence[Row[Any]]:
    """Return the whole rows of all tasks, the oldest first; of one instant, as said above."""
    statement = select(tasks).order_by(tasks.c.created_at, *_ages(database.dialect))
    with database.autocommit() as connection:
        return connection.execute(statement).all()


def _ages(dialect: str) -> list[ColumnElement[int]]:
    """Return what orders rows that have one instant."""
    if dialect == "sqlite":
        return [literal_column("tasks.rowid", BigInteger())]
    return [cast(cast(literal_column("tasks.xmin"), Text()), BigInteger())]
