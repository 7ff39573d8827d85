"""What is wrong with a definition as a whole: names that do not exist, cycles, references. Pure."""

from collections.abc import Collection, Iterator

from datamcp.errors import ExpressionError, Problem
from datamcp.naming import did_you_mean
from datamcp.pipelines.configurations import Finder, wrong_configurations
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.deliveries import expand, wrong_destinations
from datamcp.pipelines.gate import SLOTLESS
from datamcp.pipelines.graph import cycles, show, upstreams_of
from datamcp.pipelines.needs import condition_of, item_of
from datamcp.pipelines.references import (
    OUTPUT_FIELDS,
    Malformed,
    Reference,
    Token,
    strings,
    tokens,
)
from datamcp.pipelines.unsupported import unsupported
from datamcp.tasks.retry import RetryPolicy

_SOURCES = frozenset({"parameters", "outputs", "run"})

_FORGIVING = RetryPolicy(continue_on_error=True)


def check(
    definition: PipelineDefinition,
    known: Collection[str] | None = None,
    *,
    find: Finder | None = None,
    most_retries: int | None = None,
) -> list[Problem]:
    """Return everything that is wrong with a definition, and nothing if it may be registered.

    `known` holds the task types of all agents and processors, `find` tells what they accept;
    without the two, `processor` and `configuration` are not looked at. `most_retries` is how many
    a step may ask for. A place that asks for something unsupported is not blamed a second time.
    """
    written, expanded = definition, expand(definition)
    definition = expanded.definition
    problems = [*unsupported(definition), *wrong_destinations(written)]
    refused = {problem.path for problem in problems}
    found = [
        *_duplicates(definition),
        *_unknown_steps(definition),
        *_before_the_last(definition),
        *_wrong_references(definition),
        *_wrong_conditions(definition),
        *_wrong_maps(definition),
        *_wrong_waits(definition),
        *_unknown_processors(definition, known),
        *(() if find is None else wrong_configurations(definition, find)),
        *_references_in_queries(definition),
        *_too_many_retries(definition, most_retries),
        *_cycles(definition),
        *_schedule_without_parameters(definition),
    ]
    told = dict.fromkeys(map(expanded.as_written, found))  # several may be of one destination
    return problems + [problem for problem in told if problem.path not in refused]


def _schedule_without_parameters(definition: PipelineDefinition) -> Iterator[Problem]:
    missing = [name for name, one in definition.parameters.items() if one.is_required]
    if definition.schedule is not None and missing:
        message = (
            f"its runs are given no parameters, and {', '.join(missing)} must be: name a default, "
            "or leave the schedule out and use `datamcp schedule add --pipeline`"
        )
        yield Problem("schedule", message)


def _duplicates(definition: PipelineDefinition) -> Iterator[Problem]:
    first = _steps(definition)
    for path, step in definition.placed:
        if first[step.task_id] != path:
            message = f"step {step.task_id!r} is already defined by {first[step.task_id]}"
            yield Problem(f"{path}.task_id", message)


def _unknown_steps(definition: PipelineDefinition) -> Iterator[Problem]:
    steps = _steps(definition)
    named = [
        (f"{path}.input_sources[{place}]", source)
        for path, step in definition.placed
        for place, source in enumerate(step.input_sources)
    ]
    for waiting, ups in definition.dependencies.items():
        named.append((f"dependencies.{waiting}", waiting))
        named += [(f"dependencies.{waiting}[{place}]", step) for place, step in enumerate(ups)]
    for path, name in named:
        if name not in steps:
            yield Problem(path, _unknown_step(name, steps))


def _before_the_last(definition: PipelineDefinition) -> Iterator[Problem]:
    """Find steps that wait for one of `finally`, which waits for them."""
    last = _only_last(definition)
    above = upstreams_of(definition)
    paths = _steps(definition)
    for step in definition.tasks:
        for up in last.intersection(above[step.task_id]):
            message = f"can't wait for {up!r}: it stands in `finally`, and runs after all others"
            yield Problem(paths[step.task_id], message)


def _wrong_references(definition: PipelineDefinition) -> Iterator[Problem]:
    steps = _steps(definition)
    for place, step in definition.placed:
        item = item_of(step)
        for path, text, name in _texts(place, step):
            for token in tokens(text, item if name else None):
                message = _wrong(token, definition, steps)
                if message:
                    yield Problem(path, message)


