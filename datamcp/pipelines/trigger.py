"""Start a run: check all that can be known now, insert it whole, send its first steps."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from datamcp.clock import Clock
from datamcp.errors import DatamcpError, InvalidParametersError, InvalidPipelineError, Problem
from datamcp.pipelines.compiled import Catalogue, RunInfo
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.ledger import NewRun, NewStep, PipelineLedger
from datamcp.pipelines.references import bind_parameters, edges
from datamcp.pipelines.run import Runs, configured
from datamcp.pipelines.send import StepSender
from datamcp.tasks.ports import TaskTypes
from datamcp.tasks.queues import DEFAULT
from datamcp.types import new_id


class Trigger:
    """Starts runs."""

    def __init__(
        self,
        *,
        ledger: PipelineLedger,
        catalogue: Catalogue,
        types: TaskTypes,
        sender: StepSender,
        runs: Runs,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._types = types
        self._sender = sender
        self._runs = runs
        self._clock = clock

    def insert(
        self,
        pipeline_id: str,
        parameters: Mapping[str, Any],
        *,
        triggered_by: str,
        scheduled_at: datetime | None = None,
    ) -> str:
        """Insert a run of the newest revision, with all its steps, and return its id.

        It is due at once, or at `scheduled_at`. Raises PipelineNotFoundError,
        InvalidParametersError, or InvalidPipelineError with every step that can't run with these
        parameters; then nothing is written.
        """
        if scheduled_at is not None and scheduled_at.tzinfo is None:
            problem = Problem("scheduled_at", "needs a time zone, such as UTC")
            raise InvalidParametersError(pipeline_id, [problem])
        compiled = self._catalogue.newest(pipeline_id)
        bound = to_json(bind_parameters(compiled.definition, parameters)).decode()
        now = self._clock.now()
        run = RunInfo(
            new_id(now), bound, (scheduled_at or now).astimezone(UTC).isoformat(), compiled
        )
        self._check(run)
        new = NewRun(
            run_id=run.run_id,
            pipeline_id=pipeline_id,
            revision=compiled.revision,
            version=compiled.definition.version,
            parameters=bound,
            triggered_by=triggered_by,
            scheduled_at=scheduled_at,
        )
        self._ledger.start(new, [self._new_step(run, step) for step in compiled.steps])
        return run.run_id

    def is_due(self, scheduled_at: datetime | None) -> bool:
        """Tell whether a run for this instant may start now; what is not due, beat sends in time."""
        return scheduled_at is None or scheduled_at <= self._clock.now()

    def send(self, run_id: str) -> None:
        """Send the first steps of a run that is due; raises BackendUnavailable."""
        graph = self._catalogue.run(run_id).compiled.graph
        self._runs.start(run_id, [step for step in graph.steps if not graph.upstreams[step]])

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
            if edges(step.configuration):
                return []
            configuration = configured(run, step, {})
            if "inputs" in task_type.parameters.names:
                configuration.setdefault("inputs", {})
            task_type.parameters.dump(configuration)
        except DatamcpError as error:
            return [Problem(f"step {step.task_id}", str(error))]
        return []

    def _new_step(self, run: RunInfo, step_id: str) -> NewStep:
        step, graph = run.compiled.steps[step_id], run.compiled.graph
        return NewStep(
            step_id=step_id,
            task_type=step.processor,
            queue=self._types.resolve(step.processor).queue,
            priority=DEFAULT,
            parameters=json.dumps(step.configuration),
            timeout=self._sender.timeout_of(run, step_id),
            upstreams=len(graph.upstreams[step_id]),
            downstreams=graph.downstreams[step_id],
        )
