"""What there is to do and what went wrong, as figures: read from indexes, however long the ledger.

Only rows that wait, that run, or that failed lately are looked at; those that are done are not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

RECENTLY = 3600.0  # seconds
OVERDUE = 10.0  # seconds after which what is due should have been queued

Now = Callable[[], ColumnElement[datetime]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """One queue: rows that wait and since when, rows that run, and those that failed recently."""

    queued: int = 0
    oldest_queued_at: datetime | None = None
    running: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """What one agent runs: how many tasks, and the start of the first."""

    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All queues that have something to tell, by name; what runs, by agent; the database's clock."""

    now: datetime
    queues: Mapping[str, QueueFigures] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)
    overdue: int = 0  # due for a while, and not queued


class TaskFigures:
    """Reads figures. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self._database = database
        self._now = now

    def look(self) -> Figures:
        """Return the figures of this instant; raises BackendUnavailable."""
        with self._database.autocommit() as connection:
            now = connection.execute(select(self._now())).scalar_one()
            queued = {row.queue: row for row in connection.execute(self.queued())}
            failed = dict(_pairs(connection, self.failed(now)))
            running = connection.execute(self.running()).all()
            overdue = connection.execute(self.overdue(now)).scalar_one()
        runs = _summed((row.queue, row.number) for row in running)
        return Figures(
            now=now,
            queues={
                name: QueueFigures(
                    queued=queued[name].number if name in queued else 0,
                    oldest_queued_at=queued[name].oldest if name in queued else None,
                    running=runs.get(name, 0),
                    failed=failed.get(name, 0),
                )
                for name in sorted({*queued, *failed, *runs})
            },
            running={
                agent: Running(count, min(r.since for r in running if r.agent_id == agent))
                for agent, count in _summed((row.agent_id, row.number) for row in running).items()
            },
            overdue=overdue,
        )

    # In the text of these statements stand the states themselves, and no placeholders: only so does
    # SQLite know that an index of some states will do. And they compare with an instant that was
    # read before: PostgreSQL looks nothing up in an index by a clock that may go on meanwhile.

    def queued(self) -> Select[Any]:
        """Count the rows that wait, by queue, and tell since when the first does."""
        return (
            select(
                tasks.c.queue,
                func.count().label("number"),
                func.min(tasks.c.queued_at).label("oldest"),
            )
            .where(tasks.c.state == _text(State.QUEUED))
            .group_by(tasks.c.queue)
        )

    def running(self) -> Select[Any]:
        """Count the rows that run, by agent and queue."""
        return (
            select(
                tasks.c.agent_id,
                tasks.c.queue,
                func.count().label("number"),
                func.min(tasks.c.started_at).label("since"),
            )
            .where(tasks.c.state == _text(State.RUNNING))
            .group_by(tasks.c.agent_id, tasks.c.queue)
        )

    def failed(self, now: datetime) -> Select[Any]:
        """Count the rows that failed recently, by queue."""
        since = now - timedelta(seconds=RECENTLY)
        is_failed = tasks.c.state.in_([_text(State.FAILED), _text(State.TIMED_OUT)])
        return (
            select(tasks.c.queue, func.count())
            .where(is_failed, tasks.c.finished_at > since)
            .group_by(tasks.c.queue)
        )

    def overdue(self, now: datetime) -> Select[Any]:
        """Count the rows that should have been queued some time ago."""
        is_waiting = tasks.c.state.in_([_text(State.SCHEDULED), _text(State.RETRYING)])
        limit = now - timedelta(seconds=OVERDUE)
        return select(func.count()).where(
            is_waiting, tasks.c.scheduled_at.is_not(None), tasks.c.scheduled_at < limit
        )


def _text(state: State) -> ColumnElement[str]:
    return literal(str(state), literal_execute=True)


def _pairs(connection: Connection, statement: Select[Any]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in connection.execute(statement)]


def _summed(pairs: Any) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, count in pairs:
        sums[name] = sums.get(name, 0) + count
    return sums
