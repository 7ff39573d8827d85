"""Every statement on the table of tasks: the one place where a task's row is written.

Each change of state is one conditional UPDATE. A claim and everything after it are guarded by the
fence, a token that the claimer made (protocol R1, R2); instants that are compared are the
database's (R8). Nothing here decides what happens next: see `claim`, `settle`, `reconcile`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    null,
    or_,
    select,
    true,
    update,
)

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.tasks.outcome import Deferral, Ending
from datamcp.tasks.statements import (
    beat_task,
    claim_task,
    defer_task,
    finish_task,
    has_expired,
    insert_task,
    insert_values,
    is_left,
    leave_task,
    replace_task,
)
from datamcp.tasks.states import FINAL, WAITING, State
from datamcp.tasks.tables import tasks

MAX_LOSSES = 3  # workers that may die on a task before it is taken for the cause (R10)

Now = Callable[[], ColumnElement[datetime]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A checked task, as it is inserted. `parameters`, `tags` and `metadata` are JSON text."""

    task_id: str
    task_type: str
    queue: str
    priority: int
    parameters: str
    max_attempts: int = 1
    timeout: float | None = None
    scheduled_at: datetime | None = None
    idempotency_key: str | None = None
    tags: str | None = None
    metadata: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    celery_result: bool = False  # a plain call, awaited at Celery's result backend
    canvas: str | None = None  # JSON: what its message carries, besides the hint
    attempt: int = 0  # made already, before the ledger knew of it
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of an insert: the row that is there now, and whether it is a new one."""

    task_id: str
    task_type: str
    state: State
    is_new: bool
    parameters: str


@dataclass(frozen=True, slots=True)
class Hint:
    """What a message says: this task may start. It carries no more than the broker needs."""

    task_id: str
    task_type: str
    queue: str
    priority: int
    timeout: float | None = None
    root_id: str | None = None
    parent_id: str | None = None
    celery_result: bool = False
    canvas: str | None = None
    step_id: str | None = None
    attempt: int = 0  # made so far


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process may work on, until another claim takes its fence away."""

    task_id: str
    task_type: str
    fence: str
    attempt: int
    queue: str
    priority: int
    parameters: str
    timeout: float | None
    idempotency_key: str | None
    tags: str | None
    metadata: str | None
    root_id: str | None
    run_id: str | None
    step_id: str | None
    upstreams_left: int | None
    progress: float | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """A row whose attempt is made again: its next message, and in how many seconds it is due."""

    hint: Hint
    seconds: float


