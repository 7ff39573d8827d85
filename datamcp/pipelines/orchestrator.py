"""`rt.pipelines`: the specification's PipelineOrchestrator."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from datamcp.config.pipelines import OrchestratorConfig
from datamcp.errors import (
    BackendUnavailable,
    InvalidPipelineError,
    PipelineNotFoundError,
    ResultTimeoutError,
    RunNotFoundError,
)
from datamcp.infra.database import Row
from datamcp.pipelines.check import check
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.status import (
    FINAL_RUN_STATES,
    Pipeline,
    PipelineStatus,
    RunState,
    StepStatus,
)
from datamcp.pipelines.trigger import Trigger
from datamcp.tasks.ledger import is_of_run
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import FINAL
from datamcp.tasks.waiter import Waiter
from datamcp.telemetry import Telemetry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Triggered:
    """A run that was inserted. `unpublished` says why the broker has not got it yet."""

    run_id: str
    unpublished: str | None = None


class SyncPipelineOrchestrator:
    """Pipelines and their runs. Safe to share between threads."""

    def __init__(
        self,
        *,
        ledger: PipelineLedger,
        trigger: Trigger,
        settler: Settler,
        waiter: "Waiter[RunState]",
        knows: Callable[[str], bool],
        telemetry: Telemetry,
    ) -> None:
        """Take the parts; `knows` tells whether a task type exists here."""
        self._ledger = ledger
        self._trigger = trigger
        self._settler = settler
        self._waiter = waiter
        self._knows = knows
        self._telemetry = telemetry

    def register_pipeline(self, definition: PipelineDefinition) -> Pipeline:
        """Keep a definition, as the one that new runs use.

        The same content again changes nothing; other content is a new revision, and runs keep
        the one that they started with. Raises InvalidPipelineError with everything that is wrong.
        """
        known = {step.processor for step in definition.tasks if self._knows(step.processor)}
        problems = check(definition, known)
        if problems:
            raise InvalidPipelineError(definition.pipeline_id, problems)
        text = json.dumps(definition.model_dump(mode="json", exclude_unset=True), sort_keys=True)
        self._ledger.register(definition.pipeline_id, definition.version, text)
        return self.get_pipeline(definition.pipeline_id)

    def get_pipeline(self, pipeline_id: str, revision: int | None = None) -> Pipeline:
        """Return a revision of a pipeline, or its newest; raises PipelineNotFoundError."""
        row = self._ledger.pipeline(pipeline_id, revision)
        if row is None:
            raise PipelineNotFoundError(f"no pipeline {pipeline_id!r} is registered")
        return Pipeline(
            pipeline_id=row.pipeline_id,
            version=row.version,
            revision=row.revision,
            registered_at=row.registered_at,
            definition=PipelineDefinition.model_validate_json(row.definition),
        )

    def list_pipelines(self) -> list[Pipeline]:
        """Return the newest revision of every pipeline, by id."""
        return [self.get_pipeline(pipeline_id) for pipeline_id in self._ledger.pipeline_ids()]

    def trigger_pipeline(
        self, pipeline_id: str, parameters: Mapping[str, Any] | None = None
    ) -> str:
        """Start a run of the newest revision and return its id; the run is durable then.

        Raises PipelineNotFoundError, InvalidParametersError or InvalidPipelineError with nothing
        written. A broker that is away is no error: the run starts once it is back.
        """
        return self.submit(pipeline_id, parameters).run_id

    def submit(
        self,
        pipeline_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        triggered_by: str = "api",
        scheduled_at: datetime | None = None,
    ) -> Triggered:
        """Start a run as `trigger_pipeline` does; the answer also says whether it is published.

        A run for a later instant waits in the ledger, and beat starts it.
        """
        run_id = self._trigger.insert(
            pipeline_id, parameters or {}, triggered_by=triggered_by, scheduled_at=scheduled_at
        )
        if not self._trigger.is_due(scheduled_at):
            return Triggered(run_id)
        try:
            self._trigger.send(run_id)
        except BackendUnavailable as error:
            self._telemetry.emit("run.publish_failed", run_id=run_id, reason=error.reason)
            return Triggered(run_id, unpublished=str(error))
        return Triggered(run_id)

    def monitor_execution(self, run_id: str) -> PipelineStatus:
        """Return how far a run is, with all its steps; raises RunNotFoundError."""
        row = self._ledger.run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        definition = self.get_pipeline(row.pipeline_id, row.revision).definition
        steps = {step.step_id: step_status(step) for step in self._ledger.steps(run_id)}
        ended = sum(step.state in FINAL for step in steps.values())
        ordered = {step.task_id: steps[step.task_id] for step in definition.tasks}
        return run_status(row, ended / len(steps), ordered)

    def list_runs(
        self, *, pipeline_id: str | None = None, state: RunState | None = None, limit: int = 20
    ) -> list[PipelineStatus]:
        """Return runs without their steps, the newest first."""
        rows = self._ledger.runs(pipeline_id=pipeline_id, state=state, limit=limit)
        return [run_status(row, row.ended / row.steps, {}) for row in rows]

    def wait(self, run_id: str, timeout: float | None = None) -> PipelineStatus:
        """Wait up to `timeout` seconds for a run's end; raises ResultTimeoutError after that."""
        if not self.monitor_execution(run_id).is_final:
            future = self._waiter.future(run_id)
            try:
                future.result(timeout)
            except TimeoutError as error:
                future.cancel()
                state = self.monitor_execution(run_id).state
                raise ResultTimeoutError(run_id, timeout or 0, state) from error
        return self.monitor_execution(run_id)

    def cancel_pipeline(self, run_id: str) -> bool:
        """Cancel a run; False if it has already ended.

        Steps that wait never start. Steps that run are told at their next heartbeat, and end
        cancelled however they end.
        """
        if self._ledger.run(run_id) is None:
            raise RunNotFoundError(run_id)
        if not self._ledger.request_cancel(run_id):
            return False
        self._settler.cancel(is_of_run(run_id))
        return True