def _texts(place: str, step: TaskDefinition) -> Iterator[tuple[str, str, bool]]:
    """Yield every text that may hold references: its path, itself, and whether of an element."""
    for path, text in strings(step.configuration, f"{place}.configuration"):
        yield path, text, True
    if step.map is not None:
        yield f"{place}.map.over", step.map.over, False
    if step.concurrency_key is not None:
        yield f"{place}.concurrency_key", step.concurrency_key, True
    if step.cache is not None:
        yield f"{place}.cache.key", step.cache.key, True


def _wrong_conditions(definition: PipelineDefinition) -> Iterator[Problem]:
    for place, step in definition.placed:
        if step.when is not None:
            try:
                condition_of(definition, step)
            except ExpressionError as error:
                yield Problem(f"{place}.when", str(error))


def _wrong_maps(definition: PipelineDefinition) -> Iterator[Problem]:
    for place, step in definition.placed:
        if step.map is None:
            continue
        if step.map.as_ in _SOURCES:
            message = f"can't be {step.map.as_!r}: ${{{step.map.as_}.…}} means something else"
            yield Problem(f"{place}.map.as", message)
        match list(tokens(step.map.over)):
            case [Reference() | Malformed()]:
                continue
        message = "must be one reference to a list, such as ${outputs.STEP.value}"
        yield Problem(f"{place}.map.over", message)


def _wrong_waits(definition: PipelineDefinition) -> Iterator[Problem]:
    """Find what makes no sense for a step that no worker runs."""
    for place, step in definition.placed:
        if step.processor not in SLOTLESS:
            continue
        for name in ("retry_policy", "cache"):
            asked = getattr(step, name)
            if asked is not None and asked != _FORGIVING:
                message = f"`{step.processor}` waits, and is not tried again; leave out {name}"
                yield Problem(f"{place}.{name}", message)


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
    for path, step in definition.placed:
        if known is not None and step.processor not in known:
            message = f"unknown processor {step.processor!r}" + did_you_mean(step.processor, known)
            yield Problem(f"{path}.processor", message)


def _references_in_queries(definition: PipelineDefinition) -> Iterator[Problem]:
    """Refuse what would write a value of whoever starts a run into SQL that a server runs."""
    for place, task in definition.placed:
        query = task.configuration.get("query") if task.processor == "sql.read" else None
        if isinstance(query, str) and any(isinstance(one, Reference) for one in tokens(query)):
            message = (
                "a query takes no references: write :name in it, and the reference as `name` "
                "under parameters"
            )
            yield Problem(f"{place}.configuration.query", message)


def _too_many_retries(definition: PipelineDefinition, most: int | None) -> Iterator[Problem]:
    for path, step in definition.placed:
        asked = 0 if step.retry_policy is None else step.retry_policy.max_attempts - 1
        if most is not None and asked > most:
            message = (
                f"must be at most {most + 1}, got {asked + 1}: `pipelines.max_retry_attempts` "
                f"allows a step {most} retries"
            )
            yield Problem(f"{path}.retry_policy.max_attempts", message)


def _cycles(definition: PipelineDefinition) -> Iterator[Problem]:
    first = _steps(definition)
    last, others = _only_last(definition), {step.task_id for step in definition.tasks}
    twice = others.intersection(step.task_id for step in definition.finally_)
    for cycle in cycles(upstreams_of(definition)):
        is_told = twice.intersection(cycle) or (
            last.intersection(cycle) and others.intersection(cycle)
        )
        if is_told:  # as a step that is defined twice, or one that waits for `finally`
            continue
        yield Problem(first[cycle[0]], f"cycle: {show(cycle)}")


def _only_last(definition: PipelineDefinition) -> set[str]:
    last = {step.task_id for step in definition.finally_}
    return last - {step.task_id for step in definition.tasks}


def _steps(definition: PipelineDefinition) -> dict[str, str]:
    # Where each step is defined, for the first time if more than once.
    steps: dict[str, str] = {}
    for path, step in definition.placed:
        steps.setdefault(step.task_id, path)
    return steps


def _unknown_step(step: str, steps: Collection[str]) -> str:
    return f"unknown step {step!r}" + did_you_mean(step, steps)
