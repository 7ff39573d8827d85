"""Schedules that are written down somewhere: in the configuration, in pipelines, in Celery's entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datamcp.bootstrap.runtime import Runtime
from datamcp.config.schedules import ScheduleConfig
from datamcp.errors import ConfigError, DatamcpError, InvalidScheduleError, Problem
from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator
from datamcp.pipelines.scheduled import declared_by
from datamcp.scheduling.entries import declared_in
from datamcp.scheduling.schedule import Source, spec_of
from datamcp.scheduling.schedules import Declared
from datamcp.scheduling.target import RunTarget, TaskTarget
from datamcp.tasks.task import Task


@dataclass(slots=True)
class Taken:
    """Why schedules were not taken over from where they are written down, by place."""

    refused: dict[str, str] = field(default_factory=dict)


def take_over(runtime: Runtime) -> Taken:
    """Bring the store up to what is written down.

    Raises ConfigError, with nothing changed, for schedules of the configuration that are wrong, and
    BackendUnavailable. An entry of others that is wrong is left as it was taken over before.
    """
    configured = _configured(runtime)
    entries, wrong = declared_in(runtime.app)
    taken = Taken(refused={_entry(name): why for name, why in wrong.items()})
    runtime.schedules.sync(Source.CONFIG, configured)
    synced = runtime.schedules.sync(Source.CELERY, entries, leave=wrong)
    taken.refused |= {_entry(name): why for name, why in synced.refused.items()}
    of_pipelines = declared_by_pipelines(runtime.pipelines.sync)
    taken.refused |= runtime.schedules.sync(Source.PIPELINE, of_pipelines).refused
    return taken


def _entry(name: str) -> str:
    return f"beat_schedule[{name!r}]"


def _configured(runtime: Runtime) -> Sequence[Declared]:
    """Return the schedules of the configuration; raises ConfigError if one can't be fired."""
    configured, wrong = declared_in_config(runtime.config.schedules)
    wrong |= runtime.schedules.problems(configured)
    if wrong:
        problems = [Problem(f"schedules.{name}", why) for name, why in wrong.items()]
        raise ConfigError("; ".join(map(str, problems)), problems)
    return configured


def declared_by_pipelines(pipelines: SyncPipelineOrchestrator) -> list[Declared]:
    """Return the schedules of all pipelines that have one."""
    found = (declared_by(one.definition) for one in pipelines.list_pipelines())
    return [one for one in found if one is not None]


def declared_in_config(
    entries: Mapping[str, ScheduleConfig],
) -> tuple[Sequence[Declared], dict[str, str]]:
    """Return the schedules of the configuration, and what is wrong with others, by their names."""
    found, wrong = [], {}
    for name, entry in entries.items():
        try:
            found.append(_declared(name, entry))
        except (DatamcpError, ValueError) as error:
            wrong[name] = str(error)
    return found, wrong


def _declared(name: str, entry: ScheduleConfig) -> Declared:
    for field_name in ("start", "end"):
        at = getattr(entry, field_name)
        if at is not None and at.tzinfo is None:
            raise InvalidScheduleError(str(at), f"{field_name}: {at} needs an offset, such as Z")
    spec = spec_of(
        schedule=entry.schedule,
        timezone=entry.timezone,
        misfire=entry.misfire,
        overlap=entry.overlap,
        jitter=entry.jitter,
        start=entry.start,
        end=entry.end,
    )
    if entry.pipeline is not None:
        target: TaskTarget | RunTarget = RunTarget(
            pipeline_id=entry.pipeline, parameters=entry.parameters
        )
    else:
        task = Task(task_type=str(entry.task), parameters=entry.parameters, priority=entry.priority)
        target = TaskTarget(task=task)
    return Declared(name, Source.CONFIG, spec, target)
