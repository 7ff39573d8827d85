"""What of a report a person should know, in words. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from datamcp.presence.process import SILENT_AFTER
from datamcp.stack.report import (
    InstallationStatus,
    ProcessState,
    ProcessStatus,
    QueueStatus,
    ServiceStatus,
)
from datamcp.tasks.figures import Running

NOTHING_RUNS = "nothing runs from this folder; `datamcp up` starts everything"

_SWEPT = timedelta(seconds=30)  # since a beat's last sweep, which comes every 2 s
_COMING = {ProcessState.STARTING, ProcessState.DEAD}
_OVERDUE = 15.0  # seconds that a schedule may be due while beats run
_STUCK = 60.0  # seconds that a task may wait while slots are free
_MEGABYTE = 1024 * 1024
_LITTLE = 200 * _MEGABYTE  # of room on the disk
_OFTEN = 3  # starts anew of a process that is young
_YOUNG = timedelta(minutes=5)


def warnings(
    status: InstallationStatus, *, running: Mapping[str, Running], version: str
) -> Iterator[str]:
    """Yield what needs somebody, the worst first.

    `running` is what runs, by agent; `version` is this program's.
    """
    if not status.is_anything:
        yield NOTHING_RUNS
        return
    for service in (status.broker, status.ledger):
        if not service.answers:
            yield _unanswered(service)
    if status.ledger.answers:
        yield from _about_beats(status)
        yield from _about_schedules(status)
        yield from _about_workers(status)
        yield from _about_orphans(status, running)
    for process in status.processes:
        yield from _about_process(process, status.at, version)
    if status.flower is not None and not status.flower.answers:
        yield f"Flower does not answer at {status.flower.url}"
    free = None if status.stack is None else status.stack.disk_free
    if free is not None and free < _LITTLE:
        yield f"the disk of the state folder has only {free // _MEGABYTE} MB left"


def _unanswered(service: ServiceStatus) -> str:
    return service.error or f"{service.url} does not answer"


def _about_beats(status: InstallationStatus) -> Iterator[str]:
    beats = [one for one in status.processes if one.kind == "beat"]
    overdue = status.totals.overdue or 0
    count = f": {_tasks(overdue)} overdue" if overdue else ""
    if not any(one.is_live for one in beats):
        if not any(one.state is ProcessState.STARTING for one in beats):
            yield f"no beat runs: nothing that is due or was lost is sent{count}"
    elif overdue:
        yield f"beat runs, and yet {_tasks(overdue)} overdue"
    for beat in beats:
        since = beat.swept_at or beat.started_at
        if beat.is_live and since is not None and status.at - since > _SWEPT:
            yield f"{beat.name} has not swept for {length(status.at - since)}: see its log"


def _about_schedules(status: InstallationStatus) -> Iterator[str]:
    late = 0.0 if status.schedules is None else status.schedules.overdue
    if late > _OVERDUE and status.totals.beats:
        since = length(timedelta(seconds=late))
        yield f"beat runs, and yet a schedule has been due for {since}: see its log"


def _about_workers(status: InstallationStatus) -> Iterator[str]:
    workers = [one for one in status.processes if one.kind == "worker"]
    coming = {queue for one in workers for queue in one.queues if one.state in _COMING}
    for queue in status.queues:
        waiting = max(queue.queued or 0, queue.ready or 0)
        if queue.workers:
            yield from _about_stuck(queue, workers)
        elif waiting:
            is_coming = " yet" if queue.queue in coming else ""
            yield f"no worker serves queue {queue.queue}{is_coming}: {_tasks(waiting, 'wait')}"
        elif queue.queue not in coming:
            yield f"no worker serves queue {queue.queue}"


def _about_stuck(queue: QueueStatus, workers: list[ProcessStatus]) -> Iterator[str]:
    serving = [one for one in workers if one.is_live and queue.queue in one.queues]
    free = sum((one.concurrency or 0) - (one.busy or 0) for one in serving)
    if free > 0 and queue.waiting is not None and queue.waiting > _STUCK:
        since = length(timedelta(seconds=queue.waiting))
        slots = "1 slot is" if free == 1 else f"{free} slots are"
        yield f"queue {queue.queue}: a task has waited for {since} while {slots} free"


def _about_orphans(status: InstallationStatus, running: Mapping[str, Running]) -> Iterator[str]:
    live = {one.name for one in status.processes if one.is_live}
    for agent, tasks in running.items():
        if agent not in live and status.at - tasks.since > SILENT_AFTER:
            yield f"{_tasks(tasks.count, 'run')} under {agent}, which is not there"


def _about_process(process: ProcessStatus, at: datetime, version: str) -> Iterator[str]:
    if process.state is ProcessState.SILENT and process.seen_at is not None:
        yield f"{process.name} was not seen for {length(at - process.seen_at)}"
    if process.state is ProcessState.DEAD and process.starts_at is not None:
        pause = max(timedelta(0), process.starts_at - at)
        yield f"{process.name} has died; it is started again in {length(pause)}"
    is_young = process.started_at is not None and at - process.started_at < _YOUNG
    if is_young and (process.restarts or 0) >= _OFTEN:
        yield f"{process.name} was started again {process.restarts} times: see its log"
    if process.version not in {None, version}:
        yield f"{process.name} runs datamcp {process.version}; this is {version}"


def _tasks(count: int, verb: str = "") -> str:
    """Return `1 task waits`, `2 tasks wait`; without a verb, `1 task is`, `2 tasks are`."""
    if count == 1:
        return f"1 task {f'{verb}s' if verb else 'is'}"
    return f"{count:,} tasks {verb or 'are'}"


def length(time: timedelta) -> str:
    """Return a length of time as briefly as it says enough: `4 s`, `3 min`, `2 h 05 min`, `3 d`."""
    total = max(0, round(time.total_seconds()))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min"
    if total < 86_400:
        return f"{total // 3600} h {total % 3600 // 60:02} min"
    return f"{total // 86_400} d {total % 86_400 // 3600} h"
