"""A schedule, and its firings, as they are kept and shown."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID, uuid5

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from datamcp.errors import InvalidScheduleError
from datamcp.scheduling.policy import parse_misfire, parse_overlap
from datamcp.scheduling.target import Target
from datamcp.scheduling.timing import Timing
from datamcp.scheduling.when import parse, read_zone

MAX_NAME = 200
MAX_JITTER = 86_400.0  # seconds

_NAMESPACE = UUID("0192f0c4-6a51-5d3b-9c55-736368656475")


class Source(StrEnum):
    """Where a schedule comes from; what is declared somewhere changes there."""

    API = "api"
    CONFIG = "config"
    CELERY = "celery"
    PIPELINE = "pipeline"


class Kind(StrEnum):
    """Why something was fired."""

    DUE = "due"
    RUN_NOW = "run_now"
    BACKFILL = "backfill"


class Outcome(StrEnum):
    """What became of a time."""

    FIRED = "fired"
    MISSED = "missed"
    """No beat ran then, nor soon after. One such record may stand for all times up to the next."""
    SKIPPED = "skipped"
    """What was fired before had not ended."""
    REPLACED = "replaced"
    """It waited for what was fired before, and a later time took its place."""
    FAILED = "failed"
    """What it fires could not be made; the error says why."""


_KEPT = {"is_kept": True}
"""Tells the validators that something was checked before it was kept: what it names may be gone."""


def _check(read: Callable[[str], str]) -> AfterValidator:
    """Return what has a text read, unless that is what is kept."""

    def check(text: str, info: ValidationInfo) -> str:
        if info.context is _KEPT:
            return text
        try:
            return read(text)
        except InvalidScheduleError as error:
            raise ValueError(error.reason) from None

    return AfterValidator(check)


class Spec(BaseModel):
    """When a schedule fires, and what it does where that goes wrong.

    `schedule` is a cron expression, `every 30s`, or an ISO 8601 instant, on the clocks of
    `timezone`. `misfire` is skip, fire_once, catch_up or catch_up:20; `overlap` is allow, skip,
    buffer_one or cancel_other. `jitter` is the most seconds by which each time is moved. Nothing
    fires before `start` or after `end`; intervals are counted from `start`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schedule: Annotated[
        str, Field(min_length=1, max_length=500), _check(lambda text: parse(text).text)
    ]
    timezone: Annotated[str, _check(lambda name: read_zone(name).key)] = "UTC"
    misfire: Annotated[str, _check(lambda text: str(parse_misfire(text)))] = "fire_once"
    overlap: Annotated[str, _check(lambda text: str(parse_overlap(text)))] = "allow"
    jitter: Annotated[float, Field(ge=0, le=MAX_JITTER)] = 0.0
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def _bounds(self) -> "Spec":
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("end: must be later than start")
        return self


TIMES = frozenset({"schedule", "timezone", "start", "end"})
"""The fields of which a change makes other times; jitter moves when they are sent."""


class Schedule(BaseModel):
    """A schedule: when, what, and how far it is. Instants are aware, in UTC.

    `next_fire_at` is None once there is no time left. `fired_id` is the task or the run that was
    fired last, for `last_fire_at` and `lateness` seconds after it was due. `buffered_at` is a time
    whose task waits for that one. `error` says why the last time failed. `version` counts changes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schedule_id: str
    name: str | None = None
    source: Source = Source.API
    spec: Spec
    target: Target
    paused: bool = False
    note: str = ""
    created_at: datetime
    updated_at: datetime
    version: int = 1
    next_fire_at: datetime | None = None
    buffered_at: datetime | None = None
    last_fire_at: datetime | None = None
    fired_id: str | None = None
    fired: int = 0
    lateness: float | None = None
    error: str | None = None

    @classmethod
    def read(cls, document: str | bytes) -> Self:
        """Return a schedule that was kept as JSON."""
        return cls.model_validate_json(document, context=_KEPT)

    @property
    def timing(self) -> Timing:
        """Return its times."""
        spec = self.spec
        return Timing(
            when=parse(spec.schedule),
            zone=read_zone(spec.timezone),
            anchor=spec.start or self.created_at,
            start=spec.start,
            end=spec.end,
            jitter=timedelta(seconds=spec.jitter),
            key=self.schedule_id,
        )

    @property
    def title(self) -> str:
        """Return what people call it."""
        return self.name or self.schedule_id


class Firing(BaseModel):
    """What became of one time of a schedule.

    `fired_id` is the task or the run that was made, `lateness` seconds after it was due.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schedule_id: str
    fire_at: datetime
    kind: Kind = Kind.DUE
    outcome: Outcome
    fired_id: str | None = None
    recorded_at: datetime
    lateness: float | None = None
    error: str | None = None


def spec_of(**fields: Any) -> Spec:
    """Return a spec; raises InvalidScheduleError with all that is wrong."""
    try:
        return Spec(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        text = str(fields.get("schedule"))
        raise InvalidScheduleError(text, "; ".join(map(_told, error.errors()))) from None


def _told(error: Any) -> str:
    """Return a complaint of pydantic's in the words of whoever made it, where it was one of ours."""
    cause = error.get("ctx", {}).get("error")
    if cause is not None:
        return str(cause)
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def declared_id(source: Source, name: str) -> str:
    """Return the id of a schedule that is declared somewhere; the same for the same name."""
    return str(uuid5(_NAMESPACE, f"{source}/{name}"))


def fired_id(schedule_id: str, fire_at: datetime, kind: Kind) -> str:
    """Return the id of what a time fires; the same for the same time (protocol R21)."""
    return str(uuid5(_NAMESPACE, f"{schedule_id}/{fire_at.isoformat()}/{kind}"))
