"""A run as it would be, before any of its steps has left an output. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.gate import RUN, SLOTLESS, rule_of
from datamcp.pipelines.needs import item_of
from datamcp.pipelines.references import Malformed, Reference, Token, tokens
from datamcp.types import JSONValue


def filled(value: Any, parameters: Mapping[str, JSONValue], item: str | None = None) -> Any:
    """Return a configuration with the values of parameters; other references stay as written.

    `item` is what an element is called in a step that is repeated for each.
    """
    match value:
        case str():
            return _text(value, parameters, item)
        case Mapping():
            return {key: filled(one, parameters, item) for key, one in value.items()}
        case Sequence():
            return [filled(one, parameters, item) for one in value]
    return value


def configuration_of(
    step: TaskDefinition, parameters: Mapping[str, JSONValue]
) -> dict[str, JSONValue]:
    """Return a step's configuration, as far as it is known before the run."""
    found: dict[str, JSONValue] = filled(step.configuration, parameters, item_of(step))
    return found


def remarks(
    definition: PipelineDefinition, step: TaskDefinition, parameters: Mapping[str, JSONValue]
) -> Iterator[str]:
    """Yield what decides whether, when and how often a step runs, besides its upstreams."""
    item = item_of(step)
    rule = rule_of(definition, step)
    if step in definition.finally_:
        yield "finally: after all others"
    if rule != "all_success":
        yield f"trigger_rule: {rule}"
    if step.when is not None:
        yield f"when: {step.when}"
    if step.map is not None:
        over = filled(step.map.over, parameters)
        count = f", {len(over):,} of them" if isinstance(over, list) else ""
        most = f", {step.map.max_parallel} at once" if step.map.max_parallel else ""
        shown = step.map.over if count else over
        yield f"map: for each {step.map.as_} of {shown}{count}{most}"
    if step.concurrency_key is not None:
        key = filled(step.concurrency_key, parameters, item)
        yield f"concurrency_key: one at a time with the key {key}"
    if step.cache is not None:
        yield f"cache: the output is taken over from a run with the key {step.cache.key}"
    if step.processor == RUN:
        yield "runs another pipeline, and waits for its end"
    elif step.processor in SLOTLESS:
        yield "waits, and holds no slot"


def _text(text: str, parameters: Mapping[str, JSONValue], item: str | None) -> JSONValue:
    pieces = list(tokens(text, item))
    match pieces:
        case [Reference(source="parameters", name=name)] if name in parameters:
            return parameters[name]
    return "".join(_shown(piece, parameters) for piece in pieces)


def _shown(piece: Token, parameters: Mapping[str, JSONValue]) -> str:
    match piece:
        case Malformed():
            return piece.text
        case Reference(source="parameters", name=name) if name in parameters:
            value = parameters[name]
            return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return str(piece)
