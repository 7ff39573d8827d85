"""Section `schedules`: what happens by itself, written down; each entry has a name."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from datamcp.config.section import Section

ScheduleName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", max_length=100)
]


class ScheduleConfig(Section):
    """A task or a pipeline that runs at the times of a schedule."""

    schedule: str = Field(
        min_length=1,
        description="When: a cron expression, `every 30s`, or an ISO 8601 instant.",
    )
    timezone: str = Field(default="UTC", description="Whose clocks count: an IANA time zone.")
    task: str | None = Field(default=None, description="Task type that it runs.")
    pipeline: str | None = Field(
        default=None, description="Pipeline that it runs; either this or `task`."
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the task or the pipeline; `${run.fire_at}` in them is the time.",
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(
        default=5, description="Priority of the tasks, from 0 to 9, 9 first."
    )
    misfire: str = Field(
        default="fire_once",
        description="What becomes of times that passed while no beat ran: `skip`, `fire_once`, "
        "`catch_up`, or `catch_up:20` for the newest twenty.",
    )
    overlap: str = Field(
        default="allow",
        description="What happens while what was fired last has not ended: `allow`, `skip`, "
        "`buffer_one`, or `cancel_other`.",
    )
    jitter: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0, description="Seconds by which each time is moved, at most."
    )
    start: datetime | None = Field(default=None, description="Nothing fires before this instant.")
    end: datetime | None = Field(default=None, description="Nothing fires after this instant.")
