"""Looks at an installation: at the ledger, the broker, and the stack of this folder if one runs.

A service that does not answer costs some seconds, and what only it knows; the rest is shown.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from datamcp.bootstrap.runtime import Runtime
from datamcp.bootstrap.schedules import FILE as SCHEDULES_FILE
from datamcp.clock import Clock, SystemClock
from datamcp.config.redaction import redact_url
from datamcp.errors import BackendUnavailable, DatamcpError, SchemaVersionError
from datamcp.infra import migrate
from datamcp.presence.process import Seen
from datamcp.stack import ports
from datamcp.stack.errand import Errand
from datamcp.stack.merge import merged
from datamcp.stack.process import Kind
from datamcp.stack.record import StackRecord, read_running
from datamcp.stack.report import (
    InstallationStatus,
    ProcessStatus,
    QueueStatus,
    SchedulesStatus,
    ServiceStatus,
    StackPart,
    Totals,
)
from datamcp.stack.warnings import warnings
from datamcp.tasks.figures import Figures, QueueFigures, TaskFigures

_TIMEOUT = 10.0  # seconds for one service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What the ledger told."""

    figures: Figures
    processes: tuple[Seen, ...]
    schedules: SchedulesStatus | None


class StatusLook:
    """Looks, once or again and again."""

    def __init__(self, runtime: Runtime, *, version: str, clock: Clock | None = None) -> None:
        """Take the runtime, whose services need not answer, and this program's version."""
        self._runtime = runtime
        self._version = version
        self._clock = clock or SystemClock()
        self._figures = TaskFigures(runtime.database)
        self._has_ledger = False

    def look(self) -> InstallationStatus:
        """Look at everything, side by side."""
        record = read_running(self._runtime.config.system.state_dir)
        asked = Errand(self._ask_ledger), Errand(self._ask_broker), Errand(lambda: _flower(record))
        told, ledger_error = self._await(asked[0], "database")
        depths, broker_error = self._await(asked[1], "broker")
        flower, _ = self._await(asked[2], "Flower")
        at = told.figures.now if told is not None else self._clock.now()
        silent = {Kind.BROKER} if broker_error else set()
        if flower is not None and not flower.answers:
            silent.add(Kind.FLOWER)
        processes = merged(record, told.processes if told else (), at, silent)
        queues = self._queues(told, depths, processes)
        status = InstallationStatus(
            at=at,
            stack=None if record is None else _stack(record),
            broker=_service(self._broker_url(), broker_error),
            ledger=_service(self._runtime.database.shown, ledger_error),
            flower=flower,
            queues=queues,
            processes=processes,
            schedules=None if told is None else told.schedules,
            totals=totals(queues, processes, None if told is None else told.figures.overdue),
        )
        running = {} if told is None else told.figures.running
        found = tuple(warnings(status, running=running, version=self._version))
        return status.model_copy(update={"warnings": found})

    def _await(self, errand: Errand[T], service: str) -> tuple[T | None, str | None]:
        """Return what an errand brought, or why it brought nothing."""
        if not errand.wait(_TIMEOUT):
            return None, str(BackendUnavailable(service, f"no answer within {_TIMEOUT:g} s"))
        try:
            return errand.result(), None
        except DatamcpError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001  whatever a service says, the rest is shown
            return None, f"{service}: {type(error).__name__}: {error}"

    def _ask_ledger(self) -> Told:
        self._require_ledger()
        figures, processes = self._figures.look(), tuple(self._runtime.presence.all())
        return Told(figures, processes, self._ask_schedules())

    def _ask_schedules(self) -> SchedulesStatus | None:
        """Return how the schedules are; None where they are not kept, or their store is away."""
        config = self._runtime.config
        is_in_file = config.scheduler.persistence_backend == "file"
        if not config.scheduler.enable_persistence or (
            is_in_file and not (config.system.state_dir / SCHEDULES_FILE).exists()
        ):
            return None
        try:
            outlook = self._runtime.schedules.store.outlook()
        except BackendUnavailable:
            return None
        due_in = outlook.due_in
        return SchedulesStatus(
            count=outlook.count,
            paused=outlook.paused,
            due_in=due_in,
            overdue=max(0.0, -(due_in or 0.0)),
            lateness=outlook.lateness,
        )

    def _require_ledger(self) -> None:
        """Make sure that there is a ledger to be read; makes none."""
        if self._has_ledger:
            return
        database = self._runtime.database
        if database.file is not None and not database.file.exists():
            raise SchemaVersionError(f"database {database.shown} will be made at its first use")
        migrate.require(database, may_create=False)
        self._has_ledger = True

    def _ask_broker(self) -> dict[str, int]:
        self._runtime.app.require_broker()
        return {queue: self._runtime.depths.ready(queue) for queue in self._served()}

    def _served(self) -> list[str]:
        """Return all queues of the configuration."""
        extra = [name for agent in self._runtime.config.agents.values() for name in agent.queues]
        return list(dict.fromkeys([*self._runtime.types.queues(), *extra]))

    def _broker_url(self) -> str | None:
        url = self._runtime.config.broker.url
        return None if url is None else redact_url(str(url))

    def _queues(
        self,
        told: Told | None,
        depths: dict[str, int] | None,
        processes: Sequence[ProcessStatus],
    ) -> tuple[QueueStatus, ...]:
        figures = told.figures if told is not None else None
        names = dict.fromkeys([*self._served(), *(figures.queues if figures else ())])
        return tuple(
            _queue(name, figures, (depths or {}).get(name), processes, is_known=told is not None)
            for name in names
        )


