"""For people: tables on a terminal, and the same in Markdown for the page of figures."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measure, Spread
from benchmarks.outcome import RIVAL, Found, Outcome, Side
from benchmarks.profiles import Profile

_WIDTH = 150  # characters of a table where no terminal says otherwise
_PART = re.compile(r"(<!-- measured: figures -->\n).*?(<!-- measured\. -->)", re.DOTALL)

_REQUESTS = {
    "commands": "Redis commands",
    "round_trips": "Redis round trips",
    "statements": "SQL statements",
    "commits": "commits",
}
_CPU = ("producer", "worker", "pool", "broker", "database")


@dataclass(frozen=True, slots=True)
class Row:
    """One side of one scenario, as text."""

    side: str
    figure: str
    ratio: str
    target: str
    requests: tuple[str, ...]
    cpu: tuple[str, ...]
    cpu_of_all: str


def rows_of(outcome: Outcome, found: Found) -> list[Row]:
    """Return a scenario's rows, the rival's first."""
    return [
        Row(
            side=name,
            figure=_figure(found, side),
            ratio="" if name == RIVAL else _times(outcome.compared(found, name, _plain(found))),
            target="" if name == RIVAL else _judged(outcome, found, name),
            requests=tuple(_number(side.requests.get(key)) for key in _REQUESTS),
            cpu=tuple(_number(side.cpu.get(key), 1e3) for key in _CPU),
            cpu_of_all=_number(sum(side.cpu.get(key, 0.0) for key in _CPU), 1e3),
        )
        for name, side in found.sides.items()
    ]


def heading(found: Found) -> str:
    """Return a scenario's title, with what is compared and the target."""
    note = f" ({found.note})" if found.note else ""
    what = f"{found.title}{note}: {found.size} tasks a round, {_unit(found)}"
    return f"{what}; target: {found.measure} {found.target}"


# On a terminal.


def show(console: Console, outcome: Outcome) -> None:
    """Print all tables and settings."""
    if not console.is_terminal:
        console.width = _WIDTH
    for found in outcome.scenarios:
        table = Table(title=heading(found), title_justify="left", title_style="bold")
        table.add_column("side")
        table.add_column("median (min..max)", justify="right")
        table.add_column("against raw", justify="right")
        table.add_column("target")
        for name in (*_REQUESTS.values(), "CPU ms"):
            table.add_column(name.replace(" ", "\n"), justify="right")
        for row in rows_of(outcome, found):
            cells = (row.side, row.figure, row.ratio, row.target, *row.requests, row.cpu_of_all)
            table.add_row(*cells)
        console.print(table)
        for line in profile_lines({name: side.profile for name, side in found.sides.items()}):
            console.print(line, highlight=False, markup=False)
    for line in facts(outcome):
        console.print(line, highlight=False, markup=False)


def show_comparison(console: Console, outcome: Outcome, earlier: Outcome) -> None:
    """Print the ratios of two runs beside each other."""
    if not console.is_terminal:
        console.width = _WIDTH
    title = f"ratios of {earlier.revision} ({earlier.started_at}) and of this run"
    table = Table("scenario", "side", "then", "now", "ranges", title=title)
    for found, before, name in _shared(outcome, earlier):
        then = earlier.compared(before, name, _plain(before))
        now = outcome.compared(found, name, _plain(found))
        meet = "overlap" if now.overlaps(then) else "apart"
        table.add_row(found.name, name, _times(then), _times(now), meet)
    console.print(table)


def _shared(outcome: Outcome, earlier: Outcome) -> Iterator[tuple[Found, Found, str]]:
    """Yield what both runs have measured against the rival."""
    past = {found.name: found for found in earlier.scenarios}
    for found in outcome.scenarios:
        for name in found.sides:
            before = past.get(found.name)
            if before is not None and name != RIVAL and name in before.sides:
                yield found, before, name


def profile_lines(sides: Mapping[str, Profile]) -> Iterator[str]:
    """Yield where the time of a task goes, a line for each process of each side."""
    for side, profile in sides.items():
        for process, tables in profile.items():
            for kind, entries in tables.items():
                shown = ", ".join(f"{name} {value:.3f}" for name, value in entries.items())
                yield f"  {side}, {process}, {kind} (ms a task): {shown}"


# In Markdown.


def write_page(page: Path, outcome: Outcome) -> None:
    """Put the tables between the marks of a page; raises ValueError if it has none."""
    text = page.read_text(encoding="utf-8")
    page.write_text(filled(text, outcome), encoding="utf-8")


def filled(text: str, outcome: Outcome) -> str:
    """Return a page's text with the tables between its marks."""
    return put(text, markdown(outcome))


def put(text: str, lines: Iterator[str]) -> str:
    """Return a page's text with these lines between its marks; raises ValueError if it has none."""
    made = "\n".join(lines)
    filled_in, count = _PART.subn(lambda match: f"{match[1]}\n{made}\n\n{match[2]}", text)
    if not count:
        raise ValueError("the page has no part <!-- measured: figures -->")
    return filled_in


