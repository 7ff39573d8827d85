"""What happened to a task, from its row and from the attempts that another one followed. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from datamcp.tasks.states import FINAL, State
from datamcp.tasks.task import TaskEvent

_AT_ONCE = timedelta(milliseconds=1)  # one statement may read the database's clock twice

_LED_TO = {"retried": State.RETRYING, "snoozed": State.SCHEDULED, "lost": State.QUEUED}
"""The state that a task came to, by the outcome of an attempt that another one followed."""


def history_of(row: Any, made: Sequence[Any] = ()) -> Sequence[TaskEvent]:
    """Return a task's history, the oldest first.

    `row` is that of the task, `made` are its attempts that another one followed, in order.
    """
    first = made[0] if made else row
    created = TaskEvent(at=row.created_at, state=_first_state(row, first), attempt=0)
    events = [created.model_copy(update={"message": "enqueued"})]
    for attempt in made:
        events += _queued(attempt, events[-1])
        events += _made(attempt)
    events += _queued(row, events[-1])
    if row.started_at is not None and not _is_over(row, made):
        events.append(_started(row))
    if State(row.state) in FINAL and row.finished_at is not None:
        events.append(_ended(row))
    return events


def _queued(attempt: Any, before: TaskEvent) -> Iterator[TaskEvent]:
    """Yield when an attempt was queued, unless that is what the event before says."""
    at: datetime | None = attempt.queued_at
    if at is not None and at - before.at >= _AT_ONCE:
        yield TaskEvent(at=at, state=State.QUEUED, attempt=0)


def _made(attempt: Any) -> Iterator[TaskEvent]:
    yield _started(attempt)
    yield TaskEvent(
        at=attempt.ended_at,
        state=_LED_TO[attempt.outcome],
        attempt=attempt.attempt,
        agent_id=attempt.agent_id,
        message=attempt.error_message,
        error_code=attempt.error_code,
    )


def _started(attempt: Any) -> TaskEvent:
    return TaskEvent(
        at=attempt.started_at,
        state=State.RUNNING,
        attempt=attempt.attempt,
        agent_id=attempt.agent_id,
    )


def _ended(row: Any) -> TaskEvent:
    return TaskEvent(
        at=row.finished_at,
        state=row.state,
        attempt=row.attempt,
        agent_id=row.agent_id,
        message=row.error_message,
        error_code=row.error_code,
    )


def _is_over(row: Any, made: Sequence[Any]) -> bool:
    """Tell whether the attempt that the row has last is one of those that another one follows."""
    return bool(made) and row.started_at <= made[-1].started_at


def _first_state(row: Any, first: Any) -> State:
    """Return the state of a task when it was enqueued."""
    if first.queued_at is not None and first.queued_at - row.created_at < _AT_ONCE:
        return State.QUEUED
    waits = first.scheduled_at is not None or first.queued_at is not None or row.run_id is not None
    return State.SCHEDULED if waits else State.QUEUED
