"""What the `market` pipeline must say of a series, computed without it: NumPy and TA-Lib.

Shares nothing with the product but the definitions: see `docs/how-to/market.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import talib


@dataclass(frozen=True)
class MarketOracle:
    """A series, and what is to be expected of each step; highs and the like may be missing."""

    dates: list[date]
    close: list[float]
    high: list[float] | None = None
    low: list[float] | None = None
    volume: list[float] | None = None

    def analysis(self) -> dict[str, Any]:
        """Return what `analyze_market` says, by the path of each figure."""
        close = np.asarray(self.close)
        logs = np.diff(np.log(close))
        windows = np.lib.stride_tricks.sliding_window_view(logs, 21)
        history = windows.std(axis=1, ddof=1) * sqrt(252)
        falls = close / np.maximum.accumulate(close) - 1
        return {
            "first_date": str(self.dates[0]),
            "last_date": str(self.dates[-1]),
            "rows": len(close),
            "last_price": self.close[-1],
            "returns.total.value": close[-1] / close[0] - 1,
            "trend": self._trend(),
            "volatility_percentile": 100 * np.mean(history <= history[-1] * (1 + 1e-12)),
            "max_drawdown.depth": falls.min(),
            "max_drawdown.trough.date": str(self.dates[int(falls.argmin())]),
            **{f"indicators.{name}": line[-1] for name, line in self.lines().items()},
        }

    def _trend(self) -> str:
        fast, slow = np.mean(self.close[-50:]), np.mean(self.close[-200:])
        if self.close[-1] > fast > slow:
            return "up"
        return "down" if self.close[-1] < fast < slow else "sideways"

    def lines(self) -> dict[str, Any]:
        """Return the whole table of indicators, NaN where there is no value."""
        close = np.asarray(self.close)
        macd = talib.EMA(close, 12) - talib.EMA(close, 26)
        signal = np.concatenate([np.full(25, np.nan), talib.EMA(macd[25:], 9)])
        upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
        logs = np.diff(np.log(close))
        volatility = np.full(len(close), np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(logs, 21)
        volatility[21:] = windows.std(axis=1, ddof=1) * sqrt(252)
        return {
            "sma_fast": talib.SMA(close, 50),
            "sma_slow": talib.SMA(close, 200),
            "ema_fast": talib.EMA(close, 50),
            "ema_slow": talib.EMA(close, 200),
            "rsi": talib.RSI(close, 14),
            "macd": macd,
            "macd_signal": signal,
            "macd_histogram": macd - signal,
            "bollinger_middle": middle,
            "bollinger_upper": upper,
            "bollinger_lower": lower,
            "bollinger_bandwidth": (upper - lower) / middle,
            "bollinger_percent_b": (close - lower) / (upper - lower),
            "momentum": talib.MOM(close, 10),
            "rate_of_change": talib.ROCP(close, 10),
            "volatility": volatility,
            "drawdown": close / np.maximum.accumulate(close) - 1,
            **self._lines_of_bars(close),
        }

    def _lines_of_bars(self, close: Any) -> dict[str, Any]:
        if self.high is None or self.low is None or self.volume is None:
            return {}
        high, low = np.asarray(self.high), np.asarray(self.low)
        _, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
        return {
            "true_range": talib.TRANGE(high, low, close),
            "atr": talib.ATR(high, low, close, 14),
            "stochastic_d": slow_d,
            "on_balance_volume": talib.OBV(close, np.asarray(self.volume)),
        }

    def risk(self) -> dict[str, Any]:
        """Return what `assess_risk` says, by the path of each figure."""
        close = np.asarray(self.close)
        daily, logs = close[1:] / close[:-1] - 1, np.diff(np.log(close))
        limit, z = np.quantile(daily, 0.05), NormalDist().inv_cdf(0.05)
        mean, deviation = daily.mean(), daily.std(ddof=1)
        weights = 0.94 ** np.arange(len(logs))[::-1]
        downside = sqrt((np.minimum(daily, 0) ** 2).mean() * 252)
        return {
            "tail.historical_var": -limit,
            "tail.historical_shortfall": -daily[daily <= limit].mean(),
            "tail.normal_var": -(mean + z * deviation),
            "tail.normal_shortfall": deviation * NormalDist().pdf(z) / 0.05 - mean,
            "volatility": logs.std(ddof=1) * sqrt(252),
            "ewma_volatility": sqrt((weights * logs**2).sum() / weights.sum() * 252),
            "downside_deviation": downside,
            "sharpe_ratio": mean / deviation * sqrt(252),
            "sortino_ratio": mean * 252 / downside,
            "worst.0.value": daily.min(),
            "worst.0.date": str(self.dates[int(daily.argmin()) + 1]),
        }

    def crossovers(self) -> list[date]:
        """Return the days on which the average of 50 days crosses that of 200."""
        apart = talib.SMA(np.asarray(self.close), 50) - talib.SMA(np.asarray(self.close), 200)
        return [
            self.dates[row] for row in range(200, len(apart)) if apart[row] * apart[row - 1] < 0
        ]


def assert_figures_equal(got: Any, expected: Mapping[str, Any]) -> None:
    """Compare figures of a nested value, to nine digits."""
    for path, wanted in expected.items():
        value = at(got, path)
        if isinstance(wanted, str | int):
            assert value == wanted, path
        else:
            assert value == pytest.approx(float(wanted), rel=1e-8), path


def at(value: Any, path: str) -> Any:
    """Return what is at a path such as `worst.0.date`."""
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
