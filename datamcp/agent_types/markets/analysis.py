"""What a price series looks like at its last row: `analyze`. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from datamcp.agent_types.markets.lookback import (
    MONTH,
    QUARTER,
    WEEK,
    WEEKS_52,
    YEAR,
    Span,
    frequency_warning,
    row_before,
)
from datamcp.agent_types.markets.missing import Gaps, Missing, too_few
from datamcp.agent_types.markets.panel import Indicator, Panel, Periods
from datamcp.agent_types.markets.quote import Drawdown, Quote, Result, max_drawdown, quote
from datamcp.agent_types.markets.series import Series

MIN_HISTORY = 60
"""How many values of the volatility a percentile of it needs."""

CALM, WILD = 25.0, 75.0
"""The percentiles up to which, and from which, the volatility is called low and high."""


class Return(Result):
    """What the price has gained since an earlier row."""

    since: Quote
    """The row of the earlier price."""
    value: float
    """The last price as a part of the earlier one, minus 1: 0.05 is a gain of 5 %."""


class Returns(Result):
    """What the price has gained over the stretches of time that end with the last row.

    A stretch starts at the last row that is at least that old by the calendar; null if that row is
    more than a week older. Without dates it is `periods_per_year` / 52, 12, 4 and 1 rows long.
    """

    week: Return | None
    """Since 7 days before."""
    month: Return | None
    """Since the same day of the month before, or that month's last."""
    quarter: Return | None
    """Since three months before."""
    year: Return | None
    """Since twelve months before."""
    total: Return | None
    """Since the first row."""


class Indicators(Result):
    """The value of each indicator at the last row; null where `missing` says why."""

    sma_fast: float | None
    """The mean of the last `fast` prices."""
    sma_slow: float | None
    """The mean of the last `slow` prices."""
    ema_fast: float | None
    """The exponential average of period `fast`."""
    ema_slow: float | None
    """The exponential average of period `slow`."""
    rsi: float | None
    """Wilder's relative strength index, 0 to 100."""
    macd: float | None
    """The EMA of `macd_fast` minus that of `macd_slow`, in the price's unit."""
    macd_signal: float | None
    """The EMA of the MACD line, of period `macd_signal`."""
    macd_histogram: float | None
    """MACD minus its signal."""
    bollinger_middle: float | None
    """The mean of the last `bollinger_period` prices."""
    bollinger_upper: float | None
    """The middle plus `bollinger_width` standard deviations."""
    bollinger_lower: float | None
    """The middle minus as much."""
    bollinger_percent_b: float | None
    """Where the price is between the bands: 0 the lower, 1 the upper; it may be outside."""
    bollinger_bandwidth: float | None
    """The distance of the bands as a part of the middle."""
    momentum: float | None
    """The change of the price over `momentum_period` rows, in its unit."""
    rate_of_change: float | None
    """The same as a part of the earlier price."""
    volatility: float | None
    """The standard deviation of the last `volatility_window` log returns, a year: 0.3 is 30 %."""
    drawdown: float | None
    """The price as a part of its highest so far, minus 1."""
    true_range: float | None
    """The range of the last row with the close before it, in the price's unit."""
    atr: float | None
    """Wilder's average of the true range."""
    stochastic_k: float | None
    """Where the close is in the range of the last rows, 0 to 100, smoothed over three rows."""
    stochastic_d: float | None
    """The mean of the last three %K."""
    on_balance_volume: float | None
    """Volume of rising rows minus that of falling ones, added up; only its changes mean something."""


class MarketAnalysis(Result):
    """A price series at its last row. Returns and other parts of a price are fractions."""

    first_date: date | datetime | None
    """The date of the first row with a price; null where the series has no dates."""
    last_date: date | datetime | None
    """The date of the last row with a price."""
    rows: int
    """How many rows have a price."""
    rows_dropped: int
    """How many rows were left out, because they have no price."""
    last_price: float
    """The last closing price."""
    returns: Returns
    """What the price has gained lately, and in all."""
    trend: Literal["up", "down", "sideways"] | None
    """`up` if the price is above `sma_fast` and that above `sma_slow`; `down` if both are the
    other way round; else `sideways`."""
    indicators: Indicators
    """The latest value of each indicator."""
    volatility_percentile: float | None
    """How much of its own history the volatility is at or above, 0 to 100."""
    volatility_regime: Literal["low", "normal", "high"] | None
    """`low` up to a percentile of 25, `high` from one of 75."""
    high_52_weeks: Quote | None
    """The highest close of the last 364 days; the last row that had it."""
    low_52_weeks: Quote | None
    """The lowest close of the last 364 days; the last row that had it."""
    max_drawdown: Drawdown | None
    """The deepest fall of the whole series; null if it never fell."""
    periods: dict[str, int | float]
    """The parameters: over how many rows each indicator looks, and how many rows a year has."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Why a field is null."""
    warnings: tuple[str, ...] = ()
    """What was left out, and what to look at."""


