"""Statements on runs that are under way: room for them, pauses, times that have come, their ends.

How a run begins, and what the ends of its steps lead to, stands in `ledger`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    exists,
    func,
    not_,
    null,
    or_,
    select,
    update,
)

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.pipelines.gate import Gate
from datamcp.pipelines.locks import hold_run
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState
from datamcp.pipelines.tables import runs
from datamcp.tasks.ledger import Now
from datamcp.tasks.states import FINAL, WAITING, State
from datamcp.tasks.tables import tasks

TIMEOUT = "run_timeout"
"""The error code of a run that took too long."""

_GRACE = 10.0  # seconds that whoever ended a run has to tell of it


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits until there is room for it."""

    run_id: str
    pipeline_id: str
    revision: int


class RunLedger:
    """The rows of runs under way. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now

    # Room for runs.

    def kept_out(self, connection: Connection, most: int) -> list[Waiting]:
        """Return runs that wait for room, the oldest first; of each pipeline so many at most."""
        number = func.row_number().over(
            partition_by=runs.c.pipeline_id, order_by=(runs.c.created_at, runs.c.run_id)
        )
        ranked = (
            select(
                runs.c.run_id,
                runs.c.pipeline_id,
                runs.c.revision,
                runs.c.created_at,
                number.label("number"),
            )
            .where(*self._is_kept_out())
            .subquery()
        )
        statement = (
            select(ranked.c.run_id, ranked.c.pipeline_id, ranked.c.revision)
            .where(ranked.c.number <= most)
            .order_by(ranked.c.created_at, ranked.c.run_id)
        )
        return [Waiting(*row) for row in connection.execute(statement)]

    def is_any_kept_out(self) -> bool:
        """Tell whether a run waits for room that is due."""
        statement = select(runs.c.run_id).where(*self._is_kept_out()).limit(1)
        with self.database.autocommit() as connection:
            return connection.execute(statement).first() is not None

    def _is_kept_out(self) -> tuple[ColumnElement[bool], ...]:
        return (
            runs.c.finished_at.is_(None),
            runs.c.admitted_at.is_(None),
            runs.c.cancel_requested.is_(False),
            runs.c.paused_at.is_(None),
            or_(runs.c.scheduled_at.is_(None), runs.c.scheduled_at <= self._now()),
        )

    def seconds_until_due(self) -> float | None:
        """Return in how many seconds the next run is due, times out, or is late; None if none is.

        What is over already was looked at, and is not to be looked at all the time.
        """
        now = self._now()
        ends = (runs.c.scheduled_at, runs.c.timeout_at, runs.c.deadline_at)
        firsts = [func.min(case((one > now, one)), type_=one.type) for one in ends]
        statement = select(*firsts, now).where(runs.c.finished_at.is_(None))
        with self.database.autocommit() as connection:
            *found, at = connection.execute(statement).one()
        return min(((one - at).total_seconds() for one in found if one is not None), default=None)

    def admit(self, connection: Connection, run_ids: Sequence[str]) -> list[str]:
        """Let those of these runs begin that still may; return them.

        Their first steps are released.
        """
        now = self._now()
        is_first = and_(
            tasks.c.state == State.SCHEDULED,
            or_(tasks.c.upstreams_left <= 0, tasks.c.gate == Gate.EACH),
            tasks.c.awaits.is_(None),
        )
        first = select(tasks.c.task_id).where(tasks.c.run_id.in_(run_ids), is_first)
        connection.execute(first.order_by(tasks.c.task_id).with_for_update())
        may_begin = select(runs.c.run_id).where(runs.c.run_id.in_(run_ids), *self._is_kept_out())
        locked = connection.execute(may_begin.order_by(runs.c.run_id).with_for_update())
        admitted = list(locked.scalars())
        is_looked_at = or_(tasks.c.gate != Gate.OPEN, tasks.c.unsuccessful > 0)
        of_them = update(tasks).where(tasks.c.run_id.in_(admitted), is_first)
        connection.execute(of_them.where(is_looked_at).values(undecided=True))
        connection.execute(
            of_them.where(not_(is_looked_at)).values(
                state=State.QUEUED, queued_at=now, scheduled_at=None, undecided=False
            )
        )
        connection.execute(
            update(runs)
            .where(runs.c.run_id.in_(admitted))
            .values(
                admitted_at=now,
                timeout_at=case(
                    (runs.c.timeout.is_(None), null()), else_=instants.After(now, runs.c.timeout)
                ),
                deadline_at=case(
                    (runs.c.deadline.is_(None), null()), else_=instants.After(now, runs.c.deadline)
                ),
            )
        )
        return admitted

    # Pauses.

    def pause(self, run_id: str, note: str | None) -> bool:
        """Let no further step of a run start; False if it has ended, or is paused."""
        has_not_begun = and_(tasks.c.state == State.QUEUED, tasks.c.fence.is_(None))
        queued = select(tasks.c.task_id).where(tasks.c.run_id == run_id, has_not_begun)
        paused = (
            update(runs)
            .where(
                runs.c.run_id == run_id,
                runs.c.state.not_in(FINAL_RUN_STATES),
                runs.c.paused_at.is_(None),
            )
            .values(state=RunState.PAUSED, paused_at=self._now(), note=note)
        )
        parked = update(tasks).where(tasks.c.run_id == run_id, has_not_begun)
        with self.database.transaction() as connection:
            hold_run(connection, run_id)
            connection.execute(queued.order_by(tasks.c.task_id).with_for_update())
            if not connection.execute(paused).rowcount:
                return False
            connection.execute(
                parked.values(
                    state=State.SCHEDULED,
                    scheduled_at=None,
                    queued_at=None,
                    undecided=True,
                    apart=True,
                )
            )
        return True

    def unpause(self, run_id: str) -> bool:
        """Let a paused run go on; False if it is not paused."""
        state = case((runs.c.started_at.is_(None), RunState.QUEUED), else_=RunState.RUNNING)
        going = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state == RunState.PAUSED)
            .values(state=state, paused_at=None)
        )
        with self.database.autocommit() as connection:
            return bool(connection.execute(going).rowcount)

    # Runs that stand inside of each other.

    def children(self, run_id: str) -> list[str]:
        """Return the runs that steps of a run wait for, and that have not ended."""
        statement = (
            select(runs.c.run_id)
            .join(tasks, tasks.c.task_id == runs.c.parent_task_id)
            .where(tasks.c.run_id == run_id, runs.c.finished_at.is_(None))
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def parent(self, connection: Connection, run_id: str) -> str | None:
        """Return the run with a step that waits for this one, if there is one."""
        statement = (
            select(tasks.c.run_id)
            .select_from(runs)
            .join(tasks, tasks.c.task_id == runs.c.parent_task_id)
            .where(runs.c.run_id == run_id)
        )
        found: str | None = connection.execute(statement).scalar_one_or_none()
        return found

    def look(self, connection: Connection, run_id: str) -> Row[Any] | None:
        """Return a run's row, on a connection of the caller's."""
        return connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()

    def last_outputs(self, connection: Connection, run_id: str) -> dict[str, str | None]:
        """Return the outputs (JSON) that the last steps of a run have left, by step id."""
        statement = select(tasks.c.step_id, tasks.c.output).where(
            tasks.c.run_id == run_id,
            tasks.c.state == State.SUCCEEDED,
            tasks.c.map_index.is_(None),
            func.coalesce(tasks.c.downstreams, "[]") == "[]",
        )
        return {row.step_id: row.output for row in connection.execute(statement)}

    # Times that have come, and what a process left undone that died.

    def stop_overdue(self, limit: int) -> list[str]:
        """Have those runs end whose time is over; return them."""
        is_over = (
            runs.c.finished_at.is_(None),
            runs.c.stopped_by.is_(None),
            runs.c.timeout_at <= self._now(),
        )
        found = select(runs.c.run_id).where(*is_over).limit(limit).scalar_subquery()
        statement = (
            update(runs)
            .where(runs.c.run_id.in_(found), *is_over)
            .values(stopped_by=TIMEOUT, cancel_requested=True)
            .returning(runs.c.run_id)
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def to_be_stopped(self, limit: int) -> list[str]:
        """Return runs that were to be cancelled, and have steps that were not told yet."""
        is_untold = exists().where(
            tasks.c.run_id == runs.c.run_id,
            or_(
                tasks.c.state.in_(WAITING),
                and_(tasks.c.state == State.RUNNING, tasks.c.cancel_requested.is_(False)),
            ),
        )
        statement = (
            select(runs.c.run_id)
            .where(runs.c.finished_at.is_(None), runs.c.cancel_requested, is_untold)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def orphans(self, limit: int) -> list[str]:
        """Have those runs end that a step waited for which has ended itself; return them."""
        found = (
            select(runs.c.run_id)
            .join(tasks, tasks.c.task_id == runs.c.parent_task_id)
            .where(
                runs.c.finished_at.is_(None),
                runs.c.cancel_requested.is_(False),
                tasks.c.state.in_(FINAL),
            )
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            run_ids = list(connection.execute(found).scalars())
            if run_ids:
                flagged = update(runs).where(
                    runs.c.run_id.in_(run_ids), runs.c.state.not_in(FINAL_RUN_STATES)
                )
                connection.execute(flagged.values(cancel_requested=True))
        return run_ids

    def to_be_closed(self, limit: int) -> list[str]:
        """Return runs that were cancelled before any of their steps was there, or left open."""
        is_open = exists().where(tasks.c.run_id == runs.c.run_id, tasks.c.state.not_in(FINAL))
        statement = (
            select(runs.c.run_id)
            .where(runs.c.finished_at.is_(None), runs.c.cancel_requested, ~is_open)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    # Ends, and who is told.

    def ended(self, run_id: str) -> Row[Any]:
        """Return the row of a run, with the run that waits for it as `parent`."""
        parent = (
            select(tasks.c.run_id)
            .where(tasks.c.task_id == runs.c.parent_task_id)
            .scalar_subquery()
            .label("parent")
        )
        with self.database.autocommit() as connection:
            return connection.execute(select(runs, parent).where(runs.c.run_id == run_id)).one()

    def untold(self, limit: int) -> Sequence[Row[Any]]:
        """Return runs that have ended a while ago, and of which nobody was told."""
        statement = (
            select(runs)
            .where(
                runs.c.notice.in_([*FINAL_RUN_STATES]),
                runs.c.finished_at < instants.after(self._now(), -_GRACE),
            )
            .order_by(runs.c.finished_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return connection.execute(statement).all()

    def told(self, run_id: str) -> None:
        """Note that whoever wanted to know of a run's end does."""
        statement = update(runs).where(runs.c.run_id == run_id).values(notice=None)
        with self.database.autocommit() as connection:
            connection.execute(statement)

    def late(self, limit: int) -> Sequence[Row[Any]]:
        """Return runs that still go on though their deadline has passed, which nobody has noted.

        Each with the time (`now`).
        """
        statement = (
            select(runs, self._now().label("now"))
            .where(
                runs.c.finished_at.is_(None),
                runs.c.late_at.is_(None),
                runs.c.deadline_at <= self._now(),
            )
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return connection.execute(statement).all()

    def note_late(self, run_id: str) -> None:
        """Note that a run is late, and that who wants to know does."""
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.late_at.is_(None))
            .values(late_at=self._now())
        )
        with self.database.autocommit() as connection:
            connection.execute(statement)
