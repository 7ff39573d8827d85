"""What a run found: plain values, in and out of JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Measure, Spread, Target, compare

FORMAT = 1


@dataclass(slots=True, kw_only=True)
class Side:
    """One side in one scenario; a value for each round."""

    costs: list[float] = field(default_factory=list)
    """Seconds: of a task, or of the median lap."""
    p95: list[float] = field(default_factory=list)
    """Seconds of a lap, in a scenario of many laps."""
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds per task, by who used them, mean of all rounds; `others` are the CPUs that
    strangers used meanwhile."""
    repeated: int = 0
    """Rounds that were played again because other processes disturbed them."""
    requests: dict[str, float] = field(default_factory=dict)
    """Requests per task, counted in a round apart."""
    profile: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Milliseconds per task, by process and part; see `profiles`."""


@dataclass(slots=True, kw_only=True)
class Found:
    """One scenario."""

    name: str
    title: str
    size: str
    measure: Measure
    bound: float
    is_rate: bool
    note: str
    commits: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of one commit by database; taken right before each round."""
    sides: dict[str, Side] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What the measure should reach."""
        return Target(self.measure, self.bound)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A whole run."""

    started_at: str  # ISO 8601, UTC
    revision: str
    rounds: int
    slots: int
    quick: bool
    machine: dict[str, Any]
    load_before: list[float]
    load_after: list[float] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledgers: dict[str, str | None] = field(default_factory=dict)
    """What keeps the tasks of each side."""
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)
    """Tasks per second of the rival by prefetch, for each kind of pool."""
    scenarios: list[Found] = field(default_factory=list)
    format: int = FORMAT

    def measured(self, found: Found, name: str) -> Spread:
        """Return the measure of a side's target against the rival."""
        return self.compared(found, name, found.measure)

    def compared(self, found: Found, name: str, measure: Measure) -> Spread:
        """Return a measure of a side against the rival."""
        ledger = self.ledgers[name]
        return compare(
            measure,
            ours=found.sides[name].costs,
            theirs=found.sides[RIVAL].costs,
            commits=None if ledger is None else found.commits[ledger],
        )

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


RIVAL = "raw"
"""The side that all others are measured against."""


def load(path: Path) -> Outcome:
    """Read what an earlier run has written; raises ValueError for anything else."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} holds no figures of format {FORMAT}")
    scenarios: Sequence[dict[str, Any]] = kept.pop("scenarios")
    return Outcome(**kept, scenarios=[_found(each) for each in scenarios])


def _found(kept: dict[str, Any]) -> Found:
    sides = {name: Side(**side) for name, side in kept.pop("sides").items()}
    return Found(**{**kept, "measure": Measure(kept["measure"])}, sides=sides)
