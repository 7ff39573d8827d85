"""Sections `agents` and `agent_manager`: which agents there are, and how they are looked after."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from datamcp.config.section import Count, Retries, Seconds, Section
from datamcp.config.size import Size

AgentType = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=64)
]
"""The name of an agent type: lower-case letters, digits and single underscores."""

Pool = Literal["prefork", "threads", "gevent", "solo"]

QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=128)]


ModuleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
"""A module that can be imported, such as `package.module`."""


class AgentConfig(Section):
    """One agent type: its class, or its modules with Celery tasks, and its worker pool."""

    tasks: tuple[ModuleName, ...] = Field(
        default=(),
        description="Modules with Celery tasks (`package.module`) that this type runs, in place "
        "of an agent's class.",
    )
    module: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        validate_default=True,
        description="The agent's class as `package.module:Class`. Naming it, or `tasks`, switches "
        "the type on.",
    )
    concurrency: Count | None = Field(
        default=None,
        description="Tasks that one worker runs at the same time. "
        "Unset: one for each processor core.",
    )
    pool: Pool = Field(
        default="prefork",
        description="What runs the tasks of a worker: processes (`prefork`), threads, "
        "greenlets (`gevent`), or the worker itself, one at a time (`solo`).",
    )
    max_instances: Count | None = Field(
        default=None,
        description="Most agents of this type. Unset: `agent_manager.max_agents_per_type`.",
    )
    min_instances: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=1, description="Fewest agents of this type that scaling leaves."
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds that an attempt of a task may take. "
        "Unset: `agent_manager.agent_timeout`.",
    )
    retry_attempts: Retries | None = Field(
        default=None,
        description="Retries after the first attempt of a task. Unset: `scheduler.max_retries`.",
    )
    memory_limit: Size | None = Field(
        default=None,
        description="Memory after which a worker's process is replaced. Unset: no limit.",
    )
    queues: tuple[QueueName, ...] = Field(
        default=(), description="Queues served besides the one that has the type's name."
    )

    @field_validator("module")
    @classmethod
    def _has_code(cls, module: str | None, info: ValidationInfo) -> str | None:
        """Refuse a type that has neither a class nor tasks, or both."""
        tasks = info.data.get("tasks")
        if tasks == () and module is None:
            raise PydanticCustomError("missing", "is missing")
        if tasks and module is not None:
            raise PydanticCustomError("beside", "must not be set beside tasks")
        return module


class AgentManagerConfig(Section):
    """How agents are chosen, watched and scaled."""

    max_agents_per_type: Count = Field(
        default=10, description="Most agents that one type may have, whatever its own limit says."
    )
    health_check_interval: Seconds = Field(
        default=30,
        description="Seconds between health checks of agents; read only if neither "
        "`monitoring.health_check_interval` nor `system.health_check_interval` is set.",
    )
    load_balancing_strategy: Literal["round_robin", "least_loaded", "random", "shared"] = Field(
        default="round_robin",
        description="Which agent gets a task: each in turn, the one with the least to do, any, "
        "or whoever is free takes it from the common queue (`shared`).",
    )
    agent_timeout: Seconds = Field(
        default=300, description="Seconds that an attempt of an agent's task may take."
    )
    retry_attempts: Retries = Field(
        default=3, description="How often a task is given to another agent when one is lost."
    )
    enable_auto_scaling: bool = Field(
        default=True, description="Whether pools grow and shrink with their load."
    )
    metrics_collection: bool = Field(
        default=True, description="Whether figures are kept for each agent."
    )
