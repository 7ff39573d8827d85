"""What a process says of itself. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

REFRESH = 5.0  # seconds between two signs of life
SILENT_AFTER = timedelta(seconds=20)  # without one: it is gone, hangs, or the database was away
PRUNED_AFTER = timedelta(minutes=5)  # without one: its row is removed


class ProcessKind(StrEnum):
    """What a process is there for."""

    WORKER = "worker"
    BEAT = "beat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a process is, from its start to its end.

    `process_id` is its node name, under which a worker claims tasks; `pool` the agent type that a
    worker serves, `pipelines`, or `all`; `implementation` what runs its tasks, such as `prefork`.
    """

    process_id: str
    kind: ProcessKind
    host: str
    pid: int
    version: str
    pool: str | None = None
    queues: tuple[str, ...] = ()
    implementation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a process is now. `since_sweep` are the seconds since a beat's last whole sweep."""

    concurrency: int | None = None
    busy: int | None = None  # slots that run a task
    draining: bool = False  # it ends what it runs, and takes nothing new
    since_sweep: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A process as the ledger knows it; the instants are the database's."""

    identity: Identity
    concurrency: int | None
    busy: int | None
    draining: bool
    started_at: datetime
    seen_at: datetime
    swept_at: datetime | None

    def is_silent(self, now: datetime) -> bool:
        """Tell whether it has missed several of its signs of life."""
        return now - self.seen_at > SILENT_AFTER
