"""Our side: datamcp as it is shipped, with schedules in each place where they can be kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import insert

import datamcp
from benchmarks.rival import Ledger
from benchmarks.schedules.load import Entry
from benchmarks.schedules.side import Side
from benchmarks.servers import Servers
from datamcp import Task
from datamcp.scheduling.schedule import Schedule, spec_of
from datamcp.scheduling.tables import schedules
from datamcp.scheduling.target import TaskTarget
from datamcp.types import new_id

_AGENT = "bench"
_TASK = f"{_AGENT}.noop"


class _Ours(Side):
    """A beat of ours."""

    ledger: ClassVar[Ledger]
    store: ClassVar[str]
    seen_within = "at once"

    def __init__(self, servers: Servers, folder: Path) -> None:
        """Take empty servers and an empty folder; connects."""
        super().__init__(servers, folder)
        is_sqlite = self.ledger == "sqlite"
        self._chosen = {
            "system.environment": "testing",  # as in production: events off
            "scheduler.persistence_backend": self.store,
        }
        self._places = {
            "system.state_dir": str(folder / "state"),
            "storage.database_url": servers.sqlite_url if is_sqlite else servers.postgresql_url,
            "broker.url": servers.broker_url,
            f"agents.{_AGENT}.module": "benchmarks.agent:Bench",
        }
        self._runtime = datamcp.connect(overrides={**self._chosen, **self._places})
        self._queue = self._runtime.types.resolve(_TASK).queue

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return what differs from the defaults."""
        return self._chosen

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep schedules as `schedule_task` does, without a notice to beats for each."""
        now = self._runtime.schedules.store.now()
        self._add([_schedule(number, entry, now) for number, entry in enumerate(entries)])

    def _add(self, new: Sequence[Schedule]) -> None:
        """Keep schedules where the ledger is, in one transaction."""
        columns = ("schedule_id", "name", "source", "version", "paused", "updated_at")
        rows = [
            {
                **{name: getattr(one, name) for name in columns},
                "due_at": one.next_fire_at,
                "document": one.model_dump_json(),
            }
            for one in new
        ]
        with self._runtime.database.transaction() as connection:
            connection.execute(insert(schedules), rows)

    def ready(self) -> int:
        """Return how many messages are in the queue."""
        return self._runtime.depths.ready(self._queue)

    def close(self) -> None:
        """Close connections."""
        self._runtime.close()

    def _app(self) -> Sequence[str]:
        return ("-A", "datamcp")

    def _environment(self) -> Mapping[str, str]:
        return {**self._chosen, **self._places}


class OnPostgresql(_Ours):
    """Schedules in the ledger, on PostgreSQL."""

    name = "datamcp, PostgreSQL"
    ledger: ClassVar[Ledger] = "postgresql"
    store = "database"


class OnSqlite(_Ours):
    """Schedules in the ledger, on SQLite."""

    name = "datamcp, SQLite"
    ledger: ClassVar[Ledger] = "sqlite"
    store = "database"


class InRedis(_Ours):
    """Schedules in Redis, the ledger on PostgreSQL."""

    name = "datamcp, Redis and PostgreSQL"
    ledger: ClassVar[Ledger] = "postgresql"
    store = "redis"

    def _add(self, new: Sequence[Schedule]) -> None:
        for one in new:
            self._runtime.schedules.store.add(one, one.next_fire_at)


OURS: Sequence[type[Side]] = (OnPostgresql, OnSqlite, InRedis)


def _schedule(number: int, entry: Entry, now: datetime) -> Schedule:
    new = Schedule(
        schedule_id=new_id(now),
        name=entry.name,
        spec=spec_of(schedule=entry.cron),
        target=TaskTarget(task=Task(task_type=_TASK, parameters={"number": number})),
        created_at=now,
        updated_at=now,
    )
    return new.model_copy(update={"next_fire_at": new.timing.after(now)})