def analyze(series: Series, periods: Periods, indicators: Panel) -> MarketAnalysis:
    """Return what the series looks like; `indicators` is its panel with the same periods."""
    gaps, per_year = Gaps(), periods.periods_per_year
    latest = {name: one.latest() for name, one in indicators.items()}
    percentile = gaps.fill("volatility_percentile", _percentile(indicators["volatility"]))
    year = _last_year(series, per_year)
    warning = frequency_warning(series, per_year)
    return MarketAnalysis(
        first_date=series.date_of(0),
        last_date=series.date_of(len(series) - 1),
        rows=len(series),
        rows_dropped=series.dropped,
        last_price=series.close[-1],
        returns=_returns(series, per_year, gaps),
        trend=gaps.fill("trend", _trend(series.close[-1], latest)),
        indicators=Indicators(
            **{name: gaps.fill(f"indicators.{name}", found) for name, found in latest.items()}
        ),
        volatility_percentile=percentile,
        volatility_regime=None if percentile is None else _regime(percentile),
        high_52_weeks=gaps.fill("high_52_weeks", _extreme(series, year, max)),
        low_52_weeks=gaps.fill("low_52_weeks", _extreme(series, year, min)),
        max_drawdown=max_drawdown(series),
        periods=asdict(periods),
        missing=gaps.reasons,
        warnings=(*series.warnings, *filter(None, [warning])),
    )


def _percentile(volatility: Indicator) -> float | Missing:
    latest = volatility.latest()
    if isinstance(latest, Missing):
        return latest
    history = [value for value in volatility.values or () if value is not None]
    if len(history) < MIN_HISTORY:
        return too_few(MIN_HISTORY, len(history), "values of the volatility")
    return 100 * sum(value <= latest for value in history) / len(history)


def _regime(percentile: float) -> Literal["low", "normal", "high"]:
    if percentile <= CALM:
        return "low"
    return "high" if percentile >= WILD else "normal"


def _last_year(series: Series, per_year: float) -> int | Missing:
    """Return the first row of the last 52 weeks."""
    before = row_before(series, WEEKS_52, per_year)
    return before if isinstance(before, Missing) else before + 1


def _extreme(
    series: Series, year: int | Missing, choose: Callable[[Sequence[float]], float]
) -> Quote | Missing:
    if isinstance(year, Missing):
        return year
    price = choose(series.close[year:])
    return quote(series, max(row for row in range(year, len(series)) if series.close[row] == price))


def _returns(series: Series, per_year: float, gaps: Gaps) -> Returns:
    def over(span: Span) -> Return | None:
        row = row_before(series, span, per_year)
        gained = row if isinstance(row, Missing) else _return_since(series, row)
        return gaps.fill(f"returns.{span.name}", gained)

    return Returns(
        week=over(WEEK),
        month=over(MONTH),
        quarter=over(QUARTER),
        year=over(YEAR),
        total=gaps.fill("returns.total", _return_since(series, 0)),
    )


def _return_since(series: Series, row: int) -> Return | Missing:
    base = series.close[row]
    if base <= 0:
        return Missing(f"the price on {series.named(row)} is not positive")
    return Return(since=quote(series, row), value=series.close[-1] / base - 1)


def _trend(
    price: float, latest: Mapping[str, float | Missing]
) -> Literal["up", "down", "sideways"] | Missing:
    fast, slow = latest["sma_fast"], latest["sma_slow"]
    if isinstance(fast, Missing):
        return fast
    if isinstance(slow, Missing):
        return slow
    if price > fast > slow:
        return "up"
    return "down" if price < fast < slow else "sideways"
