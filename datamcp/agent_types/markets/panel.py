"""All indicators of a series side by side: a column each, and why its last value is missing. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from datamcp.agent_types.markets.drawdown import drawdowns
from datamcp.agent_types.markets.indicators import (
    atr,
    bollinger,
    ema,
    macd,
    momentum,
    on_balance_volume,
    rate_of_change,
    rsi,
    sma,
    stochastic,
    true_range,
    volatility,
)
from datamcp.agent_types.markets.missing import Missing, too_few
from datamcp.agent_types.markets.rolling import Line
from datamcp.agent_types.markets.series import Series
from datamcp.errors import ProcessingError

SMOOTHING = 3
"""Over how many rows the stochastic is smoothed, and then averaged."""

_UNMOVED = "the price has not moved"
_NO_RANGES = "the series has no highs and lows"
_NO_VOLUMES = "the series has no volumes"


@dataclass(frozen=True, kw_only=True)  # without slots: the agent reads its defaults
class Periods:
    """Over how many rows each indicator looks.

    `bollinger_width` is in standard deviations, `periods_per_year` how many rows a year has. ProcessingError
    if a fast average is not shorter than its slow one.
    """

    fast: int = 50
    slow: int = 200
    rsi_period: int = 14
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    bollinger_period: int = 20
    bollinger_width: float = 2.0
    momentum_period: int = 10
    volatility_window: int = 21
    atr_period: int = 14
    stochastic_period: int = 14
    periods_per_year: float = 252

    def __post_init__(self) -> None:
        """Compare the averages."""
        refuse_unless_faster("fast", self.fast, "slow", self.slow)
        refuse_unless_faster("macd_fast", self.macd_fast, "macd_slow", self.macd_slow)


def refuse_unless_faster(fast_name: str, fast: int, slow_name: str, slow: int) -> None:
    """ProcessingError if the first of two periods is not the shorter one."""
    if fast >= slow:
        raise ProcessingError(f"{fast_name} must be below {slow_name}, got {fast} and {slow}")


@dataclass(frozen=True, slots=True)
class Indicator:
    """A column: its values, how many rows it needs, and why it is undefined on enough of them.

    Without `values` the series lacks what it is made of.
    """

    values: Line | None
    needs: int
    undefined: str = ""

    def latest(self) -> float | Missing:
        """Return the value of the last row."""
        if self.values is None:
            return Missing(self.undefined)
        if len(self.values) < self.needs:
            return too_few(self.needs, len(self.values))
        found = self.values[-1]
        return Missing(self.undefined) if found is None else found


Panel = Mapping[str, Indicator]
"""Every indicator by its name."""


def panel(series: Series, periods: Periods) -> Panel:
    """Return all indicators of a series."""
    of_closes = {
        **_averages(series, periods),
        **_oscillators(series, periods),
        **_bands(series, periods),
        **_changes(series, periods),
    }
    return {**of_closes, **_of_ranges(series, periods), **_of_volumes(series)}


def _averages(series: Series, periods: Periods) -> Panel:
    fast, slow = periods.fast, periods.slow
    return {
        "sma_fast": Indicator(sma(series.close, fast), fast),
        "sma_slow": Indicator(sma(series.close, slow), slow),
        "ema_fast": Indicator(ema(series.close, fast), fast),
        "ema_slow": Indicator(ema(series.close, slow), slow),
    }


def _oscillators(series: Series, periods: Periods) -> Panel:
    lines = macd(series.close, periods.macd_fast, periods.macd_slow, periods.macd_signal)
    signalled = periods.macd_slow + periods.macd_signal - 1
    return {
        "rsi": Indicator(rsi(series.close, periods.rsi_period), periods.rsi_period + 1, _UNMOVED),
        "macd": Indicator(lines.line, periods.macd_slow),
        "macd_signal": Indicator(lines.signal, signalled),
        "macd_histogram": Indicator(lines.histogram, signalled),
    }


def _bands(series: Series, periods: Periods) -> Panel:
    needs = periods.bollinger_period
    bands = bollinger(series.close, needs, periods.bollinger_width)
    return {
        "bollinger_middle": Indicator(bands.middle, needs),
        "bollinger_upper": Indicator(bands.upper, needs),
        "bollinger_lower": Indicator(bands.lower, needs),
        "bollinger_percent_b": Indicator(bands.percent_b, needs, _UNMOVED),
        "bollinger_bandwidth": Indicator(bands.bandwidth, needs, "the average is not positive"),
    }


def _changes(series: Series, periods: Periods) -> Panel:
    close, back = series.close, periods.momentum_period
    years = volatility(close, periods.volatility_window, periods.periods_per_year)
    falls = drawdowns(close)
    return {
        "momentum": Indicator(momentum(close, back), back + 1),
        "rate_of_change": Indicator(
            rate_of_change(close, back), back + 1, f"the price {back} rows before is not positive"
        ),
        "volatility": Indicator(
            years, periods.volatility_window + 1, "a price in its window is not positive"
        ),
        "drawdown": Indicator(falls, 1, "no price was positive"),
    }


def _of_ranges(series: Series, periods: Periods) -> Panel:
    high, low, close = series.high, series.low, series.close
    slow = periods.stochastic_period + SMOOTHING - 1
    if high is None or low is None:
        names = ("true_range", "atr", "stochastic_k", "stochastic_d")
        return {name: Indicator(None, 0, _NO_RANGES) for name in names}
    places = stochastic(high, low, close, periods.stochastic_period, SMOOTHING)
    return {
        "true_range": Indicator(true_range(high, low, close), 2),
        "atr": Indicator(atr(high, low, close, periods.atr_period), periods.atr_period + 1),
        "stochastic_k": Indicator(places.k, slow, _UNMOVED),
        "stochastic_d": Indicator(places.d, slow + SMOOTHING - 1, _UNMOVED),
    }


def _of_volumes(series: Series) -> Panel:
    if series.volume is None:
        return {"on_balance_volume": Indicator(None, 0, _NO_VOLUMES)}
    return {"on_balance_volume": Indicator(on_balance_volume(series.close, series.volume), 1)}
