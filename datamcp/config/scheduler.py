"""Section `scheduler`: queues, retries, and where schedules are kept."""

from typing import Literal

from pydantic import Field

from datamcp.config.section import Count, Delay, Retries, Seconds, Section


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
    retry_delay: Delay = Field(default=60, description="Seconds before the first retry of a task.")
    max_retries: Retries = Field(
        default=3, description="Retries after a task's first attempt, where nothing nearer says so."
    )
    enable_persistence: bool = Field(
        default=True, description="Whether schedules outlive the process that made them."
    )
    persistence_backend: Literal["redis", "database", "file"] = Field(
        default="redis",
        description="Where schedules are kept. Unset: `database` where there is a "
        "`storage.database_url`.",
    )
