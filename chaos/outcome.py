"""The figures of a run: as JSON, and as a table for people."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Made:
    """A fault that was made: when (s from the start), of which kind, and what exactly."""

    at: float
    kind: str
    detail: str


@dataclass(slots=True)
class Outcome:
    """All figures of a run."""

    seed: int
    ledger: str
    broker: str
    lease: int
    tasks: int = 0
    tasks_by_kind: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    faults_by_kind: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=dict)
    quarantined: int = 0
    cancelled: int = 0
    runs: int = 0
    """Executions that began, one more than the task for each that was made again."""
    process_starts: int = 0
    refusals: int = 0
    slowest_call: float = 0.0
    broker_keys: int | None = None
    recovery: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    seconds: float = 0.0
    seconds_to_end: float = 0.0
    """From the last fault and the last task until all had ended."""
    crashes: dict[str, int] = field(default_factory=dict)
    """Processes that ended by themselves, by name."""
    made: list[Made] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    """What was seen of tasks that did not end."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.troubles.values())


@dataclass(slots=True)
class Answer:
    """How a scenario went: its figures, and what should not have been."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Note a figure, and complain if it is another than it must be."""
        self.figures[what] = found
        if found != wanted:
            self.complaints.append(f"{what}: {found}, not {wanted}")

    def bound(self, what: str, seconds: float, most: float) -> None:
        """Note how long something took, and complain if that is too long."""
        self.figures[what] = round(seconds, 2)
        if seconds > most:
            self.complaints.append(f"{what}: {seconds:.1f} s, more than {most:g}")


def to_json(outcome: Outcome | None, answers: Sequence[Answer]) -> str:
    """Return everything as JSON."""
    run = {} if outcome is None else {**asdict(outcome), **outcome.troubles}
    scenarios = [asdict(answer) for answer in answers]
    return json.dumps({**run, "scenarios": scenarios}, indent=2) + "\n"


def show(console: Console, outcome: Outcome | None, answers: Sequence[Answer]) -> None:
    """Print the figures."""
    for answer in answers:
        told = ", ".join(f"{name} {value}" for name, value in answer.figures.items())
        console.print(f"{answer.name}: {told}", highlight=False)
        for complaint in answer.complaints:
            console.print(f"  wrong: {complaint}", highlight=False, markup=False)
    if outcome is not None:
        _show_run(console, outcome)


def _show_run(console: Console, outcome: Outcome) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.faults_by_kind.items()))
    rows = {
        "seed": outcome.seed,
        "on": f"{outcome.ledger}, {outcome.broker}, lease {outcome.lease} s",
        "tasks": f"{outcome.tasks}, begun {outcome.runs} times, {outcome.cancelled} cancelled",
        "faults": f"{outcome.faults}: {faults}",
        **{name.replace("_", " "): count for name, count in outcome.troubles.items()},
        "quarantined": outcome.quarantined,
        "processes started": outcome.process_starts,
        "ended by themselves": ", ".join(f"{n} {c}" for n, c in outcome.crashes.items()) or 0,
        "calls tried again": f"{outcome.refusals}, the slowest took {outcome.slowest_call:.1f} s",
        "seconds": f"{outcome.seconds:.0f}, to the end of all {outcome.seconds_to_end:.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    for kind, told in outcome.recovery.items():
        for what, found in told.items():
            if found["count"]:
                shown = f"p50 {found['p50']} s, max {found['max']} s of {found['count']}"
                table.add_row(f"{what}, {kind}", shown)
    for kind, why in outcome.skipped.items():
        table.add_row(f"skipped: {kind}", why)
    if outcome.broker_keys is not None:
        table.add_row("broker keys", str(outcome.broker_keys))
    console.print(table)
    for name, lines in outcome.shown.items():
        console.print(f"\n{name.replace('_', ' ')}:")
        for line in lines:
            console.print(f"  {line}", highlight=False, markup=False)
