"""The outputs of a run's steps, and the values that texts of other steps take from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from datamcp.infra.database import Connection
from datamcp.pipelines.compiled import RunInfo
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.needs import item_of
from datamcp.pipelines.references import resolve
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.processors.processor import Output

_FIELDS = frozenset(Output.model_fields)

NOTHING = Output()
"""What a step has left that did not succeed, or was skipped."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a step has left: its output, and how it ended."""

    output: Output
    state: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What the texts of a step may name."""

    run: RunInfo
    outputs: Mapping[str, Kept]
    items: Mapping[str, Any]

    @property
    def left(self) -> dict[str, Output]:
        """The outputs alone, by step."""
        return {name: kept.output for name, kept in self.outputs.items()}

    @classmethod
    def of(
        cls, run: RunInfo, outputs: Mapping[str, Kept], step: TaskDefinition, element: Any
    ) -> "Scope":
        """Return the scope of a step; `element` is for one of many."""
        item = item_of(step)
        return cls(run, outputs, {} if item is None else {item: element})


def outputs_of(
    steps: StepLedger, connection: Connection, run: RunInfo, step: TaskDefinition
) -> dict[str, Kept]:
    """Return what the steps have left that a step refers to, or takes as its inputs."""
    wanted = {*run.compiled.needs[step.task_id], *step.input_sources}
    left = steps.left(connection, run.run_id, sorted(wanted)) if wanted else {}
    return {name: Kept(read_output(one.output), one.state) for name, one in left.items()}


def read_output(text: str | None) -> Output:
    """Return a step's output from what the ledger keeps of it; an empty one of nothing."""
    if text is None:
        return NOTHING
    kept = from_json(text)
    return Output(**{name: value for name, value in kept.items() if name in _FIELDS})


def value_of(text: str, scope: Scope) -> Any:
    """Return a text with values in place of its references; raises ProcessingError."""
    return resolved(text, scope)


def resolved(configuration: Any, scope: Scope) -> Any:
    """Return a configuration with values in place of its references; raises ProcessingError."""
    return resolve(
        configuration,
        parameters=scope.run.values,
        outputs=scope.left,
        run=scope.run.fields,
        items=scope.items,
    )


def text_of(text: str, scope: Scope) -> str:
    """Return a text with its references written out; raises ProcessingError."""
    value = value_of(text, scope)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
