"""What callers are told of pipelines, runs and steps."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.tasks.states import State


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    """Triggered; no step has started."""
    RUNNING = "running"
    """A step has started."""
    PAUSED = "paused"
    """No further step starts until it is resumed."""
    SUCCEEDED = "succeeded"
    """Every step ended well."""
    FAILED = "failed"
    """A step did not."""
    CANCELLED = "cancelled"
    """Stopped on request."""


FINAL_RUN_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
"""Never change again."""

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.PAUSED, *FINAL_RUN_STATES}),
    RunState.RUNNING: frozenset({RunState.PAUSED, *FINAL_RUN_STATES}),
    RunState.PAUSED: frozenset({RunState.QUEUED, RunState.RUNNING, *FINAL_RUN_STATES}),
    **dict.fromkeys(FINAL_RUN_STATES, frozenset()),
}


class Pipeline(BaseModel):
    """A registered definition at one version.

    `revision` counts the contents that were registered under this id, from 1; a run keeps the
    revision that it started with.
    """

    model_config = ConfigDict(frozen=True)

    pipeline_id: str
    version: str
    revision: int
    registered_at: datetime
    definition: PipelineDefinition


class StepStatus(BaseModel):
    """How far one step of a run is; `output` is its value, or the path of its data.

    `waiting_for` is what it waits for without a slot; `adopted_from` is the task of an earlier run
    whose output it has taken over; `note` is what somebody said who marked or approved it.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str
    state: State
    attempt: int
    max_attempts: int
    agent_id: str | None = None
    progress: float | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    records_in: int | None = None
    records_out: int | None = None
    records_rejected: int | None = None
    bytes_out: int | None = None
    output: Any = None
    warnings: tuple[str, ...] = ()
    waiting_for: str | None = None
    adopted_from: str | None = None
    note: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PipelineStatus(BaseModel):
    """How far a run is; `tasks` maps each step's id to its status, in the definition's order.

    `scheduled_at` is when it was due, if it was triggered for a later instant; `admitted_at` since
    when there was room for it, and `started_at` when its first step really began. `late_at` is when
    it was noticed that its deadline had passed. `resumed_from` is the run whose outputs it has
    taken over, and `parent_task_id` the step of another run that waits for it. The interval is that
    of the data that it is for.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    pipeline_id: str
    version: str
    state: RunState
    progress: float = Field(ge=0, le=1)
    triggered_by: str
    parameters: dict[str, Any]
    created_at: datetime
    scheduled_at: datetime | None = None
    admitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    estimated_completion: datetime | None = None
    paused_at: datetime | None = None
    timeout_at: datetime | None = None
    deadline_at: datetime | None = None
    late_at: datetime | None = None
    resumed_from: str | None = None
    parent_task_id: str | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    note: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    tasks: dict[str, StepStatus] = Field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Tell whether the run has ended."""
        return self.state in FINAL_RUN_STATES


def run_state(
    counts: dict[State, int], *, cancel_requested: bool, is_stopped: bool = False
) -> RunState | None:
    """Return how a run ended whose steps are in these states; None if it goes on.

    A step that failed fails the run, whatever else went well (decisions, "when is a run failed").
    `is_stopped` tells that it took too long, and had its steps cancelled for that.
    """
    if any(count and not _is_final(state) for state, count in counts.items()):
        return None
    if is_stopped:
        return RunState.FAILED
    if cancel_requested:
        return RunState.CANCELLED
    is_clean = all(state in {State.SUCCEEDED, State.SKIPPED} for state, n in counts.items() if n)
    return RunState.SUCCEEDED if is_clean else RunState.FAILED


def _is_final(state: State) -> bool:
    return state not in {State.SCHEDULED, State.QUEUED, State.RUNNING, State.RETRYING}