@dataclass(frozen=True, slots=True)
class Settled:
    """A row that has just become final, and what a run needs to go on from it."""

    task_id: str
    state: State
    run_id: str | None
    step_id: str | None
    downstreams: str | None  # JSON list of step ids
    error_code: str | None
    error_message: str | None
    celery_result: bool
    canvas: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    task_type: str = ""
    is_repeat: bool = False  # the same finish had already been written


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat of a claim that is in force."""

    cancel_requested: bool


_HINT: tuple[ColumnElement[Any], ...] = (
    tasks.c.task_id,
    tasks.c.task_type,
    tasks.c.queue,
    tasks.c.priority,
    tasks.c.timeout,
    tasks.c.root_id,
    tasks.c.parent_id,
    tasks.c.celery_result,
    tasks.c.canvas,
    tasks.c.step_id,
    tasks.c.attempt,
)
_CLAIMED = (
    tasks.c.task_id,
    tasks.c.task_type,
    tasks.c.fence,
    tasks.c.attempt,
    tasks.c.queue,
    tasks.c.priority,
    tasks.c.parameters,
    tasks.c.timeout,
    tasks.c.idempotency_key,
    tasks.c.tags,
    tasks.c.metadata,
    tasks.c.root_id,
    tasks.c.run_id,
    tasks.c.step_id,
    tasks.c.upstreams_left,
    tasks.c.progress,
    tasks.c.expires_at,
)
_SETTLED = (
    tasks.c.task_id,
    tasks.c.state,
    tasks.c.run_id,
    tasks.c.step_id,
    tasks.c.downstreams,
    tasks.c.error_code,
    tasks.c.error_message,
    tasks.c.celery_result,
    tasks.c.canvas,
    tasks.c.root_id,
    tasks.c.parent_id,
    tasks.c.task_type,
)


class TaskLedger:
    """The rows of tasks. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now
        self._insert = insert_task(database.dialect, now())
        self._replace = replace_task(now())
        self._claim = claim_task(now(), _CLAIMED)
        self._beat = beat_task()
        self._finish = finish_task(now(), _SETTLED)
        self._defer = defer_task(now(), (*_SETTLED, *_HINT, tasks.c.scheduled_at, now()))
        self._leave = leave_task(now(), _SETTLED)

    # Enqueue.

    def insert(self, task: NewTask) -> Inserted:
        """Insert a task and commit; or find the one that has its id or its idempotency key."""
        with self.database.autocommit() as connection:
            return self.insert_on(connection, task)

    def insert_on(self, connection: Connection, task: NewTask) -> Inserted:
        """Insert a task on a connection of the caller's, which commits it.

        A row that was left to what replaces its task becomes the new task with its id.
        """
        values = insert_values(task)
        for statement in (self._insert, self._replace):
            state = connection.execute(statement, values).scalar_one_or_none()
            if state is not None:
                return Inserted(task.task_id, task.task_type, State(state), True, task.parameters)
        row = connection.execute(self._same(task)).one()
        return Inserted(row.task_id, row.task_type, State(row.state), False, row.parameters)

    def _same(self, task: NewTask) -> Select[Any]:
        """Return the row that has the task's id or, failing that, its idempotency key."""
        same_id = tasks.c.task_id == task.task_id
        if task.idempotency_key is None:
            return select(tasks).where(same_id)
        same_key = and_(
            tasks.c.task_type == task.task_type, tasks.c.idempotency_key == task.idempotency_key
        )
        return select(tasks).where(or_(same_id, same_key)).order_by(same_id.desc()).limit(1)

    # Claim, heartbeat, finish: by fence.

    def claim(self, task_id: str, fence: str, agent_id: str) -> Claimed | None:
        """Take a row that may start; None if it may not (protocol R3).

        Repeated with the same fence, after a lost answer, it returns the same claim (R2).
        """
        values = {"id": task_id, "mine": fence, "agent": agent_id}
        with self.database.autocommit() as connection:
            row = connection.execute(self._claim, values).one_or_none()
        return None if row is None else Claimed(*row)

    def heartbeat(self, task_id: str, fence: str, progress: float | None) -> Beat | None:
        """Record progress of a claim; None if the claim is no longer in force (R1)."""
        values = {"id": task_id, "mine": fence, "reached": progress}
        with self.database.autocommit() as connection:
            flag = connection.execute(self._beat, values).scalar_one_or_none()
        return None if flag is None else Beat(bool(flag))

    def finish(
        self, connection: Connection, task_id: str, fence: str, ending: Ending
    ) -> Settled | None:
        """Record how a claim ended; None if the claim is no longer in force (R1).

        A cancel that was asked for wins over every other ending (R9). The same finish again is a
        success (R2).
        """
        values = {f"end_{name}": getattr(ending, name) for name in Ending.__slots__}
        row = connection.execute(
            self._finish, {"id": task_id, "mine": fence, **values}
        ).one_or_none()
        return _settled(row) if row is not None else self._repeated(connection, task_id, fence)

    def defer(
        self, connection: Connection, task_id: str, fence: str, deferral: Deferral
    ) -> Deferred | Settled | None:
        """Let another attempt follow a claim; None if the claim is no longer in force (R1).

        A cancel that was asked for wins: then the task has ended (R9). The same again is a success,
        as long as the next attempt has not begun (R2).
        """
        values = {f"put_{name}": getattr(deferral, name) for name in Deferral.__slots__}
        row = connection.execute(
            self._defer, {"id": task_id, "mine": fence, **values}
        ).one_or_none()
        if row is None:
            return self._deferred_before(connection, task_id, fence)
        return _settled(row) if row.state == State.CANCELLED else _deferred(row)

    def _deferred_before(
        self, connection: Connection, task_id: str, fence: str
    ) -> Deferred | Settled | None:
        columns = (*_SETTLED, *_HINT, tasks.c.scheduled_at, self._now())
        waits = tasks.c.state.in_(WAITING)
        row = connection.execute(
            select(*columns).where(is_claim(task_id, fence), waits)
        ).one_or_none()
        return self._repeated(connection, task_id, fence) if row is None else _deferred(row)

    def leave(self, connection: Connection, task_id: str, fence: str) -> Settled | None:
        """Leave a claimed row to what replaces its task; None if the claim is no longer in force.

        The row then waits for an insert with its id. A cancel that was asked for wins (R9).
        """
        row = connection.execute(self._leave, {"id": task_id, "mine": fence}).one_or_none()
        return None if row is None else _settled(row)

    def fail_left(
        self, connection: Connection, task_ids: Collection[str], ending: Ending
    ) -> list[Settled]:
        """End those of these rows that wait for what replaces their task, and will not come."""
        statement = (
            update(tasks)
            .where(tasks.c.task_id.in_(task_ids), is_left())
            .values(
                state=ending.state,
                error_code=ending.error_code,
                error_message=ending.error_message,
                finished_at=self._now(),
            )
            .returning(*_SETTLED)
        )
        return [_settled(row) for row in connection.execute(statement)]

    def _repeated(self, connection: Connection, task_id: str, fence: str) -> Settled | None:
        is_mine = and_(tasks.c.task_id == task_id, tasks.c.fence == fence)
        row = connection.execute(
            select(*_SETTLED).where(is_mine, tasks.c.state.in_(FINAL))
        ).one_or_none()
        return None if row is None else _settled(row, is_repeat=True)

    # Cancel.

    def cancel(self, connection: Connection, where: ColumnElement[bool]) -> list[Settled]:
        """End waiting rows at once and flag running ones; return those that ended (R9)."""
        ended = (
            update(tasks)
            .where(where, tasks.c.state.in_(WAITING))
            .values(
                state=State.CANCELLED,
                cancel_requested=True,
                error_code="cancelled",
                error_message="on request",
                finished_at=self._now(),
            )
            .returning(*_SETTLED)
        )
        rows = connection.execute(ended).all()
        flagged = update(tasks).where(where, tasks.c.state == State.RUNNING)
        connection.execute(flagged.values(cancel_requested=True))
        return [_settled(row) for row in rows]

    # Reconcile.

    def expire(self, connection: Connection, where: ColumnElement[bool]) -> list[Settled]:
        """End those of these rows that wait and were to start by now, or not at all."""
        statement = (
            update(tasks)
            .where(where, tasks.c.state.in_(WAITING), has_expired(self._now()))
            .values(
                state=State.CANCELLED,
                error_code="expired",
                error_message="it had not started when it expired",
                finished_at=self._now(),
            )
            .returning(*_SETTLED)
        )
        return [_settled(row) for row in connection.execute(statement)]

    def release_due(self, limit: int) -> list[Hint]:
        """Queue rows whose time has come, the longest overdue first."""
        has_come = and_(
            tasks.c.state.in_([State.SCHEDULED, State.RETRYING]),
            tasks.c.scheduled_at <= self._now(),
            ~has_expired(self._now()),
        )
        due = select(tasks.c.task_id).where(has_come).order_by(tasks.c.scheduled_at).limit(limit)
        # As a CTE: PostgreSQL may run a subquery more than once, and skips what it locked before.
        first = due.with_for_update(skip_locked=True).cte("due")
        statement = (
            update(tasks)
            .where(tasks.c.task_id.in_(select(first.c.task_id)), has_come)
            .values(state=State.QUEUED, queued_at=self._now())
            .returning(*_HINT)
        )
        with self.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]

    def seconds_until_due(self) -> float | None:
        """Return how long until the next row comes due, negative if one is; None if none waits."""
        waits = tasks.c.state.in_([State.SCHEDULED, State.RETRYING])
        next_due = func.min(tasks.c.scheduled_at, type_=tasks.c.scheduled_at.type)
        statement = select(next_due, self._now()).where(waits, tasks.c.scheduled_at.is_not(None))
        with self.database.autocommit() as connection:
            due, now = connection.execute(statement).one()
        return None if due is None else float((due - now).total_seconds())

    def queued_longer_than(self, queue: str, seconds: float, limit: int) -> list[Hint]:
        """Return rows of a queue that no worker took for so long, the oldest first."""
        statement = (
            select(*_HINT)
            .where(
                tasks.c.state == State.QUEUED,
                tasks.c.queue == queue,
                tasks.c.queued_at <= instants.after(self._now(), -seconds),
                tasks.c.cancel_requested.is_(False),
            )
            .order_by(tasks.c.queued_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]

    def give_back(
        self, connection: Connection, where: ColumnElement[bool], *, is_blamed: bool = True
    ) -> tuple[list[Hint], list[Settled]]:
        """Take running rows from a worker that is dead; return what may start anew, and what ended.

        It uses up no attempt. A row that was to be cancelled is, and one on which `MAX_LOSSES`
        workers have died fails (R9, R10). Unless `is_blamed`, the death counts against none: it is
        known to have another cause.
        """
        is_cancelled = tasks.c.cancel_requested.is_(True)
        losses = tasks.c.losses + 1 if is_blamed else tasks.c.losses
        is_poison = losses >= MAX_LOSSES
        ends = or_(is_cancelled, is_poison)
        statement = (
            update(tasks)
            .where(where, tasks.c.state == State.RUNNING)
            .values(
                state=case(
                    (is_cancelled, State.CANCELLED),
                    (is_poison, State.FAILED),
                    else_=State.QUEUED,
                ),
                fence=None,
                losses=losses,
                attempt=case((ends, tasks.c.attempt), else_=tasks.c.attempt - 1),
                started_at=case((ends, tasks.c.started_at), else_=null()),
                progress=case((ends, tasks.c.progress), else_=null()),
                queued_at=case((ends, tasks.c.queued_at), else_=self._now()),
                finished_at=case((ends, self._now()), else_=null()),
                error_code=case((is_cancelled, "cancelled"), (is_poison, "worker_lost")),
                error_message=case(
                    (is_cancelled, "on request"),
                    (is_poison, f"{MAX_LOSSES} workers died while they ran it"),
                ),
            )
            .returning(*_SETTLED, *_HINT[1:])
        )
        queued, ended = [], []
        for row in connection.execute(statement):
            if row.state == State.QUEUED:
                queued.append(Hint(row.task_id, *row[len(_SETTLED) :]))
            else:
                ended.append(_settled(row[: len(_SETTLED)]))
        return queued, ended

    # Read.

    def get(self, task_id: str) -> Row[Any] | None:
        """Return a whole row."""
        with self.database.autocommit() as connection:
            return connection.execute(select(tasks).where(tasks.c.task_id == task_id)).one_or_none()

    def get_many(self, task_ids: Collection[str]) -> Sequence[Row[Any]]:
        """Return the whole rows of these ids that exist, in any order."""
        with self.database.autocommit() as connection:
            return connection.execute(select(tasks).where(tasks.c.task_id.in_(task_ids))).all()

    def list(
        self,
        *,
        state: State | None = None,
        task_type: str | None = None,
        queue: str | None = None,
        run_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[Row[Any]]:
        """Return whole rows, the newest first."""
        wanted = {"state": state, "task_type": task_type, "queue": queue, "run_id": run_id}
        statement = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.task_id.desc())
        for column, value in wanted.items():
            if value is not None:
                statement = statement.where(tasks.c[column] == value)
        with self.database.autocommit() as connection:
            return connection.execute(statement.limit(limit)).all()

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many rows each queue has in each state."""
        statement = select(tasks.c.queue, tasks.c.state, func.count()).group_by(
            tasks.c.queue, tasks.c.state
        )
        with self.database.autocommit() as connection:
            rows = connection.execute(statement).all()
        return {(queue, State(state)): count for queue, state, count in rows}


def is_task(task_id: str) -> ColumnElement[bool]:
    """Return the condition that names one task."""
    return tasks.c.task_id == task_id


def are_tasks(task_ids: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that names some tasks."""
    return tasks.c.task_id.in_(task_ids)


def is_claim(task_id: str, fence: str) -> ColumnElement[bool]:
    """Return the condition that names one claim."""
    return and_(tasks.c.task_id == task_id, tasks.c.fence == fence)


def is_claimed_by(agent_id: str) -> ColumnElement[bool]:
    """Return the condition that names all that one agent runs."""
    return tasks.c.agent_id == agent_id


def is_of_run(run_id: str) -> ColumnElement[bool]:
    """Return the condition that names the steps of a run."""
    return tasks.c.run_id == run_id


def any_task() -> ColumnElement[bool]:
    """Return the condition that names every task."""
    return true()


def _deferred(row: Sequence[Any]) -> Deferred:
    *hint, due, now = row[len(_SETTLED) :]
    return Deferred(Hint(*hint), max(0.0, (due - now).total_seconds()))


def _settled(row: Sequence[Any], *, is_repeat: bool = False) -> Settled:
    fields = dict(zip((column.name for column in _SETTLED), row, strict=False))
    return Settled(**{**fields, "state": State(fields["state"])}, is_repeat=is_repeat)
