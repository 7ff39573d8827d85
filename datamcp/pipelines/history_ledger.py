"""Every statement that looks back at runs as a whole: one for all steps, not one for each."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, select

from datamcp.infra.database import Database
from datamcp.pipelines.status import RunState
from datamcp.pipelines.tables import runs
from datamcp.tasks.states import State
from datamcp.tasks.tables import attempts, task_logs, tasks

_MOST_ROWS = 20_000  # of steps that are looked at for how long they take


class HistoryLedger:
    """What is kept of the runs of pipelines, to read. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def revision(self, run_id: str) -> int | None:
        """Return the revision of its pipeline that a run started with; None without such a run."""
        statement = select(runs.c.revision).where(runs.c.run_id == run_id)
        with self._database.autocommit() as connection:
            return connection.execute(statement).scalar_one_or_none()

    def attempts(self, run_id: str, *, each: int) -> Sequence[Row[Any]]:
        """Return the attempts of a run's steps that another one followed, the oldest first.

        Of each step the last ones, at most `each`.
        """
        order = (attempts.c.ended_at, attempts.c.started_at, attempts.c.attempt)
        newest = [column.desc() for column in order]
        place = func.row_number().over(partition_by=attempts.c.task_id, order_by=newest)
        joined = attempts.join(tasks, tasks.c.task_id == attempts.c.task_id)
        numbered = (
            select(tasks.c.step_id, attempts, place.label("place"))
            .select_from(joined)
            .where(tasks.c.run_id == run_id)
            .subquery()
        )
        statement = (
            select(numbered)
            .where(numbered.c.place <= each)
            .order_by(numbered.c.ended_at, numbered.c.started_at, numbered.c.attempt)
        )
        return self._all(statement)

    def logs(
        self, run_id: str, *, each: int, step_id: str | None = None, attempt: int | None = None
    ) -> Sequence[Row[Any]]:
        """Return what the steps of a run have logged, the oldest first.

        Of each step the last lines, at most `each`; only of one step, or one attempt, if it is
        named.
        """
        place = func.row_number().over(
            partition_by=task_logs.c.task_id,
            order_by=(task_logs.c.at.desc(), task_logs.c.line.desc()),
        )
        is_meant: ColumnElement[bool] = tasks.c.run_id == run_id
        if step_id is not None:
            is_meant = and_(is_meant, tasks.c.step_id == step_id)
        if attempt is not None:
            is_meant = and_(is_meant, task_logs.c.attempt == attempt)
        numbered = (
            select(tasks.c.step_id, task_logs, place.label("place"))
            .select_from(task_logs.join(tasks, tasks.c.task_id == task_logs.c.task_id))
            .where(is_meant)
            .subquery()
        )
        columns = numbered.c
        statement = (
            select(numbered)
            .where(columns.place <= each)
            .order_by(columns.at, columns.step_id, columns.fence, columns.line)
        )
        return self._all(statement)

    def step_seconds(
        self, pipeline_id: str, revision: int | None = None, limit: int = 20
    ) -> dict[str, list[float]]:
        """Return how long (s) each step took in the last runs that succeeded, the newest first.

        Of every revision of the pipeline, unless one is named.
        """
        is_meant = and_(runs.c.pipeline_id == pipeline_id, runs.c.state == RunState.SUCCEEDED)
        if revision is not None:
            is_meant = and_(is_meant, runs.c.revision == revision)
        last = (
            select(runs.c.run_id, runs.c.created_at)
            .where(is_meant)
            .order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
            .limit(limit)
            .subquery()
        )
        took = (tasks.c.started_at.is_not(None), tasks.c.finished_at.is_not(None))
        statement = (
            select(tasks.c.step_id, tasks.c.started_at, tasks.c.finished_at)
            .join(last, last.c.run_id == tasks.c.run_id)
            .where(tasks.c.state == State.SUCCEEDED, *took)
            .order_by(last.c.created_at.desc(), last.c.run_id.desc())
            .limit(_MOST_ROWS)
        )
        found: dict[str, list[float]] = defaultdict(list)
        for row in self._all(statement):
            seconds = (row.finished_at - row.started_at).total_seconds()
            found[row.step_id].append(max(0.0, seconds))
        return dict(found)

    def _all(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        with self._database.autocommit() as connection:
            return connection.execute(statement).all()
