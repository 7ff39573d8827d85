"""Shows runs until they end: as live tables on a terminal, else a line for each step that ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from datamcp.cli.live import live_view
from datamcp.cli.output import counted, duration
from datamcp.cli.pipeline_tables import MARKS, run_table
from datamcp.clock import Clock
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import FINAL

_LOOK = 0.2  # seconds between two looks at the runs
_SHARE = 5  # times as long as a look takes is the pause after it


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

    `each_look` is called in between; what it raises ends the waiting. `is_kept` tells to leave
    tables of all steps there in the end.
    """
    looks = _looks(look, clock, each_look)
    if not console.is_terminal:
        return _follow_in_lines(console, looks)
    with Live(console=console, auto_refresh=False, transient=not is_kept) as live:
        for runs in looks:
            now, lines = clock.now(), console.height // len(runs)
            if _all_ended(runs):
                if is_kept:
                    live.update(Group(*(run_table(run, now) for run in runs)), refresh=True)
                break
            live.update(Group(*(live_view(run, now, lines=lines) for run in runs)), refresh=True)
    return runs


def _looks(
    look: Look, clock: Clock, each_look: Callable[[], None]
) -> Iterator[Sequence[PipelineStatus]]:
    """Look again and again until all have ended; the more a look costs, the less often."""
    pause = Event()
    while True:
        before = clock.monotonic()
        runs = look()
        cost = clock.monotonic() - before
        yield runs
        if _all_ended(runs):
            return
        each_look()
        pause.wait(max(_LOOK, _SHARE * cost))


def _follow_in_lines(
    console: Console, looks: Iterable[Sequence[PipelineStatus]]
) -> Sequence[PipelineStatus]:
    told: set[tuple[str, str]] = set()
    runs: Sequence[PipelineStatus] = ()
    for runs in looks:
        for run in runs:
            for name, step in run.tasks.items():
                if step.state in FINAL and (run.run_id, name) not in told:
                    told.add((run.run_id, name))
                    shown = name if len(runs) == 1 else f"{run.pipeline_id} {name}"
                    console.print(Text(_line(shown, step)), soft_wrap=True)
    return runs


def _all_ended(runs: Sequence[PipelineStatus]) -> bool:
    return all(run.is_final for run in runs)


def _line(name: str, step: StepStatus) -> str:
    took = duration(step.started_at, step.finished_at)
    rows = "" if step.records_out is None else f", {counted(step.records_out, 'row')}"
    error = f": {step.error_message}" if step.error_message else ""
    return f"  {MARKS.get(step.state, '·')} {name} {step.state}{error} ({took or 'not run'}{rows})"
