"""Every statement on pipelines, runs and the steps of runs: where their rows are written.

A step is a row of `tasks`; its claim and its finish are in `datamcp.tasks.ledger`. What a finish
leads to is written here, in the same transaction (protocol R12).
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, insert, literal, null, select, update

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.infra.instants import Instant
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState, run_state
from datamcp.pipelines.tables import pipelines, runs
from datamcp.tasks.ledger import Now
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.tables import tasks
from datamcp.types import step_task_id

_REGISTRATIONS = 0x70697065  # the advisory lock of those who register: any number of our own


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStep:
    """A step as it is inserted. `parameters` is JSON text, with its references."""

    step_id: str
    task_type: str
    queue: str
    priority: int
    parameters: str
    timeout: float | None
    upstreams: int
    downstreams: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as it is inserted. `parameters` is JSON text."""

    run_id: str
    pipeline_id: str
    revision: int
    version: str
    parameters: str
    triggered_by: str
    scheduled_at: datetime | None = None


class PipelineLedger:
    """The rows of pipelines and runs. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now

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
        """Insert a run and all its steps; those without upstreams are queued when it is due.

        A run is due at once, or at `scheduled_at`, by the database's clock.
        """
        now = self._now()
        due = literal(run.scheduled_at, Instant())
        first = {
            "state": case((due > now, State.SCHEDULED), else_=State.QUEUED),
            "queued_at": case((due > now, null()), else_=now),
            "scheduled_at": due,
        }
        with self.database.transaction() as connection:
            connection.execute(
                insert(runs).values(
                    run_id=run.run_id,
                    pipeline_id=run.pipeline_id,
                    revision=run.revision,
                    version=run.version,
                    state=RunState.QUEUED,
                    parameters=run.parameters,
                    triggered_by=run.triggered_by,
                    scheduled_at=run.scheduled_at,
                    created_at=now,
                )
            )
            roots = [_step_row(run.run_id, step) for step in steps if not step.upstreams]
            others = [_step_row(run.run_id, step) for step in steps if step.upstreams]
            statement = insert(tasks).values(created_at=now)
            connection.execute(statement.values(first), roots)
            if others:
                connection.execute(statement.values(state=State.SCHEDULED), others)

    def run(self, run_id: str) -> Row[Any] | None:
        """Return a run's row."""
        with self.database.autocommit() as connection:
            return connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()

    def runs(
        self, *, pipeline_id: str | None = None, state: RunState | None = None, limit: int = 20
    ) -> Sequence[Row[Any]]:
        """Return runs, the newest first, each with its counts of steps: all, and ended."""
        ended = func.sum(case((tasks.c.state.in_(FINAL), 1), else_=0))
        counts = select(tasks.c.run_id, func.count().label("steps"), ended.label("ended"))
        counted = counts.where(tasks.c.run_id.is_not(None)).group_by(tasks.c.run_id).subquery()
        statement = (
            select(runs, counted.c.steps, counted.c.ended)
            .join(counted, counted.c.run_id == runs.c.run_id)
            .order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
        )
        if pipeline_id is not None:
            statement = statement.where(runs.c.pipeline_id == pipeline_id)
        if state is not None:
            statement = statement.where(runs.c.state == state)
        with self.database.autocommit() as connection:
            return connection.execute(statement.limit(limit)).all()

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

    def begin(self, run_id: str) -> None:
        """Note that a first step of a run has started."""
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state == RunState.QUEUED)
            .values(state=RunState.RUNNING, started_at=self._now())
        )
        with self.database.autocommit() as connection:
            connection.execute(statement)

    # What a settled step leads to, in the transaction that settled it.

    def release(
        self, connection: Connection, run_id: str, step_ids: Sequence[str]
    ) -> Sequence[Row[Any]]:
        """Count one settled upstream for each of these steps; return the rows that were waiting.

        Those whose last upstream it was are queued now.
        """
        waiting = self._lock(connection, run_id, step_ids)
        is_last = tasks.c.upstreams_left <= 1
        statement = (
            update(tasks)
            .where(tasks.c.task_id.in_(waiting), tasks.c.state == State.SCHEDULED)
            .values(
                upstreams_left=tasks.c.upstreams_left - 1,
                state=case((is_last, State.QUEUED), else_=tasks.c.state),
                queued_at=case((is_last, self._now()), else_=null()),
            )
            .returning(tasks)
        )
        return connection.execute(statement).all()

    def fail_downstream(
        self, connection: Connection, run_id: str, step_ids: Sequence[str], cause: str
    ) -> None:
        """End these steps, which now can't start, because of a step before them."""
        waiting = self._lock(connection, run_id, step_ids)
        connection.execute(
            update(tasks)
            .where(tasks.c.task_id.in_(waiting), tasks.c.state == State.SCHEDULED)
            .values(
                state=State.UPSTREAM_FAILED,
                error_code="upstream_failed",
                error_message=f"step {cause} did not succeed",
                finished_at=self._now(),
            )
        )

    def close(self, connection: Connection, run_id: str) -> bool:
        """End a run if all its steps have ended; tell whether this call did."""
        locked = select(runs).where(runs.c.run_id == run_id).with_for_update()
        run = connection.execute(locked).one()
        if RunState(run.state) in FINAL_RUN_STATES:
            return False
        state = run_state(self._counts(connection, run_id), cancel_requested=run.cancel_requested)
        if state is None:
            return False
        code, message = self._cause(connection, run_id) if state is RunState.FAILED else (None,) * 2
        connection.execute(
            update(runs)
            .where(runs.c.run_id == run_id)
            .values(
                state=state,
                finished_at=self._now(),
                error_code=code,
                error_message=message,
            )
        )
        return True

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
            connection.execute(
                select(tasks.c.task_id)
                .where(tasks.c.task_id.in_(task_ids))
                .order_by(tasks.c.task_id)
                .with_for_update()
            )
        return task_ids

    def _counts(self, connection: Connection, run_id: str) -> dict[State, int]:
        statement = select(tasks.c.state, func.count()).where(tasks.c.run_id == run_id)
        rows = connection.execute(statement.group_by(tasks.c.state)).all()
        return {State(state): count for state, count in rows}

    def _cause(self, connection: Connection, run_id: str) -> tuple[str, str]:
        """Return the code and message of the step that failed first."""
        statement = (
            select(tasks.c.step_id, tasks.c.error_code, tasks.c.error_message)
            .where(
                tasks.c.run_id == run_id,
                tasks.c.state.in_([State.FAILED, State.TIMED_OUT, State.CANCELLED]),
            )
            .order_by(tasks.c.finished_at)
            .limit(1)
        )
        step = connection.execute(statement).one()
        return step.error_code, f"step {step.step_id}: {step.error_message}"


def _step_row(run_id: str, step: NewStep) -> dict[str, Any]:
    return {
        "task_id": step_task_id(run_id, step.step_id),
        "task_type": step.task_type,
        "queue": step.queue,
        "priority": step.priority,
        "parameters": step.parameters,
        "max_attempts": 1,
        "timeout": step.timeout,
        "root_id": run_id,
        "run_id": run_id,
        "step_id": step.step_id,
        "upstreams_left": step.upstreams,
        "downstreams": json.dumps(list(step.downstreams)),
    }
