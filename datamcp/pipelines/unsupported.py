"""What the grammar of pipelines has and this version can't do yet. Pure.

Refused when a pipeline is registered, so that nothing is silently left out of its runs. A value
that equals the default changes nothing, and is accepted.
"""

from collections.abc import Iterator

from datamcp.errors import Problem
from datamcp.pipelines.definition import Limits, PipelineDefinition, TaskDefinition

_PROCESSORS = frozenset(
    {"http.get", "http.post", "memory.store", "memory.retrieve", "pipeline.run"}
)


def unsupported(definition: PipelineDefinition) -> list[Problem]:
    """Return every feature that a definition asks for and that is not available yet."""
    refused = [*_of_pipeline(definition)]
    for index, task in enumerate(definition.tasks):
        refused += [(f"tasks[{index}].{path}", feature) for path, feature in _of_task(task)]
    return [Problem(path, f"{what} is not available in this version") for path, what in refused]


def _of_pipeline(definition: PipelineDefinition) -> Iterator[tuple[str, str]]:
    if definition.schedule is not None:
        yield "schedule", "`schedule`"
    if definition.timeout is not None:
        yield "timeout", "`timeout` of a whole run"
    if definition.limits != Limits():
        yield "limits", "`limits`"


def _of_task(task: TaskDefinition) -> Iterator[tuple[str, str]]:
    if task.processor in _PROCESSORS:
        yield "processor", f"`{task.processor}`"
    if task.output_destinations:
        yield "output_destinations", "`output_destinations`"
    if task.retry_policy is not None and task.retry_policy.max_attempts > 1:
        yield "retry_policy.max_attempts", "a `retry_policy` with more than one attempt"
    if task.retry_policy is not None and task.retry_policy.continue_on_error:
        yield "retry_policy.continue_on_error", "`continue_on_error`"
    if task.trigger_rule != "all_success":
        yield "trigger_rule", f"`trigger_rule: {task.trigger_rule}`"
    if task.when is not None:
        yield "when", "`when`"
    if task.map is not None:
        yield "map", "`map`"
    if task.concurrency_key is not None:
        yield "concurrency_key", "`concurrency_key`"
