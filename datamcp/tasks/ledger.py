"""Every statement on the table of tasks: the one place where a task's row is written.

Each change of state is one conditional UPDATE. A claim and everything after it are guarded by the
fence, a token that the claimer made (protocol R1, R2); instants that are compared are the
database's (R8). Nothing here decides what happens next: see `claim`, `settle`, `reconcile`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.infra.direct import Direct
from datamcp.infra.instants import Instant
from datamcp.infra.prepare import PREPARED
from datamcp.tasks.outcome import Deferral, Ending
from datamcp.tasks.past import LOST, MADE, RETRIED, SNOOZED, keep
from datamcp.tasks.statements import (
    BatchEnd,
    beat_task,
    claim_task,
    claim_tasks,
    defer_task,
    end_rows,
    finish_task,
    finish_tasks,
    has_expired,
    insert_if_new,
    insert_rows,
    insert_task,
    insert_tasks,
    insert_values,
    is_left,
    leave_task,
    renew_leases,
    replace_task,
)
from datamcp.tasks.states import FINAL, WAITING, State
from datamcp.tasks.tables import tasks, turns

LEASE = 15.0  # seconds for which a claim holds unless it is renewed
MAX_LOSSES = 3  # processes that a task may kill (R10)
_LOCK_TIMEOUT = "5s"
_STEP = 5.0  # seconds by which a clock may be ahead before that is noticed
PORTION = 1000  # rows of one statement
MAX_SUSPICIONS = 3  # workers that may die with a task before it has to run alone

Now = Callable[[], ColumnElement[datetime]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A checked task, as it is inserted. `parameters`, `tags` and `metadata` are JSON text."""

    task_id: str
    task_type: str
    queue: str
    priority: int
    parameters: str
    max_attempts: int = 1
    retry_policy: str | None = None  # JSON; None: nobody but the task itself decides
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
    others: tuple[str, ...] = ()  # tasks that the same message tells of: a batch

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Return all tasks that it tells of."""
        return (self.task_id, *self.others)


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
    suspicions: int
    expires_at: datetime | None = None
    details: str | None = None  # JSON: what the attempt before has noted
    pause: float = 0.0  # seconds until its turn, where a limit spaces starts
    has_place: bool = False  # under a limit, which its end gives up

    @property
    def ends_alone(self) -> bool:
        """Tell whether nothing else is written where it ends: no step, no place is released."""
        return self.run_id is None and not self.has_place

    @property
    def is_suspect(self) -> bool:
        """Tell whether the task has to run alone, as workers have died with it."""
        return self.suspicions >= MAX_SUSPICIONS


@dataclass(frozen=True, slots=True)
class Deferred:
    """A row whose attempt is made again: its next message, and in how many seconds it is due."""

    hint: Hint
    seconds: float
    concurrency_key: str | None = None  # of the limit whose place it has given up


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
    concurrency_key: str | None = None  # of the limit whose place it has given up
    limit_key: str | None = None  # of a step: of the limit among steps that it was under
    is_repeat: bool = False  # the same finish had already been written


@dataclass(frozen=True, slots=True)
class Retries:
    """The number of an attempt, from 1, and the task's policy as JSON, if it has one."""

    attempt: int
    policy: str | None


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat of a claim that is in force."""

    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim that was renewed, and whether somebody asked for its end."""

    task_id: str
    fence: str
    cancel_requested: bool


class Death(Enum):
    """What is known of the death of a worker, where a task that it ran is concerned (R10)."""

    ALONE = "alone"
    """A process died that ran this task and nothing else: it counts against the task."""
    WITH_OTHERS = "with others"
    """A whole worker died, with all that it ran: each of them is suspect."""
    EXPLAINED = "explained"
    """It had another cause."""


WORKER_LOST = "worker_lost"
"""The code of an attempt whose process or worker died."""

_LOST_BY = {
    Death.ALONE: "its process died",
    Death.WITH_OTHERS: "its worker was lost",
    Death.EXPLAINED: "its process ended",
}

HINT_COLUMNS: tuple[ColumnElement[Any], ...] = (
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
    tasks.c.suspicions,
    tasks.c.expires_at,
    tasks.c.details,
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
    tasks.c.concurrency_key,
    tasks.c.limit_key,
)


