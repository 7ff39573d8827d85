"""Definitions made ready to run, kept per process: a revision never changes."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from datamcp.errors import PipelineNotFoundError, RunNotFoundError
from datamcp.infra.database import Row
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.plan import Unit, compile_plan, units

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
        return units(compile_plan(self.graph), self.graph, chords=self.chords)

    @cached_property
    def steps(self) -> Mapping[str, TaskDefinition]:
        """The steps by id, in order of definition."""
        return {step.task_id: step for step in self.definition.tasks}


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What never changes about a run."""

    run_id: str
    parameters: str  # JSON
    fire_at: str  # when it was triggered, or triggered for: ISO 8601, UTC
    compiled: Compiled


class Catalogue:
    """Finds definitions and runs, and remembers the last ones."""

    def __init__(self, ledger: PipelineLedger, *, chords: bool) -> None:
        """Take where they are kept, and whether canvases may hold chords."""
        self._ledger = ledger
        self._chords = chords
        self._definitions: _Recent[tuple[str, int], Compiled] = _Recent()
        self._runs: _Recent[str, RunInfo] = _Recent()

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
            fire_at = (row.scheduled_at or row.created_at).isoformat()
            info = RunInfo(run_id, row.parameters, fire_at, compiled)
            self._runs.keep(run_id, info)
        return info

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


class _Recent(Generic[K, V]):
    """The values that were used last. Safe to share between threads."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > _KEPT:
                self._values.popitem(last=False)