def _queue(
    name: str,
    figures: Figures | None,
    ready: int | None,
    processes: Sequence[ProcessStatus],
    *,
    is_known: bool,
) -> QueueStatus:
    if figures is None or not is_known:
        return QueueStatus(queue=name, ready=ready)
    found = figures.queues.get(name, QueueFigures())
    oldest = found.oldest_queued_at
    serving = [one for one in processes if one.is_live and name in one.queues]
    return QueueStatus(
        queue=name,
        ready=ready,
        queued=found.queued,
        waiting=None if oldest is None else max(0.0, (figures.now - oldest).total_seconds()),
        running=found.running,
        failed=found.failed,
        workers=len(serving),
        slots=sum(one.concurrency or 0 for one in serving),
    )


def totals(
    queues: Sequence[QueueStatus], processes: Sequence[ProcessStatus], overdue: int | None
) -> Totals:
    """Return the sums; a sum of which a part is not known is not known."""
    workers = [one for one in processes if one.kind == "worker" and one.is_live]
    return Totals(
        ready=None if all(one.ready is None for one in queues) else _known(queues),
        queued=_sum(one.queued for one in queues),
        running=_sum(one.running for one in queues),
        failed=_sum(one.failed for one in queues),
        overdue=overdue,
        workers=len(workers),
        slots=sum(one.concurrency or 0 for one in workers),
        busy=sum(one.busy or 0 for one in workers),
        beats=sum(one.kind == "beat" and one.is_live for one in processes),
    )


def _known(queues: Sequence[QueueStatus]) -> int:
    """Return how many messages are ready, as far as the broker was asked."""
    return sum(one.ready or 0 for one in queues)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _service(url: str | None, error: str | None) -> ServiceStatus:
    return ServiceStatus(url=url, answers=error is None, error=error)


def _stack(record: StackRecord) -> StackPart:
    return StackPart(
        pid=record.pid,
        host=record.host,
        started_at=record.started_at,
        ready_at=record.ready_at,
        logs=str(record.logs),
        disk_free=_disk_free(record.logs),
    )


def _disk_free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _flower(record: StackRecord | None) -> ServiceStatus | None:
    """Return whether the stack's Flower answers; None if it has none."""
    if record is None or record.flower_url is None:
        return None
    parts = urlsplit(record.flower_url)
    answers = ports.answers(parts.hostname or "", parts.port or 0)
    return ServiceStatus(url=record.flower_url, answers=answers)
