"""Pipelines and their runs as tables."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import (
    COLOURS,
    duration,
    list_table,
    seconds,
    short_instant,
    state_text,
)
from datamcp.cli.run_remarks import run_remarks, step_remarks
from datamcp.pipelines.status import Pipeline, PipelineStatus, StepStatus
from datamcp.tasks.states import State

MARKS = {"succeeded": "✓", "running": "▶", "failed": "✗", "timed_out": "✗", "upstream_failed": "✗"}
"""What stands before a step in its state; a dot for the others."""

_WIDE = 110  # characters from which on a list of runs has room for their errors


def run_table(status: PipelineStatus, now: datetime) -> RenderableType:
    """Return a run with its steps; what no step has is no column."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("step", overflow="fold")
    table.add_column("state", no_wrap=True)
    columns = {
        "attempt": [_attempt(step) for step in status.tasks.values()],
        "began": [short_instant(step.started_at, now) for step in status.tasks.values()],
        "took": [step_took(step, now) for step in status.tasks.values()],
        "rows in": [step_count(step.records_in) for step in status.tasks.values()],
        "rows out": [step_count(step.records_out) for step in status.tasks.values()],
        "set aside": [step_count(step.records_rejected or None) for step in status.tasks.values()],
    }
    used = {name: cells for name, cells in columns.items() if any(cells)}
    for name in used:
        table.add_column(name, justify="right", no_wrap=True)
    for number, (name, step) in enumerate(status.tasks.items()):
        table.add_row(
            Text(f"{MARKS.get(step.state, '·')} {name}", style=COLOURS.get(step.state, "")),
            state_text(step.state),
            *(cells[number] for cells in used.values()),
        )
    return Group(
        headline(status, now),
        *_punctuality(status, now),
        *run_remarks(status, now),
        table,
        *step_remarks(status),
        *_problems(status),
    )


def runs_table(runs: Sequence[PipelineStatus], *, width: int, now: datetime) -> Table:
    """Return runs, one a row, with their errors where the line is long enough."""
    names = ["run", "pipeline", "state", "done", "triggered", "took"]
    if width >= _WIDE and any(run.error_message for run in runs):
        names.append("error")
    table = list_table(names, whole=("run", "state", "done", "triggered", "took"))
    for run in runs:
        cells = (
            run.run_id,
            run.pipeline_id,
            state_text(run.state),
            f"{run.progress:.0%}",
            short_instant(run.created_at, now),
            duration(run.started_at, run.finished_at),
            Text(run.error_message or ""),
        )
        table.add_row(*cells[: len(names)])
    return table


def pipelines_table(
    pipelines: Sequence[Pipeline], last: Sequence[PipelineStatus | None], *, now: datetime
) -> Table:
    """Return pipelines, one a row, each with its last run."""
    names = ("pipeline", "version", "revision", "steps", "registered", "last run", "state")
    table = list_table(names, whole=("revision", "steps", "registered", "last run", "state"))
    for item, run in zip(pipelines, last, strict=True):
        table.add_row(
            item.pipeline_id,
            Text(item.version),
            str(item.revision),
            str(len(item.definition.tasks)),
            short_instant(item.registered_at, now),
            short_instant(run.created_at, now) if run else "",
            state_text(run.state) if run else "",
        )
    return table


def headline(status: PipelineStatus, now: datetime) -> Text:
    """Return what a run is, in one line."""
    since = min(now, status.started_at or status.scheduled_at or status.created_at)
    head = Text.assemble(
        (status.pipeline_id, "bold"),
        f" {status.run_id}  ",
        (status.state, COLOURS.get(status.state, "")),
        f"  {status.progress:.0%}  {seconds((status.finished_at or now) - since)}",
    )
    head.no_wrap = True
    return head


def _punctuality(status: PipelineStatus, now: datetime) -> list[Text]:
    """Return when a run was due and when it began, if it was triggered for an instant."""
    if status.scheduled_at is None:
        return []
    due = f"{status.scheduled_at.astimezone():%Y-%m-%d %H:%M:%S}"
    if status.started_at is not None:
        late = seconds(status.started_at - status.scheduled_at)
        began = f"{status.started_at.astimezone():%H:%M:%S}, {late} after that"
        return [Text(f"due {due}, began {began}", style="dim")]
    if status.scheduled_at > now and not status.is_final:
        return [Text(f"due {due}, in {seconds(status.scheduled_at - now)}", style="dim")]
    return [Text(f"due {due}, not begun", style="dim")]


def step_took(step: StepStatus, now: datetime) -> str:
    """Return how long a step took, so far if it runs."""
    end = now if step.state is State.RUNNING else step.finished_at
    return duration(step.started_at, end)


def _attempt(step: StepStatus) -> str:
    return f"{step.attempt} of {step.max_attempts}" if step.attempt > 1 else ""


def step_count(number: int | None) -> str:
    """Return a number of rows, if it is known."""
    return "" if number is None else f"{number:,}"


def _problems(status: PipelineStatus) -> list[Text]:
    lines = [
        Text(f"  {name}: {warning}", style="yellow")
        for name, step in status.tasks.items()
        for warning in step.warnings
    ]
    failed = {State.FAILED, State.TIMED_OUT}
    lines += [
        Text(f"  {name}: {step.error_message or step.error_code}", style="red")
        for name, step in status.tasks.items()
        if step.state in failed and (step.error_message or step.error_code)
    ]
    return lines
