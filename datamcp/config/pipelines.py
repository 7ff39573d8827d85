"""Section `pipelines`: how many runs and steps at once, and for how long."""

from typing import Literal

from pydantic import Field

from datamcp.config.section import Count, Retries, Seconds, Section


class OrchestratorConfig(Section):
    """The pipeline orchestrator and the `pipelines` worker pool."""

    concurrency: Count | None = Field(
        default=None,
        description="Steps that one `pipelines` worker runs at the same time. "
        "Unset: one for each processor core.",
    )
    max_concurrent_pipelines: Count = Field(
        default=10, description="Pipeline runs that may be under way at the same time."
    )
    max_concurrent_tasks: Count = Field(
        default=50, description="Steps that may run at the same time, over all runs."
    )
    default_timeout: Seconds = Field(
        default=3600, description="Seconds that a run may take whose pipeline has no timeout."
    )
    heartbeat_interval: Seconds = Field(
        default=30,
        description="Seconds between two looks for runs that something has left in the lurch.",
    )
    cleanup_interval: Seconds = Field(
        default=300, description="Seconds between two removals of what old runs left behind."
    )
    max_retry_attempts: Retries = Field(
        default=3, description="Most retries that a step may ask for."
    )
    enable_metrics: bool = Field(
        default=True,
        description="Whether earlier runs of a pipeline are looked at to estimate when one ends.",
    )
    enable_logging: bool = Field(
        default=True, description="Whether what happens to runs is written to the log."
    )
    storage_backend: Literal["postgresql", "mongodb", "sqlite"] = Field(
        default="postgresql",
        description="Where runs are recorded. Unset: what the scheme of "
        "`storage.database_url` says; set, it must agree with it.",
    )
