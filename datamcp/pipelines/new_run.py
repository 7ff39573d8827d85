"""A new run and its steps: what they are, as rows, and the statements that insert them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Executable,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
)

from datamcp.infra import instants
from datamcp.infra.instants import Instant
from datamcp.pipelines.countdown import Counted
from datamcp.pipelines.gate import Gate
from datamcp.pipelines.status import RunState
from datamcp.pipelines.tables import runs
from datamcp.tasks.ledger import Hint
from datamcp.tasks.statements import insert_if_new
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks
from datamcp.types import step_task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStep:
    """A step as it is inserted. `parameters` is JSON text, with its references.

    So is `retry_policy`; None means that nobody but the step itself decides.
    """

    step_id: str
    task_type: str
    queue: str
    priority: int
    parameters: str
    max_attempts: int
    retry_policy: str | None
    timeout: float | None
    upstreams: int  # that have not ended
    downstreams: Sequence[str]
    gate: Gate = Gate.OPEN
    is_forgiving: bool = False
    unsuccessful: int = 0  # of the upstreams that have ended
    adopted: "Adopted | None" = None
    map_index: int | None = None  # of one of many
    parent_id: str | None = None
    metadata: str | None = None  # JSON

    @property
    def is_looked_at(self) -> bool:
        """Whether more than the success of its upstreams decides if it starts."""
        return self.gate is not Gate.OPEN or self.unsuccessful > 0


@dataclass(frozen=True, slots=True)
class Adopted:
    """How a step has ended already, in an earlier run; `output` is JSON."""

    state: State
    output: str | None
    task_id: str | None
    error_code: str | None = None
    error_message: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as it is inserted. `parameters` is JSON text.

    It waits while there are `most_runs` under way, or `most_of_pipeline` of its pipeline; a run
    that another one waits for does not. `timeout` and `deadline` are seconds from its start.
    """

    run_id: str
    pipeline_id: str
    revision: int
    version: str
    parameters: str
    triggered_by: str
    scheduled_at: datetime | None = None
    most_runs: int | None = None
    most_of_pipeline: int | None = None
    timeout: float | None = None
    deadline: float | None = None
    resumed_from: str | None = None
    parent_task_id: str | None = None
    fire_at: datetime | None = None  # where it is for another time than it is due
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    is_told_of: bool = False  # somebody wants to know how it ends
    note: str | None = None


GIVEN = (
    "run_id",
    "pipeline_id",
    "revision",
    "version",
    "parameters",
    "triggered_by",
    "scheduled_at",
    "timeout",
    "deadline",
    "resumed_from",
    "parent_task_id",
    "fire_at",
    "interval_start",
    "interval_end",
    "note",
)
"""What `insert_run` takes from the new run as it is."""

_OF_STEP = (
    "task_id",
    "task_type",
    "queue",
    "priority",
    "state",
    "undecided",
    "parameters",
    "max_attempts",
    "retry_policy",
    "timeout",
    "root_id",
    "run_id",
    "step_id",
    "upstreams_left",
    "unsuccessful",
    "downstreams",
    "gate",
    "forgiven",
    "apart",
    "output",
    "adopted_from",
    "error_code",
    "error_message",
    "note",
)