class PipelineOrchestrator:
    """Pipelines and their runs, for use on an event loop; the plain twin is `.sync`.

    Database work runs on a thread pool of its own. To cancel an await does not undo what it has
    begun.
    """

    def __init__(
        self, config: OrchestratorConfig, *, sync: SyncPipelineOrchestrator, threads: ThreadPool
    ) -> None:
        """Take the section `pipelines`, the twin and the pool."""
        self.config = config
        self.sync = sync
        self._threads = threads

    async def register_pipeline(self, config: PipelineDefinition) -> Pipeline:
        """Keep a definition, as the one that new runs use."""
        return await self._in_thread(self.sync.register_pipeline, config)

    async def trigger_pipeline(
        self, pipeline_id: str, parameters: Mapping[str, Any] | None = None
    ) -> str:
        """Start a run of the newest revision and return its id."""
        return await self._in_thread(self.sync.trigger_pipeline, pipeline_id, parameters)

    async def monitor_execution(self, run_id: str) -> PipelineStatus:
        """Return how far a run is, with all its steps."""
        return await self._in_thread(self.sync.monitor_execution, run_id)

    async def cancel_pipeline(self, run_id: str) -> bool:
        """Cancel a run; False if it has already ended."""
        return await self._in_thread(self.sync.cancel_pipeline, run_id)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def finished_runs(ledger: PipelineLedger, run_ids: Sequence[str]) -> dict[str, RunState]:
    """Return the states of those of some runs that have ended."""
    rows = [row for run_id in run_ids if (row := ledger.run(run_id)) is not None]
    return {row.run_id: RunState(row.state) for row in rows if row.state in FINAL_RUN_STATES}


def run_status(row: Row[Any], progress: float, steps: dict[str, StepStatus]) -> PipelineStatus:
    """Return a run's row as a status."""
    shared = set(PipelineStatus.model_fields) & set(row._fields) - {"parameters"}
    return PipelineStatus(
        **{name: getattr(row, name) for name in shared},
        parameters=json.loads(row.parameters),
        progress=progress,
        tasks=steps,
    )


def step_status(row: Row[Any]) -> StepStatus:
    """Return a step's row as a status."""
    shared = set(StepStatus.model_fields) & set(row._fields) - {"output"}
    kept = json.loads(row.output) if row.output else {}
    counted = {name: kept.get(name) for name in ("records_in", "records_rejected")}
    return StepStatus(
        **{name: getattr(row, name) for name in shared},
        **counted,
        records_out=kept.get("records_out"),
        bytes_out=kept.get("bytes_out"),
        warnings=tuple(kept.get("warnings", ())),
        output=kept.get("path") or kept.get("value"),
    )
