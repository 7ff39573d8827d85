"""Statistics of what was measured: spreads, ratios, and whether a target is met. Pure.

A *cost* is seconds: of one task, of one call or of one whole canvas. The sides of a round were
measured one right after the other, so a ratio is made within each round and summed up only then:
what slows a whole round down slows both of its sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the values of some rounds lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        if not values:
            raise ValueError("a spread needs at least one value, got none")
        return cls(median(values), min(values), max(values))

    def overlaps(self, other: "Spread") -> bool:
        """Tell whether the two ranges have a value in common."""
        return self.low <= other.high and other.low <= self.high


class Measure(StrEnum):
    """How two costs are compared, and what a target of design bounds."""

    RATE = "rate"
    """Tasks per second, as a share of the other side's; at least the target."""
    RATE_LESS_COMMIT = "rate less one commit"
    """The same, after one commit is taken off the cost of each task; at least the target."""
    WALL = "wall"
    """Seconds, as a share of the other side's; at most the target."""
    EXTRA_COMMITS = "extra commits"
    """Seconds more than the other side's, in commits; at most the target."""

    @property
    def wants_more(self) -> bool:
        """Whether more is better."""
        return self in {Measure.RATE, Measure.RATE_LESS_COMMIT}

    def of(self, *, ours: float, theirs: float, commit: float | None = None) -> float:
        """Return the measure of one round; `commit` is the seconds of one commit."""
        match self:
            case Measure.RATE:
                return theirs / ours
            case Measure.WALL:
                return ours / theirs
            case Measure.RATE_LESS_COMMIT:
                rest = ours - _needed(commit)
                return theirs / rest if rest > 0 else math.inf
            case Measure.EXTRA_COMMITS:
                return (ours - theirs) / _needed(commit)


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure should reach."""

    measure: Measure
    bound: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value is good enough."""
        return value >= self.bound if self.measure.wants_more else value <= self.bound

    def judge(self, spread: Spread) -> "Verdict":
        """Return whether all rounds met it, most of them, or not even those."""
        worst = spread.low if self.measure.wants_more else spread.high
        if self.is_met(worst):
            return Verdict.MET
        return Verdict.MOSTLY if self.is_met(spread.median) else Verdict.MISSED

    def __str__(self) -> str:
        """Return it as it is shown: `≥ 0.9`."""
        return f"{'≥' if self.measure.wants_more else '≤'} {self.bound:g}"


class Verdict(StrEnum):
    """What became of a target."""

    MET = "met"
    """By every round."""
    MOSTLY = "met by the median"
    """By the median, and not by every round."""
    MISSED = "missed"


def compare(
    measure: Measure,
    *,
    ours: Sequence[float],
    theirs: Sequence[float],
    commits: Sequence[float] | None = None,
) -> Spread:
    """Return the spread of a measure over rounds; the sequences hold one cost for each round."""
    rounds: Sequence[float | None] = commits if commits is not None else [None] * len(ours)
    paired = zip(ours, theirs, rounds, strict=True)
    return Spread.of([measure.of(ours=a, theirs=b, commit=c) for a, b, c in paired])


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which `percent` of them lie, between neighbours in proportion."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _needed(commit: float | None) -> float:
    if commit is None:
        raise ValueError("this measure needs the cost of one commit")
    return commit
