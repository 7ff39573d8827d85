"""The statements that every task goes through, built once per process.

To build such a statement anew for each task costs about as much as the database needs to run it.
`datamcp.tasks.ledger` is the only module that uses them; values are bound by name.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
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

from datamcp.infra.instants import After, Instant
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
    "attempt",
    "expires_at",
)
"""What an insert takes from the new task as it is."""

REPLACED = "replaced"
"""The error code of a row that waits for what replaces its task."""


def insert_task(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert a new task, unless its id or its idempotency key is taken; return its state.

    Takes the fields of NewTask. A task whose `scheduled_at` is still to come is scheduled, by the
    database's clock.
    """
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    values = _new_values(now)
    return insert(tasks).values(values).on_conflict_do_nothing().returning(tasks.c.state)


def _new_values(now: ColumnElement[Any]) -> dict[str, Any]:
    due = bindparam("due", type_=Instant())
    is_later = due > now
    return {
        **{name: bindparam(f"new_{name}", type_=tasks.c[name].type) for name in _COPIED},
        "created_at": now,
        "scheduled_at": due,
        "state": case((is_later, State.SCHEDULED), else_=State.QUEUED),
        "queued_at": case((is_later, null()), else_=now),
    }


def replace_task(now: ColumnElement[Any]) -> Executable:
    """Make a row that was left to what replaces it that very task; return its state.

    Takes what `insert_task` takes.
    """
    inserted = _new_values(now)
    kept = {"task_id", "created_at"}
    values = {name: value for name, value in inserted.items() if name not in kept}
    return (
        update(tasks)
        .where(tasks.c.task_id == inserted["task_id"], is_left())
        .values({**values, "error_code": null(), "error_message": null()})
        .returning(tasks.c.state)
    )


def leave_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Leave the row of a claim in force to what replaces its task; a cancel wins (R1, R9).

    Takes `id` and `mine`.
    """
    is_cancelled = tasks.c.cancel_requested.is_(True)
    return (
        _held()
        .values(
            state=case((is_cancelled, State.CANCELLED), else_=State.SCHEDULED),
            scheduled_at=None,
            error_code=case((is_cancelled, "cancelled"), else_=REPLACED),
            error_message=case((is_cancelled, "on request"), else_="waits for what replaces it"),
            finished_at=case((is_cancelled, now), else_=null()),
        )
        .returning(*returned)
    )


def is_left() -> ColumnElement[bool]:
    """Return the condition of rows that wait for what replaces their task."""
    return and_(tasks.c.state == State.SCHEDULED, tasks.c.error_code == REPLACED)


def insert_values(task: Any) -> dict[str, Any]:
    """Return the values that `insert_task` takes for a NewTask."""
    values = {f"new_{name}": getattr(task, name) for name in _COPIED}
    return {**values, "due": task.scheduled_at}


def claim_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Take a row that may start, or that this same fence has taken already (R2, R3).

    Takes `id`, `mine` (the fence) and `agent`.
    """
    is_mine = and_(tasks.c.state == State.RUNNING, tasks.c.fence == bindparam("mine"))
    may_start = and_(is_due(now), tasks.c.cancel_requested.is_(False), ~has_expired(now))
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


def defer_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Let another attempt follow a claim in force; a cancel that was asked for wins (R1, R9).

    Takes `id`, `mine`, and the fields of Deferral as `put_state`, `put_delay` and so on.
    """
    is_cancelled = tasks.c.cancel_requested.is_(True)
    given = {
        name: bindparam(f"put_{name}", type_=tasks.c[name].type)
        for name in ("state", "parameters", "canvas", "queue", "error_code", "error_message")
    }
    counts = bindparam("put_counts", type_=Boolean())
    due = bindparam("put_due", type_=Instant())
    delay: ColumnElement[float] = bindparam("put_delay", type_=Double())
    is_beyond = and_(counts, tasks.c.max_attempts > 0, tasks.c.attempt >= tasks.c.max_attempts)

    def unless_cancelled(name: str, otherwise: Any) -> ColumnElement[Any]:
        return case((is_cancelled, tasks.c[name]), else_=otherwise)

    return (
        _held()
        .values(
            state=case((is_cancelled, State.CANCELLED), else_=given["state"]),
            attempt=unless_cancelled(
                "attempt", case((counts, tasks.c.attempt), else_=tasks.c.attempt - 1)
            ),
            max_attempts=unless_cancelled(
                "max_attempts",
                case((is_beyond, tasks.c.attempt + 1), else_=tasks.c.max_attempts),
            ),
            **{
                name: unless_cancelled(name, func.coalesce(given[name], tasks.c[name]))
                for name in ("parameters", "canvas", "queue")
            },
            scheduled_at=unless_cancelled("scheduled_at", func.coalesce(due, After(now, delay))),
            deferred_at=unless_cancelled(
                "deferred_at", case((counts, now), else_=tasks.c.deferred_at)
            ),
            error_code=case((is_cancelled, "cancelled"), else_=given["error_code"]),
            error_message=case((is_cancelled, "on request"), else_=given["error_message"]),
            finished_at=case((is_cancelled, now), else_=null()),
        )
        .returning(*returned)
    )


def has_expired(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of rows that were to start earlier, or not at all."""
    return and_(tasks.c.expires_at.is_not(None), tasks.c.expires_at <= now)


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
