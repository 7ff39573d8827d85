"""Statements on the table of attempts: those that another one followed.

Each is written in the transaction that put its task off or gave it back, once for each fence. The
last attempt of a task is told by the task's own row.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, select

from datamcp.infra.database import Database
from datamcp.tasks.statements import insert_if_new
from datamcp.tasks.tables import attempts, tasks

RETRIED = "retried"
SNOOZED = "snoozed"
LOST = "lost"

KEPT = {RETRIED: 1000, SNOOZED: 100, LOST: 100}
"""How many attempts of one task are kept that ended so: the last ones."""

MADE = (
    tasks.c.task_id,
    tasks.c.fence,
    tasks.c.attempt,
    tasks.c.agent_id,
    tasks.c.scheduled_at,
    tasks.c.queued_at,
    tasks.c.started_at,
)
"""What is kept of an attempt, as its task's row has it while it is made."""


def keep(
    connection: Connection,
    made: Sequence[Any],
    outcome: str,
    now: ColumnElement[datetime],
    *,
    code: str | None = None,
    message: str | None = None,
) -> None:
    """Keep attempts (columns `MADE`) that end now, with another one to follow."""
    for row in made:
        statement = insert_if_new(connection.dialect.name, attempts).values(
            **row._asdict(), ended_at=now, outcome=outcome, error_code=code, error_message=message
        )
        connection.execute(statement)
        if outcome != RETRIED or row.attempt > KEPT[RETRIED]:
            _forget_oldest(connection, row.task_id, outcome)


def _forget_oldest(connection: Connection, task_id: str, outcome: str) -> None:
    """Keep the last attempts of a task alone: it may look every minute for months."""
    is_one = and_(attempts.c.task_id == task_id, attempts.c.outcome == outcome)
    last = select(attempts.c.ended_at).where(is_one).order_by(attempts.c.ended_at.desc())
    oldest = last.offset(KEPT[outcome]).limit(1).scalar_subquery()
    connection.execute(delete(attempts).where(is_one, attempts.c.ended_at <= oldest))


def attempts_of(database: Database, task_id: str) -> Sequence[Row[Any]]:
    """Return the attempts of a task that another one followed, the oldest first."""
    statement = (
        select(attempts)
        .where(attempts.c.task_id == task_id)
        .order_by(attempts.c.ended_at, attempts.c.started_at, attempts.c.attempt)
    )
    with database.autocommit() as connection:
        return connection.execute(statement).all()
