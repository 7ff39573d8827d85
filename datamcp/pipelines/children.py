"""Runs that a step of another run waits for (`pipeline.run`)."""

import json

from pydantic_core import to_json

from datamcp.errors import PipelineError
from datamcp.infra.database import Connection
from datamcp.pipelines.compiled import RunInfo
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.prepare import Preparer, Wanted
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.slotless import RunPipeline
from datamcp.pipelines.status import RunState
from datamcp.pipelines.step_ledger import StepEnd
from datamcp.tasks.states import State

MAX_DEPTH = 16
"""Runs that stand inside of each other."""


class Children:
    """Starts sub-pipelines in the transaction of the step that waits, and tells how they ended."""

    def __init__(self, ledger: PipelineLedger, runs: RunLedger, preparer: Preparer) -> None:
        """Take where runs are kept, and who prepares them."""
        self._ledger = ledger
        self._runs = runs
        self._preparer = preparer

    def start(
        self, connection: Connection, run: RunInfo, task_id: str, child: str, config: RunPipeline
    ) -> None:
        """Insert a run that a step waits for; raises as `Preparer.prepare`, or if it is too deep."""
        self._require_depth(connection, run.run_id)
        wanted = Wanted(triggered_by=f"run {run.run_id}", run_id=child, parent_task_id=task_id)
        new = self._preparer.prepare(config.pipeline, config.parameters, wanted)
        self._ledger.start_on(connection, new.run, new.steps)

    def end_of(self, connection: Connection, child: str, task_id: str) -> StepEnd | None:
        """Return how the step ends that waits for a run; None if the run goes on."""
        row = self._runs.look(connection, child)
        if row is None:
            return StepEnd(task_id, State.FAILED, "run_lost", f"run {child} is gone")
        match RunState(row.state):
            case RunState.SUCCEEDED:
                return StepEnd(task_id, State.SUCCEEDED, output=self._output(connection, child))
            case RunState.CANCELLED:
                return StepEnd(task_id, State.FAILED, "run_cancelled", f"run {child} was cancelled")
            case RunState.FAILED:
                message = f"run {child}: {row.error_message}"
                return StepEnd(task_id, State.FAILED, row.error_code or "run_failed", message)
        return None

    def _output(self, connection: Connection, run_id: str) -> str:
        """Return what the step leaves whose run succeeded, as JSON."""
        outputs: dict[str, object] = {}
        for step_id, text in self._runs.last_outputs(connection, run_id).items():
            kept = json.loads(text or "{}")
            outputs[step_id] = kept.get("path") if kept.get("value") is None else kept["value"]
        value = {"run_id": run_id, "state": RunState.SUCCEEDED, "outputs": outputs}
        return to_json({"value": value}).decode()

    def _require_depth(self, connection: Connection, run_id: str) -> None:
        current: str | None = run_id
        for _ in range(MAX_DEPTH):
            current = self._runs.parent(connection, str(current))
            if current is None:
                return
        raise PipelineError(f"more than {MAX_DEPTH} runs would stand inside of each other")
