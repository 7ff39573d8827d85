"""Intervals of data that runs are for: those of a schedule, or of one length. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid5

from pydantic_core import from_json, to_json

from datamcp.errors import PipelineError
from datamcp.scheduling.schedule import Spec
from datamcp.scheduling.when import parse, read_zone

MOST = 10_000
"""Intervals of one backfill."""

_RUNS = UUID("0192f0c4-6a51-5d3b-9c55-6261636b6669")
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """From an instant up to, and without, another one."""

    start: datetime
    end: datetime

    def run_id(self, pipeline_id: str, parameters: Mapping[str, Any]) -> str:
        """Return the id of the run that is for this interval of a pipeline, with its parameters."""
        ends = [one.astimezone(UTC).isoformat() for one in (self.start, self.end)]
        given = from_json(to_json(dict(parameters)))
        what = json.dumps([pipeline_id, *ends, given], sort_keys=True)
        return str(uuid5(_RUNS, what))


def between(since: datetime, until: datetime, spec: Spec) -> list[Interval]:
    """Return the intervals from one time of a schedule to its next, from `since` to `until`.

    The last one ends at the first time that is not before `until`. Raises PipelineError if there
    is none, or there are more than 10,000.
    """
    found: list[Interval] = []
    for start, end in pairwise(_times(since, spec)):
        if start >= until:
            break
        found.append(Interval(start, end))
        if len(found) > MOST:
            raise PipelineError(f"more than {MOST:,} intervals; make the range shorter")
    if not found:
        shown = f"{since.isoformat()} and {until.isoformat()}"
        raise PipelineError(f"{spec.schedule!r} has no time between {shown}")
    return found


def _times(since: datetime, spec: Spec) -> Iterator[datetime]:
    when, zone = parse(spec.schedule), read_zone(spec.timezone)
    anchor = (spec.start or since).astimezone(UTC)
    at = when.after(since.astimezone(UTC) - _TICK, zone, anchor)
    while at is not None:
        yield at
        at = when.after(at, zone, anchor)