def insert_run(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert a run, unless there is one with its id; return since when it may go on.

    Takes what is GIVEN, whether there is no room for it (`kept_out`), and its notice (`told`).
    """
    given = {name: bindparam(name, type_=runs.c[name].type) for name in GIVEN}
    due = given["scheduled_at"]
    is_out = or_(bindparam("kept_out", type_=Boolean()), and_(due.is_not(None), due > now))

    def later(seconds: ColumnElement[Any]) -> ColumnElement[Any]:
        is_none = or_(is_out, seconds.is_(None))
        return case((is_none, null()), else_=instants.After(now, seconds))

    statement: Executable = (
        insert_if_new(dialect, runs)
        .values(
            **given,
            state=RunState.QUEUED,
            created_at=now,
            admitted_at=case((is_out, null()), else_=now),
            timeout_at=later(given["timeout"]),
            deadline_at=later(given["deadline"]),
            notice=bindparam("told", type_=runs.c.notice.type),
        )
        .returning(runs.c.admitted_at)
    )
    return statement


def insert_steps(dialect: str, now: ColumnElement[Any]) -> Executable:
    """Insert the steps of a run; takes them as `rows`, one JSON text of `first_rows`."""
    text = bindparam("rows", type_=Text())
    at = cast(now, Instant)
    if dialect == "postgresql":
        columns = [column(name, tasks.c[name].type) for name in _OF_STEP]
        rows = func.json_to_recordset(cast(text, JSON())).table_valued(*columns, name="new")
        rows = rows.render_derived(with_types=True)
        given: dict[str, Any] = {name: rows.c[name] for name in _OF_STEP}
    else:
        rows = func.json_each(text).table_valued("value", name="new")
        given = {
            name: func.json_extract(rows.c.value, f"$.{name}", type_=tasks.c[name].type)
            for name in _OF_STEP
        }
    values = {
        **given,
        "created_at": at,
        "queued_at": case((given["state"] == State.QUEUED, at), else_=null()),
        "finished_at": case((given["apart"], at), else_=null()),  # those that are taken over
    }
    # SQLite takes ON after a SELECT without WHERE for that of a join.
    chosen = select(*values.values()).select_from(rows).where(literal_column("1") == 1)
    return insert(tasks).from_select(list(values), chosen)


def first_rows(run_id: str, steps: Sequence[NewStep], *, may_begin: bool) -> list[dict[str, Any]]:
    """Return the rows of a new run's steps; `begins` tells which have something to be done about."""
    # What was taken over may be all that an early step needs.
    is_resumed = any(one.adopted is not None for one in steps)
    return [_first_row(run_id, one, may_begin=may_begin, is_resumed=is_resumed) for one in steps]


def _first_row(run_id: str, step: NewStep, *, may_begin: bool, is_resumed: bool) -> dict[str, Any]:
    row = {name: value for name, value in step_row(run_id, step).items() if name in _OF_STEP}
    if step.adopted is not None:
        return {**row, **_adopted_row(step.adopted)}
    is_ready = step.upstreams <= 0 or (is_resumed and step.gate is Gate.EACH)
    begins = may_begin and is_ready
    is_queued = begins and not step.is_looked_at
    return {
        **row,
        "state": State.QUEUED if is_queued else State.SCHEDULED,
        "undecided": begins and step.is_looked_at,
        "apart": False,
        "begins": begins,
    }


def counted(row: dict[str, Any]) -> Counted:
    """Return one of the `first_rows` as it is once it is inserted."""
    hint = Hint(
        row["task_id"],
        row["task_type"],
        row["queue"],
        row["priority"],
        timeout=row["timeout"],
        root_id=row["root_id"],
        step_id=row["step_id"],
    )
    return Counted(row["state"], row["undecided"], hint)


def _adopted_row(adopted: Adopted) -> dict[str, Any]:
    return {
        "state": adopted.state,
        "undecided": False,
        "apart": True,
        "begins": False,
        "output": adopted.output,
        "adopted_from": adopted.task_id,
        "error_code": adopted.error_code,
        "error_message": adopted.error_message,
        "note": adopted.note,
    }


def step_row(run_id: str, step: NewStep) -> dict[str, Any]:
    """Return the values of a step's row, without its state."""
    return {
        "task_id": step_task_id(run_id, step.step_id),
        "task_type": step.task_type,
        "queue": step.queue,
        "priority": step.priority,
        "parameters": step.parameters,
        "max_attempts": step.max_attempts,
        "retry_policy": step.retry_policy,
        "timeout": step.timeout,
        "root_id": run_id,
        "run_id": run_id,
        "step_id": step.step_id,
        "upstreams_left": step.upstreams,
        "unsuccessful": step.unsuccessful,
        "downstreams": json.dumps(list(step.downstreams)),
        "gate": int(step.gate),
        "map_index": step.map_index,
        "parent_id": step.parent_id,
        "metadata": step.metadata,
        "forgiven": step.is_forgiving,
    }
