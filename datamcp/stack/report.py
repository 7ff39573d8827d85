"""What `datamcp status` finds out about an installation, however it was started."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServiceStatus(Part):
    """A service that the installation needs. URLs are shown without passwords."""

    url: str | None
    answers: bool
    error: str | None = None


class StackPart(Part):
    """The stack that runs from this folder: what `datamcp up` or `datamcp demo` started here.

    `disk_free` is the room that its disk has left, in bytes.
    """

    pid: int
    host: str
    started_at: datetime
    ready_at: datetime | None
    logs: str
    disk_free: int | None = None


class ProcessState(StrEnum):
    """How a process is."""

    STARTING = "starting"
    """It was started, and is not ready."""
    READY = "ready"
    """It says regularly that it is there."""
    DRAINING = "draining"
    """A worker that ends what it runs, and takes nothing new."""
    SILENT = "silent"
    """It has not been seen for 20 seconds: it is gone, hangs, or the ledger was away from it."""
    DEAD = "dead"
    """It has died, and is started again at `starts_at`."""


class ProcessStatus(Part):
    """A worker or a beat; of this folder's stack also Flower and the broker.

    `state` is `ready`; `starting`, not ready yet; `draining`, of a worker that ends what it runs and
    takes nothing new; `silent`, not seen for 20 seconds; or `dead`, started again at `starts_at`.
    `pool` is the agent type that a worker serves, `pipelines`, or `all`; of its `concurrency` slots
    `busy` run a task. `swept_at` is a beat's last sweep. `restarts` is known of a stack's own.
    """

    name: str
    kind: Literal["worker", "beat", "flower", "broker"]
    state: ProcessState
    host: str
    pid: int | None
    pool: str | None = None
    queues: tuple[str, ...] = ()
    implementation: str | None = None
    concurrency: int | None = None
    busy: int | None = None
    version: str | None = None
    started_at: datetime | None = None
    seen_at: datetime | None = None
    swept_at: datetime | None = None
    restarts: int | None = None
    starts_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Tell whether it does its work, as far as is known."""
        return self.state in {ProcessState.READY, ProcessState.DRAINING}


class QueueStatus(Part):
    """A queue: messages `ready` in the broker, and rows in the ledger.

    `ready` is null if the broker does not answer, the others if the ledger does not. `waiting` are
    the seconds since the oldest queued row was queued. `failed` counts the last hour, those that
    timed out too. `slots` are those of the live `workers` that serve the queue.
    """

    queue: str
    ready: int | None = None
    queued: int | None = None
    waiting: float | None = None
    running: int | None = None
    failed: int | None = None
    workers: int | None = None
    slots: int | None = None


class Totals(Part):
    """Sums over all queues and live workers. `overdue` tasks are due, and nobody queues them."""

    ready: int | None = None
    queued: int | None = None
    running: int | None = None
    failed: int | None = None
    overdue: int | None = None
    workers: int = 0
    slots: int = 0
    busy: int = 0
    beats: int = 0


class SchedulesStatus(Part):
    """The schedules: how many there are, and are paused; seconds until the next one is due.

    `due_in` is null if none is due ever. `overdue` are the seconds by which one is late that nobody
    has fired yet; `lateness` those by which the last firing was late.
    """

    count: int
    paused: int
    due_in: float | None = None
    overdue: float = 0.0
    lateness: float | None = None


class InstallationStatus(Part):
    """All that is known of an installation at one instant; `warnings` say what needs somebody."""

    at: datetime
    stack: StackPart | None
    broker: ServiceStatus
    ledger: ServiceStatus
    flower: ServiceStatus | None
    queues: tuple[QueueStatus, ...]
    processes: tuple[ProcessStatus, ...]
    totals: Totals
    schedules: SchedulesStatus | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_anything(self) -> bool:
        """Tell whether there is anything to look at: a stack, a process, or a broker."""
        return bool(self.stack or self.processes or self.broker.url)

    @property
    def is_whole(self) -> bool:
        """Tell whether everything could be asked."""
        return self.broker.answers and self.ledger.answers
