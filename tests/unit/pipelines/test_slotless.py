"""What steps are told that no worker runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from datamcp.errors import InvalidParametersError, TaskError
from datamcp.pipelines.gate import SLOTLESS
from datamcp.pipelines.slotless import CONFIGS, RunPipeline, WaitFile, WaitUntil, read, task_types
from datamcp.tasks.queues import PIPELINES


def test_each_is_a_task_type_that_says_what_it_does() -> None:
    """So that it is known, and checked, as others are."""
    found = task_types()
    assert {*found} == {*CONFIGS} == SLOTLESS
    for name, one in found.items():
        assert (one.name, one.queue) == (name, PIPELINES)
        assert one.description
        assert [*one.parameters.names] == [*CONFIGS[name].model_fields]


def test_none_is_a_task_by_itself() -> None:
    """Whoever enqueues one is told."""

    class Call:
        class context:  # noqa: N801
            class task:  # noqa: N801
                task_type = "wait.signal"

    for one in task_types().values():
        assert one.handler is not None
        with pytest.raises(TaskError, match="a step of a pipeline, and no task by itself"):
            one.handler(cast("Any", Call))


@pytest.mark.parametrize(
    ("processor", "configuration", "model"),
    [
        ("wait.until", {"seconds": 0}, WaitUntil(seconds=0)),
        (
            "wait.until",
            {"at": "2026-01-01T02:00:00+02:00"},
            WaitUntil(at=datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        (
            "wait.until",
            {"at": datetime(2026, 1, 1, tzinfo=UTC)},
            WaitUntil(at=datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        ("wait.file", {"path": "x"}, WaitFile(path="x", poll=2.0)),
        (
            "pipeline.run",
            {"pipeline": "p", "parameters": {"x": [1, None]}},
            RunPipeline(pipeline="p", parameters={"x": [1, None]}),
        ),
    ],
)
def test_what_fits(processor: str, configuration: Mapping[str, Any], model: Any) -> None:
    """It is read, with what was left out."""
    assert read(processor, configuration) == model


@pytest.mark.parametrize(
    ("processor", "configuration"),
    [
        ("wait.until", {}),
        ("wait.until", {"seconds": 1, "at": "2026-01-01T00:00:00Z"}),
        ("wait.until", {"at": "2026-01-01T00:00:00"}),
        ("wait.until", {"at": "tomorrow"}),
        ("wait.until", {"seconds": -1}),
        ("wait.until", {"seconds": "soon"}),
        ("wait.until", {"seconds": None}),
        ("wait.file", {}),
        ("wait.file", {"path": ""}),
        ("wait.file", {"path": "x", "poll": 0}),
        ("wait.file", {"path": ["x"]}),
        ("wait.signal", {"name": ""}),
        ("wait.signal", {"name": "a b"}),
        ("wait.signal", {"name": "x" * 101}),
        ("wait.signal", {"name": "go", "more": 1}),
        ("wait.approval", {"message": 1}),
        ("pipeline.run", {}),
        ("pipeline.run", {"pipeline": "a/b"}),
        ("pipeline.run", {"pipeline": "p", "parameters": [1]}),
    ],
)
def test_what_does_not(processor: str, configuration: Mapping[str, Any]) -> None:
    """It is refused in one way."""
    with pytest.raises(InvalidParametersError):
        read(processor, configuration)
