"""Every statement on pipelines, runs and the steps of runs: where their rows are written.

A step is a row of `tasks`; its claim and its finish are in `datamcp.tasks.ledger`. What a finish
leads to is written here, in the same transaction (protocol R12).
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    Row,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    update,
)

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.infra.instants import Instant
from datamcp.infra.prepare import PREPARED
from datamcp.pipelines.gate import Gate
from datamcp.pipelines.locks import share_run
from datamcp.pipelines.notices import PENDING
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState, run_state
from datamcp.pipelines.tables import pipelines, runs, signals, step_cache
from datamcp.tasks.ledger import HINT_COLUMNS, Now
from datamcp.tasks.retention import forget
from datamcp.tasks.statements import insert_if_new
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.tables import attempts, tasks
from datamcp.types import step_task_id

_ASKED = 1000  # runs that one statement asks for

_PRUNED_RUNS = 2000  # of one call
_PRUNED_TOGETHER = 500  # rows of one transaction: others wait for no longer than that takes
_ADMISSIONS = 0x72756E73  # likewise: of those who count and admit runs
_REGISTRATIONS = 0x70697065  # the advisory lock of those who register: any number of our own


Counts = tuple[int, int]
"""How many upstreams of a step have settled, and how many of those were no success."""


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


class PipelineLedger:
    """The rows of pipelines and runs. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now
        self._lock_steps = _lock_steps()
        self._release = _release_steps(now(), tasks.c.awaits.is_(None))
        self._release_many = _release_steps(now(), tasks.c.awaits.is_not(None))

    # Pipelines.

    def register(self, pipeline_id: str, version: str, definition: str) -> tuple[int, bool]:
        """Keep a definition (JSON); return its revision, and whether it is new.

        The newest content again is no new revision.
        """
        with self.database.transaction() as connection:
            if self.database.dialect == "postgresql":  # SQLite has one writer anyway
                connection.execute(select(func.pg_advisory_xact_lock(_REGISTRATIONS)))
            newest = self._newest(connection, pipeline_id)
            if newest is not None and newest.definition == definition:
                return newest.revision, False
            revision = 1 if newest is None else newest.revision + 1
            connection.execute(
                insert(pipelines).values(
                    pipeline_id=pipeline_id,
                    revision=revision,
                    version=version,
                    definition=definition,
                    registered_at=self._now(),
                )
            )
        return revision, True

    def pipeline(self, pipeline_id: str, revision: int | None = None) -> Row[Any] | None:
        """Return a revision of a pipeline, or its newest."""
        with self.database.autocommit() as connection:
            if revision is None:
                return self._newest(connection, pipeline_id)
            wanted = and_(pipelines.c.pipeline_id == pipeline_id, pipelines.c.revision == revision)
            return connection.execute(select(pipelines).where(wanted)).one_or_none()

    def pipeline_ids(self) -> list[str]:
        """Return the ids of all pipelines."""
        statement = select(pipelines.c.pipeline_id).distinct().order_by(pipelines.c.pipeline_id)
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def _newest(self, connection: Connection, pipeline_id: str) -> Row[Any] | None:
        statement = (
            select(pipelines)
            .where(pipelines.c.pipeline_id == pipeline_id)
            .order_by(pipelines.c.revision.desc())
            .limit(1)
        )
        return connection.execute(statement).one_or_none()

    # Runs.

    def start(self, run: NewRun, steps: Sequence[NewStep]) -> None:
        """Insert a run and all its steps, and commit."""
        with self.database.transaction() as connection:
            self.start_on(connection, run, steps)

    def start_on(self, connection: Connection, run: NewRun, steps: Sequence[NewStep]) -> bool:
        """Insert a run and all its steps; those that wait for none are released when it is due.

        A run is due at once, or at `scheduled_at`, by the database's clock; and it waits until
        there is room. False, with nothing written, if there is a run with this id already.
        """
        now = self._now()
        due = literal(run.scheduled_at, Instant())
        is_kept_out = literal(not self._has_room(connection, run))
        is_out = or_(is_kept_out, func.coalesce(due > now, false()))
        new = insert_if_new(self.database.dialect, runs).values(
            run_id=run.run_id,
            pipeline_id=run.pipeline_id,
            revision=run.revision,
            version=run.version,
            state=RunState.QUEUED,
            parameters=run.parameters,
            triggered_by=run.triggered_by,
            scheduled_at=run.scheduled_at,
            created_at=now,
            admitted_at=case((is_out, null()), else_=now),
            timeout=run.timeout,
            deadline=run.deadline,
            timeout_at=_later(now, run.timeout, is_out),
            deadline_at=_later(now, run.deadline, is_out),
            resumed_from=run.resumed_from,
            parent_task_id=run.parent_task_id,
            fire_at=run.fire_at,
            interval_start=run.interval_start,
            interval_end=run.interval_end,
            notice=PENDING if run.is_told_of else None,
            note=run.note,
        )
        if not connection.execute(new).rowcount:
            return False
        self._insert_steps(connection, run, steps, is_out)
        if all(one.adopted is not None for one in steps):
            self.close(connection, run.run_id)
        return True

    def _insert_steps(
        self,
        connection: Connection,
        run: NewRun,
        steps: Sequence[NewStep],
        is_out: ColumnElement[bool],
    ) -> None:
        now = self._now()
        statement = insert(tasks).values(created_at=now)
        first = {
            "state": case((is_out, State.SCHEDULED), else_=State.QUEUED),
            "queued_at": case((is_out, null()), else_=now),
        }
        looked_at = {"state": State.SCHEDULED, "undecided": not_(is_out)}
        ended = {"finished_at": now, "apart": True}
        # What was taken over may be all that an early step needs.
        is_resumed = run.resumed_from is not None
        ready = [one for one in steps if _begins(one) or (is_resumed and _is_early(one))]
        later = [one for one in steps if not (_begins(one) or (is_resumed and _is_early(one)))]
        for values, some in (
            (first, [one for one in ready if not one.is_looked_at]),
            (looked_at, [one for one in ready if one.is_looked_at]),
            ({"state": State.SCHEDULED}, later),
        ):
            rows = [step_row(run.run_id, one) for one in some if one.adopted is None]
            if rows:
                connection.execute(statement.values(values), rows)
        adopted = [
            step_row(run.run_id, one) | _adopted_row(one.adopted)
            for one in steps
            if one.adopted is not None
        ]
        if adopted:
            connection.execute(statement.values(ended), adopted)

    # Room for runs.

    def _has_room(self, connection: Connection, run: NewRun) -> bool:
        """Tell whether a run may begin, and let nobody else ask until this transaction ends."""
        if run.most_runs is None or run.parent_task_id is not None:
            return True
        self.lock_admission(connection)
        under_way = self.under_way(connection)
        most = run.most_of_pipeline
        return under_way.total() < run.most_runs and (
            most is None or under_way[run.pipeline_id] < most
        )

    def lock_admission(self, connection: Connection) -> None:
        """Let nobody else count or admit runs until the transaction ends."""
        if self.database.dialect == "postgresql":  # SQLite has one writer anyway
            connection.execute(select(func.pg_advisory_xact_lock(_ADMISSIONS)))

    def under_way(self, connection: Connection) -> Counter[str]:
        """Return how many runs of each pipeline may run now; what others wait for not counted."""
        statement = (
            select(runs.c.pipeline_id, func.count())
            .where(
                runs.c.finished_at.is_(None),
                runs.c.admitted_at.is_not(None),
                runs.c.parent_task_id.is_(None),
            )
            .group_by(runs.c.pipeline_id)
        )
        return Counter(dict(tuple(row) for row in connection.execute(statement)))

    def queued(self, run_id: str) -> list[Row[Any]]:
        """Return the hints of a run's steps that are queued, each after its state."""
        statement = select(tasks.c.state, tasks.c.undecided, *HINT_COLUMNS).where(
            tasks.c.run_id == run_id, tasks.c.state == State.QUEUED
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement.order_by(tasks.c.task_id)))

    def unfinished(self, connection: Connection, run_ids: Collection[str]) -> set[str]:
        """Return which of these runs have not ended."""
        is_open = runs.c.state.not_in(FINAL_RUN_STATES)
        statement = select(runs.c.run_id).where(runs.c.run_id.in_(run_ids), is_open)
        return set(connection.execute(statement).scalars())

    def run(self, run_id: str) -> Row[Any] | None:
        """Return a run's row."""
        with self.database.autocommit() as connection:
            return connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()

    def runs(
        self, *, pipeline_id: str | None = None, state: RunState | None = None, limit: int = 20
    ) -> Sequence[Row[Any]]:
        """Return runs, the newest first, each with its counts of steps: all, and ended."""
        newest = (runs.c.created_at.desc(), runs.c.run_id.desc())
        wanted = select(runs.c.run_id).order_by(*newest).limit(limit)
        if pipeline_id is not None:
            wanted = wanted.where(runs.c.pipeline_id == pipeline_id)
        if state is not None:
            wanted = wanted.where(runs.c.state == state)
        shown = wanted.subquery()
        ended = func.sum(case((tasks.c.state.in_(FINAL), 1), else_=0))
        counted = (
            select(tasks.c.run_id, func.count().label("steps"), ended.label("ended"))
            .join(shown, shown.c.run_id == tasks.c.run_id)
            .group_by(tasks.c.run_id)
            .subquery()
        )
        statement = (
            select(runs, counted.c.steps, counted.c.ended)
            .join(counted, counted.c.run_id == runs.c.run_id)
            .order_by(*newest)
        )
        with self.database.autocommit() as connection:
            return connection.execute(statement).all()

    def states(self, run_ids: Iterable[str]) -> dict[str, RunState]:
        """Return the states of those of some runs that there are."""
        found: dict[str, RunState] = {}
        left = iter(run_ids)
        with self.database.autocommit() as connection:
            while some := list(islice(left, _ASKED)):
                statement = select(runs.c.run_id, runs.c.state).where(runs.c.run_id.in_(some))
                found |= {row.run_id: RunState(row.state) for row in connection.execute(statement)}
        return found

    def steps(self, run_id: str) -> Sequence[Row[Any]]:
        """Return the whole rows of a run's steps, in any order."""
        with self.database.autocommit() as connection:
            return connection.execute(select(tasks).where(tasks.c.run_id == run_id)).all()

    def outputs(self, run_id: str, step_ids: Collection[str]) -> dict[str, str]:
        """Return the outputs (JSON) of those of some steps that succeeded, by step id."""
        wanted = [step_task_id(run_id, step_id) for step_id in step_ids]
        statement = select(tasks.c.step_id, tasks.c.output).where(
            tasks.c.task_id.in_(wanted), tasks.c.state == State.SUCCEEDED
        )
        with self.database.autocommit() as connection:
            return {row.step_id: row.output for row in connection.execute(statement)}

    def any_apart(self, run_id: str, step_ids: Collection[str]) -> bool:
        """Tell whether one of these steps was sent by itself, or had more than one attempt."""
        wanted = [step_task_id(run_id, step_id) for step_id in step_ids]
        again = select(attempts.c.task_id).where(attempts.c.task_id.in_(wanted))
        apart = select(tasks.c.task_id).where(tasks.c.task_id.in_(wanted), tasks.c.apart)
        with self.database.autocommit() as connection:
            return connection.execute(again.union_all(apart).limit(1)).first() is not None

    def begin(self, run_id: str) -> None:
        """Note that a first step of a run has started."""
        with self.database.autocommit() as connection:
            self.begin_on(connection, run_id)

    def begin_on(self, connection: Connection, run_id: str) -> None:
        """Note that a first step of a run has started, or waits."""
        connection.execute(
            update(runs)
            .where(
                runs.c.run_id == run_id,
                runs.c.started_at.is_(None),
                runs.c.state.not_in(FINAL_RUN_STATES),
            )
            .values(
                state=case((runs.c.state == RunState.QUEUED, RunState.RUNNING), else_=runs.c.state),
                started_at=self._now(),
            )
        )

    # What a settled step leads to, in the transaction that settled it.

    def release(
        self,
        connection: Connection,
        run_id: str,
        counts: Mapping[str, Counts],
        *,
        is_of_instances: bool = False,
    ) -> Sequence[Row[Any]]:
        """Count so many settled upstreams for each of these steps; return the rows that were waiting.

        Those whose last upstreams they were are queued now, or `undecided`: somebody is to look.
        `is_of_instances` tells that what has settled are steps that these were made to.
        """
        release = self._release_many if is_of_instances else self._release
        share_run(connection, run_id)
        self._lock(connection, run_id, list(counts))
        alike: dict[Counts, list[str]] = {}
        for step_id, count in counts.items():
            alike.setdefault(count, []).append(step_task_id(run_id, step_id))
        return [
            row
            for (settled, bad), task_ids in alike.items()
            for row in connection.execute(
                release, {"ids": task_ids, "settled": settled, "bad": bad}
            )
        ]

    def close(self, connection: Connection, run_id: str) -> bool:
        """End a run if all its steps have ended; tell whether this call did."""
        locked = select(runs).where(runs.c.run_id == run_id).with_for_update()
        run = connection.execute(locked).one()
        if RunState(run.state) in FINAL_RUN_STATES:
            return False
        state = run_state(
            self._counts(connection, run_id),
            cancel_requested=run.cancel_requested,
            is_stopped=run.stopped_by is not None,
        )
        if state is None:
            return False
        code, message = self._why(connection, run, state)
        connection.execute(
            update(runs)
            .where(runs.c.run_id == run_id)
            .values(
                state=state,
                finished_at=self._now(),
                error_code=code,
                error_message=message,
                notice=case((runs.c.notice.is_not(None), literal(str(state))), else_=null()),
            )
        )
        if run.parent_task_id is not None:
            self._wake_parent(connection, run.parent_task_id)
        return True

    def _why(
        self, connection: Connection, run: Row[Any], state: RunState
    ) -> tuple[str | None, str | None]:
        """Return the error code and message of a run that ends so."""
        if state is not RunState.FAILED:
            return None, None
        if run.stopped_by is not None:
            return run.stopped_by, f"the run took longer than {run.timeout:g} s"
        return self._cause(connection, run.run_id)

    def _wake_parent(self, connection: Connection, task_id: str) -> None:
        """Have the step looked at that waits for a run."""
        connection.execute(
            update(tasks)
            .where(tasks.c.task_id == task_id, tasks.c.state == State.SCHEDULED)
            .values(undecided=True)
        )

    def prune(
        self, age: float, limit: int, after: Callable[[list[str]], None] = lambda _run_ids: None
    ) -> int:
        """Remove some runs that ended more than so many seconds ago, each with all its steps.

        Returns how many rows these were: the last run may be too large for the limit. `after` is
        told which are gone, some at a time.
        """
        removed = 0
        for run_ids in _portions(self._old_runs(age), limit):
            with self.database.transaction() as connection:
                removed += forget(connection, tasks.c.run_id.in_(run_ids))
                for table in (step_cache, signals):
                    connection.execute(delete(table).where(table.c.run_id.in_(run_ids)))
                gone = connection.execute(delete(runs).where(runs.c.run_id.in_(run_ids)))
                removed += gone.rowcount
            after(run_ids)
        return removed

    def _old_runs(self, age: float) -> Sequence[Row[Any]]:
        """Return the ids of runs that ended so long ago, and how many rows each is."""
        before = instants.after(self._now(), -age)
        statement = (
            select(runs.c.run_id, 1 + func.count(tasks.c.task_id))
            .outerjoin(tasks, tasks.c.run_id == runs.c.run_id)
            .where(runs.c.created_at < before, runs.c.finished_at < before)
            .group_by(runs.c.run_id, runs.c.created_at)
            .order_by(runs.c.created_at)
            .limit(_PRUNED_RUNS)
        )
        with self.database.autocommit() as connection:
            return connection.execute(statement).all()

    def request_cancel(self, run_id: str) -> bool:
        """Flag a run to be cancelled; False if it has already ended."""
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state.not_in(FINAL_RUN_STATES))
            .values(cancel_requested=True)
        )
        with self.database.autocommit() as connection:
            return bool(connection.execute(statement).rowcount)

    def _lock(self, connection: Connection, run_id: str, step_ids: Sequence[str]) -> list[str]:
        """Lock steps that wait, in the order of their ids, so that no two finishes deadlock."""
        task_ids = sorted(step_task_id(run_id, step_id) for step_id in step_ids)
        if len(task_ids) > 1:
            connection.execute(self._lock_steps, {"ids": task_ids})
        return task_ids

    def _counts(self, connection: Connection, run_id: str) -> dict[State, int]:
        """Count steps by state; a failure that is forgiven is a success here."""
        is_forgiven = and_(tasks.c.forgiven, tasks.c.state.in_([State.FAILED, State.TIMED_OUT]))
        # What failed of many, the step that puts them together tells.
        is_forgiven = or_(
            is_forgiven, and_(tasks.c.map_index.is_not(None), tasks.c.finished_at.is_not(None))
        )
        seen = case((is_forgiven, State.SUCCEEDED), else_=tasks.c.state)
        statement = select(seen, func.count()).where(tasks.c.run_id == run_id).group_by(seen)
        return {State(state): count for state, count in connection.execute(statement)}

    def _cause(self, connection: Connection, run_id: str) -> tuple[str, str]:
        """Return the code and message of the step that failed first."""
        statement = (
            select(tasks.c.step_id, tasks.c.error_code, tasks.c.error_message)
            .where(
                tasks.c.run_id == run_id,
                tasks.c.state.in_([State.FAILED, State.TIMED_OUT, State.CANCELLED]),
                tasks.c.forgiven.is_(False),
            )
            .order_by(tasks.c.finished_at)
            .limit(1)
        )
        step = connection.execute(statement).first()
        if step is None:  # what failed is a step that was taken over
            return "upstream_failed", "a step did not succeed"
        return step.error_code, f"step {step.step_id}: {step.error_message}"


