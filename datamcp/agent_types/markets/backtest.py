"""What following past signals would have returned: `backtest`. Pure.

A signal is known at the close of its row, and traded at the close of the next one. Long or out of
the market, never short; what is out earns nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import isfinite

from datamcp.agent_types.markets.drawdown import drawdowns
from datamcp.agent_types.markets.missing import Missing, too_few
from datamcp.agent_types.markets.quote import Result
from datamcp.agent_types.markets.rules import Side
from datamcp.agent_types.markets.series import Series

CAVEAT = (
    "A backtest, not a promise: the same rules on the past of this series alone, traded at closing "
    "prices of the row after each signal, without taxes, interest, slippage or limits of size."
)


class Backtest(Result):
    """What holding by the signals would have returned, beside holding all along.

    Returns are fractions, after costs: 0.05 is 5 %. Both sides begin with the same money at the
    close of the first row on which a signal could be traded, and are valued at the last close.
    """

    caveat: str = CAVEAT
    """What this is not."""
    first_date: date | datetime | None
    """The first row on which a signal could be traded."""
    last_date: date | datetime | None
    """The last row of the series."""
    rows: int
    """How many rows are between these two: the number of returns."""
    cost_bps: float
    """What each purchase and each sale costs, in hundredths of a percent of its amount."""
    strategy_return: float
    """What holding after each buy, and not holding after each sell, would have returned."""
    buy_and_hold_return: float
    """What buying on the first row and holding would have returned."""
    strategy_max_drawdown: float
    """The deepest fall of the money held by the signals, as a fraction: -0.5 is to half."""
    buy_and_hold_max_drawdown: float
    """The same of holding all along."""
    exposure: float
    """The part of the rows over which the signals held."""
    trades: int
    """How many times the signals bought and sold again."""
    winning_trades: int
    """How many of these gained money after costs."""
    is_holding: bool
    """Whether the signals hold at the end; that purchase is not among the trades."""


@dataclass(slots=True)
class _Account:
    """Money that follows signals; it begins with 1."""

    cost: float
    money: float = 1.0
    paid: float | None = None  # what the shares that it holds were bought with
    trades: int = 0
    wins: int = 0
    rows_held: int = 0
    history: list[float] = field(default_factory=list)

    def earn(self, growth: float) -> None:
        if self.paid is not None:
            self.money *= growth
            self.rows_held += 1

    def follow(self, side: Side | None) -> None:
        if side is Side.BUY and self.paid is None:
            self.paid = self.money
            self.money *= 1 - self.cost
        elif side is Side.SELL and self.paid is not None:
            self.money *= 1 - self.cost
            self.trades += 1
            self.wins += self.money > self.paid
            self.paid = None
        self.history.append(self.money)


def backtest(
    series: Series, signals: Mapping[int, Side], first: int, cost_bps: float
) -> Backtest | Missing:
    """Return how following the signals would have gone; they are sides by row, counted from 0.

    `first` is the first row that could have had a signal.
    """
    begin, end = first + 1, len(series) - 1
    if begin >= end:
        return too_few(first + 3, len(series))
    unusable = next((row for row in range(begin, end + 1) if series.close[row] <= 0), None)
    if unusable is not None:
        return Missing(f"the price on {series.named(unusable)} is not positive")
    by_signals = _followed(series.close, signals, begin, cost_bps / 10_000)
    held = _followed(series.close, {first: Side.BUY}, begin, cost_bps / 10_000)
    if not isfinite(by_signals.money) or not by_signals.money:
        return Missing("the prices differ too much to be multiplied")
    return Backtest(
        first_date=series.date_of(begin),
        last_date=series.date_of(end),
        rows=end - begin,
        cost_bps=cost_bps,
        strategy_return=by_signals.money - 1,
        buy_and_hold_return=held.money - 1,
        strategy_max_drawdown=_deepest(by_signals.history),
        buy_and_hold_max_drawdown=_deepest(held.history),
        exposure=by_signals.rows_held / (end - begin),
        trades=by_signals.trades,
        winning_trades=by_signals.wins,
        is_holding=by_signals.paid is not None,
    )


def _followed(
    prices: Sequence[float], signals: Mapping[int, Side], begin: int, cost: float
) -> _Account:
    account = _Account(cost)
    account.follow(signals.get(begin - 1))
    for row in range(begin + 1, len(prices)):
        account.earn(prices[row] / prices[row - 1])
        account.follow(signals.get(row - 1))
    return account


def _deepest(history: Sequence[float]) -> float:
    return min(fall for fall in drawdowns([1.0, *history]) if fall is not None)
