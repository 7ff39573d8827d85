"""The statements that every task goes through, built once per process.

To build such a statement anew for each task costs about as much as the database needs to run it.
`datamcp.tasks.ledger` is the only module that uses them; values are bound by name.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Update,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from datamcp.infra.instants import Instant
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

_COPIED = (
    "task_id",
    "task_type",
    "queue",
    "priority",
    "parameters",
    "max_attempts",
    "timeout",
    "idempotency_key",
    "tags",
    "metadata",
    "root_id",
    "parent_id",
    "celery_result",
    "canvas",
)
"""What an insert takes from the new task as it is."""


def insert_task(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert a new task, unless its id or its idempotency key is taken; return its state.

    Takes the fields of NewTask. A task whose `scheduled_at` is still to come is scheduled, by the
    database's clock.
    """
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    due = bindparam("due", type_=Instant())
    is_later = due > now
    values = {
        **{name: bindparam(f"new_{name}", type_=tasks.c[name].type) for name in _COPIED},
        "created_at": now,
        "scheduled_at": due,
        "state": case((is_later, State.SCHEDULED), else_=State.QUEUED),
        "queued_at": case((is_later, null()), else_=now),
    }
    return insert(tasks).values(values).on_conflict_do_nothing().returning(tasks.c.state)


def insert_values(task: Any) -> dict[str, Any]:
    """Return the values that `insert_task` takes for a NewTask."""
    values = {f"new_{name}": getattr(task, name) for name in _COPIED}
    return {**values, "due": task.scheduled_at}


def claim_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Take a row that may start, or that this same fence has taken already (R2, R3).

    Takes `id`, `mine` (the fence) and `agent`.
    """
    is_mine = and_(tasks.c.state == State.RUNNING, tasks.c.fence == bindparam("mine"))
    may_start = and_(is_due(now), tasks.c.cancel_requested.is_(False))
    return (
        update(tasks)
        .where(tasks.c.task_id == bindparam("id"), or_(may_start, is_mine))
        .values(
            state=State.RUNNING,
            fence=bindparam("mine"),
            agent_id=bindparam("agent"),
            attempt=case((is_mine, tasks.c.attempt), else_=tasks.c.attempt + 1),
            started_at=now,
            progress=None,
        )
        .returning(*returned)
    )


def beat_task() -> Executable:
    """Record progress, unless it is null, of a claim in force; return whether to stop (R1).

    Takes `id`, `mine` and `reached`.
    """
    reached = bindparam("reached", type_=tasks.c.progress.type)
    progress = func.coalesce(reached, tasks.c.progress)
    return _held().values(progress=progress).returning(tasks.c.cancel_requested)


def finish_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Record how a claim in force ended; a cancel that was asked for wins (R1, R9).

    Takes `id`, `mine`, and the fields of Ending as `end_state`, `end_result` and so on.
    """
    is_cancelled = tasks.c.cancel_requested.is_(True)

    def unless_cancelled(name: str, otherwise: Any) -> ColumnElement[Any]:
        given = bindparam(f"end_{name}", type_=tasks.c[name].type)
        return case((is_cancelled, otherwise), else_=given)

    return (
        _held()
        .values(
            state=unless_cancelled("state", State.CANCELLED),
            result=unless_cancelled("result", null()),
            output=unless_cancelled("output", null()),
            error_code=unless_cancelled("error_code", "cancelled"),
            error_message=unless_cancelled("error_message", "on request"),
            finished_at=now,
        )
        .returning(*returned)
    )


def is_due(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of rows that may start, as far as time is concerned."""
    waits_for_its_time = and_(
        tasks.c.state.in_([State.SCHEDULED, State.RETRYING]), tasks.c.scheduled_at <= now
    )
    return or_(tasks.c.state == State.QUEUED, waits_for_its_time)


def _held() -> Update:
    """Return the update of a claim in force; never guarded by a lease's time (R1)."""
    return update(tasks).where(
        tasks.c.task_id == bindparam("id"),
        tasks.c.fence == bindparam("mine"),
        tasks.c.state == State.RUNNING,
    )