def _portions(old: Iterable[Sequence[Any]], limit: int) -> Iterator[list[str]]:
    """Yield ids of runs that are removed together, until so many rows are in them."""
    portion: list[str] = []
    rows = total = 0
    for run_id, count in old:
        if total >= limit:
            break
        portion.append(run_id)
        rows, total = rows + count, total + count
        if rows >= _PRUNED_TOGETHER:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion


def _lock_steps() -> Executable:
    """Lock those of some rows that wait, in the order of their ids. Takes `ids`.

    One that has started early is left alone: whoever ends it holds it, and wants others of these.
    """
    ids: BindParameter[list[str]] = bindparam("ids", expanding=True)
    waiting = and_(tasks.c.task_id.in_(ids), tasks.c.state == State.SCHEDULED)
    locked = select(tasks.c.task_id).where(waiting).order_by(tasks.c.task_id)
    return locked.with_for_update().execution_options(**PREPARED)


def _release_steps(now: ColumnElement[Any], where: ColumnElement[bool]) -> Executable:
    """Count settled upstreams of rows of a condition that wait; return their states and hints.

    Takes `ids`, how many have been `settled` for each of them, and how many of those were `bad`.
    """
    ids: BindParameter[list[str]] = bindparam("ids", expanding=True)
    settled = bindparam("settled", type_=tasks.c.upstreams_left.type)
    bad = bindparam("bad", type_=tasks.c.unsuccessful.type)
    is_last = tasks.c.upstreams_left <= settled
    is_paused = (
        select(runs.c.paused_at.is_not(None)).where(runs.c.run_id == tasks.c.run_id)
    ).scalar_subquery()
    is_open = and_(tasks.c.gate == Gate.OPEN, tasks.c.unsuccessful + bad == 0, not_(is_paused))
    starts = and_(is_last, is_open)
    is_each = and_(tasks.c.gate == Gate.EACH, tasks.c.awaits.is_(None))
    is_looked_at = or_(is_last, is_each)
    return (
        update(tasks)
        .where(
            tasks.c.task_id.in_(ids),
            tasks.c.state == State.SCHEDULED,
            where,
            tasks.c.fence.is_(None),  # else it has begun, and was put off
        )
        .values(
            upstreams_left=tasks.c.upstreams_left - settled,
            unsuccessful=tasks.c.unsuccessful + bad,
            state=case((starts, State.QUEUED), else_=tasks.c.state),
            queued_at=case((starts, now), else_=null()),
            undecided=and_(is_looked_at, not_(starts)),
        )
        .returning(tasks.c.state, tasks.c.undecided, *HINT_COLUMNS)
        .execution_options(**PREPARED)
    )


def _later(
    now: ColumnElement[Any], seconds: float | None, is_out: ColumnElement[bool]
) -> ColumnElement[Any] | None:
    """Return so many seconds from now, of a run that begins now."""
    return None if seconds is None else case((is_out, null()), else_=instants.After(now, seconds))


def _begins(step: NewStep) -> bool:
    return step.upstreams <= 0


def _is_early(step: NewStep) -> bool:
    return step.gate is Gate.EACH


def _adopted_row(adopted: Adopted) -> dict[str, Any]:
    return {
        "state": adopted.state,
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
