"""Expressions, the safe language of a step's `when`. Pure.

    outputs.flights.records_out > 0 and parameters.mode in ["full", "test"]
    default(outputs.check.value.errors[0].code, 0) != 404 or outputs.check.state == "skipped"

*Values* are JSON: numbers, 'texts' in either quotes, true, false, null, lists. *Names* are
`parameters.NAME`, `outputs.STEP` (its value or, without one, its path), `outputs.STEP.value`,
`.path`, `.records_out`, `.state`, `run.run_id`, `run.fire_at` and, in a mapped step, what its map
calls the element. `.key`, `["key"]` and `[0]` look into values; `${…}` may stand around a name.
*Operators*, from the loosest: or; and; not; == != < <= > >= in, not in; + -; * / %; unary minus.
*Functions:* len, lower, upper, contains, starts_with, ends_with, default, int, float, str, abs,
min, max, exists. There is nothing else, and Python's interpreter never sees the text.

A key or place that is not there is null, so is what a step left not, or not yet; nothing can be
ordered against null, or added to it. `and` and `or` return one of their sides, as in Python, and
look at the second only if they must.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datamcp.errors import ProcessingError
from datamcp.pipelines.expression.names import Names
from datamcp.pipelines.expression.operations import is_true
from datamcp.pipelines.expression.parser import (
    Apply,
    Instruction,
    Jump,
    Load,
    Push,
    parse_code,
)
from datamcp.pipelines.references import Reference, StepOutput
from datamcp.types import JSONValue

__all__ = ["Expression", "Names", "Output", "Scope", "is_true", "parse"]

_MAX_SHOWN = 100  # characters of an expression that a message repeats

_ANY = Names()

Output = StepOutput | Mapping[str, Any]
"""What a step left: attributes or keys value, path, records_out, state; any may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the names of an expression stand for; `items` holds a map's element by its name."""

    parameters: Mapping[str, JSONValue] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    run: Mapping[str, JSONValue] = field(default_factory=dict)
    items: Mapping[str, JSONValue] = field(default_factory=dict)

    def value_of(self, reference: Reference) -> Any:
        """Return what a reference names; raises ProcessingError if it is neither there nor a step."""
        match reference.source:
            case "outputs":
                return _field_of(self.outputs.get(reference.name), reference.field)
            case "parameters":
                values, name = self.parameters, reference.name
            case "run":
                values, name = self.run, reference.name
            case "item":
                values, name = self.items, reference.name
        if name not in values:
            raise ProcessingError(f"{reference} has no value in this run")
        return values[name]


def _field_of(output: Output | None, name: str) -> Any:
    if output is None:
        return None
    if not name:
        value = _field_of(output, "value")
        return _field_of(output, "path") if value is None else value
    found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return str(found) if name == "state" and found is not None else found


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was understood; `references` are all that it names, run or not."""

    text: str
    references: frozenset[Reference]
    code: tuple[Instruction, ...] = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> JSONValue:
        """Return its value; raises ProcessingError, with the expression in its message."""
        try:
            return self._run(scope)
        except ProcessingError as error:
            reason = str(error)
        except OverflowError:
            reason = "the result is too large a number"
        raise ProcessingError(f"expression {_shown(self.text)!r}: {reason}")

    def _run(self, scope: Scope) -> JSONValue:
        stack: list[JSONValue] = []
        at = 0
        while at < len(self.code):
            instruction = self.code[at]
            at += 1
            match instruction:
                case Push(value):
                    stack.append(value)
                case Load(reference):
                    stack.append(scope.value_of(reference))
                case Apply(function, count):
                    first = len(stack) - count
                    stack[first:] = [function(*stack[first:])]
                case Jump(condition, to) if condition(stack[-1]):
                    at = to
                case Jump():
                    stack.pop()
        return stack.pop()


def parse(text: str, names: Names = _ANY) -> Expression:
    """Return the expression that a text holds; `names` are what it may name, as far as known.

    Raises ExpressionError with a message of one line that names the column, from 1.
    """
    parsed = parse_code(text, names)
    return Expression(text, parsed.references, parsed.code)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SHOWN else line[: _MAX_SHOWN - 1] + "…"
