"""What an expression may name, and how far the name in its text goes. Pure.

The ids of steps and parameters may hold `.` and `-`, which have other meanings in an expression
too. Where the ids are known, the longest one that fits is meant. Where they are not, a step's id
goes up to the first `.value`, `.path`, `.records_out` or `.state`, and a parameter's to the first
dot. What is neither can always be written as `outputs["my.step"]`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from datamcp.pipelines.definition import (
    MAX_ID_LENGTH,
    MapSpec,
    PipelineDefinition,
    TaskDefinition,
)
from datamcp.pipelines.references import OUTPUT_FIELDS, RUN_FIELDS

STEP_FIELDS = (*OUTPUT_FIELDS, "state")
"""What an expression can ask of a step."""

SOURCES = {"parameters": "parameter", "outputs": "step", "run": "field of the run"}
"""Where values come from, and what is named behind the dot."""

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_GUESSED = {
    "parameters": re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9_]"),
    "outputs": re.compile(rf".+?(?=\.(?:{'|'.join(STEP_FIELDS)})(?![A-Za-z0-9_]))|.*[A-Za-z0-9_]"),
    "run": _WORD,
}


@dataclass(frozen=True, slots=True)
class Names:
    """What may be named: parameters, steps, and what a mapped step calls its element.

    Parameters and steps that are None are not known: any name will do.
    """

    parameters: Collection[str] | None = None
    steps: Collection[str] | None = None
    items: Collection[str] = (MapSpec.model_fields["as_"].default,)

    @classmethod
    def of(cls, definition: PipelineDefinition, step: TaskDefinition) -> "Names":
        """Return what a step's `when` may name."""
        return cls(
            parameters=frozenset(definition.parameters),
            steps=definition.step_ids,
            items=() if step.map is None else (step.map.as_,),
        )

    def known(self, source: str) -> Collection[str] | None:
        """Return the names that a source has; None if they are not known."""
        match source:
            case "parameters":
                return self.parameters
            case "outputs":
                return self.steps
        return RUN_FIELDS

    def read(self, source: str, text: str, start: int) -> str:
        """Return the name at a place of a text, whether it exists or not; empty if there is none."""
        found = _ID.match(text, start)
        if found is None:
            return ""
        known = self.known(source)
        longest = None if known is None else longest_of(known, text, start)
        if longest is not None:
            return longest
        guessed = _GUESSED[source].match(found[0])
        return guessed[0] if guessed else found[0]


def longest_of(names: Collection[str], text: str, start: int) -> str | None:
    """Return the longest of some names that stands whole at a place of a text, if one does."""
    found = _ID.match(text, start)
    if found is None:
        return None
    run = found[0][: MAX_ID_LENGTH + 1]
    ends = range(min(len(run), MAX_ID_LENGTH), 0, -1)
    fitting = (run[:end] for end in ends if not _WORD.match(run, end))
    return next((name for name in fitting if name in names), None)


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a step or a parameter."""
    return len(text) <= MAX_ID_LENGTH and _ID.fullmatch(text) is not None
