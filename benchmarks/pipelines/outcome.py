"""What a run found: plain values, in and out of JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread, Verdict

FORMAT = "pipelines 1"

RIVALS = ("raw", "DuckDB alone")
"""The sides that others are measured against, in whichever scenario they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure of a scenario, and what it should be: an absolute value, or a share of the rival's.

    Values are seconds where the unit is `ms`.
    """

    name: str
    unit: str
    bound: float | None = None
    is_ratio: bool = False
    wants_more: bool = False

    def judge(self, spread: Spread) -> Verdict | None:
        """Return whether all rounds met it, most of them, or not even those."""
        if self.bound is None:
            return None
        worst = spread.low if self.wants_more else spread.high
        if self._is_met(worst):
            return Verdict.MET
        return Verdict.MOSTLY if self._is_met(spread.median) else Verdict.MISSED

    def _is_met(self, value: float) -> bool:
        bound = self.bound or 0.0
        return value >= bound if self.wants_more else value <= bound

    def __str__(self) -> str:
        """Return what it should be, as it is shown: `≤ 200 ms`."""
        if self.bound is None:
            return ""
        sign = "≥" if self.wants_more else "≤"
        if self.is_ratio:
            return f"{sign} {self.bound:g} x raw"
        shown = self.bound * 1e3 if self.unit == "ms" else self.bound
        return f"{sign} {shown:g} {self.unit}".rstrip()


@dataclass(slots=True, kw_only=True)
class Side:
    """One side in one scenario."""

    values: dict[str, list[float]] = field(default_factory=dict)
    """By the name of a figure: a value for each round."""
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds per step, by who used them, mean of all rounds; `others` are the CPUs that
    strangers used meanwhile."""
    requests: dict[str, float] = field(default_factory=dict)
    """Requests per step, counted in a round apart."""
    statements: dict[str, float] = field(default_factory=dict)
    """How often each statement comes per step, the most frequent first."""
    profile: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Milliseconds per step, by process and part; see `benchmarks.profiles`."""


@dataclass(slots=True, kw_only=True)
class Found:
    """One scenario."""

    name: str
    title: str
    size: str
    aims: Sequence[Aim]
    note: str = ""
    sides: dict[str, Side] = field(default_factory=dict)

    @property
    def rival(self) -> Side | None:
        """The side that the others are measured against."""
        return next((side for name, side in self.sides.items() if name in RIVALS), None)

    def spread(self, name: str, aim: Aim) -> Spread:
        """Return the spread of a side's figure."""
        return Spread.of(self.sides[name].values[aim.name])

    def against(self, name: str, aim: Aim) -> Spread | None:
        """Return a side's figure as a share of the rival's, round by round; None for the rival."""
        if name in RIVALS or self.rival is None:
            return None
        pairs = zip(self.sides[name].values[aim.name], self.rival.values[aim.name], strict=True)
        return Spread.of([ours / theirs for ours, theirs in pairs])

    def judged(self, name: str, aim: Aim) -> Verdict | None:
        """Return what became of a target; None where there is none for this side."""
        against = self.against(name, aim)
        if against is None or name.startswith(RIVALS[0]):
            return None
        return aim.judge(against if aim.is_ratio else self.spread(name, aim))


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A whole run."""

    started_at: str  # ISO 8601, UTC
    revision: str
    rounds: int
    quick: bool
    load_before: list[float]
    load_after: list[float] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    """Of a worker, by kind of pool."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    prefetch: dict[str, dict[str, float]] = field(default_factory=dict)
    """Tasks per second of the rival by prefetch, for each kind of pool; none where none was tried."""
    commits: list[float] = field(default_factory=list)
    """Seconds of one commit on PostgreSQL; taken right before each round of each scenario."""
    scenarios: list[Found] = field(default_factory=list)
    format: str = FORMAT

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def load(path: Path) -> Outcome:
    """Read what an earlier run has written; raises ValueError for anything else."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} holds no figures of format {FORMAT}")
    scenarios = [_found(each) for each in kept.pop("scenarios")]
    return Outcome(**kept, scenarios=scenarios)


def _found(kept: dict[str, Any]) -> Found:
    aims = [Aim(**aim) for aim in kept.pop("aims")]
    sides = {name: Side(**side) for name, side in kept.pop("sides").items()}
    return Found(**kept, aims=aims, sides=sides)
