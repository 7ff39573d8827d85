"""The commands of `datamcp schedule` that change a schedule, or fire it out of turn."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel

from datamcp.cli.output import counted, json_option, print_json, show
from datamcp.cli.parameters import parameter_options, read_instant, wait_options
from datamcp.cli.run import wait_and_show as wait_for_run
from datamcp.cli.schedule_options import Given, read_given, schedule_options
from datamcp.cli.schedule_tables import brief_fields, times_table
from datamcp.cli.session import session
from datamcp.cli.task import wait_and_show as wait_for_task
from datamcp.cli.task_lines import as_usage
from datamcp.clock import SystemClock
from datamcp.scheduling.schedule import Schedule
from datamcp.scheduling.target import RunTarget, Target, TaskTarget
from datamcp.scheduling.when import read_zone
from datamcp.tasks.task import Task

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime


class Backfilled(BaseModel):
    """A time in a backfill, and what it fired; None with `--dry-run`."""

    fire_at: datetime
    fired_id: str | None = None


_schedule = click.argument("schedule_id", metavar="ID_OR_NAME")
_note = click.option("--note", metavar="TEXT", help="Why; it is shown with the schedule.")


@click.command()
@_schedule
@click.argument("expression", required=False)
@parameter_options
@schedule_options
@_note
@json_option
def update(
    schedule_id: str, expression: str | None, note: str | None, as_json: bool, **options: Any
) -> None:
    """Change a schedule: its times, its policies, or what it gives to the task or pipeline.

    What is left out stays as it is. -p changes one parameter, --parameters replaces all. A time
    that was fired already is not fired again.

    \b
    Examples:
      datamcp schedule update nightly "0 3 * * *"
      datamcp schedule update nightly --timezone America/New_York --misfire skip
      datamcp schedule update nightly -p topic=gold --priority 8
      datamcp schedule update nightly --end none --note "goes on"
    """  # noqa: D301  click's mark for text that is not re-wrapped
    given = read_given(options, expression)
    changes: dict[str, Any] = dict(given.spec)
    if note is not None:
        changes["note"] = note
    if not (changes or given.task or given.words or given.document is not None):
        raise click.UsageError("say what to change")
    with session().runtime() as runtime:
        scheduler = runtime.scheduler.sync
        changes |= _changed(runtime, scheduler.get_schedule(schedule_id).target, given)
        found = scheduler.update_schedule(schedule_id, **changes)
    _show(found, as_json=as_json)


def _changed(runtime: "Runtime", target: Target, given: Given) -> dict[str, Any]:
    """Return what is different about what is fired."""
    if not isinstance(target, TaskTarget):
        given.require_no_task()
        before = target.parameters if isinstance(target, RunTarget) else {}
        parameters = given.parameters(runtime, target, before)
        return {} if parameters is None else {"parameters": parameters}
    parameters = given.parameters(runtime, target, target.task.parameters)
    if parameters is None and not given.task:
        return {}
    fields = target.task.model_dump() | dict(given.task)
    if parameters is not None:
        fields["parameters"] = parameters
    with as_usage():
        return {"task": Task(**fields)}


@click.command()
@_schedule
@_note
@json_option
def pause(schedule_id: str, note: str | None, as_json: bool) -> None:
    """Fire nothing until the schedule is resumed; what it has fired goes on.

    Times that pass meanwhile are left out. A schedule that is declared elsewhere, such as in the
    configuration, stays paused, too.

    \b
    Example:
      datamcp schedule pause nightly --note "the source moves house"
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.scheduler.sync.pause_schedule(schedule_id, note)
    _show(found, as_json=as_json)


@click.command()
@_schedule
@_note
@json_option
def resume(schedule_id: str, note: str | None, as_json: bool) -> None:
    """Go on with a paused schedule, from the first time that is still to come.

    \b
    Example:
      datamcp schedule resume nightly
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.scheduler.sync.resume_schedule(schedule_id, note)
    _show(found, as_json=as_json)


@click.command()
@_schedule
@wait_options
@json_option
@click.pass_context
def run(
    ctx: click.Context, schedule_id: str, wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Fire a schedule once, at once, and print the id of the task or the run that it made.

    Its times, its overlap policy and a pause do not matter. With --wait the exit code is 1 if that
    does not succeed, or does not end in time; it goes on then.

    \b
    Examples:
      datamcp schedule run nightly
      datamcp schedule run nightly --wait --timeout 60
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        runtime.app.require_broker()
        scheduler = runtime.scheduler.sync
        is_run = isinstance(scheduler.get_schedule(schedule_id).target, RunTarget)
        made = scheduler.run_now(schedule_id)
        if wait or timeout is not None:
            show_end = wait_for_run if is_run else wait_for_task
            show_end(ctx, runtime, made, timeout, as_json=as_json)
        elif not as_json:
            click.echo(made)
        elif is_run:
            print_json(runtime.pipelines.sync.monitor_execution(made))
        else:
            print_json(runtime.tasks.status(made))


@click.command()
@_schedule
@click.option(
    "--from",
    "since",
    required=True,
    metavar="INSTANT",
    help="The first time, if it is one; an ISO 8601 instant, local time if it names no zone.",
)
@click.option(
    "--to", "until", required=True, metavar="INSTANT", help="Times are earlier than this."
)
@click.option("--dry-run", is_flag=True, help="Show the times only.")
@json_option
def backfill(schedule_id: str, since: str, until: str, dry_run: bool, as_json: bool) -> None:
    """Fire all times of a schedule in a range, as if they came now.

    The same times again make nothing new. Each task or run has its time for `${run.fire_at}`.

    \b
    Examples:
      datamcp schedule backfill nightly --from 2030-01-01 --to 2030-02-01 --dry-run
      datamcp schedule backfill nightly --from 2030-01-01T00:00Z --to 2030-02-01T00:00Z --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    start, end = _instant(since, "--from"), _instant(until, "--to")
    if end <= start:
        raise click.UsageError(f"--to must be later than --from, got {since!r} and {until!r}")
    with session().runtime() as runtime:
        found = runtime.scheduler.sync.get_schedule(schedule_id)
        times = runtime.schedules.times_between(found, start, end)
        made: list[str] = []
        if not dry_run:
            runtime.app.require_broker()
            made += runtime.scheduler.sync.backfill(found.schedule_id, start, end)
    if as_json:
        ids: list[str | None] = [*made] or [None] * len(times)
        pairs = zip(times, ids, strict=False)
        print_json([Backfilled(fire_at=at, fired_id=one) for at, one in pairs])
    elif dry_run and times:
        zone = read_zone(found.spec.timezone)
        show(times_table([at.astimezone(zone) for at in times], start))
    else:
        noun = "run" if isinstance(found.target, RunTarget) else "task"
        click.echo(f"fired {counted(len(made), noun)} of {found.title}")


def _instant(text: str, option: str) -> datetime:
    instant = read_instant(text, option)
    if instant is None:
        raise click.UsageError(f"{option} is missing")
    return instant


@click.command()
@_schedule
@json_option
def remove(schedule_id: str, as_json: bool) -> None:
    """Forget a schedule, and what became of its times. What it has fired goes on.

    One that is declared elsewhere, such as in the configuration, is removed there.

    \b
    Example:
      datamcp schedule remove nightly
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.scheduler.sync.get_schedule(schedule_id)
        runtime.scheduler.sync.remove_schedule(found.schedule_id)
    if as_json:
        print_json(found)
    else:
        click.echo(f"removed {found.title}")


def _show(found: Schedule, *, as_json: bool) -> None:
    print_json(found) if as_json else show(brief_fields(found, SystemClock().now()))
