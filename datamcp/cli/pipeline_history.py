"""`datamcp pipeline history`: the runs of one pipeline, and what there is to say of each."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

import click
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import (
    counted,
    duration,
    json_option,
    list_table,
    print_json,
    seconds,
    short_instant,
    show,
    state_text,
)
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.pipelines.status import PipelineStatus, RunState


@click.command()
@click.argument("pipeline_id")
@click.option(
    "--state",
    type=click.Choice([state.value for state in RunState]),
    metavar="STATE",
    help=f"Only runs in this state: {', '.join(RunState)}.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
def history(pipeline_id: str, state: str | None, limit: int, as_json: bool) -> None:
    """Show what became of the runs of PIPELINE_ID, the newest first.

    Of each run: who triggered it, how long it waited for its first step and how long it took; and,
    where it is so, its interval of data, the run that it goes on from, its note, and why it failed.

    \b
    Examples:
      datamcp pipeline history flights
      datamcp pipeline history flights --state failed --limit 100
      datamcp pipeline history flights --json | jq '.[].error_code'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        pipelines.get_pipeline(pipeline_id)
        found = pipelines.list_runs(
            pipeline_id=pipeline_id, state=RunState(state) if state else None, limit=limit
        )
    if as_json:
        print_json(found)
        return
    show(_table(found, SystemClock().now()))
    click.echo(_summary(found), err=True)


def _table(runs: Sequence[PipelineStatus], now: datetime) -> Table:
    names = ["run", "state", "triggered", "by", "waited", "took", "about"]
    table = list_table(names, whole=names[:-1])
    for run in runs:
        table.add_row(
            run.run_id,
            state_text(run.state),
            short_instant(run.created_at, now),
            _by(run),
            duration(run.scheduled_at or run.created_at, run.started_at),
            duration(run.started_at, run.finished_at),
            _about(run),
        )
    return table


def _by(run: PipelineStatus) -> str:
    return run.triggered_by if run.resumed_from is None else "resume"


def _about(run: PipelineStatus) -> Text:
    parts = []
    if run.interval_start is not None and run.interval_end is not None:
        parts.append(f"for {_short(run.interval_start)} to {_short(run.interval_end)}")
    if run.resumed_from is not None:
        parts.append(f"from {run.resumed_from}")
    if run.late_at is not None:
        parts.append("late")
    if run.note:
        parts.append(f"note: {run.note}")
    if run.error_message:
        parts.append(run.error_message)
    return Text("; ".join(parts))


def _short(at: datetime) -> str:
    """Return an instant as briefly as ISO 8601 allows."""
    text = at.isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z").replace(":00Z", "Z")


def _summary(runs: Sequence[PipelineStatus]) -> str:
    """Return how many runs ended how, and how long those that succeeded took."""
    counts = Counter(run.state for run in runs)
    states = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    lengths = [
        (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.state is RunState.SUCCEEDED and run.started_at and run.finished_at
    ]
    usual = (
        f"; half of those that succeeded took {seconds(timedelta(seconds=median(lengths)))} or less"
        if lengths
        else ""
    )
    return f"{counted(len(runs), 'run')}{': ' if states else ''}{states}{usual}"
