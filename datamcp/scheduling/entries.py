"""Entries of Celery's own `beat_schedule`, as schedules of ours.

`crontab`, `schedule` (and what stands for it: seconds, a timedelta) and `solar` are known. Celery's
crontab takes a day only where both of its day fields fit; ours says so by `&`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab, maybe_schedule, schedule, solar

from datamcp.errors import DatamcpError, ScheduleError
from datamcp.scheduling.cron import Cron
from datamcp.scheduling.schedule import Source, Spec, spec_of
from datamcp.scheduling.schedules import Declared
from datamcp.scheduling.target import CallTarget

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = (
    ("minute", "_orig_minute", range(60)),
    ("hour", "_orig_hour", range(24)),
    ("day_of_month", "_orig_day_of_month", range(1, 32)),
    ("month_of_year", "_orig_month_of_year", range(1, 13)),
    ("day_of_week", "_orig_day_of_week", range(7)),
)


def declared_in(app: Celery) -> tuple[list[Declared], dict[str, str]]:
    """Return the entries of an app, and why others can't be taken over, by their names."""
    found, refused = [], {}
    for name, entry in dict(app.conf.beat_schedule or {}).items():
        try:
            found.append(_declared(app, str(name), dict(entry)))
        except DatamcpError as error:
            refused[str(name)] = str(error)
        except (KeyError, TypeError, ValueError) as error:
            refused[str(name)] = f"is no entry of a beat_schedule: {error!r}"
    return found, refused


def _declared(app: Celery, name: str, entry: Mapping[str, Any]) -> Declared:
    times = maybe_schedule(entry["schedule"], entry.get("relative", False), app=app)
    target = CallTarget(
        task_type=entry["task"],
        args=tuple(_plain(name, list(entry.get("args") or ()))),
        kwargs=_plain(name, dict(entry.get("kwargs") or {})),
        options=_options(name, entry.get("options") or {}),
    )
    return Declared(name, Source.CELERY, spec_for(times), target)


def spec_for(times: Any) -> Spec:
    """Return the spec of a schedule of Celery's; raises ScheduleError for one of another kind."""
    match times:
        case crontab():
            return spec_of(schedule=_cron(times), timezone=_zone(times))
        case solar():
            text = f"solar {times.event} {times.lat:g} {times.lon:g}"
            return spec_of(schedule=text, timezone="UTC")
        case schedule():
            seconds = times.run_every.total_seconds()
            start = _EPOCH if times.relative else None  # then it is counted from round times
            return spec_of(schedule=f"every {seconds:.10g}s", start=start)
    raise ScheduleError(
        f"{type(times).__name__} is not known here; use crontab, a number of seconds, a timedelta "
        "or solar"
    )


def _cron(times: crontab) -> str:
    """Return a crontab as five fields, as they were written where that means the same here."""
    words: list[str] = []
    for name, written, full in _FIELDS:
        wanted = frozenset(getattr(times, name))
        words.append(_word(str(getattr(times, written)), len(words), wanted, frozenset(full)))
    if not words[2].startswith("*") and not words[4].startswith("*"):
        words[4] = f"&{words[4]}"
    return " ".join(words)


def _word(written: str, place: int, wanted: frozenset[int], full: frozenset[int]) -> str:
    text = written.replace(" ", "")
    fields = ["*"] * 5
    fields[place] = text
    try:
        read = Cron.parse(" ".join(fields))
    except ValueError:
        pass
    else:
        meant = (read.minutes, read.hours, read.days, read.months, read.weekdays)[place]
        if frozenset(meant) == wanted:
            return text
    return "*" if wanted == full else ",".join(map(str, sorted(wanted)))


def _zone(times: crontab) -> str:
    zone = times.tz
    if isinstance(zone, ZoneInfo):
        return zone.key
    if zone is UTC or str(zone) == "UTC":
        return "UTC"
    raise ScheduleError(f"the time zone {zone} has no name; use one such as Europe/Berlin")


def _plain(name: str, value: Any) -> Any:
    """Return arguments as JSON holds them; they are kept until the task is sent."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ScheduleError(f"{name}: its arguments can't be kept as JSON: {error}") from error


def _options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of `apply_async` as JSON holds them."""
    found: dict[str, Any] = {}
    for option, value in options.items():
        match value:
            case timedelta():
                found[option] = value.total_seconds()
            case datetime():
                found[option] = value.isoformat()
            case _ if option == "queue":
                found[option] = getattr(value, "name", value)
            case _:
                found[option] = value
    plain: dict[str, Any] = _plain(name, found)
    return plain
