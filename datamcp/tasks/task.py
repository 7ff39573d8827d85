"""What callers hand in and get back: the task, its status, its result, its history."""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from datamcp.errors import TaskCancelledError, TaskExecutionError, TaskTimedOutError
from datamcp.tasks.queues import DEFAULT, HIGHEST, LOWEST
from datamcp.tasks.retry import MOST_ATTEMPTS, RetryPolicy
from datamcp.tasks.states import State

MAX_ID_LENGTH = 255


class Task(BaseModel):
    """A unit of work: which capability to run, with which parameters.

    Only `task_type` is required, such as `research.report`. `parameters` maps the capability's
    parameters to JSON values. `priority` runs from 0 to 9, 9 first. `timeout` is in seconds. A
    task with `scheduled_at` does not start before that instant. `retry_count` is how many retries
    follow the first attempt, `retry_policy` everything about them; unset, they are the
    capability's, or else those of the configuration. Two tasks of one type with the
    same `idempotency_key` are one task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_LENGTH)
    task_type: str = Field(max_length=200, pattern=r"^[^\s\x00-\x1f\x7f]+( [^\s\x00-\x1f\x7f]+)*$")
    priority: int = Field(default=DEFAULT, ge=LOWEST, le=HIGHEST, strict=True)
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    retry_count: int | None = Field(default=None, ge=0, lt=MOST_ATTEMPTS)
    retry_policy: RetryPolicy | None = None
    created_at: AwareDatetime | None = None
    scheduled_at: AwareDatetime | None = None
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=MAX_ID_LENGTH)
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)


class TaskStatus(BaseModel):
    """How far a task is.

    `attempt` counts from 1 once it has started; `progress` runs from 0 to 1 where the capability
    reports it. `blocked_on` is the limit that a queued task waits for, such as `bench.fetch`.
    `retry_of` names the dead letter that a task repeats, `followed_by` the task that repeats this
    one. Instants are aware, in UTC.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str
    task_type: str
    state: State
    attempt: int
    max_attempts: int
    queue: str
    priority: int
    agent_id: str | None = None
    progress: float | None = None
    created_at: datetime
    scheduled_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    blocked_on: str | None = None
    error: str | None = None
    retry_of: str | None = None
    followed_by: str | None = None


class TaskResult(BaseModel):
    """How a task ended. `data` is what the capability returned, as JSON values."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    state: State
    success: bool
    data: Any = None
    error_code: str | None = None
    error_message: str | None = None
    execution_time: float | None = None
    attempt: int
    agent_id: str | None = None


def data_of(result: TaskResult) -> Any:
    """Return what a task returned; raise TaskExecutionError if it ended without success.

    It is TaskTimedOutError or TaskCancelledError where that is how it ended.
    """
    if result.success:
        return result.data
    code, message = result.error_code or result.state, result.error_message or ""
    kind = _ENDS.get(result.state, TaskExecutionError)
    raise kind(result.task_id, code, message)


_ENDS = {
    State.TIMED_OUT: TaskTimedOutError,
    State.CANCELLED: TaskCancelledError,
    State.SKIPPED: TaskCancelledError,
}


class TaskLogLine(BaseModel):
    """What a task has logged at an instant, in one of its attempts."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    attempt: int
    level: str
    message: str


class TaskEvent(BaseModel):
    """One line of a task's history: the state that it came to, and with which attempt.

    The end of an attempt that another one followed is the state that the task had then: `retrying`
    after a failure, `scheduled` after a snooze, `queued` if its worker was lost.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    state: State
    attempt: int
    agent_id: str | None = None
    message: str | None = None
    error_code: str | None = None


class DeadLetter(BaseModel):
    """A task that failed or timed out for good, until somebody requeues or discards it.

    `parameters` are JSON values; `details` is what its attempts noted last. `dead_at` is None once
    it is no dead letter any more; `followed_by` then names the task that repeats it, if one does.
    `history` stays empty in lists.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str
    task_type: str
    state: State
    error_code: str | None = None
    error_message: str | None = None
    attempt: int
    max_attempts: int
    queue: str
    priority: int
    agent_id: str | None = None
    created_at: datetime
    dead_at: datetime | None = None
    idempotency_key: str | None = None
    retry_of: str | None = None
    followed_by: str | None = None
    parameters: Any = None
    details: dict[str, Any] = Field(default_factory=dict)
    history: tuple[TaskEvent, ...] = ()
