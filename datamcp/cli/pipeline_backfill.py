"""`datamcp pipeline backfill`: a run for each interval of data in a range."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel
from rich.progress import track
from rich.table import Table

from datamcp.cli.group import FAILED
from datamcp.cli.output import (
    counted,
    json_option,
    list_table,
    messages,
    print_json,
    show,
    state_text,
)
from datamcp.cli.parameters import (
    parameter_options,
    read_document,
    read_instant,
    read_pairs,
    wait_options,
)
from datamcp.cli.run import typed
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.errors import ResultTimeoutError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.intervals import Interval, between
from datamcp.pipelines.status import RunState
from datamcp.scheduling.schedule import Spec, spec_of
from datamcp.scheduling.when import read_zone

if TYPE_CHECKING:
    from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator


_AT_ONCE = 100  # runs that are started between two looks at how far it is


class BackfilledRun(BaseModel):
    """An interval of data, and the run that is for it.

    `is_new` tells that it was made now or, with `--dry-run`, would be; `state` is null then.
    """

    interval_start: datetime
    interval_end: datetime
    run_id: str
    is_new: bool
    state: RunState | None = None


@click.command()
@click.argument("pipeline_id")
@click.option(
    "--from",
    "since",
    required=True,
    metavar="INSTANT",
    help="Where the first interval begins, or the first time of the schedule after that; an ISO "
    "8601 instant, local time if it names no zone.",
)
@click.option(
    "--to", "until", required=True, metavar="INSTANT", help="Intervals begin earlier than this."
)
@click.option(
    "--every",
    metavar="LENGTH|CRON",
    help="How long an interval is, such as 1d or 6h, or a cron expression; the pipeline's own "
    "schedule by default.",
)
@click.option("--timezone", metavar="ZONE", help="Whose clocks count for --every; UTC by default.")
@parameter_options
@click.option("--dry-run", is_flag=True, help="Show the intervals only.")
@wait_options
@json_option
@click.pass_context
def backfill(
    ctx: click.Context,
    pipeline_id: str,
    since: str,
    until: str,
    every: str | None,
    timezone: str | None,
    pairs: tuple[str, ...],
    document: str | None,
    dry_run: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Start a run of PIPELINE_ID for each interval of data in a range.

    Each run has its interval in `${run.interval_start}` and `${run.interval_end}`. The same
    interval with the same parameters again makes no new run. As many run at once as the limits
    allow. With --wait the exit code is 1 if a run does not succeed, or does not end in time.

    \b
    Examples:
      datamcp pipeline backfill flights --from 2030-01-01 --to 2030-02-01 --dry-run
      datamcp pipeline backfill flights --from 2030-01-01T00:00Z --to 2030-02-01T00:00Z --every 1d
      datamcp pipeline backfill flights --from 2030-01-01 --to 2031-01-01 --every "0 0 1 * *" \\
        --timezone Europe/Berlin -p data=/data --wait
    """  # noqa: D301  click's mark for text that is not re-wrapped
    start, end = _range(since, until)
    with session().runtime() as runtime:
        if not dry_run:
            runtime.app.require_broker()
        pipelines = runtime.pipelines.sync
        definition = pipelines.get_pipeline(pipeline_id).definition
        spec = _spec(definition, every, timezone)
        values = read_document(document) | typed(definition, read_pairs(pairs))
        intervals = between(start, end, spec)
        runs = _before(pipelines, pipeline_id, intervals, values)
        if dry_run:
            pipelines.dry_run(pipeline_id, values)  # refuses parameters that are wrong
        else:
            _start(pipelines, pipeline_id, intervals, values)
            if wait or timeout is not None:
                _wait(pipelines, runs, timeout)
            runs = _after(pipelines, runs)
    if as_json:
        print_json(runs)
    else:
        show(_table(runs, spec))
        click.echo(_summary(pipeline_id, runs, is_dry=dry_run), err=True)
    if (wait or timeout is not None) and not dry_run:
        _end(ctx, runs)


def _range(since: str, until: str) -> tuple[datetime, datetime]:
    start, end = read_instant(since, "--from"), read_instant(until, "--to")
    if start is None or end is None or end <= start:
        raise click.UsageError(f"--to must be later than --from, got {since!r} and {until!r}")
    return start, end


