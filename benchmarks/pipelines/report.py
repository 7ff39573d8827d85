"""For people: tables on a terminal, and the same in Markdown for the page of figures."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.measure import Spread
from benchmarks.pipelines.outcome import Aim, Found, Outcome

_WIDTH = 150  # characters of a table where no terminal says otherwise
_COLUMNS = ("side", "figure", "median (min..max)", "against", "target")
_REQUESTS = ("commands", "round_trips", "statements", "commits")
_NAMES = ("Redis commands", "Redis round trips", "SQL statements", "commits")
_CPU = ("producer", "worker", "pool", "broker", "database")


def rows_of(found: Found) -> Iterator[tuple[str, ...]]:
    """Yield a row for each figure of each side."""
    for name in found.sides:
        for aim in found.aims:
            verdict = found.judged(name, aim)
            against = found.against(name, aim)
            yield (
                name,
                aim.name,
                _figure(found.spread(name, aim), aim),
                "" if against is None else _spread(against, 2),
                "" if verdict is None else f"{aim}: {verdict}",
            )


def costs_of(found: Found) -> Iterator[tuple[str, ...]]:
    """Yield for each side what one step takes: requests, and milliseconds of CPU."""
    for name, side in found.sides.items():
        requests = [side.requests.get(key) for key in _REQUESTS]
        cpu = [None if key not in side.cpu else side.cpu[key] * 1e3 for key in _CPU]
        yield (name, *("" if value is None else f"{value:.2f}" for value in (*requests, *cpu)))


def heading(found: Found) -> str:
    """Return a scenario's title, with what a round is."""
    note = f" ({found.note})" if found.note else ""
    return f"{found.title}{note}: {found.size} a round"


# On a terminal.


def show(console: Console, outcome: Outcome, *, with_statements: bool = False) -> None:
    """Print all tables and settings."""
    if not console.is_terminal:
        console.width = _WIDTH
    for found in outcome.scenarios:
        table = Table(title=heading(found), title_justify="left", title_style="bold")
        for place, name in enumerate(_COLUMNS):
            table.add_column(name, justify="right" if place in {2, 3} else "left")
        for row in rows_of(found):
            table.add_row(*row)
        console.print(table)
        costs = Table("a step takes", *_NAMES, *(f"ms of {name}" for name in _CPU))
        for row in costs_of(found):
            costs.add_row(*row)
        console.print(costs)
        profiles = {name: side.profile for name, side in found.sides.items()}
        lines = [*report.profile_lines(profiles), *(_statements(found) if with_statements else ())]
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in facts(outcome):
        console.print(line, highlight=False, markup=False)


def _statements(found: Found) -> Iterator[str]:
    for name, side in found.sides.items():
        if side.statements:
            yield f"  {name}, statements a step:"
            yield from (f"    {count:7.2f}  {text}" for text, count in side.statements.items())


# In Markdown.


def write_page(page: Path, outcome: Outcome) -> None:
    """Put the tables between the marks of a page; raises ValueError if it has none."""
    text = page.read_text(encoding="utf-8")
    page.write_text(report.put(text, markdown(outcome)), encoding="utf-8")


def markdown(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of the tables and facts."""
    yield "| what | side | figure | median (min..max) | against the rival | target |"
    yield "|---|---|---|--:|--:|---|"
    for found in outcome.scenarios:
        yield f"| **{found.title}**, {found.size} a round | | | | | |"
        for row in rows_of(found):
            yield f"| | {' | '.join(row)} |"
    yield ""
    yield "What one step takes, without what is needed to look at it:"
    yield ""
    yield f"| what | side | {' | '.join((*_NAMES, *(f'CPU ms, {name}' for name in _CPU)))} |"
    yield f"|---|---|{'--:|' * (len(_NAMES) + len(_CPU))}"
    for found in outcome.scenarios:
        for row in costs_of(found):
            yield f"| {found.title} | {' | '.join(row)} |"
    yield ""
    yield from (f"- {line}" for line in facts(outcome))


# What both say.


def facts(outcome: Outcome) -> Iterator[str]:
    """Yield what the figures were taken with, a line each."""
    rounds = "1 round" if outcome.rounds == 1 else f"{outcome.rounds} rounds"
    quick = "; quick: not to be quoted" if outcome.quick else ""
    yield f"Taken {outcome.started_at} of {outcome.revision}, {rounds}{quick}"
    if outcome.machine:
        yield from report.facts_of(outcome.machine)
    before, after = map(report.plain_list, (outcome.load_before, outcome.load_after))
    yield f"Load average before {before}, after {after}; other processes used {_others(outcome)} CPUs meanwhile"
    yield f"Workers: one a side; slots: {report.pairs(outcome.slots)}"
    if outcome.commits:
        spread = Spread.of([seconds * 1e3 for seconds in outcome.commits])
        yield f"One commit on PostgreSQL: {_spread(spread, 2)} ms"
    for pool, rates in outcome.prefetch.items():
        shown = ", ".join(f"{prefetch}: {rate:,.0f}/s" for prefetch, rate in rates.items())
        yield f"Prefetch of raw Celery, {pool}: {shown}"
    for name, settings in outcome.settings.items():
        yield f"Settings of {name}: {report.pairs(settings)}"


def _others(outcome: Outcome) -> str:
    shares = [
        side.cpu.get("others", 0.0) for found in outcome.scenarios for side in found.sides.values()
    ]
    return _spread(Spread.of(shares or [0.0]), 1)


def _figure(spread: Spread, aim: Aim) -> str:
    if aim.unit == "ms":
        scaled = Spread(spread.median * 1e3, spread.low * 1e3, spread.high * 1e3)
        return f"{_spread(scaled, 0 if abs(scaled.median) >= 100 else 1)} ms"
    return f"{_spread(spread, 0 if aim.unit else 2)} {aim.unit}".rstrip()


def _spread(spread: Spread, digits: int) -> str:
    shown = [f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high)]
    return shown[0] if shown[1] == shown[2] else "{} ({}..{})".format(*shown)
