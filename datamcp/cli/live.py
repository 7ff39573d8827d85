"""A run that goes on as a table that fits a terminal, however many steps it has."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import COLOURS, counted, state_text
from datamcp.cli.pipeline_tables import MARKS, headline, step_count, step_took
from datamcp.pipelines.instances import parent_of
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import FINAL

_AROUND = 5  # lines beside those of the steps
_FEWEST = 3  # steps that are shown on any terminal
_BAR = 40  # characters

_FIRST = ("running", "retrying", "failed", "timed_out", "queued")
"""Of which states steps are shown where there is no room for all, in this order."""


def live_view(status: PipelineStatus, now: datetime, *, lines: int) -> RenderableType:
    """Return a run in at most so many lines: how far it is, and the steps that matter now."""
    shown = _chosen(status, max(_FEWEST, lines - _AROUND))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("step", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    for name in ("attempt", "took", "rows out"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in shown:
        table.add_row(*_row(name, status.tasks[name], now))
    return Group(headline(status, now), _progress(status, now), table, *_others(status, shown))


def expected(status: PipelineStatus, now: datetime) -> str:
    """Return when a run will probably end; empty if nobody can tell."""
    end = status.estimated_completion
    if end is None or status.is_final:
        return ""
    at = f"{end.astimezone():%H:%M:%S}"
    if end.astimezone().date() != now.astimezone().date():
        at = f"{end.astimezone():%m-%d %H:%M}"
    return f"ends about {at}, in {_rough(end, now)}"


def _rough(end: datetime, now: datetime) -> str:
    seconds = max(0.0, (end - now).total_seconds())
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _row(name: str, step: StepStatus, now: datetime) -> tuple[Text | str, ...]:
    indent = "  " if parent_of(name) else ""
    state = state_text(step.state)
    if step.state == "running" and step.progress is not None:
        state = Text.assemble(state, (f" {step.progress:.0%}", "dim"))
    attempt = f"{step.attempt} of {step.max_attempts}" if step.attempt > 1 else ""
    return (
        Text(f"{indent}{MARKS.get(step.state, '·')} {name}", style=COLOURS.get(step.state, "")),
        state,
        attempt,
        step_took(step, now),
        step_count(step.records_out),
    )


def _progress(status: PipelineStatus, now: datetime) -> Table:
    ended = sum(step.state in FINAL for step in status.tasks.values())
    bar = ProgressBar(total=1, completed=status.progress, width=_BAR)
    line = Table.grid(padding=(0, 2, 0, 0))
    said = f"{ended} of {counted(len(status.tasks), 'step')}"
    end = expected(status, now)
    line.add_row(bar, Text(f"{said}, {end}" if end else said, style="dim"))
    return line


def _chosen(status: PipelineStatus, most: int) -> list[str]:
    """Return which steps are shown, in the order of the definition: those that matter now."""
    names = list(status.tasks)
    if len(names) <= most:
        return names
    place = {state: number for number, state in enumerate(_FIRST)}
    last = {name: -_age(status.tasks[name]) for name in names}

    def rank(name: str) -> tuple[int, float]:
        return place.get(status.tasks[name].state, len(_FIRST)), last[name]

    wanted = set(sorted(names, key=rank)[:most])
    return [name for name in names if name in wanted]


def _age(step: StepStatus) -> float:
    """Return a number that is larger for what happened later."""
    last = step.finished_at or step.started_at
    return last.timestamp() if last else 0.0


def _others(status: PipelineStatus, shown: Sequence[str]) -> list[Text]:
    hidden = Counter(step.state for name, step in status.tasks.items() if name not in set(shown))
    if not hidden:
        return []
    parts = ", ".join(f"{number:,} {state}" for state, number in hidden.most_common())
    return [Text(f"· and {hidden.total():,} more: {parts}", style="dim")]
