"""The statements that every task goes through, built once per process.

To build such a statement anew for each task costs about as much as the database needs to run it.
`datamcp.tasks.ledger` is the only module that uses them; values are bound by name.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    Boolean,
    ColumnElement,
    Double,
    Executable,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from datamcp.infra.among import among
from datamcp.infra.instants import After, Instant, as_json
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

_COPIED = (
    "task_id",
    "task_type",
    "queue",
    "priority",
    "parameters",
    "max_attempts",
    "retry_policy",
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

DEAD = (State.FAILED, State.TIMED_OUT)
"""The states in which a task that is no step of a run is a dead letter."""

_INSTANTS = ("scheduled_at", "expires_at")

REPLACED = "replaced"
"""The error code of a row that waits for what replaces its task."""


def insert_task(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert a new task, unless its id or its idempotency key is taken; return its state.

    Takes the fields of NewTask. A task whose `scheduled_at` is still to come is scheduled, by the
    database's clock.
    """
    inserted = insert_if_new(dialect, tasks).values(_new_values(now, _bound))
    statement: Executable = inserted.returning(tasks.c.state)
    return statement


def insert_call(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert a task that another one calls, unless its id is taken; return its state.

    Takes what `insert_task` takes, and `depth`.
    """
    depth = bindparam("depth", type_=tasks.c.call_depth.type)
    inserted = insert_if_new(dialect, tasks).values(
        {**_new_values(now, _bound), "call_depth": depth}
    )
    statement: Executable = inserted.returning(tasks.c.state)
    return statement


def insert_if_new(dialect: str, table: Table) -> Any:
    """Return an insert that does nothing where the row is there already."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def insert_tasks(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert many new tasks as `insert_task` does one; return the ids and states of the new rows.

    Takes them as `rows`, one JSON text: what binds a parameter for each value costs ten times more.
    """
    names = (*_COPIED, "scheduled_at")
    text = bindparam("rows", type_=Text())
    if dialect == "postgresql":
        columns = [column(name, tasks.c[name].type) for name in names]
        rows = func.json_to_recordset(cast(text, JSON())).table_valued(*columns, name="new")
        rows = rows.render_derived(with_types=True)
        values = _new_values(now, lambda name: rows.c[name])
    else:
        rows = func.json_each(text).table_valued("value", name="new")
        values = _new_values(
            now,
            lambda name: func.json_extract(rows.c.value, f"$.{name}", type_=tasks.c[name].type),
        )
    # SQLite takes ON after a SELECT without WHERE for that of a join.
    chosen = select(*values.values()).select_from(rows).where(literal_column("1") == 1)
    inserted = insert_if_new(dialect, tasks).from_select(list(values), chosen)
    statement: Executable = inserted.returning(tasks.c.task_id, tasks.c.state)
    return statement


def insert_rows(dialect: str, new: Sequence[Any]) -> str:
    """Return the value that `insert_tasks` takes for some NewTasks."""
    return json.dumps([_row(dialect, task) for task in new])


def _row(dialect: str, task: Any) -> dict[str, Any]:
    row = {name: value for name in _COPIED if (value := getattr(task, name)) is not None}
    due = task.scheduled_at
    if due is not None:
        row["scheduled_at"] = due
    for name in _INSTANTS:
        if name in row:
            row[name] = as_json(row[name], dialect)
    return row


def _bound(name: str) -> ColumnElement[Any]:
    """Return the parameter of a statement for one task."""
    key = "due" if name == "scheduled_at" else f"new_{name}"
    return bindparam(key, type_=tasks.c[name].type)


def _new_values(
    now: ColumnElement[Any], given: Callable[[str], ColumnElement[Any]]
) -> dict[str, Any]:
    due = given("scheduled_at")
    is_later = due > now
    return {
        **{name: given(name) for name in _COPIED},
        "created_at": now,
        "scheduled_at": due,
        "state": case((is_later, State.SCHEDULED), else_=State.QUEUED),
        "queued_at": case((is_later, null()), else_=now),
    }


def replace_task(now: ColumnElement[Any]) -> Executable:
    """Make a row that was left to what replaces it that very task; return its state.

    Takes what `insert_task` takes.
    """
    inserted = _new_values(now, _bound)
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

    Takes `id`, `mine` (the fence), `agent` and `lease` (s).
    """
    return _claim(now, tasks.c.task_id == bindparam("id")).returning(*returned)


def claim_tasks(
    dialect: str, now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...], suspect: int
) -> Executable:
    """Take many rows as `claim_task` does one.

    Takes `ids` in the place of `id`. A row of so many suspicions (`suspect`) is left: it runs alone.
    """
    chosen = and_(among(dialect, tasks.c.task_id, "ids"), tasks.c.suspicions < suspect)
    return _claim(now, chosen).returning(*returned)


def _claim(now: ColumnElement[Any], chosen: ColumnElement[bool]) -> Update:
    is_mine = and_(tasks.c.state == State.RUNNING, tasks.c.fence == bindparam("mine"))
    may_start = and_(is_due(now), tasks.c.cancel_requested.is_(False), ~has_expired(now))
    return (
        update(tasks)
        .where(chosen, or_(may_start, is_mine))
        .values(
            state=State.RUNNING,
            fence=bindparam("mine"),
            agent_id=bindparam("agent"),
            lease_until=After(now, bindparam("lease", type_=Double())),
            attempt=case((is_mine, tasks.c.attempt), else_=tasks.c.attempt + 1),
            started_at=now,
            progress=None,
        )
    )


