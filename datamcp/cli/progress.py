"""Shows runs until they end: as live tables on a terminal, else a line for each step that ends."""

from collections.abc import Callable, Sequence
from threading import Event

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from datamcp.cli.output import counted, duration
from datamcp.cli.pipeline_tables import MARKS, run_table
from datamcp.clock import Clock
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import FINAL

_LOOK = 0.2  # seconds between two looks at the runs


Look = Callable[[], Sequence[PipelineStatus]]
"""Returns the runs that are followed, as they are now, always in the same order."""


def follow(
    console: Console,
    look: Look,
    clock: Clock,
    *,
    each_look: Callable[[], None] = lambda: None,
    is_kept: bool = False,
) -> Sequence[PipelineStatus]:
    """Show runs until all have ended, and return how they ended.

    `each_look` is called in between; what it raises ends the waiting. `is_kept` tells to leave the
    live tables where they are.
    """
    pause = Event()
    if not console.is_terminal:
        return _follow_in_lines(console, look, pause, each_look)
    with Live(console=console, auto_refresh=False, transient=not is_kept) as live:
        while True:
            runs = look()
            now = clock.now()
            live.update(Group(*(run_table(run, now) for run in runs)), refresh=True)
            if _all_ended(runs):
                return runs
            each_look()
            pause.wait(_LOOK)


def _follow_in_lines(
    console: Console, look: Look, pause: Event, each_look: Callable[[], None]
) -> Sequence[PipelineStatus]:
    told: set[tuple[str, str]] = set()
    while True:
        runs = look()
        for run in runs:
            for name, step in run.tasks.items():
                if step.state in FINAL and (run.run_id, name) not in told:
                    told.add((run.run_id, name))
                    shown = name if len(runs) == 1 else f"{run.pipeline_id} {name}"
                    console.print(Text(_line(shown, step)), soft_wrap=True)
        if _all_ended(runs):
            return runs
        each_look()
        pause.wait(_LOOK)


def _all_ended(runs: Sequence[PipelineStatus]) -> bool:
    return all(run.is_final for run in runs)


def _line(name: str, step: StepStatus) -> str:
    took = duration(step.started_at, step.finished_at)
    rows = "" if step.records_out is None else f", {counted(step.records_out, 'row')}"
    error = f": {step.error_message}" if step.error_message else ""
    return f"  {MARKS.get(step.state, '·')} {name} {step.state}{error} ({took or 'not run'}{rows})"