def markdown(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of the tables and facts."""
    yield from ("| what | side | median (min..max) | against raw | target |", _rule("llrrl"))
    for found in outcome.scenarios:
        yield f"| **{found.title}**, {_unit(found)} | | | | {found.measure} {found.target} |"
        for row in rows_of(outcome, found):
            yield f"| | {row.side} | {row.figure} | {row.ratio} | {row.target} |"
    yield ""
    yield "What one task takes, without what is needed to look at it:"
    yield ""
    names = [*_REQUESTS.values(), *(f"CPU ms, {name}" for name in _CPU)]
    yield f"| what | side | {' | '.join(names)} |"
    yield _rule("ll" + "r" * len(names))
    for found in outcome.scenarios:
        for row in rows_of(outcome, found):
            cells = " | ".join([*row.requests, *row.cpu])
            yield f"| {found.title} | {row.side} | {cells} |"
    yield ""
    yield from (f"- {line}" for line in facts(outcome))


def _rule(columns: str) -> str:
    return "|" + "|".join("--:" if column == "r" else "---" for column in columns) + "|"


# What both say.


def facts(outcome: Outcome) -> Iterator[str]:
    """Yield what the figures were taken with, a line each."""
    yield f"Taken {outcome.started_at} of {outcome.revision}, {outcome.rounds} rounds" + (
        "; quick: not to be quoted" if outcome.quick else ""
    )
    machine_line, *others = facts_of(outcome.machine)
    yield machine_line
    yield f"Load average before {plain_list(outcome.load_before)}, after {plain_list(outcome.load_after)}; other processes used {_others(outcome)} CPUs meanwhile"
    yield from others
    yield f"Workers: one a side, {outcome.slots} slots"
    repeated = sum(side.repeated for found in outcome.scenarios for side in found.sides.values())
    if repeated:
        yield f"Repeated, as other processes disturbed them: {repeated} rounds of one side"
    for ledger, spread in _commits(outcome).items():
        yield f"One commit on {ledger}: {_milliseconds(spread)}"
    for pool, rates in outcome.calibration.items():
        shown = ", ".join(f"{prefetch}: {rate:,.0f}/s" for prefetch, rate in rates.items())
        yield f"Prefetch of raw Celery, {pool}: {shown}"
    for name, settings in outcome.settings.items():
        yield f"Settings of {name}: {pairs(settings)}"


def facts_of(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known of the machine, its servers and packages."""
    yield (
        f"Machine: {machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}"
    )
    yield f"Servers: {pairs(machine['servers'])}"
    yield f"Packages: {pairs(machine['packages'])}; hiredis in use: {machine['hiredis_in_use']}"


def _commits(outcome: Outcome) -> dict[str, Spread]:
    found: dict[str, list[float]] = {}
    for scenario in outcome.scenarios:
        for ledger, costs in scenario.commits.items():
            found.setdefault(ledger, []).extend(costs)
    return {ledger: Spread.of(costs) for ledger, costs in found.items()}


def _others(outcome: Outcome) -> str:
    shares = [
        side.cpu.get("others", 0.0) for found in outcome.scenarios for side in found.sides.values()
    ]
    spread = Spread.of(shares)
    return f"{spread.median:.1f} ({spread.low:.1f}..{spread.high:.1f})"


def _plain(found: Found) -> Measure:
    """Return the measure without commits, by which two runs are compared."""
    return Measure.RATE if found.is_rate else Measure.WALL


def _unit(found: Found) -> str:
    if found.is_rate:
        return "tasks/s"
    return "p50 and p95" if found.measure is Measure.EXTRA_COMMITS else "wall"


def _figure(found: Found, side: Side) -> str:
    if found.is_rate:
        rates = Spread.of([1 / cost for cost in side.costs])
        return f"{rates.median:,.0f} ({rates.low:,.0f}..{rates.high:,.0f})"
    shown = _milliseconds(Spread.of(side.costs))
    return f"{shown}; {_milliseconds(Spread.of(side.p95))}" if side.p95 else shown


def _judged(outcome: Outcome, found: Found, name: str) -> str:
    if outcome.ledgers[name] is None and found.measure is not _plain(found):
        return ""
    spread = outcome.measured(found, name)
    verdict = found.target.judge(spread)
    if found.measure is _plain(found):
        return str(verdict)
    return f"{_times(spread)} {verdict}"


def _times(spread: Spread) -> str:
    shown = f"{spread.median:.2f} ({spread.low:.2f}..{spread.high:.2f})"
    return shown.replace("inf", "∞")


def _milliseconds(spread: Spread) -> str:
    digits = 2 if spread.median < 0.1 else 0
    values = (f"{value * 1e3:,.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return "{} ms ({}..{})".format(*values)


def _number(value: float | None, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.2f}"


def pairs(values: Mapping[str, Any]) -> str:
    """Return names with their values."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def plain_list(values: list[float]) -> str:
    """Return numbers between slashes."""
    return "/".join(f"{value:g}" for value in values)
