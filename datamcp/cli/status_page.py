"""The status of an installation as a page for people."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import fields_table
from datamcp.stack.report import (
    InstallationStatus,
    ProcessState,
    ProcessStatus,
    QueueStatus,
    SchedulesStatus,
    ServiceStatus,
)
from datamcp.stack.warnings import length

_COLOURS = {
    ProcessState.STARTING: "cyan",
    ProcessState.READY: "green",
    ProcessState.DRAINING: "yellow",
    ProcessState.SILENT: "red",
    ProcessState.DEAD: "red",
}
_LATE = 2.0  # seconds
_UNKNOWN = "?"
_WORDS = {"state", "work"}  # columns that hold no numbers


def status_page(status: InstallationStatus) -> RenderableType:
    """Return the page."""
    parts: list[RenderableType] = [_head(status), Text(), _queues(status), Text()]
    if status.processes:
        parts += [_processes(status), Text()]
    parts += [Text(f"! {warning}", style="yellow") for warning in status.warnings]
    if not status.warnings:
        parts.append(Text("all is well", style="green"))
    return Group(*parts)


def _head(status: InstallationStatus) -> Table:
    stack = status.stack
    started = "none runs from this folder"
    if stack is not None:
        state = "" if stack.ready_at else ", not ready yet"
        started = f"pid {stack.pid}, up {length(status.at - stack.started_at)}{state}"
    services = [("broker", status.broker), ("ledger", status.ledger), ("flower", status.flower)]
    return fields_table(
        [
            ("stack", started),
            *((name, _service(name, one)) for name, one in services if one is not None),
            ("schedules", _schedules(status.schedules)),
            ("logs", None if stack is None else stack.logs),
        ]
    )


def _queues(status: InstallationStatus) -> Table:
    columns = ("ready", "queued", "oldest", "running", "failed", "workers", "slots")
    table = _table("queue", columns)
    for queue in status.queues:
        table.add_row(queue.queue, *_cells(queue))
    sums = status.totals
    table.add_section()
    table.add_row(
        "all",
        _count(sums.ready),
        _count(sums.queued),
        "",
        _count(sums.running),
        _failed(sums.failed),
        str(sums.workers),
        str(sums.slots),
        style="bold",
    )
    return table


def _cells(queue: QueueStatus) -> Iterator[str | Text]:
    yield _count(queue.ready)
    yield _count(queue.queued)
    yield "" if queue.waiting is None else length(timedelta(seconds=queue.waiting))
    yield _count(queue.running)
    yield _failed(queue.failed)
    yield _count(queue.workers)
    yield _count(queue.slots)


def _processes(status: InstallationStatus) -> Table:
    table = _table("process", ("state", "work", "up", "seen", "restarts"))
    for process in status.processes:
        table.add_row(
            process.name,
            Text(process.state, style=_COLOURS[process.state]),
            _work(process, status.at),
            _since(process.started_at if process.pid else None, status.at),
            _ago(process.seen_at, status.at),
            "" if process.restarts is None else str(process.restarts),
        )
    return table


def _work(process: ProcessStatus, at: datetime) -> str:
    if process.kind == "beat":
        return f"swept {_ago(process.swept_at, at)}" if process.swept_at else ""
    if process.concurrency is None:
        return "" if process.pool else f"pid {process.pid}"
    return f"{process.busy or 0} of {process.concurrency} {process.implementation or ''}".rstrip()


def _table(first: str, others: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    return table


def _schedules(schedules: SchedulesStatus | None) -> str | None:
    """Return the schedules in a line; nothing where there are none."""
    if schedules is None or not schedules.count:
        return None
    parts = [
        f"{schedules.count:,}" + (f" ({schedules.paused:,} paused)" if schedules.paused else "")
    ]
    if schedules.overdue > _LATE:
        parts.append(f"overdue by {length(timedelta(seconds=schedules.overdue))}")
    elif schedules.due_in is not None:
        parts.append(f"next in {length(timedelta(seconds=max(0.0, schedules.due_in)))}")
    if schedules.lateness is not None:
        parts.append(f"the last fired {schedules.lateness:.2f} s late")
    return ", ".join(parts)


def _service(name: str, service: ServiceStatus) -> Text:
    if service.url is None:
        return Text(f"no {name} is configured", style="red")
    shown = service.url
    if service.answers:
        return Text(shown)
    return Text.assemble(shown, ("  does not answer", "red"))


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else f"{number:,}"


def _failed(number: int | None) -> Text:
    return Text(_count(number), style="red" if number else "")


def _since(start: datetime | None, at: datetime) -> str:
    return "" if start is None else length(at - start)


def _ago(instant: datetime | None, at: datetime) -> str:
    return "" if instant is None else f"{length(at - instant)} ago"
