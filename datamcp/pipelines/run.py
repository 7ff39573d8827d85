"""How a run goes on: what a step is given, and what follows when it is settled.

The ledger releases the steps, in the transaction that settles the last of their upstreams; the
canvas only carries their messages (protocol R12). What no canvas carries is sent here.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Connection, Row
from datamcp.pipelines.compiled import Catalogue, RunInfo
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.plan import Unit
from datamcp.pipelines.references import edges, resolve
from datamcp.pipelines.send import StepSender
from datamcp.processors.processor import Output
from datamcp.tasks.ledger import Claimed, Hint, Settled
from datamcp.tasks.ports import FollowUp, Released, TaskTypes
from datamcp.tasks.states import State
from datamcp.telemetry import Telemetry

_OUTPUT_FIELDS = frozenset(Output.model_fields)


class Runs:
    """The continuation of every step that is settled."""

    def __init__(
        self,
        *,
        ledger: PipelineLedger,
        catalogue: Catalogue,
        types: TaskTypes,
        sender: StepSender,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._types = types
        self._sender = sender
        self._telemetry = telemetry

    # Before a step.

    def inputs(self, claimed: Claimed) -> tuple[str, Mapping[str, Output]]:
        """Return a step's parameters as JSON, references resolved, and its upstreams' outputs.

        Raises ProcessingError or InvalidParametersError if they do not fit.
        """
        run_id, step_id = str(claimed.run_id), str(claimed.step_id)
        run = self._catalogue.run(run_id)
        step = run.compiled.steps[step_id]
        if not run.compiled.graph.upstreams[step_id]:
            self._ledger.begin(run_id)
        outputs = self._outputs(run_id, step)
        inputs = {name: outputs[name] for name in step.input_sources if name in outputs}
        configuration = configured(run, step, outputs)
        parameters = self._types.resolve(step.processor).parameters
        if "inputs" in parameters.names and "inputs" not in configuration:
            dumped = {name: output.model_dump(mode="json") for name, output in inputs.items()}
            configuration = {**configuration, "inputs": dumped}
        return json.dumps(configuration), inputs

    def _outputs(self, run_id: str, step: TaskDefinition) -> dict[str, Output]:
        wanted = {*step.input_sources, *edges(step.configuration)}
        if not wanted:
            return {}
        found = self._ledger.outputs(run_id, wanted)
        return {name: output_of(text) for name, text in found.items()}

    # After it.

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> FollowUp:
        """Release what waited for these steps alone, and end the runs that have no more to do."""
        released: dict[str, list[Released]] = {}
        over: list[str] = []
        for run_id, steps in _by_run(settled).items():
            waiting = [row for step in steps for row in self._release(connection, run_id, step)]
            queued = [_released(row) for row in waiting if row.state == State.QUEUED]
            if queued:
                released[run_id] = queued
            self._fail_downstream(connection, run_id, steps)
            # Whoever left nothing waiting behind may have been the last.
            if not waiting and self._ledger.close(connection, run_id):
                over.append(run_id)
        return FollowUp(released, over)

    def _release(self, connection: Connection, run_id: str, step: Settled) -> Sequence[Row[Any]]:
        if step.state is not State.SUCCEEDED or not (below := _downstreams(step)):
            return ()
        return self._ledger.release(connection, run_id, below)

    def _fail_downstream(
        self, connection: Connection, run_id: str, steps: Sequence[Settled]
    ) -> None:
        """End what depends on steps that did not succeed, unless it has just ended itself."""
        told = {str(step.step_id) for step in steps}
        for step in steps:
            if step.state is State.SUCCEEDED or told.issuperset(_downstreams(step)):
                continue
            graph = self._catalogue.run(run_id).compiled.graph
            below = [name for name in _below(graph, str(step.step_id)) if name not in told]
            self._ledger.fail_downstream(connection, run_id, below, str(step.step_id))
            told.update(below)

    def carry_on(self, follow_up: FollowUp, *, is_carried: bool) -> None:
        """Send the released steps that no canvas carries.

        `is_carried` tells that the settled step's message was part of a canvas, which brings the
        messages of the steps that follow inside of it.
        """
        for run_id, steps in follow_up.released.items():
            self._telemetry.emit("run.released", run_id=run_id, steps=len(steps))
            self._send(run_id, steps, is_carried=is_carried)

    def start(self, run_id: str, roots: Sequence[str]) -> None:
        """Send the steps that a new run begins with; raises BackendUnavailable."""
        run = self._catalogue.run(run_id)
        for unit in _opened(run, set(roots)):
            self._sender.send_unit(run, unit)

    def _send(self, run_id: str, steps: Sequence[Released], *, is_carried: bool) -> None:
        run = self._catalogue.run(run_id)
        opened = _opened(run, {step.step_id for step in steps})
        heads = {head for unit in opened for head in unit.heads}
        others = [] if is_carried else [step.hint for step in steps if step.step_id not in heads]
        try:
            for unit in opened:
                self._sender.send_unit(run, unit)
            self._sender.send_hints(others)
        except BackendUnavailable as error:
            # The rows are queued: the reconciler publishes them once the broker is back (R4).
            self._telemetry.emit("run.publish_failed", run_id=run_id, reason=error.reason)


def configured(run: RunInfo, step: TaskDefinition, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return a step's configuration with values in place of its references."""
    resolved: dict[str, Any] = resolve(
        step.configuration,
        parameters=json.loads(run.parameters),
        outputs=outputs,
        run={"run_id": run.run_id, "fire_at": run.fire_at},
    )
    return resolved


def output_of(text: str) -> Output:
    """Return a step's output from what the ledger keeps of it."""
    kept = from_json(text)
    return Output(**{name: value for name, value in kept.items() if name in _OUTPUT_FIELDS})


def _opened(run: RunInfo, released: set[str]) -> list[Unit]:
    """Return the units whose first steps have all just been released."""
    return [unit for unit in run.compiled.units if released.issuperset(unit.heads)]


def _by_run(settled: Sequence[Settled]) -> dict[str, list[Settled]]:
    """Return settled steps by run; both in a fixed order, so that no two callers deadlock."""
    steps: dict[str, list[Settled]] = defaultdict(list)
    for step in sorted(settled, key=lambda step: (str(step.run_id), step.task_id)):
        steps[str(step.run_id)].append(step)
    return steps


def _downstreams(step: Settled) -> list[str]:
    names: list[str] = json.loads(step.downstreams or "[]")
    return names


def _below(graph: Graph, step_id: str) -> list[str]:
    """Return every step that depends on one, nearest first."""
    found: dict[str, None] = {}
    todo = list(graph.downstreams[step_id])
    while todo:
        step = todo.pop()
        if step not in found:
            found[step] = None
            todo.extend(graph.downstreams[step])
    return list(found)


def _released(row: Row[Any]) -> Released:
    hint = Hint(
        row.task_id,
        row.task_type,
        row.queue,
        row.priority,
        row.timeout,
        row.root_id,
        row.parent_id,
        step_id=row.step_id,
    )
    return Released(row.step_id, hint)
