"""References in a step's configuration: what they name, the edges they are, and their values.

`${parameters.x}`, `${outputs.STEP.value|path|records_out}` and the fields of `${run.…}` are all
there is; `${outputs.STEP}` alone is the step's value or, where it has none, its path. In a step
that is repeated for each element of a list (`map`), `${item}`, or what `as` calls it, is the
element, and `${item.key}` a part of it. A string that is one reference becomes the value itself,
with its type; inside longer text the value is written out. `$${` stands for `${`. A value is never
evaluated, nor searched for references again.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

from datamcp.errors import InvalidParametersError, Problem, ProcessingError
from datamcp.naming import did_you_mean
from datamcp.pipelines.definition import ParameterDefinition, PipelineDefinition
from datamcp.types import JSONValue

OUTPUT_FIELDS = ("value", "path", "records_out")
RUN_FIELDS = ("run_id", "fire_at", "interval_start", "interval_end")

_ESCAPE = "$${"
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")


Source = Literal["parameters", "outputs", "run", "item"]
"""Where the values of references come from."""


class StepOutput(Protocol):
    """What a finished step left behind, as far as references can name it."""

    @property
    def value(self) -> Any:
        """Return the JSON value, if there is one."""

    @property
    def path(self) -> str | None:
        """Return where the step's file is, if there is one."""

    @property
    def records_out(self) -> int | None:
        """Return how many records the step wrote, if it counted them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${…}`: `name` is a parameter, a step, a field of the run, or what an element is called.

    `field` is a step's field, or the path of a part of an element.
    """

    source: Source
    name: str
    field: str = ""

    def __str__(self) -> str:
        """Return the reference as it is written in a file."""
        source = "" if self.source == "item" else self.source
        return "${" + ".".join(filter(None, (source, self.name, self.field))) + "}"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A `${…}` that is no reference: its text, and what is wrong with it."""

    text: str
    message: str


Token = str | Reference | Malformed
"""A piece of a string: literal text, a reference, or something that only looks like one."""


def tokens(text: str, item: str | None = None) -> Iterator[Token]:
    """Yield the pieces of a string, in order; `item` is what an element is called here."""
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        is_closed = bool(match[2])
        yield "${" if match[0] == _ESCAPE else _parse(match[0], match[1], item, is_closed=is_closed)
        end = match.end()
    if end < len(text):
        yield text[end:]


def _parse(text: str, inner: str, item: str | None, *, is_closed: bool) -> Reference | Malformed:
    source, _, name = inner.strip().partition(".")
    step, _, field = name.rpartition(".")
    match source:
        case _ if not is_closed:
            return Malformed(text, f"{text!r} is never closed by '}}'")
        case _ if item is not None and source == item:
            return Reference("item", source, name)
        case "parameters" if name:
            return Reference("parameters", name)
        case "outputs" if step and field in OUTPUT_FIELDS:
            return Reference("outputs", step, field)
        case "outputs" if name:
            return Reference("outputs", name)
        case "run" if name in RUN_FIELDS:
            return Reference("run", name)
    known = (
        "${parameters.NAME}, ${outputs.STEP.value|path|records_out}, "
        f"${{run.{'|'.join(RUN_FIELDS)}}}"
    )
    if item is not None:
        known += f", ${{{item}}}"
    return Malformed(text, f"{text!r} is no reference; there are {known}")


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string nested in a JSON value with the path to it, as in `.tables[0].sql`."""
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, item in value.items():
                yield from strings(item, f"{path}.{key}")
        case Sequence():
            for index, item in enumerate(value):
                yield from strings(item, f"{path}[{index}]")


def edges(configuration: Any, item: str | None = None) -> set[str]:
    """Return the steps whose outputs a configuration refers to."""
    return {
        token.name
        for _, text in strings(configuration)
        for token in tokens(text, item)
        if isinstance(token, Reference) and token.source == "outputs"
    }


def resolve(
    configuration: Any,
    *,
    parameters: Mapping[str, JSONValue],
    outputs: Mapping[str, StepOutput],
    run: Mapping[str, JSONValue],
    items: Mapping[str, JSONValue] = MappingProxyType({}),
) -> Any:
    """Return a configuration with values in place of its references.

    `items` is the element, by what it is called, in a step that is one of many. Raises
    ProcessingError if a reference names nothing, or nothing that has a value.
    """
    scope = _Scope(parameters, outputs, run, items)
    return scope.fill(configuration)


@dataclass(frozen=True, slots=True)
class _Scope:
    parameters: Mapping[str, JSONValue]
    outputs: Mapping[str, StepOutput]
    run: Mapping[str, JSONValue]
    items: Mapping[str, JSONValue]

    def fill(self, value: Any) -> Any:
        match value:
            case str():
                return self._fill_text(list(tokens(value, next(iter(self.items), None))))
            case Mapping():
                return {key: self.fill(item) for key, item in value.items()}
            case Sequence():
                return [self.fill(item) for item in value]
        return value

    def _fill_text(self, pieces: list[Token]) -> Any:
        match pieces:
            case [Reference() as reference]:
                return self._value_of(reference)
        return "".join(self._text_of(piece) for piece in pieces)

    def _text_of(self, piece: Token) -> str:
        match piece:
            case str():
                return piece
            case Malformed():
                raise ProcessingError(piece.message)
        value = self._value_of(piece)
        if value is None:
            raise ProcessingError(f"{piece} is null and can't be part of a text")
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    def _value_of(self, reference: Reference) -> Any:
        match reference.source:
            case "parameters":
                return _named(reference, self.parameters)
            case "run":
                return _named(reference, self.run)
            case "outputs":
                return _field_of(reference, _named(reference, self.outputs))
            case "item":
                return _part_of(reference, _named(reference, self.items))


def _part_of(reference: Reference, value: Any) -> Any:
    for key in filter(None, reference.field.split(".")):
        match value:
            case Mapping() if key in value:
                value = value[key]
            case list() if key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            case _:
                raise ProcessingError(f"{reference} names nothing: the element has no {key!r}")
    return value


def _named(reference: Reference, values: Mapping[str, Any]) -> Any:
    if reference.name not in values:
        raise ProcessingError(f"{reference} has no value in this run")
    return values[reference.name]


def _field_of(reference: Reference, output: StepOutput) -> Any:
    match reference.field:
        case "value":
            return output.value
        case "":
            return output.path if output.value is None else output.value
    found = getattr(output, reference.field)
    if found is None:
        raise ProcessingError(f"{reference} is empty: the step left no {reference.field}")
    return found


def bind_parameters(
    definition: PipelineDefinition, given: Mapping[str, JSONValue]
) -> dict[str, JSONValue]:
    """Return the value of every parameter of a run: the one given, else its default.

    Raises InvalidParametersError with everything that is unknown, missing or of the wrong type.
    """
    declared = definition.parameters
    problems = [
        Problem(name, "is not a parameter" + did_you_mean(name, declared))
        for name in given
        if name not in declared
    ]
    problems += [
        problem
        for name, parameter in declared.items()
        for problem in _parameter_problems(name, parameter, given)
    ]
    if problems:
        raise InvalidParametersError(definition.pipeline_id, problems)
    return {name: given.get(name, parameter.default) for name, parameter in declared.items()}


def _parameter_problems(
    name: str, parameter: ParameterDefinition, given: Mapping[str, JSONValue]
) -> Iterator[Problem]:
    if name not in given:
        if parameter.is_required:
            yield Problem(name, "is required")
    elif not parameter.accepts(given[name]):
        yield Problem(name, f"must be of type {parameter.type}, got {given[name]!r}")
