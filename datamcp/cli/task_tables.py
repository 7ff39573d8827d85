"""Tasks as tables: one in full, many as a list, and the history of one."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic_core import to_json
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import (
    duration,
    fields_table,
    instant,
    list_table,
    short_instant,
    state_text,
)
from datamcp.tasks.task import DeadLetter, TaskEvent, TaskResult, TaskStatus

_WIDE = 110  # characters from which on a list of tasks has room for their errors


def task_fields(status: TaskStatus) -> Table:
    """Return a task's status as names and values."""
    return fields_table(
        [
            ("task", status.task_id),
            ("type", status.task_type),
            ("state", state_text(status.state)),
            ("attempt", f"{status.attempt} of {status.max_attempts}" if status.attempt else None),
            ("queue", f"{status.queue}, priority {status.priority}"),
            ("waiting for", _waiting_for(status)),
            ("agent", status.agent_id),
            ("progress", None if status.progress is None else f"{status.progress:.0%}"),
            ("created", instant(status.created_at)),
            ("scheduled", instant(status.scheduled_at)),
            ("started", instant(status.started_at)),
            ("finished", instant(status.finished_at)),
            ("took", duration(status.started_at, status.finished_at)),
            ("error", status.error),
            ("retry of", status.retry_of),
            ("followed by", status.followed_by),
        ]
    )


def _waiting_for(status: TaskStatus) -> str | None:
    return None if status.blocked_on is None else f"the limit of {status.blocked_on}"


def result_fields(result: TaskResult) -> Table:
    """Return a task's result as names and values; why it failed is told beside it."""
    took = None if result.execution_time is None else f"{result.execution_time:.3f} s"
    data = to_json(result.data).decode() if result.success else None
    return fields_table(
        [
            ("task", result.task_id),
            ("state", state_text(result.state)),
            ("took", took),
            ("agent", result.agent_id),
            ("result", data),
        ]
    )


def tasks_table(tasks: Sequence[TaskStatus], *, width: int, now: datetime) -> Table:
    """Return tasks, one a row, with their errors where the line is long enough."""
    names = ["task", "type", "state", "created", "took"]
    if width >= _WIDE and any(task.error for task in tasks):
        names.append("error")
    table = list_table(names, whole=("task", "state", "created", "took"))
    for task in tasks:
        cells = (
            task.task_id,
            Text(task.task_type),
            state_text(task.state),
            short_instant(task.created_at, now),
            duration(task.started_at, task.finished_at),
            Text(task.error or ""),
        )
        table.add_row(*cells[: len(names)])
    return table


def history_table(events: Sequence[TaskEvent]) -> Table:
    """Return a task's history, one event a row."""
    names = ("at", "state", "attempt", "agent", "message")
    table = list_table(names, whole=("at", "state", "attempt"))
    for event in events:
        table.add_row(
            f"{event.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3],
            state_text(event.state),
            str(event.attempt or ""),
            Text(event.agent_id or ""),
            Text(": ".join(part for part in (event.error_code, event.message) if part)),
        )
    return table


def dead_table(letters: Sequence[DeadLetter], *, width: int, now: datetime) -> Table:
    """Return dead letters, one a row, with their errors where the line is long enough."""
    names = ["task", "type", "died", "attempts", "error"]
    if width >= _WIDE:
        names.append("message")
    table = list_table(names, whole=("task", "died", "attempts"))
    for letter in letters:
        cells = (
            letter.task_id,
            Text(letter.task_type),
            short_instant(letter.dead_at, now),
            str(letter.attempt),
            Text(letter.error_code or ""),
            Text(letter.error_message or ""),
        )
        table.add_row(*cells[: len(names)])
    return table


def letter_fields(letter: DeadLetter) -> Table:
    """Return a dead letter as names and values."""
    return fields_table(
        [
            ("task", letter.task_id),
            ("type", letter.task_type),
            ("state", state_text(letter.state)),
            ("attempt", f"{letter.attempt} of {letter.max_attempts}"),
            ("queue", f"{letter.queue}, priority {letter.priority}"),
            ("agent", letter.agent_id),
            ("key", letter.idempotency_key),
            ("created", instant(letter.created_at)),
            ("died", instant(letter.dead_at)),
            ("error", letter.error_code),
            ("message", letter.error_message),
            ("parameters", to_json(letter.parameters).decode()),
            ("details", to_json(letter.details).decode() if letter.details else None),
            ("retry of", letter.retry_of),
            ("followed by", letter.followed_by),
        ]
    )


def requeued_table(requeued: Mapping[str, str]) -> Table:
    """Return which tasks follow which dead letters."""
    table = list_table(("task", "followed by"), whole=("task", "followed by"))
    for task_id, follower in requeued.items():
        table.add_row(task_id, follower)
    return table
