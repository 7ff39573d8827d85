"""What callers hand in and get back: the task, its status, its result, its history."""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from datamcp.tasks.queues import DEFAULT, HIGHEST, LOWEST
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import State

MAX_ID_LENGTH = 255


class Task(BaseModel):
    """A unit of work: which capability to run, with which parameters.

    Only `task_type` is required, such as `research.report`. `parameters` maps the capability's
    parameters to JSON values. `priority` runs from 0 to 9, 9 first. `timeout` is in seconds. A
    task with `scheduled_at` does not start before that instant. Two tasks of one type with the
    same `idempotency_key` are one task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_LENGTH)
    task_type: str = Field(max_length=200, pattern=r"^[^\s\x00-\x1f\x7f]+( [^\s\x00-\x1f\x7f]+)*$")
    priority: int = Field(default=DEFAULT, ge=LOWEST, le=HIGHEST, strict=True)
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    retry_count: int | None = Field(default=None, ge=0)
    retry_policy: RetryPolicy | None = None
    created_at: AwareDatetime | None = None
    scheduled_at: AwareDatetime | None = None
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=MAX_ID_LENGTH)
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)


class TaskStatus(BaseModel):
    """How far a task is.

    `attempt` counts from 1 once it has started; `progress` runs from 0 to 1 where the capability
    reports it. Instants are aware, in UTC.
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
    error: str | None = None


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


class TaskEvent(BaseModel):
    """One line of a task's history."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    state: State
    attempt: int
    agent_id: str | None = None
    message: str | None = None
