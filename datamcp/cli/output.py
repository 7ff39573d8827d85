"""What commands write: JSON for programs, tables for people. stdout holds results only."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import click
from pydantic import BaseModel
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamcp.tasks.task import TaskEvent, TaskResult, TaskStatus

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

COLOURS = {
    "scheduled": "dim",
    "queued": "cyan",
    "running": "yellow",
    "retrying": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "timed_out": "red",
    "skipped": "dim",
    "upstream_failed": "red",
}


def console() -> Console:
    """Return the console of results."""
    return Console(highlight=False)


def messages() -> Console:
    """Return the console of messages: stderr."""
    return Console(stderr=True, highlight=False)


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Write a model as one JSON object, or several as one array."""
    click.echo(to_json(value, indent=2).decode())


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def instant(value: datetime | None) -> str:
    """Return an instant in local time, to the second."""
    return "" if value is None else f"{value.astimezone():%Y-%m-%d %H:%M:%S}"


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two instants, such as `1.24 s` or `3 min 05 s`."""
    return "" if start is None or end is None else seconds(end - start)


def seconds(length: timedelta) -> str:
    """Return a length of time for people."""
    total = max(0.0, length.total_seconds())
    if total < 60:
        return f"{total:.2f} s"
    minutes, rest = divmod(round(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def fields_table(fields: Sequence[tuple[str, object]]) -> Table:
    """Return names and values, one pair a line, without those that are empty."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value is not None and str(value):
            table.add_row(name, value if isinstance(value, Text) else str(value))
    return table


def task_fields(status: TaskStatus) -> Table:
    """Return a task's status as names and values."""
    return fields_table(
        [
            ("task", status.task_id),
            ("type", status.task_type),
            ("state", state_text(status.state)),
            ("attempt", f"{status.attempt} of {status.max_attempts}" if status.attempt else None),
            ("queue", f"{status.queue}, priority {status.priority}"),
            ("agent", status.agent_id),
            ("progress", None if status.progress is None else f"{status.progress:.0%}"),
            ("created", instant(status.created_at)),
            ("scheduled", instant(status.scheduled_at)),
            ("started", instant(status.started_at)),
            ("finished", instant(status.finished_at)),
            ("took", duration(status.started_at, status.finished_at)),
            ("error", status.error),
        ]
    )


def result_fields(result: TaskResult) -> Table:
    """Return a task's result as names and values."""
    took = None if result.execution_time is None else f"{result.execution_time:.3f} s"
    data = to_json(result.data).decode() if result.success else None
    return fields_table(
        [
            ("task", result.task_id),
            ("state", state_text(result.state)),
            ("took", took),
            ("agent", result.agent_id),
            ("result", data),
            ("error", result.error_message),
        ]
    )


def tasks_table(tasks: Sequence[TaskStatus]) -> Table:
    """Return tasks, one a row."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("task", "type", "state", "created", "took", "error"):
        table.add_column(name, overflow="ellipsis", no_wrap=name != "error")
    for task in tasks:
        table.add_row(
            task.task_id,
            task.task_type,
            state_text(task.state),
            instant(task.created_at),
            duration(task.started_at, task.finished_at),
            task.error or "",
        )
    return table


def history_table(events: Sequence[TaskEvent]) -> Table:
    """Return a task's history, one event a row."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("at", "state", "attempt", "agent", "message"):
        table.add_column(name)
    for event in events:
        table.add_row(
            f"{event.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3],
            state_text(event.state),
            str(event.attempt or ""),
            event.agent_id or "",
            event.message or "",
        )
    return table
