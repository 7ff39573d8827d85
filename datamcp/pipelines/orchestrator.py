"""`rt.pipelines`: the specification's PipelineOrchestrator."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from datamcp.config.pipelines import OrchestratorConfig
from datamcp.errors import (
    InvalidPipelineError,
    PipelineNotFoundError,
    ResultTimeoutError,
    RunNotFoundError,
)
from datamcp.infra.database import Row
from datamcp.pipelines.check import check
from datamcp.pipelines.compiled import base_of
from datamcp.pipelines.configurations import Finder
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.deliveries import expand
from datamcp.pipelines.estimates import Estimates
from datamcp.pipelines.intervals import Interval
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.operate import Mark, Operations
from datamcp.pipelines.prepare import NewRunWithSteps, Wanted
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.status import (
    FINAL_RUN_STATES,
    Pipeline,
    PipelineStatus,
    RunState,
    StepStatus,
)
from datamcp.pipelines.trigger import Begun, Trigger
from datamcp.pipelines.waiting import shown
from datamcp.tasks.ledger import is_of_run
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.waiter import Waiter

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
        runs: RunLedger,
        operations: Operations,
        settler: Settler,
        waiter: "Waiter[RunState]",
        find: Finder,
        most_retries: int,
        declare: Callable[[PipelineDefinition], None],
        estimates: Estimates | None,
    ) -> None:
        """Take the parts; `find` tells what a processor or a capability accepts.

        `most_retries` is how many retries a step may ask for; `declare` takes over the schedule of
        a definition that was registered; `estimates` tells when a run will have ended.
        """
        self._declare = declare
        self._ledger = ledger
        self._trigger = trigger
        self._runs = runs
        self._operations = operations
        self._settler = settler
        self._waiter = waiter
        self._find = find
        self._most_retries = most_retries
        self._estimates = estimates

    def register_pipeline(self, definition: PipelineDefinition) -> Pipeline:
        """Keep a definition, as the one that new runs use.

        The same content again changes nothing; other content is a new revision, and runs keep
        the one that they started with. What is kept has a step for each of `output_destinations`.
        Raises InvalidPipelineError with everything that is wrong.
        """
        problems = check(definition, find=self._find, most_retries=self._most_retries)
        if problems:
            raise InvalidPipelineError(definition.pipeline_id, problems)
        definition = expand(definition).definition
        text = json.dumps(definition.model_dump(mode="json", exclude_unset=True), sort_keys=True)
        self._ledger.register(definition.pipeline_id, definition.version, text)
        self._declare(definition)
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

        A run for a later instant waits in the ledger, and is started in time; so does one for
        which there is no room, until others have ended.
        """
        wanted = Wanted(triggered_by=triggered_by, scheduled_at=scheduled_at)
        begun = self._trigger.insert(pipeline_id, parameters or {}, wanted)
        run_id = begun.run_id
        if not self._trigger.is_due(scheduled_at) or self._trigger.send(run_id, begun.first):
            return Triggered(run_id)
        return Triggered(run_id, unpublished="the broker did not take the first messages")

    def dry_run(
        self, pipeline_id: str, parameters: Mapping[str, Any] | None = None
    ) -> NewRunWithSteps:
        """Return what `trigger_pipeline` would insert, with nothing written; raises as it does."""
        return self._trigger.prepare(pipeline_id, parameters or {}, Wanted(triggered_by="dry run"))

    def backfill(
        self,
        pipeline_id: str,
        intervals: Sequence[Interval],
        parameters: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Start a run for each interval of data, and return their ids; see `intervals.between`.

        The same interval again makes no new run. As many run at once as `limits` allow.
        """
        begun: list[Begun] = []
        for interval in intervals:
            wanted = Wanted(
                triggered_by="backfill",
                run_id=interval.run_id(pipeline_id, parameters or {}),
                fire_at=interval.start,
                interval=(interval.start, interval.end),
            )
            begun.append(self._trigger.insert(pipeline_id, parameters or {}, wanted))
        for one in begun:
            self._trigger.send(one.run_id, one.first)
        return [one.run_id for one in begun]

    # What is done to a run.

    def pause_pipeline(self, run_id: str, note: str | None = None) -> bool:
        """Let no further step of a run start; False if it has ended, or is paused already."""
        return self._operations.pause(run_id, note)

    def resume_pipeline(self, run_id: str, note: str | None = None) -> str:
        """Let a paused run go on; or run again what failed of one that has ended.

        Returns the id of the run that goes on: a new one in the second case, which takes over what
        succeeded. Raises PipelineError if there is nothing to resume.
        """
        return self._operations.resume(run_id, self.monitor_execution(run_id).tasks, note)

    def retry_step(self, run_id: str, step_id: str, note: str | None = None) -> str:
        """Run a step again that failed, with what depends on it, in a new run; return its id."""
        steps = self.monitor_execution(run_id).tasks
        return self._operations.retry(run_id, step_id, steps, note)

    def clear_step(self, run_id: str, step_id: str, note: str | None = None) -> str:
        """Run a step again, with what depends on it, in a new run; return its id."""
        return self._operations.clear(run_id, step_id, note)

    def mark_step(self, run_id: str, step_id: str, state: Mark, note: str | None = None) -> str:
        """Say how a step has ended; return the run that goes on from there."""
        return self._operations.mark(run_id, step_id, state, note)

    def signal(self, run_id: str, name: str, payload: Any = None) -> bool:
        """Tell a run what a step of it may wait for; False if it was told before."""
        return self._operations.signal(run_id, name, payload)

    def approve(
        self, run_id: str, step_id: str, note: str | None = None, *, is_approved: bool = True
    ) -> bool:
        """Approve or reject a step that waits for it; False if somebody has before."""
        return self._operations.approve(run_id, step_id, note, is_approved=is_approved)

    # What is known of runs.

    def run_states(self, run_ids: Iterable[str]) -> dict[str, RunState]:
        """Return the states of those of some runs that there are."""
        return self._ledger.states(run_ids)

    def monitor_execution(self, run_id: str) -> PipelineStatus:
        """Return how far a run is, with all its steps; raises RunNotFoundError."""
        row = self._ledger.run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        definition = self.get_pipeline(row.pipeline_id, row.revision).definition
        place = {step.task_id: place for place, step in enumerate(definition.steps)}
        rows = sorted(
            self._ledger.steps(run_id),
            key=lambda one: (place[base_of(one.step_id)], one.map_index or -1, one.step_id),
        )
        steps = {one.step_id: step_status(one) for one in rows}
        ended = sum(step.state in FINAL for step in steps.values())
        status = run_status(row, ended / len(steps), steps)
        estimate = self._estimates.completion(status, definition) if self._estimates else None
        return status.model_copy(update={"estimated_completion": estimate})

    def definition_of(self, run_id: str) -> PipelineDefinition:
        """Return the definition that a run has; raises RunNotFoundError."""
        row = self._ledger.run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return self.get_pipeline(row.pipeline_id, row.revision).definition

    def list_runs(
        self, *, pipeline_id: str | None = None, state: RunState | None = None, limit: int = 20
    ) -> list[PipelineStatus]:
        """Return runs without their steps, the newest first."""
        rows = self._ledger.runs(pipeline_id=pipeline_id, state=state, limit=limit)
        return [run_status(row, row.ended / row.steps, {}) for row in rows]

    def wait(self, run_id: str, timeout: float | None = None) -> PipelineStatus:
        """Wait up to `timeout` seconds for a run's end; raises ResultTimeoutError after that."""
        if self._state(run_id) not in FINAL_RUN_STATES:
            future = self._waiter.future(run_id)
            try:
                future.result(timeout)
            except TimeoutError as error:
                future.cancel()
                raise ResultTimeoutError(run_id, timeout or 0, self._state(run_id)) from error
        return self.monitor_execution(run_id)

    def _state(self, run_id: str) -> RunState:
        row = self._ledger.run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return RunState(row.state)

    def cancel_pipeline(self, run_id: str) -> bool:
        """Cancel a run, and those that it waits for; False if it has already ended.

        Steps that wait never start. Steps that run are told at their next heartbeat, and end
        cancelled however they end.
        """
        if self._ledger.run(run_id) is None:
            raise RunNotFoundError(run_id)
        if not self._ledger.request_cancel(run_id):
            return False
        children = self._runs.children(run_id)
        self._settler.cancel(is_of_run(run_id))
        for child in children:
            self.cancel_pipeline(child)
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

    async def pause_pipeline(self, run_id: str, note: str | None = None) -> bool:
        """Let no further step of a run start."""
        return await self._in_thread(self.sync.pause_pipeline, run_id, note)

    async def resume_pipeline(self, run_id: str, note: str | None = None) -> str:
        """Let a paused run go on, or run again what failed; return the run that goes on."""
        return await self._in_thread(self.sync.resume_pipeline, run_id, note)

    async def retry_step(self, run_id: str, step_id: str, note: str | None = None) -> str:
        """Run a step again that failed, with what depends on it."""
        return await self._in_thread(self.sync.retry_step, run_id, step_id, note)

    async def clear_step(self, run_id: str, step_id: str, note: str | None = None) -> str:
        """Run a step again, with what depends on it."""
        return await self._in_thread(self.sync.clear_step, run_id, step_id, note)

    async def mark_step(
        self, run_id: str, step_id: str, state: Mark, note: str | None = None
    ) -> str:
        """Say how a step has ended; return the run that goes on from there."""
        return await self._in_thread(self.sync.mark_step, run_id, step_id, state, note)

    async def signal(self, run_id: str, name: str, payload: Any = None) -> bool:
        """Tell a run what a step of it may wait for."""
        return await self._in_thread(self.sync.signal, run_id, name, payload)

    async def approve(
        self, run_id: str, step_id: str, note: str | None = None, *, is_approved: bool = True
    ) -> bool:
        """Approve or reject a step that waits for it."""
        work = partial(self.sync.approve, run_id, step_id, note, is_approved=is_approved)
        return await self._in_thread(work)

    async def backfill(
        self,
        pipeline_id: str,
        intervals: Sequence[Interval],
        parameters: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Start a run for each interval of data, and return their ids."""
        return await self._in_thread(self.sync.backfill, pipeline_id, intervals, parameters)

    async def run_states(self, run_ids: Iterable[str]) -> dict[str, RunState]:
        """Return the states of those of some runs that there are."""
        return await self._in_thread(self.sync.run_states, run_ids)

    async def list_runs(
        self, *, pipeline_id: str | None = None, state: RunState | None = None, limit: int = 20
    ) -> list[PipelineStatus]:
        """Return runs without their steps, the newest first."""
        work = partial(self.sync.list_runs, pipeline_id=pipeline_id, state=state, limit=limit)
        return await self._in_thread(work)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def finished_runs(ledger: PipelineLedger, run_ids: Iterable[str]) -> dict[str, RunState]:
    """Return the states of those of some runs that have ended."""
    states = ledger.states(run_ids)
    return {run_id: state for run_id, state in states.items() if state in FINAL_RUN_STATES}


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
        waiting_for=shown(row.awaits) if row.state == State.SCHEDULED else None,
    )
