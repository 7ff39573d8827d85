"""How a run goes on: what a step is given, and what follows when it is settled.

The ledger releases the steps, in the transaction that settles the last of their upstreams; the
canvas only carries their messages (protocol R12). What no canvas carries is sent here.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from pydantic_core import from_json

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Connection
from datamcp.pipelines.compiled import Catalogue, Compiled, Recent, RunInfo, base_of
from datamcp.pipelines.countdown import Counted
from datamcp.pipelines.crowd import ALL_STEPS, Crowd
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.memory import StepMemory
from datamcp.pipelines.needs import item_of
from datamcp.pipelines.outputs import NOTHING
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
        memory: StepMemory,
        crowd: Crowd,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts; who decides, and whom ends are told, is given by `connect`."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._types = types
        self._sender = sender
        self._memory = memory
        self._crowd = crowd
        self._telemetry = telemetry
        self._begun: Recent[str, bool] = Recent()  # runs that this process has seen begin
        self._after: AfterCommit | None = None

    def connect(self, after: "AfterCommit") -> None:
        """Take who decides what the ledger alone can't, and hears of runs that have ended."""
        self._after = after

    # Before a step.

    def inputs(self, claimed: Claimed) -> tuple[str, Mapping[str, Output]]:
        """Return a step's parameters as JSON, references resolved, and its upstreams' outputs.

        Raises ProcessingError or InvalidParametersError if they do not fit.
        """
        run_id, step_id = str(claimed.run_id), str(claimed.step_id)
        run = self._catalogue.run(run_id)
        step = run.compiled.step_of(step_id)
        if not run.has_begun and self._begun.get(run_id) is None:
            self._ledger.begin(run_id)
            self._begun.keep(run_id, True)
        outputs = self._outputs(run_id, step)
        inputs = {
            name: outputs[name]
            for name in step.input_sources
            if name in outputs and outputs[name] is not NOTHING
        }
        configuration = configured(run, step, outputs, _items(step, claimed))
        parameters = self._types.resolve(step.processor).parameters
        if "inputs" in parameters.names and "inputs" not in configuration:
            dumped = {name: output.model_dump(mode="json") for name, output in inputs.items()}
            configuration = {**configuration, "inputs": dumped}
        return json.dumps(configuration), inputs

    def _outputs(self, run_id: str, step: TaskDefinition) -> dict[str, Output]:
        wanted = {*step.input_sources, *edges(step.configuration, item_of(step))}
        if not wanted:
            return {}
        found = self._ledger.outputs(run_id, wanted)
        left = {name: output_of(text) for name, text in found.items()}
        # What was skipped, or failed and was forgiven, has left nothing, which can be referred to.
        named = edges(step.configuration, item_of(step))
        return dict.fromkeys(named, NOTHING) | left

    # After it.

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> FollowUp:
        """Release what waited for these steps alone, and end the runs that have no more to do."""
        released: dict[str, list[Released]] = {}
        over: list[str] = []
        undecided: list[str] = []
        for run_id, steps in _by_run(settled).items():
            compiled = self._catalogue.run(run_id).compiled
            waiting = self._release(connection, run_id, compiled, steps)
            queued = [_released(one) for one in waiting if one.state is State.QUEUED]
            if queued:
                released[run_id] = queued
            self._memory.remember(connection, self._catalogue.run(run_id), steps)
            if compiled.is_limited or any(one.is_undecided for one in waiting):
                undecided.append(run_id)
            # Whoever left nothing waiting behind may have been the last.
            if not waiting and self._ledger.close(connection, run_id):
                over.append(run_id)
        limits = sorted({step.limit_key for step in settled if step.limit_key is not None})
        if self._crowd.is_large:
            limits.append(ALL_STEPS)
        return FollowUp(released, over, undecided=undecided, limits=limits)

    def _release(
        self, connection: Connection, run_id: str, compiled: Compiled, steps: Sequence[Settled]
    ) -> Sequence[Counted]:
        """Count these steps down where others wait for them, all at once (protocol R12)."""
        told = {str(step.step_id) for step in steps}
        waiting: list[Counted] = []
        for is_instance, some in _apart(steps):
            settled: Counter[str] = Counter()
            bad: Counter[str] = Counter()
            for step in some:
                below = [name for name in _downstreams(step) if name not in told]
                settled.update(below)
                if not _counts_as_success(compiled, step):
                    bad.update(below)
            counts = {name: (count, bad[name]) for name, count in settled.items()}
            if counts:
                waiting += self._ledger.release(
                    connection, run_id, counts, is_of_instances=is_instance
                )
        return waiting

    def carry_on(self, follow_up: FollowUp, *, is_carried: bool) -> None:
        """Send the released steps that no canvas carries; have others decided about.

        `is_carried` tells that the settled step's message was part of a canvas, which brings the
        messages of the steps that follow inside of it.
        """
        for run_id, steps in follow_up.released.items():
            self._telemetry.emit("run.released", run_id=run_id, steps=len(steps))
            self.send(run_id, steps, is_carried=is_carried)
        if self._after is not None:
            self._after.go_on(follow_up)

    def start(self, run_id: str, first: Sequence[Counted] | None = None) -> bool:
        """Send the steps that a run begins with; tell whether the broker took them.

        Those of them that are queued, if they are known; else they are looked up.
        """
        found = self._ledger.queued(run_id) if first is None else first
        released = [_released(one) for one in found if one.state is State.QUEUED]
        return not released or self.send(run_id, released, is_carried=False)

    def send_apart(self, run_id: str, hints: Sequence[Hint]) -> None:
        """Send steps by themselves, outside of any canvas."""
        try:
            self._sender.send_hints(hints)
        except BackendUnavailable as error:
            self._telemetry.emit("run.publish_failed", run_id=run_id, reason=error.reason)

    def send(self, run_id: str, steps: Sequence[Released], *, is_carried: bool) -> bool:
        """Send steps that were released; tell whether the broker took them."""
        run = self._catalogue.run(run_id)
        opened = (
            [] if run.resumed_from is not None else _opened(run, {step.step_id for step in steps})
        )
        heads = {head for unit in opened for head in unit.heads}
        others = [step for step in steps if step.step_id not in heads]
        try:
            for unit in opened:
                self._sender.send_unit(run, unit)
            unsent = self._not_brought(run, others) if is_carried else others
            self._sender.send_hints([step.hint for step in unsent])
        except BackendUnavailable as error:
            # The rows are queued: the reconciler publishes them once the broker is back (R4).
            self._telemetry.emit("run.publish_failed", run_id=run_id, reason=error.reason)
            return False
        return True

    def _not_brought(self, run: RunInfo, steps: Sequence[Released]) -> list[Released]:
        """Return those of some steps whose messages a canvas that goes on does not bring.

        An attempt that is made again has a message of its own, outside of the canvas. In the
        middle of a row it is its end that sends the next step; but a chord does not count it, and
        would never send its body.
        """
        compiled = run.compiled
        joins = [step for step in steps if len(compiled.graph.upstreams[step.step_id]) > 1]
        return [
            step
            for step in joins
            if self._ledger.any_apart(run.run_id, compiled.travelling_with[step.step_id])
        ]


