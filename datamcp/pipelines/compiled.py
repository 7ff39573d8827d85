"""Definitions made ready to run, kept per process: a revision never changes."""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from datamcp.errors import PipelineNotFoundError, RunNotFoundError
from datamcp.infra.database import Row
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition, TriggerRule
from datamcp.pipelines.expression.expression import Expression
from datamcp.pipelines.gate import Gate, gate_of, rule_of
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.needs import condition_of, needed
from datamcp.pipelines.plan import Unit, compile_plan, units
from datamcp.pipelines.tree import steps_in
from datamcp.types import JSONValue

K = TypeVar("K")
V = TypeVar("V")

_KEPT = 256  # definitions, and runs, that a process remembers


@dataclass(frozen=True)
class Compiled:
    """A definition, its graph, and what is sent as one canvas."""

    definition: PipelineDefinition
    revision: int
    chords: bool  # whether the result backend counts chords

    @cached_property
    def graph(self) -> Graph:
        """The checked graph."""
        return Graph.of(self.definition)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What is sent at once, each beginning with steps that are released together."""
        return units(
            compile_plan(self.graph),
            self.graph,
            chords=self.chords,
            alone={step_id for step_id, gate in self.gates.items() if gate is not Gate.OPEN},
        )

    @cached_property
    def opened_by(self) -> Mapping[str, int]:
        """For each step that a unit begins with, the place of that unit."""
        return {head: place for place, unit in enumerate(self.units) for head in unit.heads}

    @cached_property
    def travelling_with(self) -> Mapping[str, frozenset[str]]:
        """For each step, the steps of the unit that it is part of."""
        units = (frozenset(steps_in(unit.tree)) for unit in self.units)
        return {step: unit for unit in units for step in unit}

    @cached_property
    def steps(self) -> Mapping[str, TaskDefinition]:
        """The steps by id, in order of definition."""
        return {step.task_id: step for step in self.definition.steps}

    @cached_property
    def gates(self) -> Mapping[str, Gate]:
        """When each step is looked at."""
        return {step_id: gate_of(self.definition, step) for step_id, step in self.steps.items()}

    @cached_property
    def needs(self) -> Mapping[str, frozenset[str]]:
        """For each step, the steps whose outputs its texts refer to."""
        return {
            step_id: frozenset(needed(self.definition, step))
            for step_id, step in self.steps.items()
        }

    @cached_property
    def conditions(self) -> Mapping[str, Expression]:
        """The conditions of the steps that have one."""
        return {
            step_id: condition_of(self.definition, step)
            for step_id, step in self.steps.items()
            if step.when is not None
        }

    @cached_property
    def place(self) -> Mapping[str, int]:
        """For each step, how many come before it in an order that has upstreams first."""
        return {step_id: index for index, step_id in enumerate(self.graph.order)}

    @cached_property
    def is_limited(self) -> bool:
        """Whether the end of a step may let another one in."""
        return self.definition.limits.steps is not None or any(
            step.concurrency_key is not None
            or (step.map is not None and step.map.max_parallel is not None)
            for step in self.steps.values()
        )

    def step_of(self, step_id: str) -> TaskDefinition:
        """Return the definition of a step, or of what one of many is made from."""
        return self.steps[base_of(step_id)]

    def rule_of(self, step_id: str) -> TriggerRule:
        """Return the trigger rule of a step."""
        return rule_of(self.definition, self.steps[step_id])

    def upstreams_of(self, step_id: str) -> Sequence[str]:
        """Return the steps that a step waits for; one of many has waited already."""
        return () if step_id not in self.steps else self.graph.upstreams[step_id]


def base_of(step_id: str) -> str:
    """Return the step that one of many, such as `signals[3]`, is made from; itself for others."""
    return step_id.partition("[")[0]


def instance_id(step_id: str, index: int) -> str:
    """Return what the one of many is called that is made from the element at `index`."""
    return f"{step_id}[{index}]"


@dataclass(frozen=True)
class RunInfo:
    """What never changes about a run, once it is so."""

    run_id: str
    parameters: str  # JSON
    fire_at: str  # when it was triggered, or triggered for: ISO 8601, UTC
    compiled: Compiled
    interval: tuple[str, str] | None = None  # of the data that it is for: from, to; as `fire_at`
    resumed_from: str | None = None  # the run that has done what it has taken over
    has_begun: bool = False  # it had when this process first saw it

    @property
    def fields(self) -> dict[str, JSONValue]:
        """Return what `${run.…}` names."""
        start, end = self.interval or (self.fire_at, self.fire_at)
        return {
            "run_id": self.run_id,
            "fire_at": self.fire_at,
            "interval_start": start,
            "interval_end": end,
        }

    @cached_property
    def values(self) -> Mapping[str, JSONValue]:
        """The values of its parameters."""
        values: dict[str, JSONValue] = json.loads(self.parameters)
        return values


class Catalogue:
    """Finds definitions and runs, and remembers the last ones."""

    def __init__(self, ledger: PipelineLedger, *, chords: bool) -> None:
        """Take where they are kept, and whether canvases may hold chords."""
        self._ledger = ledger
        self._chords = chords
        self._definitions: Recent[tuple[str, int], Compiled] = Recent()
        self._runs: Recent[str, RunInfo] = Recent()

    def newest(self, pipeline_id: str) -> Compiled:
        """Return the newest revision of a pipeline; raises PipelineNotFoundError."""
        row = self._ledger.pipeline(pipeline_id)
        if row is None:
            known = ", ".join(self._ledger.pipeline_ids()) or "none"
            raise PipelineNotFoundError(
                f"no pipeline {pipeline_id!r} is registered (registered: {known})"
            )
        return self._compiled(row)

    def run(self, run_id: str) -> RunInfo:
        """Return a run with its definition; raises RunNotFoundError."""
        info = self._runs.get(run_id)
        if info is None:
            row = self._ledger.run(run_id)
            if row is None:
                raise RunNotFoundError(run_id)
            compiled = self._revision(row.pipeline_id, row.revision)
            fire_at = (row.fire_at or row.scheduled_at or row.created_at).isoformat()
            ends = (row.interval_start, row.interval_end)
            interval = None if None in ends else (ends[0].isoformat(), ends[1].isoformat())
            info = RunInfo(
                run_id,
                row.parameters,
                fire_at,
                compiled,
                interval,
                row.resumed_from,
                has_begun=row.started_at is not None,
            )
            self._runs.keep(run_id, info)
        return info

    def revision(self, pipeline_id: str, revision: int) -> Compiled:
        """Return one revision of a pipeline; raises PipelineNotFoundError."""
        return self._revision(pipeline_id, revision)

    def _revision(self, pipeline_id: str, revision: int) -> Compiled:
        compiled = self._definitions.get((pipeline_id, revision))
        if compiled is not None:
            return compiled
        row = self._ledger.pipeline(pipeline_id, revision)
        if row is None:
            raise PipelineNotFoundError(f"revision {revision} of {pipeline_id!r} is not registered")
        return self._compiled(row)

    def _compiled(self, row: Row[Any]) -> Compiled:
        key = (row.pipeline_id, row.revision)
        compiled = self._definitions.get(key)
        if compiled is None:
            definition = PipelineDefinition.model_validate_json(row.definition)
            compiled = Compiled(definition, row.revision, self._chords)
            self._definitions.keep(key, compiled)
        return compiled


class Recent(Generic[K, V]):
    """The values that were used last. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return a value, if it is still there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value, in place of the one that was not used for the longest time."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > _KEPT:
                self._values.popitem(last=False)
