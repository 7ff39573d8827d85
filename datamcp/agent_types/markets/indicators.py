"""Indicators of a price series by their standard definitions, one value for each row. Pure.

None stands where there are not yet enough rows, or where the definition divides by zero. A value
depends on its row and earlier ones only. Prices may have any sign, except where a function says so.
Parts of a price are fractions: 0.05 is five percent.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import log, sqrt
from typing import NamedTuple

from datamcp.agent_types.markets.rolling import (
    Line,
    population_deviation,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_moments,
    sample_deviation,
)


def sma(prices: Sequence[float | None], period: int) -> Line:
    """Return the simple moving average: the mean of the last `period` values."""
    return rolling_mean(prices, period)


def ema(values: Sequence[float | None], period: int) -> Line:
    """Return the exponential moving average, of which each step takes 2 / (period + 1).

    It begins as the simple average of the first `period` values, as TA-Lib's does. Nones may
    lead, and are skipped.
    """
    return _smoothed(values, period, 2 / (period + 1))


def wilder(values: Sequence[float | None], period: int) -> Line:
    """Return Wilder's average, of which each step takes 1 / period (Wilder 1978).

    It begins as the simple average of the first `period` values. Nones may lead, and are skipped.
    """
    return _smoothed(values, period, 1 / period)


def _smoothed(values: Sequence[float | None], period: int, share: float) -> Line:
    known = [value for value in values if value is not None]
    missing: Line = [None] * (len(values) - len(known))
    if len(known) < period:
        return missing + [None] * len(known)
    first = rolling_mean(known[:period], period)[-1] or 0.0
    smoothed = accumulate(
        known[period:], lambda last, value: last + share * (value - last), initial=first
    )
    return [*missing, *[None] * (period - 1), *smoothed]


def rsi(prices: Sequence[float], period: int) -> Line:
    """Return the relative strength index, from 0 to 100 (Wilder 1978).

    100 * gain / (gain + loss), of Wilder's averages of the rises and falls. None as long as the
    price has not moved at all: there is no strength to compare.
    """
    changes = [later - earlier for earlier, later in pairwise(prices)]
    gains = wilder([None, *(max(change, 0.0) for change in changes)], period)
    losses = wilder([None, *(max(-change, 0.0) for change in changes)], period)
    return [
        None if gain is None or loss is None or not gain + loss else 100 * (gain / (gain + loss))
        for gain, loss in zip(gains, losses, strict=True)
    ]


class Macd(NamedTuple):
    """The MACD line, its signal line, and the first minus the second."""

    line: Line
    signal: Line
    histogram: Line


def macd(prices: Sequence[float], fast: int, slow: int, signal: int) -> Macd:
    """Return moving average convergence/divergence (Appel 1979).

    The line is the fast EMA minus the slow one, each begun at its own first `period` prices; the
    signal is the EMA of the line. TA-Lib begins its fast EMA later, where the slow one begins: the
    two agree to nine digits 150 rows on.
    """
    line = _differences(ema(prices, fast), ema(prices, slow))
    average = ema(line, signal)
    return Macd(line, average, _differences(line, average))


def _differences(one: Line, other: Line) -> Line:
    return [None if a is None or b is None else a - b for a, b in zip(one, other, strict=True)]


class Bollinger(NamedTuple):
    """The bands; where the price is between them (0 lower, 1 upper); their distance / middle."""

    middle: Line
    upper: Line
    lower: Line
    percent_b: Line
    bandwidth: Line


def bollinger(prices: Sequence[float], period: int, width: float) -> Bollinger:
    """Return the bands `width` population standard deviations around the average (Bollinger 2001).

    There is no `percent_b` where the bands meet, and no `bandwidth` over an average that is not
    positive.
    """
    bands = Bollinger([], [], [], [], [])
    for price, moments in zip(prices, rolling_moments(prices, period), strict=True):
        row: tuple[float | None, ...] = (None,) * 5
        if moments is not None:
            middle, reach = moments[1], width * population_deviation(moments)
            place = (price - middle + reach) / (2 * reach) if reach else None
            apart = 2 * reach / middle if middle > 0 else None
            row = (middle, middle + reach, middle - reach, place, apart)
        for line, value in zip(bands, row, strict=True):
            line.append(value)
    return bands


def momentum(prices: Sequence[float], period: int) -> Line:
    """Return by how much the price has changed since `period` rows before, in its own unit."""
    pairs = zip(prices, prices[period:], strict=False)
    return _later([later - earlier for earlier, later in pairs], len(prices))


def rate_of_change(prices: Sequence[float], period: int) -> Line:
    """Return the change since `period` rows before as a part of that price.

    With `period` 1 these are the simple returns. None where the earlier price is not positive: a
    part of nothing, or of a debt, has no meaning.
    """
    pairs = zip(prices, prices[period:], strict=False)
    changes = [later / earlier - 1 if earlier > 0 else None for earlier, later in pairs]
    return _later(changes, len(prices))


def log_returns(prices: Sequence[float]) -> Line:
    """Return the logarithm of each price over the one before; None unless both are positive."""
    changes = [
        log(later / earlier) if earlier > 0 and later > 0 else None
        for earlier, later in pairwise(prices)
    ]
    return _later(changes, len(prices))


def _later(values: Sequence[float | None], rows: int) -> Line:
    """Return the values with Nones before them, so that there is one for each row."""
    return [*[None] * (rows - len(values)), *values]


def volatility(prices: Sequence[float], window: int, periods_per_year: float) -> Line:
    """Return the annualised volatility of the last `window` log returns.

    That is their sample standard deviation (divisor n - 1) * sqrt(periods_per_year). None where a
    price in the window is not positive.
    """
    yearly = sqrt(periods_per_year)
    return [
        None if moments is None else sample_deviation(moments) * yearly
        for moments in rolling_moments(log_returns(prices), window)
    ]


def true_range(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> Line:
    """Return the largest of high - low and both distances to the close before (Wilder 1978).

    The first row has none, as in TA-Lib.
    """
    ranges = [
        max(high[row], close[row - 1]) - min(low[row], close[row - 1])
        for row in range(1, len(close))
    ]
    return _later(ranges, len(close))


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], period: int) -> Line:
    """Return the average true range: Wilder's average of the true range (Wilder 1978)."""
    return wilder(true_range(high, low, close), period)


class Stochastic(NamedTuple):
    """The smoothed place of the close in its range, 0 to 100, and the average of that."""

    k: Line
    d: Line


def stochastic(
    high: Sequence[float],
    low: Sequence[float],
    close: Sequence[float],
    period: int,
    smoothing: int = 3,
) -> Stochastic:
    """Return Lane's slow stochastic: %K smoothed, and its signal %D, both by simple averages.

    The place of the close between the lowest low and the highest high of `period` rows. None where
    these are equal.
    """
    top, bottom = rolling_max(high, period), rolling_min(low, period)
    places: Line = [
        None if t is None or b is None or t <= b else 100 * ((price - b) / (t - b))
        for price, t, b in zip(close, top, bottom, strict=True)
    ]
    k = rolling_mean(places, smoothing)
    return Stochastic(k, rolling_mean(k, smoothing))


def on_balance_volume(close: Sequence[float], volume: Sequence[float]) -> Line:
    """Return the volume of rising rows minus that of falling ones, added up (Granville 1963).

    It begins with the first row's volume, as TA-Lib's does: only its changes mean something.
    """
    moved = [
        traded * ((later > earlier) - (later < earlier))
        for (earlier, later), traded in zip(pairwise(close), volume[1:], strict=True)
    ]
    return list(accumulate(moved, initial=volume[0]))