class AfterCommit(Protocol):
    """What follows an end once it is written, besides the messages of the steps released."""

    def go_on(self, follow_up: FollowUp) -> None:
        """Decide what has to be decided, let in what waited for room, and tell of runs that ended."""
        ...


def configured(
    run: RunInfo,
    step: TaskDefinition,
    outputs: Mapping[str, Output],
    items: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return a step's configuration with values in place of its references."""
    resolved: dict[str, Any] = resolve(
        step.configuration,
        parameters=run.values,
        outputs=outputs,
        run=run.fields,
        items=items,
    )
    return resolved


def output_of(text: str) -> Output:
    """Return a step's output from what the ledger keeps of it."""
    kept = from_json(text)
    return Output(**{name: value for name, value in kept.items() if name in _OUTPUT_FIELDS})


def _opened(run: RunInfo, released: set[str]) -> list[Unit]:
    """Return the units whose first steps have all just been released."""
    found = run.compiled.opened_by
    units = dict.fromkeys(found[step_id] for step_id in released if step_id in found)
    places = [place for place in units if released.issuperset(run.compiled.units[place].heads)]
    return [run.compiled.units[place] for place in sorted(places)]


def _items(step: TaskDefinition, claimed: Claimed) -> Mapping[str, Any]:
    """Return the element that a step is for, by what it is called; nothing for most steps."""
    if step.map is None or claimed.metadata is None:
        return {}
    return {step.map.as_: json.loads(claimed.metadata)["map"]["value"]}


def _apart(steps: Sequence[Settled]) -> list[tuple[bool, list[Settled]]]:
    """Return those that are one of many apart from the others, each with whether it is that."""
    many = [step for step in steps if base_of(str(step.step_id)) != step.step_id]
    if not many:
        return [(False, [*steps])]
    return [(False, [step for step in steps if step not in many]), (True, many)]


def _counts_as_success(compiled: Compiled, step: Settled) -> bool:
    """Tell whether a step's end lets others start as its success does."""
    if step.state is State.SUCCEEDED:
        return True
    is_failure = step.state in {State.FAILED, State.TIMED_OUT}
    return is_failure and compiled.step_of(str(step.step_id)).continues_on_error


def _by_run(settled: Sequence[Settled]) -> dict[str, list[Settled]]:
    """Return settled steps by run; both in a fixed order, so that no two callers deadlock."""
    steps: dict[str, list[Settled]] = defaultdict(list)
    for step in sorted(settled, key=lambda step: (str(step.run_id), step.task_id)):
        steps[str(step.run_id)].append(step)
    return steps


def _downstreams(step: Settled) -> list[str]:
    names: list[str] = json.loads(step.downstreams or "[]")
    return names


def _released(counted: Counted) -> Released:
    return Released(str(counted.hint.step_id), counted.hint)
