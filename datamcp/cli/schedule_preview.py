"""`datamcp schedule preview`: when an expression fires, which takes no service, or a schedule."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import click
from pydantic import BaseModel

from datamcp.cli.output import json_option, print_json, show
from datamcp.cli.parameters import read_instant
from datamcp.cli.schedule_tables import times_table
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.errors import (
    BackendUnavailable,
    ConfigError,
    InvalidScheduleError,
    ScheduleNotFoundError,
)
from datamcp.scheduling.schedule import Schedule
from datamcp.scheduling.when import parse, read_zone, upcoming


class Upcoming(BaseModel):
    """A time at which a schedule fires: the instant, and what the clocks of its zone show."""

    fire_at: datetime
    local_time: datetime


@click.command()
@click.argument("expression", metavar="EXPRESSION_OR_NAME")
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="Whose clocks count; a schedule that is kept has a zone of its own.",
)
@click.option(
    "--from",
    "since",
    metavar="INSTANT",
    help="The first time is later than this ISO 8601 instant, which is local time if it names no "
    "zone; now by default. Intervals are counted from here.",
)
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many times."
)
@json_option
def preview(expression: str, timezone: str, since: str | None, count: int, as_json: bool) -> None:
    """Show the times that an expression names, or those of a schedule that is kept.

    Of an expression nothing is stored, and no service is needed. It is cron (minute, hour, day of
    month, month, day of week; @hourly, @daily, @weekly, @monthly, @yearly), an interval
    (`every 30s`, `every 1h 30m`), an ISO 8601 instant, or `solar sunset LATITUDE LONGITUDE`.

    Where clocks are changed, a cron expression with a fixed hour fires once for each day that it
    names: the first time its clock time comes, or later by what was left out. If its hour begins
    with `*`, it fires as time passes: twice in an hour that comes twice.

    \b
    Examples:
      datamcp schedule preview "30 2 * * *" --timezone Europe/Berlin --from 2026-03-27
      datamcp schedule preview "*/15 9-17 * * mon-fri" --timezone America/New_York --count 5
      datamcp schedule preview "every 90s" --json
      datamcp schedule preview nightly --count 3
    """  # noqa: D301  click's mark for text that is not re-wrapped
    start = read_instant(since, "--from") or SystemClock().now()
    zone, times = _times(expression, timezone, start, count)
    if as_json:
        print_json([Upcoming(fire_at=at, local_time=at.astimezone(zone)) for at in times])
    elif times:
        show(times_table([at.astimezone(zone) for at in times], start))
    else:
        click.echo(f"{expression!r} names no time after {start:%Y-%m-%d %H:%M:%S %Z}", err=True)


def _times(
    expression: str, timezone: str, start: datetime, count: int
) -> tuple[ZoneInfo, Sequence[datetime]]:
    """Return whose clocks count, and the times of an expression, or else of a schedule."""
    zone = read_zone(timezone)
    try:
        when = parse(expression)
    except InvalidScheduleError as error:
        timing = _kept(expression, error).timing
        return timing.zone, list(islice(timing.times(timing.after(start)), count))
    return zone, list(islice(upcoming(when, zone=zone, since=start), count))


def _kept(name: str, error: InvalidScheduleError) -> Schedule:
    """Return the schedule of a name; where none can have it, it was meant as an expression."""
    if name.startswith("@") or len(name.split()) != 1:
        raise error
    try:
        with session().runtime() as runtime:
            return runtime.scheduler.sync.get_schedule(name)
    except ScheduleNotFoundError as unknown:
        reason = f"{error.reason}, nor the name of a schedule{unknown.hint}"
        raise InvalidScheduleError(name, reason) from None
    except (BackendUnavailable, ConfigError):
        raise error from None
