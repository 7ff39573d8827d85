"""A run as it is to be inserted: everything checked that can be known now, and nothing written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from datamcp.clock import Clock
from datamcp.errors import DatamcpError, InvalidParametersError, InvalidPipelineError, Problem
from datamcp.pipelines.compiled import Catalogue, Compiled, RunInfo
from datamcp.pipelines.crowd import Crowd
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.gate import SLOTLESS, Gate
from datamcp.pipelines.new_run import Adopted, NewRun, NewStep
from datamcp.pipelines.references import bind_parameters
from datamcp.pipelines.run import configured
from datamcp.pipelines.send import StepSender
from datamcp.tasks.ports import TaskType, TaskTypes
from datamcp.tasks.queues import DEFAULT
from datamcp.tasks.retry import RetryPolicy, kept
from datamcp.tasks.states import FAILURES, State
from datamcp.types import new_id, step_task_id

_DECIDES_ITSELF = (
    "is a Celery task, which decides for itself when it is tried again (max_retries, "
    "autoretry_for); leave out retry_policy"
)

_BAD = FAILURES | {State.CANCELLED, State.SKIPPED}


@dataclass(frozen=True, slots=True)
class NewRunWithSteps:
    """A run that was checked, and all its steps, as they are inserted."""

    run: NewRun
    steps: Sequence[NewStep]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run is asked for, besides its parameters.

    `adopted` are steps that have ended already, in another run. `revision` is the newest where it
    is not given.
    """

    triggered_by: str
    scheduled_at: datetime | None = None
    run_id: str | None = None
    revision: int | None = None
    fire_at: datetime | None = None  # where it is for another time than it is due
    interval: tuple[datetime, datetime] | None = None
    adopted: Mapping[str, Adopted] = field(default_factory=dict)
    resumed_from: str | None = None
    parent_task_id: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How many runs may be under way, and for how many seconds one that says nothing."""

    most_runs: int
    timeout: float


class Preparer:
    """Checks and prepares runs."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        types: TaskTypes,
        sender: StepSender,
        clock: Clock,
        default_retries: RetryPolicy,
        limits: RunLimits,
        crowd: Crowd,
    ) -> None:
        """Take the parts; `default_retries` is for steps of which nothing nearer says more."""
        self._catalogue = catalogue
        self._types = types
        self._sender = sender
        self._clock = clock
        self._default_retries = default_retries
        self._limits = limits
        self._crowd = crowd

    def prepare(
        self, pipeline_id: str, parameters: Mapping[str, Any], wanted: Wanted
    ) -> NewRunWithSteps:
        """Return a run as it is to be inserted, with nothing written.

        Raises PipelineNotFoundError, InvalidParametersError, or InvalidPipelineError with every
        step that can't run with these parameters.
        """
        due = wanted.scheduled_at
        if due is not None and due.tzinfo is None:
            problem = Problem("scheduled_at", "needs a time zone, such as UTC")
            raise InvalidParametersError(pipeline_id, [problem])
        compiled = self._compiled(pipeline_id, wanted.revision)
        bound = to_json(bind_parameters(compiled.definition, parameters)).decode()
        run = self._run(compiled, bound, wanted)
        self._check(run)
        least = Gate.LAST if self._crowd.is_large else Gate.OPEN
        return NewRunWithSteps(
            self._new_run(run, wanted),
            [self._new_step(run, step_id, wanted.adopted, least) for step_id in compiled.steps],
        )

    def instance(self, run: RunInfo, step_id: str, name: str, index: int, element: Any) -> NewStep:
        """Return the one of many, called `name`, that a step is made to for an element."""
        step = self._new_step(run, step_id, {}, Gate.LAST)
        return replace(
            step,
            step_id=name,
            upstreams=0,
            downstreams=(step_id,),
            map_index=index,
            parent_id=step_task_id(run.run_id, step_id),
            metadata=json.dumps({"map": {"index": index, "value": element}}),
        )

    def _compiled(self, pipeline_id: str, revision: int | None) -> Compiled:
        if revision is None:
            return self._catalogue.newest(pipeline_id)
        return self._catalogue.revision(pipeline_id, revision)

    def _run(self, compiled: Compiled, bound: str, wanted: Wanted) -> RunInfo:
        now = self._clock.now()
        fire_at = _shown(wanted.fire_at or wanted.scheduled_at or now)
        interval = wanted.interval
        return RunInfo(
            wanted.run_id or new_id(now),
            bound,
            fire_at,
            compiled,
            None if interval is None else (_shown(interval[0]), _shown(interval[1])),
        )

    def _new_run(self, run: RunInfo, wanted: Wanted) -> NewRun:
        definition = run.compiled.definition
        start, end = wanted.interval or (None, None)
        return NewRun(
            run_id=run.run_id,
            pipeline_id=definition.pipeline_id,
            revision=run.compiled.revision,
            version=definition.version,
            parameters=run.parameters,
            triggered_by=wanted.triggered_by,
            scheduled_at=wanted.scheduled_at,
            most_runs=self._limits.most_runs,
            most_of_pipeline=definition.limits.runs,
            timeout=definition.timeout or self._limits.timeout,
            deadline=definition.deadline,
            resumed_from=wanted.resumed_from,
            parent_task_id=wanted.parent_task_id,
            fire_at=wanted.fire_at,
            interval_start=start,
            interval_end=end,
            is_told_of=bool(definition.on_success or definition.on_failure),
            note=wanted.note,
        )

    def _check(self, run: RunInfo) -> None:
        problems = [
            problem for step in run.compiled.steps.values() for problem in self._problems(run, step)
        ]
        if problems:
            raise InvalidPipelineError(run.compiled.definition.pipeline_id, problems)

    def _problems(self, run: RunInfo, step: TaskDefinition) -> list[Problem]:
        """Return what is wrong with a step that refers to no output; others are checked later."""
        try:
            task_type = self._types.resolve(step.processor)
            if task_type.celery_task is not None and step.retry_policy is not None:
                return [Problem(f"step {step.task_id}", _DECIDES_ITSELF)]
            if step.map is not None or run.compiled.needs[step.task_id]:
                return []
            configuration = configured(run, step, {})
            if "inputs" in task_type.parameters.names:
                configuration.setdefault("inputs", {})
            task_type.parameters.dump(configuration)
        except DatamcpError as error:
            return [Problem(f"step {step.task_id}", str(error))]
        return []

    def _new_step(
        self, run: RunInfo, step_id: str, adopted: Mapping[str, Adopted], least: Gate
    ) -> NewStep:
        step, graph = run.compiled.steps[step_id], run.compiled.graph
        task_type = self._types.resolve(step.processor)
        policy = self._retries(step, task_type)
        before = [adopted[up] for up in graph.upstreams[step_id] if up in adopted]
        return NewStep(
            step_id=step_id,
            task_type=step.processor,
            queue=task_type.queue,
            priority=DEFAULT,
            parameters=json.dumps(step.configuration),
            max_attempts=task_type.max_attempts if policy is None else policy.max_attempts,
            retry_policy=None if policy is None else kept(policy),
            timeout=self._timeout(run, step),
            upstreams=len(graph.upstreams[step_id]) - len(before),
            downstreams=graph.downstreams[step_id],
            gate=max(least, run.compiled.gates[step_id]),
            is_forgiving=step.continues_on_error,
            unsuccessful=sum(one.state in _BAD for one in before),
            adopted=adopted.get(step_id),
        )

    def _timeout(self, run: RunInfo, step: TaskDefinition) -> float | None:
        """Return the seconds that a step may take; None for one that waits as long as its run."""
        if step.processor in SLOTLESS:
            return step.timeout
        return self._sender.timeout_of(run, step.task_id)

    def _retries(self, step: TaskDefinition, task_type: TaskType) -> RetryPolicy | None:
        """Return the policy of a step; None for a Celery task, which decides for itself."""
        if task_type.celery_task is not None:
            return None
        return step.retry_policy or task_type.retry_policy or self._default_retries


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
