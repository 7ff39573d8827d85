"""What a schedule fires: a task, a run of a pipeline, or a plain Celery call. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datamcp.tasks.task import Task

FIRE_AT = "${run.fire_at}"
"""What stands in parameters for the time that fires."""


class _Target(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskTarget(_Target):
    """A task; each firing is one with an id of its own."""

    kind: Literal["task"] = "task"
    task: Task

    @property
    def title(self) -> str:
        """Return what is fired, in a word or two."""
        return self.task.task_type


class RunTarget(_Target):
    """A run of the newest revision of a pipeline."""

    kind: Literal["pipeline"] = "pipeline"
    pipeline_id: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return what is fired, in a word or two."""
        return f"pipeline {self.pipeline_id}"


class CallTarget(_Target):
    """A plain Celery call, with what `apply_async` takes: an entry of `beat_schedule`."""

    kind: Literal["call"] = "call"
    task_type: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return what is fired, in a word or two."""
        return self.task_type


Target = Annotated[TaskTarget | RunTarget | CallTarget, Field(discriminator="kind")]


def filled(value: Any, fire_at: datetime) -> Any:
    """Return parameters with the time that fires in its places, as ISO 8601 in UTC."""
    match value:
        case str():
            return value.replace(FIRE_AT, fire_at.isoformat())
        case Mapping():
            return {name: filled(each, fire_at) for name, each in value.items()}
        case Sequence():
            return [filled(each, fire_at) for each in value]
    return value
