"""A run as a document: its definition, its steps, what waits for what, and what was tried before.

It is what `pipeline export` prints, and all that a page of the run is made from. Pure.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.graph import upstreams_of
from datamcp.pipelines.needs import item_of
from datamcp.pipelines.references import edges
from datamcp.pipelines.status import Pipeline, PipelineStatus
from datamcp.tasks.task import TaskLogLine


class RunEdge(BaseModel):
    """That one step waits for another; `data` tells whether it also receives its output."""

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    from_: str = Field(alias="from")
    to: str
    data: bool


class StepAttempt(BaseModel):
    """An attempt that another one followed.

    `outcome` is why: `retried` after a failure, `snoozed` on the step's own request, `lost` with
    its worker.
    """

    model_config = ConfigDict(frozen=True)

    attempt: int
    agent_id: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime
    outcome: str
    error_code: str | None = None
    error_message: str | None = None


class RunExport(BaseModel):
    """A run with everything that is known of it at one instant.

    `attempts` maps the steps that were tried more than once to their earlier attempts, the oldest
    first; the last one is told by the step's status. `logs` maps steps to their last lines, and is
    None if they were not asked for.
    """

    model_config = ConfigDict(frozen=True)

    datamcp_version: str
    exported_at: datetime
    pipeline: Pipeline
    status: PipelineStatus
    edges: tuple[RunEdge, ...]
    attempts: dict[str, tuple[StepAttempt, ...]] = Field(default_factory=dict)
    logs: dict[str, tuple[TaskLogLine, ...]] | None = None


def edges_of(definition: PipelineDefinition) -> tuple[RunEdge, ...]:
    """Return every edge of a definition once, in the order of the steps that wait."""
    known = {step.task_id for step in definition.steps}
    received = {
        step.task_id: {*step.input_sources, *edges(step.configuration, item_of(step))}
        for step in definition.steps
    }
    return tuple(
        RunEdge(from_=up, to=step_id, data=up in received[step_id])
        for step_id, ups in upstreams_of(definition).items()
        for up in dict.fromkeys(ups)
        if up in known
    )
