"""The trading agent: analyses price series, finds signals in them, and assesses their risk."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from datamcp.agent_types.markets.analysis import MarketAnalysis, analyze
from datamcp.agent_types.markets.panel import Periods, panel
from datamcp.agent_types.markets.quote import Result
from datamcp.agent_types.markets.risk import RiskAssessment, RiskSettings, assess
from datamcp.agent_types.markets.rules import Rule, RuleSettings
from datamcp.agent_types.markets.series import Prices, Series, columns_of, series_of
from datamcp.agent_types.markets.signals import MarketSignals, find_signals
from datamcp.agent_types.markets.table import (
    ColumnNames,
    read_prices,
    write_panel,
    write_signals,
)
from datamcp.agents.agent import BaseAgent
from datamcp.agents.capability import capability
from datamcp.processors.processor import Output

INDICATORS = "indicators.parquet"
SIGNALS = "signals.parquet"

Period = Annotated[int, Field(ge=2, le=10_000)]
"""Over how many rows something looks."""

Lag = Annotated[int, Field(ge=1, le=10_000)]
"""How many rows lie between two prices."""

PerYear = Annotated[float, Field(gt=0, le=1e8)]
"""How many rows a year has: 252 trading days, 52 weeks, 12 months."""

Name = Annotated[str, Field(min_length=1)]


class TradingAgent(BaseAgent):
    """Says what a price series looks like, what it calls for, and what it risks.

    `prices` is a list of closing prices, a list of bars (`{date, close, …}`), or the path of a
    Parquet or CSV table with a row for each; the oldest row first, each date once. Rows without a
    price are left out and counted. A table's columns are `date` and `close`, and `high`, `low` and
    `volume` where it has them, unless their names are given.
    """

    agent_type = "trading"

    @capability
    def analyze_market(
        self,
        prices: Prices,
        *,
        fast: Period = Periods.fast,
        slow: Period = Periods.slow,
        rsi_period: Period = Periods.rsi_period,
        macd_fast: Period = Periods.macd_fast,
        macd_slow: Period = Periods.macd_slow,
        macd_signal: Period = Periods.macd_signal,
        bollinger_period: Period = Periods.bollinger_period,
        bollinger_width: Annotated[float, Field(gt=0, le=100)] = Periods.bollinger_width,
        momentum_period: Lag = Periods.momentum_period,
        volatility_window: Period = Periods.volatility_window,
        atr_period: Period = Periods.atr_period,
        stochastic_period: Period = Periods.stochastic_period,
        periods_per_year: PerYear = Periods.periods_per_year,
        date_column: Name = "date",
        close_column: Name = "close",
        high_column: Name | None = None,
        low_column: Name | None = None,
        volume_column: Name | None = None,
        table: bool = False,
    ) -> MarketAnalysis | Output:
        """Say what a price series looks like at its last row: returns, trend, indicators.

        With `table`, every indicator at every row is left as a Parquet file, too: then this returns
        an output whose `path` is the file, and whose `value` is what it returns otherwise.
        """
        periods = Periods(
            fast=fast,
            slow=slow,
            rsi_period=rsi_period,
            macd_fast=macd_fast,
            macd_slow=macd_slow,
            macd_signal=macd_signal,
            bollinger_period=bollinger_period,
            bollinger_width=bollinger_width,
            momentum_period=momentum_period,
            volatility_window=volatility_window,
            atr_period=atr_period,
            stochastic_period=stochastic_period,
            periods_per_year=periods_per_year,
        )
        names = ColumnNames(date_column, close_column, high_column, low_column, volume_column)
        series = self._series(prices, names)
        indicators = panel(series, periods)
        self.context.heartbeat(0.7)
        analysis = analyze(series, periods, indicators)
        if not table:
            return analysis
        workspace = self.context.workspace
        return self._with_table(
            analysis, INDICATORS, lambda path: write_panel(path, series, indicators, workspace)
        )

    @capability
    def generate_signals(
        self,
        prices: Prices,
        *,
        fast: Period = RuleSettings.fast,
        slow: Period = RuleSettings.slow,
        window: Period = RuleSettings.window,
        rsi_period: Period = RuleSettings.rsi_period,
        oversold: Annotated[float, Field(ge=0, le=100)] = RuleSettings.oversold,
        overbought: Annotated[float, Field(ge=0, le=100)] = RuleSettings.overbought,
        macd_fast: Period = RuleSettings.macd_fast,
        macd_slow: Period = RuleSettings.macd_slow,
        macd_signal: Period = RuleSettings.macd_signal,
        rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = tuple(Rule),
        cost_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0,
        limit: Annotated[int, Field(ge=0, le=100_000)] = 1000,
        date_column: Name = "date",
        close_column: Name = "close",
        table: bool = False,
    ) -> MarketSignals | Output:
        """Find what some rules called on each row, where they point now, and what they were worth.

        A signal uses nothing later than the close of its row. The newest `limit` are listed. With
        `table`, all of them are left as a Parquet file, too: then this returns an output whose
        `path` is the file, and whose `value` is what it returns otherwise.
        """
        settings = RuleSettings(
            fast=fast,
            slow=slow,
            window=window,
            rsi_period=rsi_period,
            oversold=oversold,
            overbought=overbought,
            macd_fast=macd_fast,
            macd_slow=macd_slow,
            macd_signal=macd_signal,
        )
        series = self._series(prices, ColumnNames(date_column, close_column))
        found = find_signals(series, settings, rules=tuple(dict.fromkeys(rules)), cost_bps=cost_bps)
        self.context.heartbeat(0.9)
        shown = found.newest(limit)
        if not table:
            return shown
        workspace = self.context.workspace
        return self._with_table(shown, SIGNALS, lambda path: write_signals(path, found, workspace))

    @capability
    def assess_risk(
        self,
        prices: Prices,
        *,
        confidence: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = RiskSettings.confidence,
        horizon: Lag = RiskSettings.horizon,
        position: Annotated[float, Field(gt=0, le=1e15)] | None = None,
        risk_free_rate: Annotated[float, Field(ge=-1, le=10)] = RiskSettings.risk_free_rate,
        periods_per_year: PerYear = RiskSettings.periods_per_year,
        worst: Annotated[int, Field(ge=0, le=1000)] = RiskSettings.worst,
        date_column: Name = "date",
        close_column: Name = "close",
    ) -> RiskAssessment:
        """Say what holding a price's asset may lose, and what it has paid for that.

        `confidence` and `horizon` (rows) are those of value at risk and expected shortfall;
        `position` is an amount of money that is held, never one that is owed.
        """
        settings = RiskSettings(
            confidence=confidence,
            horizon=horizon,
            risk_free_rate=risk_free_rate,
            worst=worst,
            periods_per_year=periods_per_year,
        )
        return assess(
            self._series(prices, ColumnNames(date_column, close_column)), settings, position
        )

    def _series(self, prices: Prices, names: ColumnNames) -> Series:
        if isinstance(prices, str):
            given = read_prices(self.context.find(prices), names, self.context.workspace)
        else:
            given = columns_of(prices)
        series = series_of(given)
        self.context.heartbeat(0.2)
        return series

    def _with_table(self, result: Result, name: str, write: Callable[[Path], int]) -> Output:
        """Have a table written, and return the result together with it."""
        workspace = self.context.workspace
        with workspace.publish(name) as part:
            records = write(part)
        return Output(
            path=workspace.path_of(name),
            value=result.model_dump(mode="json"),
            records_out=records,
            bytes_out=workspace.size_of(name),
        )
