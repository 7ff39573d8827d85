"""Section `scheduler`: queues, retries, and where schedules are kept."""

from typing import Annotated, Literal

from pydantic import Field

from datamcp.config.section import TEN_YEARS, Count, Delay, Retries, Seconds, Section


class SchedulerConfig(Section):
    """Task queuing, scheduling and execution."""

    max_workers: Count = Field(
        default=20, description="Threads for the database work of one process."
    )
    max_queue_size: Count = Field(
        default=1000,
        description="Tasks that may wait in a queue before clients are refused. "
        "Schedules, pipeline steps and retries are never refused.",
    )
    task_timeout: Seconds = Field(
        default=3600,
        description="Seconds that an attempt of a task may take which is no agent's.",
    )
    lease: Annotated[int, Field(ge=4, le=TEN_YEARS)] = Field(
        default=15,
        description="Seconds after which a worker that is not heard of has lost what it runs, "
        "and others run that again. A worker renews its claims four times in this time.",
    )
    short_task: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.012,
        description="Seconds that a task may take which shares a slot with others of its type: "
        "these are claimed and ended together. 0: each has a slot to itself.",
    )
    retry_delay: Delay = Field(default=60, description="Seconds before the first retry of a task.")
    max_retries: Retries = Field(
        default=3, description="Retries after a task's first attempt, where nothing nearer says so."
    )
    task_retention: Seconds = Field(
        default=604_800,
        description="Seconds that a task is kept after its end (7 days), and a pipeline run with "
        "its steps; an idempotency key holds as long. Dead letters stay until they are requeued "
        "or discarded.",
    )
    enable_persistence: bool = Field(
        default=True, description="Whether schedules outlive the process that made them."
    )
    persistence_backend: Literal["redis", "database", "file"] = Field(
        default="redis",
        description="Where schedules are kept. Unset: `database` where there is a "
        "`storage.database_url`.",
    )
