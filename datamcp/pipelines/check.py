"""What is wrong with a definition as a whole: names that do not exist, cycles, references. Pure."""

from collections.abc import Collection, Iterator

from datamcp.errors import Problem
from datamcp.naming import did_you_mean
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.graph import cycles, show, upstreams_of
from datamcp.pipelines.references import (
    OUTPUT_FIELDS,
    Malformed,
    Reference,
    Token,
    strings,
    tokens,
)
from datamcp.pipelines.unsupported import unsupported


def check(definition: PipelineDefinition, known: Collection[str] | None = None) -> list[Problem]:
    """Return everything that is wrong with a definition, and nothing if it may be registered.

    `known` holds the task types of all agents and processors; without it, `processor` is not
    looked at. A place that asks for something unsupported is not blamed a second time.
    """
    problems = unsupported(definition)
    refused = {problem.path for problem in problems}
    found = [
        *_duplicates(definition),
        *_unknown_steps(definition),
        *_wrong_references(definition),
        *_unknown_processors(definition, known),
        *_cycles(definition),
    ]
    return problems + [problem for problem in found if problem.path not in refused]


def _duplicates(definition: PipelineDefinition) -> Iterator[Problem]:
    first = _steps(definition)
    for index, task in enumerate(definition.tasks):
        if first[task.task_id] != index:
            message = f"step {task.task_id!r} is already defined by tasks[{first[task.task_id]}]"
            yield Problem(f"tasks[{index}].task_id", message)


def _unknown_steps(definition: PipelineDefinition) -> Iterator[Problem]:
    steps = _steps(definition)
    named = [
        (f"tasks[{index}].input_sources[{place}]", step)
        for index, task in enumerate(definition.tasks)
        for place, step in enumerate(task.input_sources)
    ]
    for waiting, ups in definition.dependencies.items():
        named.append((f"dependencies.{waiting}", waiting))
        named += [(f"dependencies.{waiting}[{place}]", step) for place, step in enumerate(ups)]
    for path, step in named:
        if step not in steps:
            yield Problem(path, _unknown_step(step, steps))


def _wrong_references(definition: PipelineDefinition) -> Iterator[Problem]:
    steps = _steps(definition)
    for index, task in enumerate(definition.tasks):
        for path, text in strings(task.configuration, f"tasks[{index}].configuration"):
            for token in tokens(text):
                message = _wrong(token, definition, steps)
                if message:
                    yield Problem(path, message)


def _wrong(token: Token, definition: PipelineDefinition, steps: Collection[str]) -> str:
    declared = definition.parameters
    match token:
        case Malformed():
            return token.message
        case Reference(source="parameters", name=name) if name not in declared:
            return f"unknown parameter {name!r}" + did_you_mean(name, declared)
        case Reference(source="outputs", name=name) if name not in steps:
            return _wrong_output(name, steps)
    return ""


def _wrong_output(name: str, steps: Collection[str]) -> str:
    step, _, field = name.rpartition(".")
    if step in steps:
        return f"an output has {', '.join(OUTPUT_FIELDS)}, not {field!r}" + did_you_mean(
            field, OUTPUT_FIELDS
        )
    return _unknown_step(name, steps)


def _unknown_processors(
    definition: PipelineDefinition, known: Collection[str] | None
) -> Iterator[Problem]:
    for index, task in enumerate(definition.tasks):
        if known is not None and task.processor not in known:
            message = f"unknown processor {task.processor!r}" + did_you_mean(task.processor, known)
            yield Problem(f"tasks[{index}].processor", message)


def _cycles(definition: PipelineDefinition) -> Iterator[Problem]:
    first = _steps(definition)
    for cycle in cycles(upstreams_of(definition)):
        yield Problem(f"tasks[{first[cycle[0]]}]", f"cycle: {show(cycle)}")


def _steps(definition: PipelineDefinition) -> dict[str, int]:
    # Where each step is defined, for the first time if more than once.
    steps: dict[str, int] = {}
    for index, task in enumerate(definition.tasks):
        steps.setdefault(task.task_id, index)
    return steps


def _unknown_step(step: str, steps: Collection[str]) -> str:
    return f"unknown step {step!r}" + did_you_mean(step, steps)