def renew_leases(now: ColumnElement[Any]) -> Executable:
    """Renew claims in force of one agent; return which, and whether to stop them (R6).

    Takes `agent`, `held` (fences) and `lease` (s).
    """
    held: BindParameter[list[str]] = bindparam("held", expanding=True)
    return (
        update(tasks)
        .where(
            tasks.c.agent_id == bindparam("agent"),
            tasks.c.state == State.RUNNING,
            tasks.c.fence.in_(held),
        )
        .values(lease_until=After(now, bindparam("lease", type_=Double())))
        .returning(tasks.c.task_id, tasks.c.fence, tasks.c.cancel_requested)
    )


def beat_task() -> Executable:
    """Record progress and details, unless they are null, of a claim in force (R1).

    Takes `id`, `mine`, `reached` and `noted`; returns whether to stop.
    """
    reached = bindparam("reached", type_=tasks.c.progress.type)
    noted = bindparam("noted", type_=tasks.c.details.type)
    return (
        _held()
        .values(
            progress=func.coalesce(reached, tasks.c.progress),
            details=func.coalesce(noted, tasks.c.details),
        )
        .returning(tasks.c.cancel_requested)
    )


def finish_task(now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]) -> Executable:
    """Record how a claim in force ended; a cancel that was asked for wins (R1, R9).

    Takes `id`, `mine`, and the fields of Ending as `end_state`, `end_result` and so on.
    """
    is_cancelled = tasks.c.cancel_requested.is_(True)

    def unless_cancelled(name: str, otherwise: Any) -> ColumnElement[Any]:
        given = bindparam(f"end_{name}", type_=tasks.c[name].type)
        return case((is_cancelled, otherwise), else_=given)

    is_dead = and_(
        ~is_cancelled,
        tasks.c.run_id.is_(None),
        or_(*(bindparam("end_state", type_=tasks.c.state.type) == state for state in DEAD)),
    )
    return (
        _held()
        .values(
            state=unless_cancelled("state", State.CANCELLED),
            dead_at=case((is_dead, now), else_=null()),
            result=unless_cancelled("result", null()),
            output=unless_cancelled("output", null()),
            error_code=unless_cancelled("error_code", "cancelled"),
            error_message=unless_cancelled("error_message", "on request"),
            finished_at=now,
        )
        .returning(*returned)
    )


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """How one task of a batch succeeded, and how many seconds ago it began and ended."""

    task_id: str
    result: str | None  # JSON
    output: str | None  # JSON, of a step
    began: float
    ended: float


def end_rows(ends: Sequence[BatchEnd]) -> str:
    """Return the value that `finish_tasks` takes for some ends.

    In the order of their ids, in which their rows are then locked.
    """
    in_order = sorted(ends, key=lambda end: end.task_id)
    return json.dumps([asdict(end) for end in in_order])


def finish_tasks(
    dialect: str, now: ColumnElement[Any], returned: tuple[ColumnElement[Any], ...]
) -> Executable:
    """Record that claims in force of one fence have succeeded, as `finish_task` does of one.

    Takes `mine`, and `rows` as of `end_rows`.
    """
    text = bindparam("rows", type_=Text())
    columns = [
        column("task_id", Text()),
        column("result", Text()),
        column("output", Text()),
        column("began", Double()),
        column("ended", Double()),
    ]
    if dialect == "postgresql":
        rows = func.json_to_recordset(cast(text, JSON())).table_valued(*columns, name="done")
        rows = rows.render_derived(with_types=True)
        given: dict[str, Any] = {each.name: rows.c[each.name] for each in columns}
    else:
        rows = func.json_each(text).table_valued("value", name="done")
        given = {
            each.name: func.json_extract(rows.c.value, f"$.{each.name}", type_=each.type)
            for each in columns
        }
    is_cancelled = tasks.c.cancel_requested.is_(True)
    return (
        update(tasks)
        .where(
            tasks.c.task_id == given["task_id"],
            tasks.c.fence == bindparam("mine"),
            tasks.c.state == State.RUNNING,
        )
        .values(
            state=case((is_cancelled, State.CANCELLED), else_=State.SUCCEEDED),
            result=case((is_cancelled, null()), else_=given["result"]),
            output=case((is_cancelled, null()), else_=given["output"]),
            error_code=case((is_cancelled, "cancelled"), else_=null()),
            error_message=case((is_cancelled, "on request"), else_=null()),
            started_at=After(now, -given["began"]),
            finished_at=After(now, -given["ended"]),
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
    waits = or_(tasks.c.state == State.SCHEDULED, tasks.c.state == State.RETRYING)
    has_come = and_(waits, tasks.c.scheduled_at <= now, tasks.c.awaits.is_(None))
    return or_(tasks.c.state == State.QUEUED, has_come)


def _held() -> Update:
    """Return the update of a claim in force; never guarded by a lease's time (R1)."""
    return update(tasks).where(
        tasks.c.task_id == bindparam("id"),
        tasks.c.fence == bindparam("mine"),
        tasks.c.state == State.RUNNING,
    )
