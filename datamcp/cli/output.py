"""What commands write: JSON for programs, text for people. stdout holds results only."""

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta

import click
from pydantic import BaseModel
from pydantic_core import to_json
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

COLOURS = {
    "scheduled": "dim",
    "queued": "cyan",
    "running": "yellow",
    "retrying": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "timed_out": "red",
    "skipped": "dim",
    "upstream_failed": "red",
}
_ENDLESS = 10_000  # characters in a line that no terminal ends


def console() -> Console:
    """Return the console of results. Where it is no terminal, nothing is cut or folded."""
    return _unfolded(Console(highlight=False))


def messages() -> Console:
    """Return the console of messages: stderr."""
    return _unfolded(Console(stderr=True, highlight=False))


def _unfolded(console: Console) -> Console:
    if not console.is_terminal:
        console.width = shutil.get_terminal_size((_ENDLESS, 25)).columns
    return console


def show(renderable: RenderableType) -> None:
    """Write a result for people; no line ends in blanks where stdout is no terminal."""
    show_on(console(), renderable)


def show_on(shown: Console, renderable: RenderableType) -> None:
    """Write something on this console, as `show` does."""
    if shown.is_terminal:
        shown.print(renderable)
        return
    with shown.capture() as captured:
        shown.print(renderable)
    for line in captured.get().splitlines():
        shown.print(Text(line.rstrip()), soft_wrap=True)


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Write a model as one JSON object, or several as one array."""
    click.echo(to_json(value, indent=2, inf_nan_mode="null").decode())


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def instant(value: datetime | None) -> str:
    """Return an instant in local time, to the second."""
    return "" if value is None else f"{value.astimezone():%Y-%m-%d %H:%M:%S}"


def short_instant(value: datetime | None, now: datetime) -> str:
    """Return an instant in local time as briefly as it can be told from others."""
    if value is None:
        return ""
    local, today = value.astimezone(), now.astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two instants, such as `1.24 s` or `3 min 05 s`."""
    return "" if start is None or end is None else seconds(end - start)


def seconds(length: timedelta) -> str:
    """Return a length of time for people."""
    total = max(0.0, length.total_seconds())
    if total < 59.995:
        return f"{total:.2f} s"
    minutes, rest = divmod(round(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 step`, `1,234 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def fields_table(fields: Sequence[tuple[str, object]]) -> Table:
    """Return names and values, one pair a line, without those that are empty."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value is not None and str(value):
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def list_table(columns: Sequence[str], *, whole: Sequence[str]) -> Table:
    """Return an empty table of one thing a row; the columns `whole` are never cut or folded."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    return table
