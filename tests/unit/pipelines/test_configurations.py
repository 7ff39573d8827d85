from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from datamcp.errors import UnknownTaskTypeError
from datamcp.pipelines.configurations import wrong_configurations
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.tasks.parameters import Parameters


class Rules(BaseModel):
    """What a column has to be."""

    model_config = ConfigDict(extra="forbid")

    least: int | None = None
    most: int | None = None

    @model_validator(mode="after")
    def _order(self) -> "Rules":
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError("least is above most")
        return self


class Other(BaseModel):
    """Something else that may stand there."""

    model_config = ConfigDict(extra="forbid")

    text: str
    times: int


class Config(BaseModel):
    """A configuration."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1)
    columns: dict[str, Rules] = Field(default_factory=dict)
    either: Rules | Other | None = None


class Tasks:
    """What a capability does."""

    def total(self, values: list[int], inputs: dict[str, Any]) -> int:
        """Add up, with what it receives."""
        return sum(values) + len(inputs)


def find(name: str) -> Parameters | None:
    """Return what processors accept; nothing is known of those elsewhere."""
    match name:
        case "file.read":
            return Parameters(name, TypeAdapter(Config), tuple(Config.model_fields))
        case "bench.total":
            return Parameters.of(name, Tasks.total)
        case "else.where":
            return None
    raise UnknownTaskTypeError(name, "did you mean 'file.read'?")


def problems(configuration: dict[str, Any], processor: str = "file.read") -> list[str]:
    """Return what is wrong with a step of this configuration, without where the step is."""
    step = {"task_id": "a", "processor": processor, "configuration": configuration}
    definition = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": [step]})
    found = [str(problem) for problem in wrong_configurations(definition, find)]
    return [line.removeprefix("tasks[0].") for line in found]


def test_what_is_missing_unknown_or_of_another_type_is_told() -> None:
    """At its place, however deep."""
    assert problems({"pth": 3, "columns": {"a.b": {"least": "x", "mst": 1}}}) == [
        "configuration.path: is required",
        "configuration.columns.a.b.least: must be a whole number, got 'x'",
        "configuration.columns.a.b.mst: unknown key 'mst'",
        "configuration.pth: unknown key 'pth'; did you mean 'path'?",
    ]
    assert problems({"path": "x", "columns": {"a": {"least": 2, "most": 1}}}) == [
        "configuration.columns.a: least is above most"
    ]
    assert problems({"values": [1, "2"]}, "bench.total") == [
        "configuration.values[1]: must be a whole number, got '2'; leave the quotes out"
    ]


@pytest.mark.parametrize(
    "configuration",
    [
        {"path": "${outputs.a.path}", "columns": "${parameters.columns}"},
        {"path": "x", "columns": {"a": {"least": "${parameters.n}", "most": 1}}},
        {"path": "x", "either": {"text": "x", "times": "${parameters.n}"}},
        {"path": "x", "either": "${parameters.either}"},
        {"path": "x ${item}"},
    ],
)
def test_what_a_reference_stands_for_is_not_judged(configuration: dict[str, Any]) -> None:
    """Nor what depends on it."""
    assert problems(configuration) == []


def test_keys_are_judged_beside_references() -> None:
    """A reference is a value, and never a key."""
    assert problems({"path": "${parameters.p}", "pat": "${parameters.p}"}) == [
        "configuration.pat: unknown key 'pat'; did you mean 'path'?"
    ]


def test_the_outputs_of_inputs_are_no_concern_of_the_configuration() -> None:
    """A capability receives them where it has a parameter of that name."""
    assert problems({"values": []}, "bench.total") == []


def test_a_processor_that_does_not_exist_is_told() -> None:
    """One of which nothing is known is not."""
    assert problems({"any": "thing"}, "else.where") == []
    assert problems({}, "file.rad") == [
        "processor: unknown processor 'file.rad'; did you mean 'file.read'?"
    ]
