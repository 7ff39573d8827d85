"""Every statement on pipelines, runs and the steps of runs: where their rows are written.

A step is a row of `tasks`; its claim and its finish are in `datamcp.tasks.ledger`. What a finish
leads to is written here, in the same transaction (protocol R12).
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.infra.direct import Direct
from datamcp.infra.prepare import PREPARED
from datamcp.pipelines.countdown import COUNTED, Countdown, Counted, Counts
from datamcp.pipelines.locks import ADMISSION
from datamcp.pipelines.new_run import (
    GIVEN,
    NewRun,
    NewStep,
    counted,
    first_rows,
    insert_run,
    insert_steps,
)
from datamcp.pipelines.notices import PENDING
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState, run_state
from datamcp.pipelines.tables import pipelines, runs, signals, step_cache
from datamcp.tasks.ledger import Now
from datamcp.tasks.retention import forget
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.tables import attempts, tasks
from datamcp.types import step_task_id

_ASKED = 1000  # runs that one statement asks for

_PRUNED_RUNS = 2000  # of one call
_PRUNED_TOGETHER = 500  # rows of one transaction: others wait for no longer than that takes
_REGISTRATIONS = 0x70697065  # the advisory lock of those who register: any number of our own


class PipelineLedger:
    """The rows of pipelines and runs. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now
        self._countdown = Countdown(database, now())
        self._insert_run = Direct(database, insert_run(database.dialect, now()))
        self._insert_steps = insert_steps(database.dialect, now()).execution_options(**PREPARED)
        self._count_runs = Direct(database, _count_runs(), locks=[ADMISSION])
        self._begin = Direct(database, _begin(now()))
        self._look = Direct(database, _look(), locks=[_lock_run()])
        self._count = Direct(database, _count())
        self._end = Direct(database, _end(now()))

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

    def start(self, run: NewRun, steps: Sequence[NewStep]) -> Sequence[Counted] | None:
        """Insert a run and all its steps, and commit; return what `start_on` does."""
        with self.database.transaction() as connection:
            return self.start_on(connection, run, steps)

    def start_on(
        self, connection: Connection, run: NewRun, steps: Sequence[NewStep]
    ) -> Sequence[Counted] | None:
        """Insert a run and all its steps; those that wait for none are released when it is due.

        A run is due at once, or at `scheduled_at`, by the database's clock; and it waits until
        there is room. Returns the steps that are queued, or to be looked at; None, with nothing
        written, if there is a run with this id already.
        """
        values = {name: getattr(run, name) for name in GIVEN}
        kept_out = not self._has_room(connection, run)
        notice = PENDING if run.is_told_of else None
        found = self._insert_run.run_on(
            connection, {**values, "kept_out": kept_out, "told": notice}
        )
        if not found:
            return None
        ((admitted_at,),) = found
        rows = first_rows(run.run_id, steps, may_begin=admitted_at is not None)
        if rows:
            connection.execute(self._insert_steps, {"rows": json.dumps(rows)})
        if all(one.adopted is not None for one in steps):
            self.close(connection, run.run_id)
        return [counted(row) for row in rows if row["begins"]]

    # Room for runs.

    def _has_room(self, connection: Connection, run: NewRun) -> bool:
        """Tell whether a run may begin, and let nobody else ask until this transaction ends."""
        if run.most_runs is None or run.parent_task_id is not None:
            return True
        counts = self._count_runs.run_on(connection, {})
        under_way: Counter[str] = Counter(dict(counts))
        most = run.most_of_pipeline
        return under_way.total() < run.most_runs and (
            most is None or under_way[run.pipeline_id] < most
        )

    def lock_admission(self, connection: Connection) -> None:
        """Let nobody else count or admit runs until the transaction ends."""
        if self.database.dialect == "postgresql":  # SQLite has one writer anyway
            connection.execute(ADMISSION)

    def under_way(self, connection: Connection) -> Counter[str]:
        """Return how many runs of each pipeline may run now; what others wait for not counted."""
        return Counter(dict(tuple(row) for row in connection.execute(_count_runs())))

    def queued(self, run_id: str) -> list[Counted]:
        """Return a run's steps that are queued."""
        statement = select(*COUNTED).where(tasks.c.run_id == run_id, tasks.c.state == State.QUEUED)
        with self.database.autocommit() as connection:
            found = connection.execute(statement.order_by(tasks.c.task_id))
            return [Counted.of(row) for row in found]

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
        self._begin.run({"run": run_id})

    def begin_on(self, connection: Connection, run_id: str) -> None:
        """Note that a first step of a run has started, or waits."""
        self._begin.run_on(connection, {"run": run_id})

    # What a settled step leads to, in the transaction that settled it.

    def release(
        self,
        connection: Connection,
        run_id: str,
        counts: Mapping[str, Counts],
        *,
        is_of_instances: bool = False,
    ) -> Sequence[Counted]:
        """Count settled upstreams of steps that wait, as `Countdown.release` does."""
        return self._countdown.release(connection, run_id, counts, is_of_instances=is_of_instances)

    def close(self, connection: Connection, run_id: str) -> bool:
        """End a run if all its steps have ended; tell whether this call did."""
        ((found, is_open, cancel_requested, stopped_by, timeout, parent),) = self._look.run_on(
            connection, {"run": run_id}
        )
        if RunState(found) in FINAL_RUN_STATES or is_open:
            return False
        state = run_state(
            self._counts(connection, run_id),
            cancel_requested=cancel_requested,
            is_stopped=stopped_by is not None,
        )
        if state is None:
            return False
        code = message = None
        if state is RunState.FAILED and stopped_by is not None:
            code, message = stopped_by, f"the run took longer than {timeout:g} s"
        elif state is RunState.FAILED:
            code, message = self._cause(connection, run_id)
        end = {"run": run_id, "end_state": state, "code": code, "message": message}
        self._end.run_on(connection, end)
        if parent is not None:
            self._wake_parent(connection, parent)
        return True

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

    def _counts(self, connection: Connection, run_id: str) -> dict[State, int]:
        """Count steps by state; a failure that is forgiven is a success here."""
        counts = self._count.run_on(connection, {"run": run_id})
        return {State(state): count for state, count in counts}

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


