"""A run as a live table: every step, how far it is, and what it counted."""

from collections.abc import Callable
from datetime import datetime
from threading import Event

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import COLOURS, duration, seconds, state_text
from datamcp.clock import Clock
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import FINAL, State

_LOOK = 0.2  # seconds between two looks at a run
_MARKS = {"succeeded": "✓", "running": "▶", "failed": "✗", "timed_out": "✗", "upstream_failed": "✗"}


def run_table(status: PipelineStatus, now: datetime) -> RenderableType:
    """Return a run with its steps."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("rows in", justify="right", no_wrap=True)
    table.add_column("rows out", justify="right", no_wrap=True)
    table.add_column("set aside", justify="right", no_wrap=True)
    for name, step in status.tasks.items():
        mark = Text(f"{_MARKS.get(step.state, '·')} {name}", style=COLOURS.get(step.state, ""))
        table.add_row(
            mark,
            state_text(step.state),
            _took(step, now),
            _count(step.records_in),
            _count(step.records_out),
            _count(step.records_rejected or None),
        )
    return Group(_headline(status, now), table, *_problems(status))


def follow(
    console: Console,
    look: Callable[[], PipelineStatus],
    clock: Clock,
    *,
    each_look: Callable[[], None] = lambda: None,
) -> PipelineStatus:
    """Show a run until it ends, live on a terminal, else a line for each step that ends.

    `each_look` is called in between; what it raises ends the waiting.
    """
    pause = Event()
    if not console.is_terminal:
        return _follow_in_lines(console, look, pause, each_look)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            status = look()
            live.update(run_table(status, clock.now()), refresh=True)
            if status.is_final:
                return status
            each_look()
            pause.wait(_LOOK)


def _follow_in_lines(
    console: Console,
    look: Callable[[], PipelineStatus],
    pause: Event,
    each_look: Callable[[], None],
) -> PipelineStatus:
    told: set[str] = set()
    while True:
        status = look()
        ended = [name for name, step in status.tasks.items() if step.state in FINAL]
        for name in ended:
            if name not in told:
                console.print(_line(name, status.tasks[name]), soft_wrap=True)
        told.update(ended)
        if status.is_final:
            return status
        each_look()
        pause.wait(_LOOK)


def _line(name: str, step: StepStatus) -> str:
    took = duration(step.started_at, step.finished_at)
    rows = "" if step.records_out is None else f", {step.records_out:,} rows"
    error = f": {step.error_message}" if step.error_message else ""
    return f"  {_MARKS.get(step.state, '·')} {name} {step.state}{error} ({took or 'not run'}{rows})"


def _headline(status: PipelineStatus, now: datetime) -> Text:
    since = status.started_at or status.created_at
    head = Text.assemble(
        (status.pipeline_id, "bold"),
        f" {status.run_id}  ",
        (status.state, COLOURS.get(status.state, "")),
        f"  {status.progress:.0%}  {seconds((status.finished_at or now) - since)}",
    )
    head.no_wrap = True
    return head


def _took(step: StepStatus, now: datetime) -> str:
    end = now if step.state is State.RUNNING else step.finished_at
    return duration(step.started_at, end)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _problems(status: PipelineStatus) -> list[Text]:
    lines = [
        Text(f"  {name}: {warning}", style="yellow")
        for name, step in status.tasks.items()
        for warning in step.warnings
    ]
    failed = {State.FAILED, State.TIMED_OUT}
    lines += [
        Text(f"  {name}: {step.error_message}", style="red")
        for name, step in status.tasks.items()
        if step.state in failed
    ]
    return lines
