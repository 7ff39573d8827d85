"""For people: one table on a terminal, and the same in Markdown for the page of figures."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.measure import Spread, Verdict
from benchmarks.schedules.outcome import Found, Outcome

LAST, IDLE = 1.0, 0.01
"""Our targets: seconds to the last message, and cores while nothing is due."""
OURS = "datamcp"

_WIDTH = 190  # characters of a table where no terminal says otherwise
_COLUMNS = (
    "scheduler",
    "last sent, s",
    "≤ 1 s",
    "first sent, s",
    "others, CPUs",
    "idle, % of a core",
    "< 1 %",
    "servers, % of a core",
    "memory, MiB",
    "knows of a change within",
)
_LEFT = {0, 2, 6, 9}


def rows_of(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Yield a row for each side."""
    for name, found in outcome.sides.items():
        if found.missing is not None:
            yield (name, f"not measured: {found.missing} is not installed", *[""] * 8)
            continue
        is_ours = name.startswith(OURS)
        last = [inf if seconds is None else seconds for seconds in found.last]
        yield (
            name,
            _last(outcome, found),
            _judged(last, lambda value: value <= LAST) if is_ours else "",
            _spread([inf if seconds is None else seconds for seconds in found.first], 2),
            _spread(found.others, 1),
            _spread(found.idle, 2, 100),
            _judged(found.idle, lambda value: value < IDLE) if is_ours else "",
            _spread(found.idle_servers, 2, 100),
            _spread(found.memory, 0, 2**-20),
            found.seen_within,
        )


def heading(outcome: Outcome) -> str:
    """Return what was measured."""
    return (
        f"{outcome.due:,} of {outcome.count:,} schedules are due at one instant; "
        f"before, none is for {outcome.idle:g} s"
    )


def show(console: Console, outcome: Outcome) -> None:
    """Print the table and the facts."""
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title=heading(outcome), title_justify="left", title_style="bold")
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number in _LEFT else "right")
    for row in rows_of(outcome):
        table.add_row(*row)
    console.print(table)
    for line in facts(outcome):
        console.print(line, highlight=False, markup=False)


def write_page(page: Path, outcome: Outcome) -> None:
    """Put the table between the marks of a page; raises ValueError if it has none."""
    text = page.read_text(encoding="utf-8")
    page.write_text(report.put(text, markdown(outcome)), encoding="utf-8")


def markdown(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of the table and the facts."""
    yield from (f"{heading(outcome)}:", "")
    yield f"| {' | '.join(_COLUMNS)} |"
    rules = ("---" if number in _LEFT else "--:" for number in range(len(_COLUMNS)))
    yield f"|{'|'.join(rules)}|"
    yield from (f"| {' | '.join(row)} |" for row in rows_of(outcome))
    yield ""
    yield from (f"- {line}" for line in facts(outcome))


def facts(outcome: Outcome) -> Iterator[str]:
    """Yield what the figures were taken with, a line each."""
    rounds = "1 round" if outcome.rounds == 1 else f"{outcome.rounds} rounds"
    yield f"Taken {outcome.started_at} of {outcome.revision}, {rounds}"
    if outcome.machine:
        yield from report.facts_of(outcome.machine)
    before, after = map(report.plain_list, (outcome.load_before, outcome.load_after))
    yield f"Load average before {before}, after {after}"
    for name, found in outcome.sides.items():
        if found.settings:
            yield f"Settings of {name}: {report.pairs(found.settings)}"


def _last(outcome: Outcome, found: Found) -> str:
    """Return the seconds to the last message; where it did not come, how many messages did."""
    if None not in found.last:
        return _spread([seconds or 0.0 for seconds in found.last], 2)
    return f"> {outcome.patience:g} ({min(found.sent):,} sent)"


def _judged(values: Sequence[float], is_met: Callable[[float], bool]) -> str:
    if is_met(max(values)):
        return str(Verdict.MET)
    return str(Verdict.MOSTLY if is_met(Spread.of(values).median) else Verdict.MISSED)


def _spread(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    spread = Spread.of([value * scale for value in values])
    shown = [f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high)]
    return shown[0] if len(values) == 1 else "{} ({}..{})".format(*shown)
