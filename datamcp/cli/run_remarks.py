"""What there is to say of a run besides its state: pauses, deadlines, where it comes from, room."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from datamcp.cli.output import instant, seconds
from datamcp.pipelines.status import FINAL_RUN_STATES, PipelineStatus, RunState
from datamcp.tasks.states import FINAL

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator

_MAX_SHOWN = 20  # steps that a line names
_MOST_RUNS = 1000  # that are looked at to tell how many are under way


def run_remarks(status: PipelineStatus, now: datetime) -> list[Text]:
    """Return lines on a run: only what is set, and still matters."""
    return [Text(line, style=style) for line, style in _of_run(status, now)]


def step_remarks(status: PipelineStatus) -> list[Text]:
    """Return lines on steps that wait, were taken over, or have a note."""
    lines = [f"{step_id}: {line}" for step_id, line in _of_steps(status)]
    taken = [step_id for step_id, step in status.tasks.items() if step.adopted_from is not None]
    if taken:
        more = f" and {len(taken) - _MAX_SHOWN:,} more" if len(taken) > _MAX_SHOWN else ""
        lines.append(f"taken over as they were: {', '.join(taken[:_MAX_SHOWN])}{more}")
    return [Text(f"  {line}", style="dim") for line in lines]


def _of_run(status: PipelineStatus, now: datetime) -> Iterator[tuple[str, str]]:
    if status.interval_start is not None and status.interval_end is not None:
        start, end = status.interval_start.isoformat(), status.interval_end.isoformat()
        yield f"for {start} to {end}", "dim"
    if status.resumed_from is not None:
        yield f"goes on from run {status.resumed_from}", "dim"
    if status.note:
        yield f"note: {status.note}", "dim"
    if status.paused_at is not None and status.state is RunState.PAUSED:
        since = f"{instant(status.paused_at)}, {seconds(now - status.paused_at)} ago"
        yield f"paused at {since}", "yellow"
    yield from _of_deadline(status, now)
    if status.timeout_at is not None and not status.is_final:
        yield f"times out at {instant(status.timeout_at)}", "dim"


def _of_deadline(status: PipelineStatus, now: datetime) -> Iterator[tuple[str, str]]:
    if status.deadline_at is None:
        return
    over = (status.finished_at or now) - status.deadline_at
    if status.late_at is not None or over.total_seconds() > 0:
        yield f"late: was to end by {instant(status.deadline_at)}, {seconds(over)} before", "red"
    elif not status.is_final:
        yield f"is to end by {instant(status.deadline_at)} (deadline)", "dim"


def _of_steps(status: PipelineStatus) -> Iterator[tuple[str, str]]:
    for step_id, step in status.tasks.items():
        if step.waiting_for is not None:
            yield step_id, f"waits for {step.waiting_for}"
        if step.note and step.state in FINAL and step.note not in (step.error_message or ""):
            yield step_id, f"note: {step.note}"


def wait_for_room(runtime: "Runtime", status: PipelineStatus, now: datetime) -> str | None:
    """Say how many runs are under way, of a run that waits until one of them has ended."""
    is_due = status.scheduled_at is None or status.scheduled_at <= now
    if status.is_final or status.admitted_at is not None or not is_due:
        return None
    pipelines = runtime.pipelines.sync
    under_way = _under_way(pipelines)
    most = pipelines.get_pipeline(status.pipeline_id).definition.limits.runs
    ours = under_way[status.pipeline_id]
    if most is not None and ours >= most:
        return f"waits for room: {ours:,} run of {status.pipeline_id}, of at most {most:,}"
    total = runtime.config.pipelines.max_concurrent_pipelines
    return f"waits for room: {under_way.total():,} run, of at most {total:,}"


def _under_way(pipelines: "SyncPipelineOrchestrator") -> Counter[str]:
    """Return how many runs of each pipeline have been let in; what others wait for not counted."""
    runs = (
        run
        for state in RunState
        if state not in FINAL_RUN_STATES
        for run in pipelines.list_runs(state=state, limit=_MOST_RUNS)
    )
    return Counter(
        run.pipeline_id
        for run in runs
        if run.admitted_at is not None and run.parent_task_id is None
    )
