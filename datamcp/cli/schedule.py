"""Commands on schedules: add them, list them, show one."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from datamcp.cli.output import console, json_option, print_json, show
from datamcp.cli.parameters import parameter_options
from datamcp.cli.schedule_options import read_given, schedule_options
from datamcp.cli.schedule_tables import (
    ShownFiring,
    ShownSchedule,
    brief_fields,
    firings_table,
    schedule_fields,
    schedules_table,
    times_table,
)
from datamcp.cli.session import session
from datamcp.cli.task_lines import as_usage
from datamcp.clock import SystemClock
from datamcp.errors import RunNotFoundError, TaskNotFoundError
from datamcp.scheduling.schedule import Firing, Schedule, Source
from datamcp.scheduling.target import RunTarget, Target, TaskTarget
from datamcp.scheduling.when import read_zone
from datamcp.tasks.task import Task

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime

_SHOWN = 5  # next times of a schedule


@click.command()
@click.argument("expression")
@click.argument("task_type", required=False)
@click.option("--pipeline", "pipeline_id", metavar="ID", help="Run this pipeline, and no task.")
@click.option("--name", metavar="NAME", help="What to call it; no two have the same name.")
@parameter_options
@schedule_options
@click.option("--note", default="", metavar="TEXT", help="A word to whoever reads it.")
@click.option("--paused", is_flag=True, help="Fire nothing until `schedule resume`.")
@json_option
def add(
    expression: str,
    task_type: str | None,
    pipeline_id: str | None,
    name: str | None,
    note: str,
    paused: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a task of TASK_TYPE, or a pipeline, at the times of EXPRESSION.

    EXPRESSION is cron (minute, hour, day of month, month, day of week; @hourly, @daily, @weekly,
    @monthly, @yearly), an interval (`every 30s`, `every 1h 30m`), an ISO 8601 instant, or
    `solar sunset LATITUDE LONGITUDE`; `schedule preview` shows its times.

    In a parameter, `${run.fire_at}` stands for the time that fires. All is checked before anything
    is kept.

    \b
    Examples:
      datamcp schedule add "0 2 * * *" research.report -p topic=oil --name nightly
      datamcp schedule add "0 9 * * mon-fri" research.report -p topic=oil --timezone Europe/Berlin
      datamcp schedule add "every 15m" --pipeline flights -p month=2013_02 --overlap skip
      datamcp schedule add @hourly bench.tell -p 'since=${run.fire_at}' --misfire catch_up:24
      datamcp schedule add 2030-12-24T18:00 bench.tell --timezone Europe/Berlin
    """  # noqa: D301  click's mark for text that is not re-wrapped
    given = read_given(options, expression)
    if (task_type is None) == (pipeline_id is None):
        raise click.UsageError("name what to run: either a TASK_TYPE or a --pipeline")
    about: dict[str, Any] = {"name": name, "note": note, "paused": paused, **given.spec}
    with session().runtime() as runtime:
        scheduler, target = runtime.scheduler.sync, _target(task_type, pipeline_id)
        parameters = dict(given.parameters(runtime, target, {}) or {})
        if pipeline_id is not None:
            given.require_no_task()
            added = scheduler.schedule_pipeline(pipeline_id, parameters=parameters, **about)
        else:
            with as_usage():
                task = Task(task_type=str(task_type), parameters=parameters, **given.task)
            added = scheduler.schedule_task(task, **about)
        found = scheduler.get_schedule(added)
    print_json(found) if as_json else show(brief_fields(found, SystemClock().now()))


def _target(task_type: str | None, pipeline_id: str | None) -> Target:
    """Return what is fired, as far as its parameters can be read by it."""
    if pipeline_id is not None:
        return RunTarget(pipeline_id=pipeline_id)
    with as_usage():
        return TaskTarget(task=Task(task_type=str(task_type)))


@click.command(name="list")
@click.option(
    "--source",
    type=click.Choice([source.value for source in Source]),
    metavar="SOURCE",
    help=f"Only schedules from here: {', '.join(Source)}.",
)
@json_option
def list_schedules(source: str | None, as_json: bool) -> None:
    """List the schedules, by name: what they run, their next and last times, and how they are.

    Times are those of each schedule's zone. `late` says that no beat has fired it, though it is due.

    \b
    Examples:
      datamcp schedule list
      datamcp schedule list --source config
      datamcp schedule list --json | jq '.[] | select(.paused) | .name'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.schedules.list(Source(source) if source else None)
    if as_json:
        print_json(found)
        return
    width = console().width
    show(schedules_table(found, width=width, now=SystemClock().now()))


@click.command(name="show")
@click.argument("schedule_id", metavar="ID_OR_NAME")
@click.option(
    "--firings",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="How many of its last times.",
)
@json_option
def show_schedule(schedule_id: str, firings: int, as_json: bool) -> None:
    """Show a schedule: its fields, its next times, and what became of the last ones.

    A `missed` time stands for all up to the next one that is listed.

    \b
    Examples:
      datamcp schedule show nightly
      datamcp schedule show nightly --firings 100 --json | jq '.firings[].outcome'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    now = SystemClock().now()
    with session().runtime() as runtime:
        found = runtime.scheduler.sync.get_schedule(schedule_id)
        times = _next_times(found, now)
        last = runtime.scheduler.sync.firings(found.schedule_id, firings) if firings else []
        shown = [_with_state(runtime, found.target, firing) for firing in last]
    if as_json:
        print_json(ShownSchedule(**dict(found), next_times=times, firings=shown))
        return
    zone = read_zone(found.spec.timezone)
    show(schedule_fields(found, now))
    if times:
        show("")
        show(times_table([at.astimezone(zone) for at in times], now))
    if shown:
        show("")
        show(firings_table(shown, zone))


def _next_times(found: Schedule, now: datetime) -> Sequence[datetime]:
    """Return the next times; of one that is paused, those that would be next if it went on now."""
    timing = found.timing
    first = timing.after(now) if found.paused else found.next_fire_at
    return list(islice(timing.times(first), _SHOWN))


def _with_state(runtime: "Runtime", target: Target, firing: Firing) -> ShownFiring:
    """Return a firing with the state of what it fired, if that is still there."""
    state: str | None = None
    try:
        if firing.fired_id is not None and isinstance(target, RunTarget):
            state = runtime.pipelines.sync.monitor_execution(firing.fired_id).state
        elif firing.fired_id is not None:
            state = runtime.tasks.status(firing.fired_id).state
    except (TaskNotFoundError, RunNotFoundError):
        pass
    return ShownFiring(**dict(firing), state=state)
