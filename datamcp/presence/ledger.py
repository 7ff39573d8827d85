"""Every statement on the table of processes; its instants are the database's (protocol R8)."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, func, null, select
from sqlalchemy.dialects import postgresql, sqlite

from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.presence.process import Condition, Identity, ProcessKind, Seen
from datamcp.presence.tables import processes

Now = Callable[[], ColumnElement[datetime]]


class PresenceLedger:
    """The rows of processes. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self._database = database
        self._now = now
        self._insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert

    def tell(self, identity: Identity, token: str, lived: float, condition: Condition) -> None:
        """Insert the row of a process, or renew it.

        `token` is that of its start, `lived` the seconds since then. A row that was left under the
        same name by another start is taken over; one that was pruned comes back as it was.
        """
        now = self._now()
        row = {
            "process_id": identity.process_id,
            "token": token,
            "kind": identity.kind,
            "pool": identity.pool,
            "queues": json.dumps(identity.queues),
            "host": identity.host,
            "pid": identity.pid,
            "concurrency": condition.concurrency,
            "implementation": identity.implementation,
            "version": identity.version,
            "busy": condition.busy,
            "draining": condition.draining,
            "started_at": instants.after(now, -lived),
            "seen_at": now,
            "swept_at": _ago(now, condition.since_sweep),
        }
        statement = self._insert(processes).values(row)
        new = statement.excluded
        is_same = processes.c.token == new.token
        changed: dict[str, ColumnElement[Any]] = {
            name: new[name] for name in row if name != "process_id"
        }
        changed["started_at"] = case((is_same, processes.c.started_at), else_=new.started_at)
        with self._database.autocommit() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["process_id"], set_=changed)
            )

    def leave(self, process_id: str, token: str) -> None:
        """Remove the row of a process that ends, unless another start has taken it over."""
        is_mine = (processes.c.process_id == process_id) & (processes.c.token == token)
        with self._database.autocommit() as connection:
            connection.execute(delete(processes).where(is_mine))

    def remove(self, process_ids: Sequence[str]) -> None:
        """Remove the rows of processes that are known to be gone."""
        with self._database.autocommit() as connection:
            connection.execute(delete(processes).where(processes.c.process_id.in_(process_ids)))

    def prune(self, silent_for: timedelta) -> int:
        """Remove the rows of processes that were silent for so long; return how many."""
        limit = instants.after(self._now(), -silent_for.total_seconds())
        with self._database.autocommit() as connection:
            return connection.execute(delete(processes).where(processes.c.seen_at < limit)).rowcount

    def all(self) -> list[Seen]:
        """Return every process that has a row, in the order of their names."""
        statement = select(processes).order_by(processes.c.process_id)
        with self._database.autocommit() as connection:
            return [_seen(row) for row in connection.execute(statement)]

    def slots(self, silent_for: timedelta) -> int:
        """Return how many tasks all workers can run that were heard of lately."""
        limit = instants.after(self._now(), -silent_for.total_seconds())
        statement = select(func.sum(processes.c.concurrency)).where(processes.c.seen_at >= limit)
        with self._database.autocommit() as connection:
            return int(connection.execute(statement).scalar() or 0)

    def present(self, process_ids: Sequence[str]) -> set[str]:
        """Return those of these processes that have a row."""
        statement = select(processes.c.process_id).where(processes.c.process_id.in_(process_ids))
        with self._database.autocommit() as connection:
            return set(connection.execute(statement).scalars())


def _ago(now: ColumnElement[datetime], seconds: float | None) -> ColumnElement[Any]:
    return null() if seconds is None else instants.after(now, -seconds)


def _seen(row: Row[Any]) -> Seen:
    identity = Identity(
        process_id=row.process_id,
        kind=ProcessKind(row.kind),
        host=row.host,
        pid=row.pid,
        version=row.version,
        pool=row.pool,
        queues=tuple(json.loads(row.queues)),
        implementation=row.implementation,
    )
    return Seen(
        identity=identity,
        concurrency=row.concurrency,
        busy=row.busy,
        draining=row.draining,
        started_at=row.started_at,
        seen_at=row.seen_at,
        swept_at=row.swept_at,
    )