def _count_runs() -> Select[Any]:
    return (
        select(runs.c.pipeline_id, func.count())
        .where(
            runs.c.finished_at.is_(None),
            runs.c.admitted_at.is_not(None),
            runs.c.parent_task_id.is_(None),
        )
        .group_by(runs.c.pipeline_id)
    )


def _begin(now: ColumnElement[Any]) -> Executable:
    goes_on = and_(*(runs.c.state != state for state in sorted(FINAL_RUN_STATES)))
    return (
        update(runs)
        .where(runs.c.run_id == bindparam("run"), runs.c.started_at.is_(None), goes_on)
        .values(
            state=case((runs.c.state == RunState.QUEUED, RunState.RUNNING), else_=runs.c.state),
            started_at=now,
        )
        .returning(runs.c.run_id)
    )


def _lock_run() -> Executable:
    return select(runs.c.run_id).where(runs.c.run_id == bindparam("run")).with_for_update()


def _look() -> Executable:
    """Return what the end of a run depends on; and whether a step of it has not ended.

    To be asked once the run is locked, apart from that: whoever ends a step at the same time has
    then ended it, or will look in his turn.
    """
    is_final = or_(*(tasks.c.state == state for state in sorted(FINAL)))
    is_open = exists().where(tasks.c.run_id == bindparam("run"), not_(is_final))
    return select(
        runs.c.state,
        is_open,
        runs.c.cancel_requested,
        runs.c.stopped_by,
        runs.c.timeout,
        runs.c.parent_task_id,
    ).where(runs.c.run_id == bindparam("run"))


def _count() -> Executable:
    """Count the steps of a run by state; a failure that is forgiven is a success here."""
    is_failure = or_(tasks.c.state == State.FAILED, tasks.c.state == State.TIMED_OUT)
    # What failed of many, the step that puts them together tells.
    is_one_of_many = and_(tasks.c.map_index.is_not(None), tasks.c.finished_at.is_not(None))
    is_forgiven = or_(and_(tasks.c.forgiven, is_failure), is_one_of_many)
    state = case((is_forgiven, literal_column(f"'{State.SUCCEEDED}'")), else_=tasks.c.state)
    seen = state.label("seen")
    return select(seen, func.count()).where(tasks.c.run_id == bindparam("run")).group_by(seen)


def _end(now: ColumnElement[Any]) -> Executable:
    state = bindparam("end_state", type_=runs.c.state.type)
    return (
        update(runs)
        .where(runs.c.run_id == bindparam("run"))
        .values(
            state=state,
            finished_at=now,
            error_code=bindparam("code", type_=runs.c.error_code.type),
            error_message=bindparam("message", type_=runs.c.error_message.type),
            notice=case((runs.c.notice.is_not(None), state), else_=null()),
        )
        .returning(runs.c.run_id)
    )
