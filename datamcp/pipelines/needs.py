"""What the texts of a step refer to, wherever they stand. Pure."""

from collections.abc import Iterator

from datamcp.errors import ExpressionError
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.expression.expression import Expression, Names, parse
from datamcp.pipelines.references import edges


def item_of(step: TaskDefinition) -> str | None:
    """Return what an element is called in a step that is repeated for each; None in others."""
    return None if step.map is None else step.map.as_


def needed(definition: PipelineDefinition, step: TaskDefinition) -> set[str]:
    """Return the steps whose outputs a step refers to: edges, all of them.

    A condition that is wrong names none; it is found by `check`.
    """
    found = edges(step.configuration, item_of(step))
    found |= edges(list(texts(step)), item_of(step))
    if step.when is not None:
        found |= _in_condition(definition, step)
    return found


def texts(step: TaskDefinition) -> Iterator[str]:
    """Yield the texts with references that are read before a step starts."""
    if step.map is not None:
        yield step.map.over
    if step.concurrency_key is not None:
        yield step.concurrency_key
    if step.cache is not None:
        yield step.cache.key


def condition_of(definition: PipelineDefinition, step: TaskDefinition) -> Expression:
    """Return a step's condition; raises ExpressionError. The step must have one."""
    return parse(step.when or "", Names.of(definition, step))


def _in_condition(definition: PipelineDefinition, step: TaskDefinition) -> set[str]:
    try:
        condition = condition_of(definition, step)
    except ExpressionError:
        return set()
    return {one.name for one in condition.references if one.source == "outputs"}