def _spec(definition: PipelineDefinition, every: str | None, timezone: str | None) -> Spec:
    """Return what the times of the intervals are; raises click.UsageError, InvalidScheduleError."""
    if every is not None:
        is_length = len(every.split()) == 1 and every[:1].isdigit() and "-" not in every
        return spec_of(schedule=f"every {every}" if is_length else every, timezone=timezone)
    if timezone is not None:
        raise click.UsageError("--timezone is for --every; the pipeline's schedule has its own")
    match definition.schedule:
        case None:
            name = definition.pipeline_id
            raise click.UsageError(f"pipeline {name!r} has no schedule; say --every, such as 1d")
        case str(text):
            return Spec(schedule=text)
        case spec:
            return spec


def _before(
    pipelines: "SyncPipelineOrchestrator",
    pipeline_id: str,
    intervals: Sequence[Interval],
    values: Mapping[str, Any],
) -> list[BackfilledRun]:
    """Return the runs of intervals; those that are there already with their states."""
    ids = [interval.run_id(pipeline_id, values) for interval in intervals]
    known = pipelines.run_states(ids)
    return [
        BackfilledRun(
            interval_start=interval.start,
            interval_end=interval.end,
            run_id=run_id,
            is_new=run_id not in known,
            state=known.get(run_id),
        )
        for interval, run_id in zip(intervals, ids, strict=True)
    ]


def _start(
    pipelines: "SyncPipelineOrchestrator",
    pipeline_id: str,
    intervals: Sequence[Interval],
    values: Mapping[str, Any],
) -> None:
    """Start a run for each interval; on a terminal, show how far that is."""
    console = messages()
    firsts = range(0, len(intervals), _AT_ONCE)
    for first in track(
        firsts, "starting runs", console=console, transient=True, disable=not console.is_terminal
    ):
        pipelines.backfill(pipeline_id, intervals[first : first + _AT_ONCE], values)


def _after(
    pipelines: "SyncPipelineOrchestrator", runs: Sequence[BackfilledRun]
) -> list[BackfilledRun]:
    states = pipelines.run_states([run.run_id for run in runs])
    return [run.model_copy(update={"state": states[run.run_id]}) for run in runs]


def _wait(
    pipelines: "SyncPipelineOrchestrator", runs: Sequence[BackfilledRun], timeout: float | None
) -> None:
    """Wait for the ends of all runs, up to so many seconds for all together."""
    clock = SystemClock()
    deadline = None if timeout is None else clock.monotonic() + timeout
    for run in runs:
        left = None if deadline is None else max(0.0, deadline - clock.monotonic())
        try:
            pipelines.wait(run.run_id, left)
        except ResultTimeoutError:
            return


def _end(ctx: click.Context, runs: Sequence[BackfilledRun]) -> None:
    """Leave with exit code 1 unless all runs succeeded."""
    others = Counter(run.state for run in runs if run.state is not RunState.SUCCEEDED)
    if others:
        states = ", ".join(f"{count:,} {state}" for state, count in others.items())
        line = f"{others.total():,} of {counted(len(runs), 'run')} have not succeeded: {states}"
        click.echo(f"Error: {line}", err=True)
        ctx.exit(FAILED)


def _table(runs: Sequence[BackfilledRun], spec: Spec) -> Table:
    names = ["from", "to", "run", "state", ""]
    table = list_table(names, whole=names)
    zone = read_zone(spec.timezone)
    for run in runs:
        times = (f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" for at in _ends(run))
        known = "" if run.is_new else "there already"
        table.add_row(*times, run.run_id, state_text(run.state or ""), known)
    return table


def _ends(run: BackfilledRun) -> Iterator[datetime]:
    yield run.interval_start
    yield run.interval_end


def _summary(pipeline_id: str, runs: Sequence[BackfilledRun], *, is_dry: bool) -> str:
    new = sum(run.is_new for run in runs)
    known = len(runs) - new
    verb = "would start" if is_dry else "started"
    line = f"{verb} {counted(new, 'run')} of {pipeline_id}"
    return line if not known else f"{line}; {known:,} there already"
