import statistics
from fractions import Fraction
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prices import naive

from datamcp.agent_types.markets.rolling import (
    population_deviation,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_moments,
    sample_deviation,
    sliding,
)

windows = st.integers(1, 12)
numbers = st.floats(-1e15, 1e15, allow_subnormal=False)
gappy = st.lists(st.none() | numbers, max_size=60)


@given(gappy, windows)
def test_windows_are_what_each_comes_to_by_itself(values: list[float | None], window: int) -> None:
    """The largest and the smallest of each window; a gap in it leaves nothing."""
    assert rolling_max(values, window) == naive(values, window, max)
    assert rolling_min(values, window) == naive(values, window, min)


@given(st.lists(st.text(max_size=2), max_size=40), windows)
def test_the_order_of_a_window_is_kept(values: list[str], window: int) -> None:
    """What is combined need not commute: the words of a window come out in their order."""
    expected = [
        "".join(values[end - window : end]) if end >= window else None
        for end in range(1, len(values) + 1)
    ]
    assert sliding(values, window, lambda one, other: one + other) == expected


@given(gappy, windows)
def test_means_and_deviations_lose_no_digits(values: list[float | None], window: int) -> None:
    """They are exact but for a few roundings of the largest value in their own window."""
    means, moments = rolling_mean(values, window), rolling_moments(values, window)
    exact = naive(values, window, lambda whole: float(sum(map(Fraction, whole)) / window))
    spread = naive(values, window, lambda whole: float(statistics.pvariance(map(Fraction, whole))))
    largest = naive([abs(v) if v is not None else None for v in values], window, max)
    for mean, found, true, variance, size in zip(
        means, moments, exact, spread, largest, strict=True
    ):
        assert (mean is None) == (true is None) == (found is None)
        if mean is None or found is None or true is None or variance is None or size is None:
            continue
        assert mean == pytest.approx(true, rel=1e-14, abs=1e-14 * size)
        assert found[1] == pytest.approx(true, rel=1e-14, abs=1e-14 * size)
        wanted = variance**0.5
        assert population_deviation(found) == pytest.approx(wanted, rel=1e-9, abs=1e-14 * size)


@pytest.mark.parametrize("giant", [1e9, 1e12, 1e15])
def test_a_giant_leaves_no_trace(giant: float) -> None:
    """Once it is outside of the window, every digit is as if it had never been there."""
    small = [0.1 * (number % 7) + 1 for number in range(300)]
    seen = [*small[:100], giant, -giant, *small[100:]]
    for window in (2, 7, 20, 50):
        means, moments = rolling_mean(seen, window), rolling_moments(seen, window)
        for end in range(102 + window, len(seen) + 1):
            whole = seen[end - window : end]
            found, mean = moments[end - 1], means[end - 1]
            assert found is not None
            assert mean == pytest.approx(fsum(whole) / window, rel=1e-14)
            wanted = pytest.approx(statistics.stdev(whole), rel=1e-12)
            assert sample_deviation(found) == wanted


def test_a_small_spread_around_a_large_value_is_not_lost() -> None:
    """Sums of squares would leave nothing of it; here four of its digits are right."""
    values = [1e9 + 0.001 * (number % 5) for number in range(60)]
    for end in range(20, 61):
        found = rolling_moments(values, 20)[end - 1]
        assert found is not None
        wanted = statistics.stdev([Fraction(value) for value in values[end - 20 : end]])
        assert sample_deviation(found) == pytest.approx(float(wanted), rel=1e-4)


@given(st.floats(-1e15, 1e15, allow_subnormal=False), st.integers(2, 30))
def test_equal_values_have_exactly_their_mean(value: float, window: int) -> None:
    """So that two averages of a price that stands still never seem to cross."""
    found = rolling_moments([value] * 40, window)[-1]
    assert found == (window, value, 0.0)
    assert rolling_mean([value] * 40, window)[-1] == value


@given(st.lists(numbers, max_size=60), windows, st.integers(0, 60))
def test_a_window_knows_nothing_of_what_follows(
    values: list[float], window: int, rows: int
) -> None:
    """Without the rows after it, each value is the same to the last digit."""
    assert rolling_mean(values[:rows], window) == rolling_mean(values, window)[:rows]
    assert rolling_moments(values[:rows], window) == rolling_moments(values, window)[:rows]
