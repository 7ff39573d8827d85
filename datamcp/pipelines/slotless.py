"""Steps that no worker runs: they wait for something, and hold no slot while they do. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from datamcp.errors import TaskError
from datamcp.pipelines.definition import Identifier
from datamcp.pipelines.gate import RUN
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.ports import Call, TaskType
from datamcp.tasks.queues import PIPELINES
from datamcp.types import JSONValue


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WaitUntil(_Config):
    """Wait until an instant (`at`, ISO 8601 with a zone), or for so many `seconds`."""

    at: AwareDatetime | None = None
    seconds: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_one(self) -> "WaitUntil":
        if (self.at is None) == (self.seconds is None):
            raise ValueError("give either `at` or `seconds`")
        return self


class WaitFile(_Config):
    """Wait until there is a file or folder; `path` lies inside `storage.allowed_roots`.

    It is looked for every `poll` seconds. The step's value is its path.
    """

    path: str = Field(min_length=1)
    poll: float = Field(default=2.0, ge=0.1)


class WaitSignal(_Config):
    """Wait until `datamcp pipeline signal RUN NAME` is given; its payload is the step's value."""

    name: Identifier


class WaitApproval(_Config):
    """Wait until somebody approves (`datamcp pipeline approve RUN STEP`), or rejects.

    `message` is what that person is asked. The step's value is `{approved, note}`; a rejection
    fails it.
    """

    message: str = ""


class RunPipeline(_Config):
    """Run another pipeline, and wait for its end; the step ends as that run does.

    The step's value is `{run_id, state, outputs}`, where outputs are those of the run's last steps.
    """

    pipeline: Identifier
    parameters: dict[str, JSONValue] = Field(default_factory=dict)


CONFIGS: Mapping[str, type[_Config]] = {
    "wait.until": WaitUntil,
    "wait.file": WaitFile,
    "wait.signal": WaitSignal,
    "wait.approval": WaitApproval,
    RUN: RunPipeline,
}
"""The configuration of each of them."""


def task_types() -> dict[str, TaskType]:
    """Return them as task types, by name, so that they are known and checked like others."""
    return {
        name: TaskType(
            name=name,
            queue=PIPELINES,
            parameters=Parameters(name, TypeAdapter(model), tuple(model.model_fields)),
            handler=_refuse,
            description=(model.__doc__ or "").strip(),
        )
        for name, model in CONFIGS.items()
    }


def read(processor: str, configuration: Mapping[str, Any]) -> Any:
    """Return a configuration without references as its model; raises InvalidParametersError."""
    kind = task_types()[processor].parameters
    values = {**configuration}
    if isinstance(values.get("at"), datetime):
        values["at"] = values["at"].isoformat()
    return CONFIGS[processor].model_validate_json(kind.dump(values))


def _refuse(call: Call) -> None:
    raise TaskError(f"{call.context.task.task_type} is a step of a pipeline, and no task by itself")
