"""Shows a run until it ends: as a live table on a terminal, else a line for each step that ends."""

from collections.abc import Callable
from threading import Event

from rich.console import Console
from rich.live import Live
from rich.text import Text

from datamcp.cli.output import counted, duration
from datamcp.cli.pipeline_tables import MARKS, run_table
from datamcp.clock import Clock
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import FINAL

_LOOK = 0.2  # seconds between two looks at a run


def follow(
    console: Console,
    look: Callable[[], PipelineStatus],
    clock: Clock,
    *,
    each_look: Callable[[], None] = lambda: None,
    is_kept: bool = False,
) -> PipelineStatus:
    """Show a run until it ends, and return how it ended.

    `each_look` is called in between; what it raises ends the waiting. `is_kept` tells to leave the
    live table where it is.
    """
    pause = Event()
    if not console.is_terminal:
        return _follow_in_lines(console, look, pause, each_look)
    with Live(console=console, auto_refresh=False, transient=not is_kept) as live:
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
                console.print(Text(_line(name, status.tasks[name])), soft_wrap=True)
        told.update(ended)
        if status.is_final:
            return status
        each_look()
        pause.wait(_LOOK)


def _line(name: str, step: StepStatus) -> str:
    took = duration(step.started_at, step.finished_at)
    rows = "" if step.records_out is None else f", {counted(step.records_out, 'row')}"
    error = f": {step.error_message}" if step.error_message else ""
    return f"  {MARKS.get(step.state, '·')} {name} {step.state}{error} ({took or 'not run'}{rows})"
