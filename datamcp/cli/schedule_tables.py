"""Schedules as tables: one in full, many as a list, their times, and what became of these."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import fields_table, instant, list_table, seconds, state_text
from datamcp.scheduling.schedule import Firing, Outcome, Schedule
from datamcp.scheduling.target import CallTarget, TaskTarget
from datamcp.scheduling.when import read_zone
from datamcp.stack.warnings import length

_ID = 36  # characters of an id
_WIDE = 110  # characters from which on a list of schedules has room for their last times
_HALF_A_YEAR = timedelta(days=180)  # within which a day needs no year
_COLOURS = {
    Outcome.FIRED: "green",
    Outcome.MISSED: "yellow",
    Outcome.SKIPPED: "dim",
    Outcome.REPLACED: "dim",
    Outcome.FAILED: "red",
}


class ShownFiring(Firing):
    """What became of a time, and how far is what it fired; None where that is not kept any more."""

    state: str | None = None


class ShownSchedule(Schedule):
    """A schedule with its next times, and its last firings, the newest first."""

    next_times: Sequence[datetime]
    firings: Sequence[ShownFiring]


def schedules_table(schedules: Sequence[Schedule], *, width: int, now: datetime) -> Table:
    """Return schedules, one a row, with their last times where the line is long enough.

    Times are those of each schedule's zone.
    """
    names = ["name", "when", "what", "next", "state"]
    if width >= _WIDE:
        names.insert(4, "last")
    is_short = all(len(schedule.title) <= _ID for schedule in schedules)
    table = list_table(names, whole=("next", "last", *(["name"] if is_short else [])))
    for schedule in schedules:
        cells = {
            "name": Text(schedule.title),
            "when": Text(_when(schedule)),
            "what": Text(schedule.target.title),
            "next": _next(schedule, now),
            "last": _last(schedule, now),
            "state": _state(schedule),
        }
        table.add_row(*(cells[name] for name in names))
    return table


def brief_fields(schedule: Schedule, now: datetime) -> Table:
    """Return what is most asked of a schedule, as names and values."""
    return fields_table(_brief(schedule, now))


def schedule_fields(schedule: Schedule, now: datetime) -> Table:
    """Return a schedule as names and values."""
    spec = schedule.spec
    return fields_table(
        [
            *_brief(schedule, now),
            ("source", schedule.source),
            *_details(schedule),
            ("misfire", spec.misfire),
            ("overlap", spec.overlap),
            ("jitter", f"up to {spec.jitter:g} s" if spec.jitter else None),
            ("start", _at(schedule, spec.start)),
            ("end", _at(schedule, spec.end)),
            ("note", schedule.note),
            ("last", _at(schedule, schedule.last_fire_at)),
            ("late", _late(schedule)),
            ("waiting", _at(schedule, schedule.buffered_at)),
            ("fired", f"{schedule.fired:,}"),
            ("fired last", schedule.fired_id),
            ("error", schedule.error),
            ("created", instant(schedule.created_at)),
            ("updated", instant(schedule.updated_at)),
        ]
    )


def times_table(times: Sequence[datetime], start: datetime) -> Table:
    """Return times, one a row, and how long each is after the one before."""
    table = list_table(["local time", "offset", "UTC", "after"], whole=("local time", "UTC"))
    before = start
    for at in times:
        table.add_row(
            f"{at:%a %Y-%m-%d %H:%M:%S}",
            f"{at:%z}"[:3] + ":" + f"{at:%z}"[3:],
            f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            seconds(at.astimezone(UTC) - before.astimezone(UTC)),
        )
        before = at
    return table


def firings_table(firings: Sequence[ShownFiring], zone: ZoneInfo) -> Table:
    """Return what became of times, one a row."""
    names = ["time", "kind", "outcome", "fired", "state"]
    if any(firing.error for firing in firings):
        names.append("error")
    table = list_table(names, whole=("time", "kind", "outcome", "fired", "state"))
    for firing in firings:
        cells = (
            f"{firing.fire_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            firing.kind,
            Text(firing.outcome, style=_COLOURS[firing.outcome]),
            firing.fired_id or "",
            state_text(firing.state or ""),
            Text(firing.error or ""),
        )
        table.add_row(*cells[: len(names)])
    return table


def _brief(schedule: Schedule, now: datetime) -> list[tuple[str, object]]:
    ahead = _ahead(schedule, now)
    following = None if schedule.paused else _at(schedule, schedule.next_fire_at)
    return [
        ("schedule", schedule.schedule_id),
        ("name", schedule.name),
        ("when", _when(schedule)),
        ("what", schedule.target.title),
        ("next", f"{following}, {ahead}" if following and ahead else following),
        ("state", _state(schedule)),
    ]


def _details(schedule: Schedule) -> list[tuple[str, object]]:
    """Return what is fired, beside its name."""
    target = schedule.target
    if isinstance(target, CallTarget):
        options = ("args", "kwargs", "options")
        return [(name, _json(getattr(target, name))) for name in options]
    if not isinstance(target, TaskTarget):
        return [("parameters", _json(target.parameters))]
    task = target.task
    return [
        ("parameters", _json(task.parameters)),
        ("priority", task.priority),
        ("timeout", None if task.timeout is None else f"{task.timeout:g} s"),
        ("retries", task.retry_count),
        ("tags", ", ".join(task.tags)),
        ("metadata", _json(task.metadata)),
    ]


def _json(value: object) -> str | None:
    return to_json(value).decode() if value else None


def _when(schedule: Schedule) -> str:
    spec = schedule.spec
    return spec.schedule if spec.timezone == "UTC" else f"{spec.schedule} ({spec.timezone})"


def _at(schedule: Schedule, at: datetime | None) -> str | None:
    """Return an instant in full, as the clocks of a schedule's zone show it."""
    if at is None:
        return None
    return f"{at.astimezone(read_zone(schedule.spec.timezone)):%a %Y-%m-%d %H:%M:%S %Z}"


