"""Windows that slide over a series: constant work for each row, and nothing is ever subtracted. Pure.

A running sum that adds the newest value and subtracts the oldest keeps the rounding errors of all
that it ever held: once a 1e15 has passed, its last digits are gone for good. Here the series is cut
into blocks as long as the window. Every window is the end of one block and the beginning of the
next, so it is one combination of two running results, and what lies outside of it leaves no trace
(van Herk 1992, Gil and Werman 1993; they did it for maxima).

A window's value depends on the rows up to its last one only. A None in a window makes it None.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import sqrt
from typing import TypeVar

T = TypeVar("T")

Line = list[float | None]
"""A value for each row of a series; None where there is none yet, or none at all."""

Moments = tuple[int, float, float]
"""How many values, their mean, and the sum of their squared distances from it."""


def sliding(
    values: Sequence[T | None], window: int, combine: Callable[[T, T], T]
) -> list[T | None]:
    """Return the combination of the last `window` values, for each row.

    `combine` must be associative. The rows before the first whole window have None.
    """

    def joined(one: T | None, other: T | None) -> T | None:
        return None if one is None or other is None else combine(one, other)

    found: list[T | None] = []
    ends: list[T | None] = []  # of the block before: the combination from each place to its end
    for start in range(0, len(values), window):
        block = values[start : start + window]
        beginnings = list(accumulate(block, joined))
        found += map(joined, ends[1:], beginnings) if ends else [None] * (len(block) - 1)
        found += beginnings[window - 1 :]
        ends = list(accumulate(reversed(block), lambda later, value: joined(value, later)))[::-1]
    return found[: len(values)] if len(values) >= window else [None] * len(values)


def rolling_mean(values: Sequence[float | None], window: int) -> Line:
    """Return the mean of the last `window` values; of equal values it is exactly theirs."""
    singles = [None if value is None else (1, value) for value in values]
    return [None if found is None else found[1] for found in sliding(singles, window, _mean)]


def rolling_moments(values: Sequence[float | None], window: int) -> list[Moments | None]:
    """Return the moments of the last `window` values."""
    singles = [None if value is None else (1, value, 0.0) for value in values]
    return sliding(singles, window, merged)


def rolling_max(values: Sequence[float | None], window: int) -> Line:
    """Return the largest of the last `window` values."""
    return sliding(values, window, max)


def rolling_min(values: Sequence[float | None], window: int) -> Line:
    """Return the smallest of the last `window` values."""
    return sliding(values, window, min)


def merged(one: Moments, other: Moments) -> Moments:
    """Return the moments of two lots of values together.

    Chan, Golub and LeVeque (1979): no large squares are subtracted from each other.
    """
    count = one[0] + other[0]
    apart = other[1] - one[1]
    share = other[0] / count
    return count, one[1] + apart * share, one[2] + other[2] + apart * apart * one[0] * share


def sample_deviation(moments: Moments) -> float:
    """Return the standard deviation with divisor n - 1."""
    return sqrt(moments[2] / (moments[0] - 1))


def population_deviation(moments: Moments) -> float:
    """Return the standard deviation with divisor n."""
    return sqrt(moments[2] / moments[0])


def _mean(one: tuple[int, float], other: tuple[int, float]) -> tuple[int, float]:
    count = one[0] + other[0]
    return count, one[1] + (other[1] - one[1]) * (other[0] / count)
