from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datamcp.pipelines.definition import (
    MapSpec,
    ParameterDefinition,
    PipelineConfig,
    PipelineDefinition,
    ScheduleSpec,
    TaskDefinition,
)

EXAMPLES = {
    "string": "1",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [1],
    "object": {"a": 1},
}


def test_only_ids_and_processors_are_required() -> None:
    """Names and task types are those of the pipeline and the processor where left out."""
    task = TaskDefinition(task_id="a", processor="file.read")
    definition = PipelineDefinition(pipeline_id="p", tasks=(task,))
    assert (definition.name, definition.version) == ("p", "1")
    assert task.task_type == "file.read"
    assert PipelineConfig is PipelineDefinition


def test_survives_json() -> None:
    """A definition that was written as JSON and read again is the same."""
    definition = PipelineDefinition(
        pipeline_id="p",
        parameters={"month": ParameterDefinition(), "n": ParameterDefinition(required=False)},
        schedule=ScheduleSpec(schedule="@daily", timezone="Europe/Berlin"),
        tasks=(TaskDefinition(task_id="a", processor="x.y", map=MapSpec(over="x", as_="month")),),
    )
    assert PipelineDefinition.model_validate_json(definition.model_dump_json()) == definition


@pytest.mark.parametrize("bad", ["", "a/b", "..", "-a", ".a", "a b", "é", "a\n", "x" * 101])
def test_ids_are_safe_in_paths(bad: str) -> None:
    """An id holds letters, digits, `_`, `-` and `.`, begins with none of the latter, is short."""
    with pytest.raises(ValidationError):
        TaskDefinition(task_id=bad, processor="x.y")


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": 1},
        {"timeout": 0},
        {"configuration": {"a": float("nan")}},
        {"configuration": {"a": object()}},
        {"input_sources": "flights"},
        {"retry_policy": {"max_attempts": 0}},
        {"trigger_rule": "any"},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    """Unknown keys, values out of range and what JSON can't hold are errors."""
    with pytest.raises(ValidationError):
        TaskDefinition.model_validate({"task_id": "a", "processor": "x.y", **wrong})


def test_models_are_frozen() -> None:
    """A definition never changes."""
    task = TaskDefinition(task_id="a", processor="x.y")
    with pytest.raises(ValidationError):
        task.task_id = "b"


@given(st.sampled_from(sorted(EXAMPLES)), st.sampled_from(sorted(EXAMPLES)))
def test_parameters_take_their_own_type_only(declared: str, given_type: str) -> None:
    """Nothing is converted: an integer is a number, and nothing else is anything else."""
    parameter = ParameterDefinition.model_validate({"type": declared})
    fits = declared == given_type or (declared, given_type) == ("number", "integer")
    assert parameter.accepts(EXAMPLES[given_type]) == fits


def test_null_is_accepted_where_nothing_must_be_given() -> None:
    """Only an optional parameter without default may be null."""
    assert ParameterDefinition(required=False).accepts(None)
    assert not ParameterDefinition().accepts(None)
    assert not ParameterDefinition(default="x").accepts(None)
    assert not ParameterDefinition().accepts(object())


def test_default_must_fit_the_type() -> None:
    """A default of another type is refused."""
    with pytest.raises(ValidationError, match="must be of type integer, got '1'"):
        ParameterDefinition(type="integer", default="1")


def test_schedule_is_text_or_a_mapping() -> None:
    """Both forms of a schedule are kept as written."""
    task = {"task_id": "a", "processor": "x.y"}
    short = PipelineDefinition.model_validate(
        {"pipeline_id": "p", "tasks": [task], "schedule": "@daily"}
    )
    assert short.schedule == "@daily"
    long = PipelineDefinition.model_validate(
        {"pipeline_id": "p", "tasks": [task], "schedule": {"schedule": "@daily"}}
    )
    assert long.schedule == ScheduleSpec(schedule="@daily")
