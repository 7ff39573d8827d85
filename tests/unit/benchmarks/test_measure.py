import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Measure, Spread, Target, Verdict, compare, percentile

_costs = st.floats(min_value=1e-6, max_value=1e3)


def test_a_spread_is_the_median_and_the_range() -> None:
    """One slow round moves the end of the range, not the median."""
    assert Spread.of([3.0, 1.0, 2.0, 99.0, 2.5]) == Spread(2.5, 1.0, 99.0)


def test_there_is_no_spread_of_nothing() -> None:
    """Without a value there is nothing to say."""
    with pytest.raises(ValueError, match="at least one value"):
        Spread.of([])


@pytest.mark.parametrize(
    ("other", "meets"),
    [(Spread(5, 4, 6), False), (Spread(4, 3, 6), True), (Spread(2, 1.5, 2.5), True)],
)
def test_ranges_overlap_where_they_share_a_value(other: Spread, *, meets: bool) -> None:
    """Touching is enough, and it does not matter which is asked."""
    spread = Spread(2, 1, 3)
    assert spread.overlaps(other) is meets
    assert other.overlaps(spread) is meets


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (Measure.RATE, 0.25),
        (Measure.WALL, 4.0),
        (Measure.RATE_LESS_COMMIT, 0.5),
        (Measure.EXTRA_COMMITS, 1.5),
    ],
)
def test_each_measure_of_one_round(measure: Measure, value: float) -> None:
    """Four seconds against one, of which two are a commit."""
    assert measure.of(ours=4.0, theirs=1.0, commit=2.0) == value


def test_a_cost_that_is_all_commit_is_endlessly_fast_without_it() -> None:
    """Where the commit took longer than the whole, there is no rate to speak of."""
    assert Measure.RATE_LESS_COMMIT.of(ours=1.0, theirs=1.0, commit=1.5) == math.inf


@pytest.mark.parametrize("measure", [Measure.RATE_LESS_COMMIT, Measure.EXTRA_COMMITS])
def test_a_measure_in_commits_needs_one(measure: Measure) -> None:
    """Without the cost of a commit it refuses, rather than to take it for free."""
    with pytest.raises(ValueError, match="cost of one commit"):
        measure.of(ours=1.0, theirs=1.0)


def test_rounds_are_compared_with_themselves() -> None:
    """A round in which both sides were slow has the same ratio as any other."""
    ratios = compare(Measure.RATE, ours=[2.0, 20.0, 2.2], theirs=[1.0, 10.0, 1.1])
    assert ratios == Spread(0.5, 0.5, 0.5)


def test_each_round_has_its_own_commit() -> None:
    """What a commit costs is taken off in the round in which it was measured."""
    ratios = compare(
        Measure.RATE_LESS_COMMIT, ours=[3.0, 5.0], theirs=[1.0, 1.0], commits=[2.0, 4.0]
    )
    assert ratios == Spread(1.0, 1.0, 1.0)


def test_a_round_of_one_side_only_is_refused() -> None:
    """A missing round is an error, not the end of the list."""
    with pytest.raises(ValueError, match="shorter"):
        compare(Measure.WALL, ours=[1.0, 1.0], theirs=[1.0])


@given(st.lists(_costs, min_size=1, max_size=9))
def test_a_side_against_itself_is_one(costs: Sequence[float]) -> None:
    """Nothing is faster or slower than itself."""
    assert compare(Measure.RATE, ours=costs, theirs=costs) == Spread(1.0, 1.0, 1.0)
    assert compare(Measure.WALL, ours=costs, theirs=costs) == Spread(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("target", "spread", "verdict"),
    [
        (Target(Measure.RATE, 0.9), Spread(1.0, 0.9, 1.1), Verdict.MET),
        (Target(Measure.RATE, 0.9), Spread(1.0, 0.8, 1.1), Verdict.MOSTLY),
        (Target(Measure.RATE, 0.9), Spread(0.8, 0.7, 1.1), Verdict.MISSED),
        (Target(Measure.WALL, 1.0), Spread(0.9, 0.8, 1.0), Verdict.MET),
        (Target(Measure.WALL, 1.0), Spread(0.9, 0.8, 1.2), Verdict.MOSTLY),
        (Target(Measure.EXTRA_COMMITS, 3.0), Spread(3.5, 2.0, 4.0), Verdict.MISSED),
    ],
)
def test_every_round_has_to_meet_a_target(target: Target, spread: Spread, verdict: Verdict) -> None:
    """The worst round decides whether it is met, the median whether it is missed."""
    assert target.judge(spread) is verdict


def test_a_target_is_shown_with_its_side() -> None:
    """A rate has a least, a wall a most."""
    assert str(Target(Measure.RATE, 0.9)) == "≥ 0.9"
    assert str(Target(Measure.WALL, 1.0)) == "≤ 1"


def test_a_percentile_lies_between_neighbours_in_proportion() -> None:
    """Of one to a hundred and one, 95 percent lie below 96; one value is all there is."""
    assert percentile([float(value) for value in range(1, 102)], 95) == 96.0
    assert percentile([7.0], 95) == 7.0
