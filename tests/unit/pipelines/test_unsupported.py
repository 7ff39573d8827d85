from typing import Any

import pytest

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.unsupported import unsupported

HARMLESS = {
    "trigger_rule": "all_success",
    "when": None,
    "map": None,
    "retry_policy": {"max_attempts": 3, "delay": 5},
    "output_destinations": ["/srv/out/"],
    "concurrency_key": None,
    "timeout": 60,
}


def paths(task: dict[str, Any], pipeline: dict[str, Any]) -> list[str]:
    """Return where a definition asks for what is not there yet."""
    definition = PipelineDefinition.model_validate(
        {"pipeline_id": "p", "tasks": [{"task_id": "a", "processor": "x.y", **task}], **pipeline}
    )
    return [problem.path for problem in unsupported(definition)]


def test_defaults_are_accepted() -> None:
    """A value that changes nothing is no request."""
    assert paths(HARMLESS, {"schedule": "@daily", "timeout": None, "limits": {}}) == []


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ({"processor": "memory.retrieve"}, "processor"),
        ({"processor": "memory.store"}, "processor"),
    ],
)
def test_features_of_a_step_are_refused(task: dict[str, Any], path: str) -> None:
    """Each feature that a step asks for and that is not there yet is named with its place."""
    assert paths(task, {}) == [f"tasks[0].{path}"]