def _short(schedule: Schedule, at: datetime, now: datetime) -> str:
    """Return an instant on the clocks of a schedule's zone, as briefly as it can be told."""
    zone = read_zone(schedule.spec.timezone)
    local, today = at.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if abs(at - now) < _HALF_A_YEAR else f"{local:%Y-%m-%d}"


def _next(schedule: Schedule, now: datetime) -> Text:
    ahead = _ahead(schedule, now)
    if schedule.next_fire_at is None or ahead is None:
        return Text()
    style = "yellow" if ahead.endswith("late") else ""
    return Text(f"{_short(schedule, schedule.next_fire_at, now)}, {ahead}", style=style)


def _ahead(schedule: Schedule, now: datetime) -> str | None:
    """Return how far ahead the next time is, its jitter included; None if nothing is to come."""
    if schedule.next_fire_at is None or schedule.paused:
        return None
    due = schedule.timing.due(schedule.next_fire_at)
    return f"in {length(due - now)}" if due >= now else f"{length(now - due)} late"


def _last(schedule: Schedule, now: datetime) -> Text:
    at = schedule.last_fire_at
    if at is None:
        return Text()
    if schedule.error is not None:
        return Text(f"{_short(schedule, at, now)}, failed", style="red")
    late = _late(schedule)
    return Text(_short(schedule, at, now) + (f", {late} late" if late else ""))


def _late(schedule: Schedule) -> str | None:
    """Return how late the last time was fired."""
    late = schedule.lateness
    return None if late is None else seconds(timedelta(seconds=late))


def _state(schedule: Schedule) -> Text:
    """Return what a schedule does: it is active, unless it is paused, or its times are over."""
    if schedule.paused:
        return Text(f"paused: {schedule.note}" if schedule.note else "paused", style="yellow")
    if schedule.error is not None:
        return Text(f"failed: {schedule.error}", style="red")
    if schedule.buffered_at is not None:
        return Text("waits for what runs", style="cyan")
    if schedule.next_fire_at is None:
        return Text("over", style="dim")
    return Text("active", style="green")
