"""Stores of schedules whose clock is moved by hand: one of each backend."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from datamcp import Task
from datamcp.infra.database import Database
from datamcp.scheduling.decide import due_at
from datamcp.scheduling.redis_store import RedisStore
from datamcp.scheduling.schedule import Schedule, spec_of
from datamcp.scheduling.sql_store import SqlStore
from datamcp.scheduling.store import ScheduleStore
from datamcp.scheduling.target import Target, TaskTarget
from datamcp.testing import FakeClock

STORES = ["sqlite", "postgresql", "file", "redis"]

_numbers = count()


@dataclass(frozen=True)
class StoreOnHand:
    """A store, its clock, and the ledger in which its tasks are made."""

    store: ScheduleStore
    clock: FakeClock
    ledger: Database
    kind: str

    def add(self, schedule: str = "every 10s", **fields: Any) -> Schedule:
        """Keep a new schedule, as `Schedules` would."""
        new = self.new(schedule, **fields)
        self.store.add(new, due_at(new, self.clock.now()))
        return new

    def new(
        self,
        schedule: str = "every 10s",
        *,
        name: str | None = None,
        target: Target | None = None,
        paused: bool = False,
        schedule_id: str | None = None,
        **spec: Any,
    ) -> Schedule:
        """Return a new schedule."""
        now = self.clock.now()
        made = Schedule(
            schedule_id=schedule_id or f"schedule-{next(_numbers)}",
            name=name,
            spec=spec_of(schedule=schedule, **spec),
            target=target or TaskTarget(task=Task(task_type="calc.add", parameters={"a": 1})),
            paused=paused,
            created_at=now,
            updated_at=now,
        )
        return made.model_copy(update={"next_fire_at": made.timing.after(now)})


@contextmanager
def store_at_hand(
    kind: str, request: pytest.FixtureRequest, folder: Path, ledger: Database, clock: FakeClock
) -> Iterator[StoreOnHand]:
    """Have a store of a kind whose tasks are made in a ledger; nothing is in it."""
    match kind:
        case "file":
            store: Any = SqlStore(
                Database(f"sqlite:///{folder / 'schedules.db'}"), ledger=ledger, now=clock.sql
            )
        case "redis":
            url, prefix = (request.getfixturevalue(name) for name in ("redis_url", "key_prefix"))
            store = RedisStore(url, prefix, ledger=ledger, clock=clock.now)
        case _:
            store = SqlStore(ledger, now=clock.sql)
    yield StoreOnHand(store, clock, ledger, kind)
    store.close()


def at(second: float, start: datetime) -> datetime:
    """Return an instant so many seconds after another one."""
    return start + timedelta(seconds=second)
