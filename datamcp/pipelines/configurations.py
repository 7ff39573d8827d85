"""What is wrong with the configurations of steps, as far as it can be told before a run. Pure.

What a reference stands for is not known yet, so nothing is said of a place that holds one, nor of
what depends on it; keys are never references.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic_core import ErrorDetails

from datamcp.errors import Problem, UnknownTaskTypeError
from datamcp.pipelines.complaint import Place, message, path_of, place_of
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.references import strings


@runtime_checkable
class Checked(Protocol):
    """Knows what a task type takes, and what is wrong with values for it."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the parameters."""
        ...

    def errors(self, values: Mapping[str, Any]) -> list[ErrorDetails]:
        """Return what is wrong with JSON values, as pydantic tells it; nothing if they fit."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Knows more of values than their form tells."""

    def faults(self, values: Mapping[str, Any]) -> Sequence[Problem]:
        """Return what is wrong with values whose form is right, each with its path inside them."""
        ...


Finder = Callable[[str], Checked | None]
"""Returns what a processor accepts, None if that is not known; raises UnknownTaskTypeError.

It raises for a name that no processor and no capability has.
"""


def wrong_configurations(definition: PipelineDefinition, find: Finder) -> Iterator[Problem]:
    """Yield every processor that does not exist, and what others do not accept."""
    for place, step in definition.placed:
        try:
            accepted = find(step.processor)
        except UnknownTaskTypeError as error:
            text = str(error).replace("unknown task type", "unknown processor", 1)
            yield Problem(f"{place}.processor", text)
            continue
        if accepted is not None:
            path = f"{place}.configuration"
            found = list(_wrong(path, step, accepted))
            yield from found
            if not found and isinstance(accepted, Judge):
                yield from _faults(path, step, accepted)


def _wrong(path: str, step: TaskDefinition, accepted: Checked) -> Iterator[Problem]:
    given = dict(step.configuration)
    if "inputs" in accepted.names:
        given.setdefault("inputs", {})
    for error in accepted.errors(given):
        place = place_of(error, given)
        if not _may_be_a_reference_s(error, place, given):
            keys = accepted.names if len(place) == 1 else ()
            yield Problem(f"{path}.{path_of(place)}".rstrip("."), message(place, error, keys))


def _faults(path: str, step: TaskDefinition, judge: Judge) -> Iterator[Problem]:
    if not _holds_reference(step.configuration):
        for fault in judge.faults(step.configuration):
            yield Problem(f"{path}.{fault.path}".rstrip("."), fault.message)


def _may_be_a_reference_s(error: ErrorDetails, place: Place, value: Any) -> bool:
    """Tell whether what an error is about depends on a reference."""
    is_structure = error["type"] in {"missing", "extra_forbidden"}
    if is_structure and len(place) == len(error["loc"]):
        return False
    return _holds_reference(_at(value, place[:-1] if is_structure else place))


def _at(value: Any, place: Place) -> Any:
    for part in place:
        value = value[part]
    return value


def _holds_reference(value: Any) -> bool:
    return any("${" in text for _, text in strings(value))
