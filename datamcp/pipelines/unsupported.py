"""What the grammar of pipelines has and this version can't do yet. Pure.

Refused when a pipeline is registered, so that nothing is silently left out of its runs. A value
that equals the default changes nothing, and is accepted.
"""

from collections.abc import Iterator

from datamcp.errors import Problem
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition

_PROCESSORS = frozenset({"memory.store", "memory.retrieve"})


def unsupported(definition: PipelineDefinition) -> list[Problem]:
    """Return every feature that a definition asks for and that is not available yet."""
    refused = [
        (f"{place}.{path}", feature)
        for place, step in definition.placed
        for path, feature in _of_step(step)
    ]
    return [Problem(path, f"{what} is not available in this version") for path, what in refused]


def _of_step(step: TaskDefinition) -> Iterator[tuple[str, str]]:
    if step.processor in _PROCESSORS:
        yield "processor", f"`{step.processor}`"