class TaskLedger:
    """The rows of tasks. Safe to share between threads."""

    def __init__(
        self, database: Database, *, now: Now = instants.now, lease: float = LEASE
    ) -> None:
        """Take the database, for how long (s) a claim holds and, in tests, a clock."""
        self.database = database
        self.lease = lease
        self._now = now
        self._insert = insert_task(database.dialect, now()).execution_options(**PREPARED)
        self._insert_alone = Direct(database, insert_task(database.dialect, now()))
        self._insert_many = insert_tasks(database.dialect, now())
        self._replace = replace_task(now())
        self._claim = Direct(database, claim_task(now(), _CLAIMED))
        self._claims = Direct(
            database, claim_tasks(database.dialect, now(), _CLAIMED, MAX_SUSPICIONS)
        )
        self._finishes = Direct(database, finish_tasks(database.dialect, now(), _SETTLED))
        self._renew = renew_leases(now())
        self._beat = beat_task().execution_options(**PREPARED)
        self._finish = Direct(database, finish_task(now(), _SETTLED))
        self._defer = defer_task(now(), (*_SETTLED, *HINT_COLUMNS, tasks.c.scheduled_at, now()))
        self._leave = leave_task(now(), _SETTLED)

    # Enqueue.

    def insert(self, task: NewTask) -> Inserted:
        """Insert a task and commit; or find the one that has its id or its idempotency key."""
        for (state,) in self._insert_alone.run(insert_values(task)):
            return _new(task, state)
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
                return _new(task, state)
        row = connection.execute(self._same(task)).one_or_none()
        if row is None:
            return self.insert_on(connection, task)  # it was removed meanwhile, as it is old
        return Inserted(row.task_id, row.task_type, State(row.state), False, row.parameters)

    def insert_many_on(self, connection: Connection, new: Sequence[NewTask]) -> list[Inserted]:
        """Insert tasks, as `insert_on` does, in few statements; return what became of each, in order.

        No two of them may have the same id, or the same idempotency key.
        """
        found: dict[str, Inserted] = {}
        in_order = sorted(new, key=_keyed)  # so that two callers with the same keys don't deadlock
        for some in portions(in_order):
            given = {"rows": insert_rows(self.database.dialect, some)}
            states = {
                row.task_id: row.state for row in connection.execute(self._insert_many, given)
            }
            for task in some:
                if task.task_id in states:
                    state = State(states[task.task_id])
                    found[task.task_id] = Inserted(
                        task.task_id, task.task_type, state, True, task.parameters
                    )
        for some in portions([task for task in new if task.task_id not in found]):
            found |= self._already_there(connection, some)
        return [found.get(task.task_id) or self.insert_on(connection, task) for task in new]

    def _already_there(self, connection: Connection, new: Sequence[NewTask]) -> dict[str, Inserted]:
        """Return the rows that have the ids or the keys of some tasks, by the ids of the tasks."""
        seen = (tasks.c.task_id, tasks.c.task_type, tasks.c.state, tasks.c.parameters)
        key = tuple_(tasks.c.task_type, tasks.c.idempotency_key)
        ids = {task.task_id for task in new}
        keys = {_key(task): task.task_id for task in new if task.idempotency_key is not None}
        by_key = select(*seen, tasks.c.idempotency_key).where(key.in_(keys))
        by_id = select(*seen).where(tasks.c.task_id.in_(ids), ~is_left())
        found = (
            {
                keys[row.task_type, row.idempotency_key]: Inserted(
                    *row[:2], State(row.state), False, row.parameters
                )
                for row in connection.execute(by_key)
            }
            if keys
            else {}
        )
        for row in connection.execute(by_id):
            found[row.task_id] = Inserted(*row[:2], State(row.state), False, row.parameters)
        return found

    def queued(self, task_ids: Sequence[str]) -> list[Hint]:
        """Return the hints of those of these tasks that are there, and queued; in order."""
        found: dict[str, Hint] = {}
        with self.database.autocommit() as connection:
            for some in portions(task_ids):
                statement = select(*HINT_COLUMNS).where(
                    are_tasks(some), tasks.c.state == State.QUEUED
                )
                found |= {row.task_id: Hint(*row) for row in connection.execute(statement)}
        return [found[task_id] for task_id in task_ids if task_id in found]

    def unfinished(self, connection: Connection, task_ids: Collection[str]) -> set[str]:
        """Return which of these tasks have not ended."""
        found: set[str] = set()
        for some in portions(list(task_ids)):
            is_open = tasks.c.state.not_in(FINAL)
            statement = select(tasks.c.task_id).where(are_tasks(some), is_open)
            found.update(connection.execute(statement).scalars())
        return found

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
        values = {"id": task_id, "mine": fence, "agent": agent_id, "lease": self.lease}
        for row in self._claim.run(values, is_relaxed=True):
            return Claimed(*row)
        return None

    def claim_many(self, task_ids: Sequence[str], fence: str, agent_id: str) -> list[Claimed]:
        """Take those of these rows that may start, all with one fence; in order (protocol R18).

        Suspects are left alone: they run by themselves. Repeated, it returns the same claims (R2).
        """
        values = {"ids": list(task_ids), "mine": fence, "agent": agent_id, "lease": self.lease}
        rows = self._claims.run(values, is_relaxed=True)
        found = {one.task_id: one for one in (Claimed(*row) for row in rows)}
        return [found[task_id] for task_id in task_ids if task_id in found]

    def finish_many(
        self, connection: Connection, fence: str, ends: Sequence[BatchEnd]
    ) -> list[Settled]:
        """Record how claims of one fence ended; return those that were in force.

        They have no place under a limit. A cancel that was asked for wins (R9). The same ends again
        are a success (R2).
        """
        values = {"mine": fence, "rows": end_rows(ends)}
        settled = [_settled(row) for row in self._finishes.run_on(connection, values)]
        missing = {end.task_id for end in ends}.difference(row.task_id for row in settled)
        if missing:
            before = select(*_SETTLED).where(
                are_tasks(missing), tasks.c.fence == fence, tasks.c.state.in_(FINAL)
            )
            settled += [_settled(row, is_repeat=True) for row in connection.execute(before)]
        return settled

    def renew(self, agent_id: str, fences: Collection[str]) -> list[Lease]:
        """Renew those of these claims of an agent that are in force; return them (R6)."""
        values = {"agent": agent_id, "held": list(fences), "lease": self.lease}
        with self.database.autocommit(is_relaxed=True) as connection:
            return [Lease(*row) for row in connection.execute(self._renew, values)]

    def to_be_cancelled(self, agent_id: str) -> set[tuple[str, str]]:
        """Return the claims of an agent whose end somebody asked for, each as task id and fence."""
        statement = select(tasks.c.task_id, tasks.c.fence).where(
            tasks.c.agent_id == agent_id,
            tasks.c.state == State.RUNNING,
            tasks.c.cancel_requested.is_(True),
        )
        with self.database.autocommit() as connection:
            return {(row.task_id, row.fence) for row in connection.execute(statement)}

    def is_to_be_cancelled(self, task_id: str, fence: str) -> bool:
        """Tell whether somebody asked for the end of a claim, or it is no longer in force."""
        statement = select(tasks.c.cancel_requested).where(
            is_claim(task_id, fence), tasks.c.state == State.RUNNING
        )
        with self.database.autocommit() as connection:
            flag = connection.execute(statement).scalar_one_or_none()
        return flag is None or bool(flag)

    def has_ended(self, task_id: str, fence: str) -> bool:
        """Tell whether a claim has ended; waits for whoever is just writing that (R2).

        Raises BackendUnavailable if that takes long.
        """
        statement = select(tasks.c.state).where(is_claim(task_id, fence)).with_for_update()
        with self.database.transaction() as connection:
            if self.database.dialect == "postgresql":
                connection.execute(select(func.set_config("lock_timeout", _LOCK_TIMEOUT, true())))
            state = connection.execute(statement).scalar_one_or_none()
        return state is not None and State(state) in FINAL

    def heartbeat(
        self, task_id: str, fence: str, progress: float | None, details: str | None = None
    ) -> Beat | None:
        """Record progress and details (JSON) of a claim; None if it is no longer in force (R1)."""
        values = {"id": task_id, "mine": fence, "reached": progress, "noted": details}
        with self.database.autocommit(is_relaxed=True) as connection:
            flag = connection.execute(self._beat, values).scalar_one_or_none()
        return None if flag is None else Beat(bool(flag))

    def retries(self, task_id: str, fence: str) -> Retries:
        """Return what decides whether another attempt follows that of a claim."""
        statement = select(tasks.c.attempt, tasks.c.retry_policy).where(is_claim(task_id, fence))
        with self.database.autocommit() as connection:
            row = connection.execute(statement).one_or_none()
        return Retries(0, None) if row is None else Retries(*row)

    def finish(
        self, connection: Connection, task_id: str, fence: str, ending: Ending
    ) -> Settled | None:
        """Record how a claim ended; None if the claim is no longer in force (R1).

        A cancel that was asked for wins over every other ending (R9). The same finish again is a
        success (R2).
        """
        for row in self._finish.run_on(connection, _end(task_id, fence, ending)):
            return _settled(row)
        return self._repeated(connection, task_id, fence)

    def finish_alone(self, task_id: str, fence: str, ending: Ending) -> Settled | None:
        """Record how a claim ended, as `finish` does, and commit: nothing follows from it."""
        for row in self._finish.run(_end(task_id, fence, ending)):
            return _settled(row)
        with self.database.autocommit() as connection:
            return self._repeated(connection, task_id, fence)

    def defer(
        self, connection: Connection, task_id: str, fence: str, deferral: Deferral
    ) -> Deferred | Settled | None:
        """Let another attempt follow a claim; None if the claim is no longer in force (R1).

        A cancel that was asked for wins: then the task has ended (R9). The same again is a success,
        as long as the next attempt has not begun (R2).
        """
        values = {f"put_{name}": getattr(deferral, name) for name in Deferral.__slots__}
        made = connection.execute(select(*MADE).where(is_claim(task_id, fence))).all()
        row = connection.execute(
            self._defer, {"id": task_id, "mine": fence, **values}
        ).one_or_none()
        if row is None:
            return self._deferred_before(connection, task_id, fence)
        if row.state == State.CANCELLED:
            return _settled(row)
        outcome, code = RETRIED if deferral.counts else SNOOZED, deferral.error_code
        keep(connection, made, outcome, self._now(), code=code, message=deferral.error_message)
        return _deferred(row)

    def _deferred_before(
        self, connection: Connection, task_id: str, fence: str
    ) -> Deferred | Settled | None:
        columns = (*_SETTLED, *HINT_COLUMNS, tasks.c.scheduled_at, self._now())
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
        """End waiting rows at once and flag running ones; return those that ended (R9).

        Who ends a step holds its row, and then wants those that wait for it. So running rows are
        flagged first, and all are locked in the order of their ids; those that have begun in
        between are flagged at last.
        """
        self._flag(connection, where)
        waiting = and_(where, tasks.c.state.in_(WAITING))
        ids = self._in_order(connection, waiting)
        ended = (
            update(tasks)
            .where(tasks.c.task_id.in_(ids), tasks.c.state.in_(WAITING))
            .values(
                state=State.CANCELLED,
                cancel_requested=True,
                error_code="cancelled",
                error_message="on request",
                finished_at=self._now(),
            )
            .returning(*_SETTLED)
        )
        rows = connection.execute(ended).all() if ids else []
        self._flag(connection, where)
        return [_settled(row) for row in rows]

    def _flag(self, connection: Connection, where: ColumnElement[bool]) -> None:
        """Have running rows know that they are to end."""
        running = and_(where, tasks.c.state == State.RUNNING, tasks.c.cancel_requested.is_(False))
        ids = self._in_order(connection, running)
        if ids:
            flagged = update(tasks).where(tasks.c.task_id.in_(ids), tasks.c.state == State.RUNNING)
            connection.execute(flagged.values(cancel_requested=True))

    def _in_order(self, connection: Connection, where: ColumnElement[bool]) -> list[str]:
        """Lock rows in the order of their ids, and return these."""
        found = select(tasks.c.task_id).where(where).order_by(tasks.c.task_id).with_for_update()
        return list(connection.execute(found).scalars())

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
        """Queue rows whose time has come, the longest overdue first.

        An attempt that was put off by a clock that has been set back since is made now: nobody
        knows any more when it was meant to be.
        """
        is_absurd = and_(
            tasks.c.state == State.RETRYING,
            tasks.c.deferred_at > instants.after(self._now(), _STEP),
        )
        has_come = and_(
            tasks.c.state.in_([State.SCHEDULED, State.RETRYING]),
            or_(tasks.c.scheduled_at <= self._now(), is_absurd),
            tasks.c.awaits.is_(None),  # somebody looks at what awaits more than its time
            ~has_expired(self._now()),
        )
        due = select(tasks.c.task_id).where(has_come).order_by(tasks.c.scheduled_at).limit(limit)
        # As a CTE: PostgreSQL may run a subquery more than once, and skips what it locked before.
        first = due.with_for_update(skip_locked=True).cte("due")
        statement = (
            update(tasks)
            .where(tasks.c.task_id.in_(select(first.c.task_id)), has_come)
            .values(state=State.QUEUED, queued_at=self._now())
            .returning(*HINT_COLUMNS)
        )
        with self.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]

    def seconds_until_due(self) -> float | None:
        """Return how long until the next row comes due, negative if one is; None if none waits."""
        waits = tasks.c.state.in_([State.SCHEDULED, State.RETRYING])
        next_due = func.min(tasks.c.scheduled_at, type_=tasks.c.scheduled_at.type)
        statement = select(next_due, self._now()).where(
            waits, tasks.c.scheduled_at.is_not(None), tasks.c.undecided.is_(False)
        )
        with self.database.autocommit() as connection:
            due, now = connection.execute(statement).one()
        return None if due is None else float((due - now).total_seconds())

    def queued_longer_than(self, queue: str, seconds: float, limit: int) -> list[Hint]:
        """Return rows of a queue that no worker took for so long, the oldest first.

        Those that seem to come from the future, as a clock was set back, among them.
        """
        statement = (
            select(*HINT_COLUMNS)
            .where(
                tasks.c.state == State.QUEUED,
                tasks.c.queue == queue,
                self._waits_for(seconds),
            )
            .order_by(tasks.c.queued_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]

    def is_any_queued_longer_than(self, seconds: float) -> bool:
        """Tell whether there is a row in any queue that no worker took for so long."""
        statement = (
            select(tasks.c.task_id)
            .where(tasks.c.state == State.QUEUED, self._waits_for(seconds))
            .limit(1)
        )
        with self.database.autocommit() as connection:
            return connection.execute(statement).first() is not None

    def _waits_for(self, seconds: float) -> ColumnElement[bool]:
        """Return the condition of queued rows that wait for a worker, and for how long."""
        is_old = tasks.c.queued_at <= instants.after(self._now(), -seconds)
        is_absurd = tasks.c.queued_at > instants.after(self._now(), seconds)
        return and_(or_(is_old, is_absurd), tasks.c.blocked_on.is_(None))

    def sent_again(self, task_ids: Collection[str]) -> None:
        """Let rows whose message was sent again wait from now: it is the last one in its queue.

        Else those that others overtake would count as lost at each look, until they are taken.
        """
        if not task_ids:
            return
        statement = update(tasks).where(are_tasks(task_ids), tasks.c.state == State.QUEUED)
        with self.database.autocommit() as connection:
            connection.execute(statement.values(queued_at=self._now()))

    def last_taken(self) -> dict[str, dict[int, datetime]]:
        """Return, by queue and priority, when the last of the running rows was queued.

        What others have called counts for nothing: its caller may have run it at once, past all.
        """
        last = func.max(tasks.c.queued_at, type_=tasks.c.queued_at.type)
        statement = (
            select(tasks.c.queue, tasks.c.priority, last)
            .where(
                tasks.c.state == State.RUNNING,
                tasks.c.queued_at <= self._now(),
                tasks.c.call_depth.is_(None),
            )
            .group_by(tasks.c.queue, tasks.c.priority)
        )
        found: dict[str, dict[int, datetime]] = {}
        with self.database.autocommit() as connection:
            for queue, priority, at in connection.execute(statement):
                found.setdefault(queue, {})[priority] = at
        return found

    def queued_before(
        self, queue: str, priority: int, at: datetime, seconds: float, limit: int
    ) -> list[Hint]:
        """Return rows that were queued so long before one that is taken already, the oldest first."""
        statement = (
            select(*HINT_COLUMNS)
            .where(
                tasks.c.state == State.QUEUED,
                tasks.c.queue == queue,
                tasks.c.priority == priority,
                tasks.c.queued_at <= literal(at - timedelta(seconds=seconds), Instant()),
                tasks.c.blocked_on.is_(None),
            )
            .order_by(tasks.c.queued_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]

    def take_turn(self, key: str, seconds: float) -> bool:
        """Take a turn that is free, for so long; tell whether it was.

        One that is taken for much longer was so by a clock that has been set back since.
        """
        is_free = turns.c.free_at <= self._now()
        is_absurd = turns.c.free_at > instants.after(self._now(), 2 * seconds)
        taken = (
            update(turns)
            .where(turns.c.key == key, or_(is_free, is_absurd))
            .values(free_at=instants.after(self._now(), seconds))
        )
        with self.database.autocommit() as connection:
            if connection.execute(taken).rowcount:
                return True
            if connection.execute(select(turns.c.key).where(turns.c.key == key)).one_or_none():
                return False
            new = insert_if_new(self.database.dialect, turns).values(
                key=key, free_at=instants.after(self._now(), seconds)
            )
            return bool(connection.execute(new).rowcount)

    def instant(self) -> datetime:
        """Return what the ledger's clock says."""
        with self.database.autocommit() as connection:
            now: datetime = connection.execute(select(self._now())).scalar_one()
        return now

    def free_for(self, key: str) -> float | None:
        """Return for how long (s) a turn has been free, negative if it is not; None if never taken."""
        statement = select(turns.c.free_at, self._now()).where(turns.c.key == key)
        with self.database.autocommit() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else float((row[1] - row[0]).total_seconds())

    def set_turn(self, key: str, seconds: float) -> None:
        """Let a turn be free in so many seconds."""
        free_at = instants.after(self._now(), seconds)
        with self.database.autocommit() as connection:
            connection.execute(update(turns).where(turns.c.key == key).values(free_at=free_at))

    def lapsed(self, connection: Connection, limit: int) -> ColumnElement[bool]:
        """Lock some rows whose lease has run out, and return the condition that names them.

        Rows that another rescuer has locked are left to it.
        """
        lapsed = has_lapsed(self._now(), self.lease)
        found = select(tasks.c.task_id).where(lapsed).limit(limit).with_for_update(skip_locked=True)
        return and_(are_tasks(connection.execute(found).scalars().all()), lapsed)

    def give_back(
        self, connection: Connection, where: ColumnElement[bool], death: Death
    ) -> tuple[list[Hint], list[Settled]]:
        """Take running rows from a worker that is dead; return what may start anew, and what ended.

        It uses up no attempt. A row that was to be cancelled is, and one that has killed
        `MAX_LOSSES` processes fails (R9, R10).
        """
        is_cancelled = tasks.c.cancel_requested.is_(True)
        is_cause = _is_cause(death)
        losses = case((is_cause, tasks.c.losses + 1), else_=tasks.c.losses)
        is_poison = and_(is_cause, tasks.c.losses + 1 >= MAX_LOSSES)
        ends = or_(is_cancelled, is_poison)
        suspicion = 1 if death is Death.WITH_OTHERS else 0
        running = and_(where, tasks.c.state == State.RUNNING)
        made = connection.execute(select(*MADE).where(running).with_for_update()).all()
        statement = (
            update(tasks)
            .where(are_tasks([row.task_id for row in made]), tasks.c.state == State.RUNNING)
            .values(
                state=case(
                    (is_cancelled, State.CANCELLED),
                    (is_poison, State.FAILED),
                    else_=State.QUEUED,
                ),
                fence=None,
                lease_until=None,
                losses=losses,
                suspicions=tasks.c.suspicions + suspicion,
                attempt=case((ends, tasks.c.attempt), else_=tasks.c.attempt - 1),
                started_at=case((ends, tasks.c.started_at), else_=null()),
                progress=case((ends, tasks.c.progress), else_=null()),
                queued_at=case((ends, tasks.c.queued_at), else_=self._now()),
                finished_at=case((ends, self._now()), else_=null()),
                dead_at=case(
                    (and_(is_poison, ~is_cancelled, tasks.c.run_id.is_(None)), self._now()),
                    else_=null(),
                ),
                error_code=case((is_cancelled, "cancelled"), (is_poison, WORKER_LOST)),
                error_message=case(
                    (is_cancelled, "on request"),
                    (is_poison, f"{MAX_LOSSES} workers died while they ran it"),
                ),
            )
            .returning(*_SETTLED, *HINT_COLUMNS[1:])
        )
        queued, ended = [], []
        for row in connection.execute(statement):
            if row.state == State.QUEUED:
                queued.append(Hint(row.task_id, *row[len(_SETTLED) :]))
            else:
                ended.append(_settled(row[: len(_SETTLED)]))
        again = {hint.task_id for hint in queued}
        lost = [row for row in made if row.task_id in again]
        keep(connection, lost, LOST, self._now(), code=WORKER_LOST, message=_LOST_BY[death])
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

    def count_queued(self, queue: str, most: int) -> int:
        """Count the queued rows of a queue, up to a number."""
        queued = select(tasks.c.queue).where(tasks.c.state == State.QUEUED, tasks.c.queue == queue)
        statement = select(func.count()).select_from(queued.limit(most).subquery())
        with self.database.autocommit() as connection:
            return int(connection.execute(statement).scalar_one())

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many rows each queue has in each state."""
        statement = select(tasks.c.queue, tasks.c.state, func.count()).group_by(
            tasks.c.queue, tasks.c.state
        )
        with self.database.autocommit() as connection:
            rows = connection.execute(statement).all()
        return {(queue, State(state)): count for queue, state, count in rows}


def portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield items in portions that fit into one statement."""
    for start in range(0, len(items), PORTION):
        yield items[start : start + PORTION]


def _new(task: NewTask, state: str) -> Inserted:
    return Inserted(task.task_id, task.task_type, State(state), True, task.parameters)


def _key(task: NewTask) -> tuple[str, str]:
    return task.task_type, task.idempotency_key or ""


def _keyed(task: NewTask) -> tuple[str, str]:
    return ("", "") if task.idempotency_key is None else _key(task)


def is_task(task_id: str) -> ColumnElement[bool]:
    """Return the condition that names one task."""
    return tasks.c.task_id == task_id


def are_tasks(task_ids: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that names some tasks."""
    return tasks.c.task_id.in_(task_ids)


def is_claim(task_id: str, fence: str) -> ColumnElement[bool]:
    """Return the condition that names one claim."""
    return and_(tasks.c.task_id == task_id, tasks.c.fence == fence)


def is_batch_of(agent_id: str, fence: str) -> ColumnElement[bool]:
    """Return the condition that names all that one agent has claimed with one fence."""
    return and_(tasks.c.agent_id == agent_id, tasks.c.fence == fence)


def is_claimed_by(agent_id: str) -> ColumnElement[bool]:
    """Return the condition that names all that one agent runs."""
    return tasks.c.agent_id == agent_id


def is_of_run(run_id: str) -> ColumnElement[bool]:
    """Return the condition that names the steps of a run."""
    return tasks.c.run_id == run_id


def has_lapsed(now: ColumnElement[datetime], lease: float) -> ColumnElement[bool]:
    """Return the condition of running rows whose worker has not renewed its claim in time.

    A lease that would hold for much longer than leases do is of a clock that has been set back;
    whoever lives has renewed it since.
    """
    is_absurd = tasks.c.lease_until > instants.after(now, 2 * lease)
    return and_(tasks.c.state == State.RUNNING, or_(tasks.c.lease_until < now, is_absurd))


def any_task() -> ColumnElement[bool]:
    """Return the condition that names every task."""
    return true()


def _is_cause(death: Death) -> ColumnElement[bool]:
    """Return the condition of rows against which a death counts: a suspect runs alone."""
    match death:
        case Death.ALONE:
            return true()
        case Death.WITH_OTHERS:
            return tasks.c.suspicions >= MAX_SUSPICIONS
    return false()


def _end(task_id: str, fence: str, ending: Ending) -> dict[str, Any]:
    values = {f"end_{name}": getattr(ending, name) for name in Ending.__slots__}
    return {"id": task_id, "mine": fence, **values}


def _deferred(row: Sequence[Any]) -> Deferred:
    *hint, due, now = row[len(_SETTLED) :]
    seconds = max(0.0, (due - now).total_seconds())
    return Deferred(Hint(*hint), seconds, _settled(row[: len(_SETTLED)]).concurrency_key)


def _settled(row: Sequence[Any], *, is_repeat: bool = False) -> Settled:
    fields = dict(zip((column.name for column in _SETTLED), row, strict=False))
    return Settled(**{**fields, "state": State(fields["state"])}, is_repeat=is_repeat)
