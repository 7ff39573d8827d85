"""What a pipeline is, as its author writes it; Python and YAML say the same.

The models check the form of each value. What only the whole can tell, such as a step that does
not exist or a cycle, is found by `datamcp.pipelines.check`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from datamcp.scheduling.schedule import Spec
from datamcp.tasks.retry import RetryPolicy

MAX_ID_LENGTH = 100

Identifier = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=MAX_ID_LENGTH)
]
"""The name of a pipeline, step or parameter; it is safe as part of a file name and of a path."""

ParameterType = Literal["string", "integer", "number", "boolean", "array", "object"]

TriggerRule = Literal["all_success", "all_done", "one_success", "one_failed", "none_failed"]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class ParameterDefinition(_Model):
    """A parameter that a run may be given.

    It is required if `required` says so or, where that is left out, if it has no default. An
    optional parameter without a default is null when it is not given.
    """

    type: ParameterType = "string"
    default: JsonValue = None
    required: bool | None = None
    description: str = ""

    @model_validator(mode="after")
    def _default_fits(self) -> "ParameterDefinition":
        if self.default is not None and not self.accepts(self.default):
            raise ValueError(f"the default must be of type {self.type}, got {self.default!r}")
        return self

    @property
    def is_required(self) -> bool:
        """Whether every run must be given a value."""
        return self.default is None if self.required is None else self.required

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the parameter's type, strictly: neither `"1"` nor true is 1."""
        match value:
            case None:
                return self.default is None and not self.is_required
            case bool():
                return self.type == "boolean"
            case str():
                return self.type == "string"
            case int():
                return self.type in {"integer", "number"}
            case float():
                return self.type == "number"
            case Mapping():
                return self.type == "object"
            case Sequence():
                return self.type == "array"
        return False


ScheduleSpec = Spec
"""When a pipeline runs by itself, where more is said of it than a text."""


def _read(text: str) -> str:
    return Spec(schedule=text).schedule


def _schedule_form(value: Any) -> str:
    return "ScheduleSpec" if isinstance(value, Mapping | ScheduleSpec) else "str"


Schedule = Annotated[
    Annotated[str, AfterValidator(_read), Tag("str")]
    | Annotated[ScheduleSpec, Tag("ScheduleSpec")],
    Discriminator(_schedule_form),
]


class Limits(_Model):
    """How many runs of a pipeline, and how many steps of a run, may be under way at once."""

    runs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)


class MapSpec(_Model):
    """A step that is repeated for each element of a list; `as` is `as_` in Python."""

    over: str = Field(min_length=1)
    as_: Identifier = Field(default="item", alias="as")
    max_parallel: int | None = Field(default=None, ge=1)


class CacheSpec(_Model):
    """An output that later runs take over: the newest one of this step with the same `key`.

    `ttl` is for how many seconds; without it, as long as the run that made it is kept.
    """

    key: str = Field(min_length=1)
    ttl: float | None = Field(default=None, gt=0)


class TaskDefinition(_Model):
    """One step of a pipeline.

    `processor` names the data processor or the agent's capability that does the work;
    `configuration` is what it is told, in which strings may hold references. `input_sources` are
    the steps whose outputs it receives, `output_destinations` where its own is delivered: URLs,
    absolute paths, and databases of `integrations`. `timeout` is seconds. Steps of a pipeline that have the
    same `concurrency_key` never run at the same time, in whichever run.
    """

    task_id: Identifier
    processor: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=200)
    task_type: str = Field(
        default_factory=lambda data: data.get("processor", ""), min_length=1, max_length=200
    )
    configuration: dict[str, JsonValue] = Field(default_factory=dict)
    input_sources: tuple[Identifier, ...] = ()
    output_destinations: tuple[str, ...] = ()
    retry_policy: RetryPolicy | None = None
    timeout: float | None = Field(default=None, gt=0)
    trigger_rule: TriggerRule = "all_success"
    when: str | None = None
    map: MapSpec | None = None
    concurrency_key: str | None = Field(default=None, min_length=1)
    cache: CacheSpec | None = None

    @property
    def continues_on_error(self) -> bool:
        """Whether its failure counts as a success for what follows, and for the run."""
        return self.retry_policy is not None and self.retry_policy.continue_on_error


class PipelineDefinition(_Model):
    """A directed acyclic graph of steps.

    `dependencies` maps a step to the steps that it waits for without receiving their outputs.
    `timeout` is seconds for a whole run, and `deadline` after how many a notice is sent of one that
    still goes on. `name` is the id where it is left out. The steps of `finally` run after all
    others, however those ended. `on_success` and `on_failure` name who is told of a run's end.
    """

    pipeline_id: Identifier
    name: str = Field(default_factory=lambda data: data.get("pipeline_id", ""))
    description: str = ""
    version: Identifier = "1"
    parameters: dict[Identifier, ParameterDefinition] = Field(default_factory=dict)
    schedule: Schedule | None = None
    timeout: float | None = Field(default=None, gt=0)
    deadline: float | None = Field(default=None, gt=0)
    limits: Limits = Limits()
    tasks: tuple[TaskDefinition, ...] = Field(min_length=1)
    finally_: tuple[TaskDefinition, ...] = Field(default=(), alias="finally")
    dependencies: dict[Identifier, tuple[Identifier, ...]] = Field(default_factory=dict)
    on_success: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[TaskDefinition, ...]:
        """All steps, in order of definition; those of `finally` come last."""
        return self.tasks + self.finally_

    @cached_property
    def step_ids(self) -> frozenset[str]:
        """The ids of all steps."""
        return frozenset(step.task_id for step in self.steps)

    @property
    def placed(self) -> Iterator[tuple[str, TaskDefinition]]:
        """All steps, each with its path in the document, such as `tasks[3]`."""
        for section, steps in (("tasks", self.tasks), ("finally", self.finally_)):
            for index, step in enumerate(steps):
                yield f"{section}[{index}]", step


PipelineConfig = PipelineDefinition
"""The specification's other name for the argument of `register_pipeline`."""
