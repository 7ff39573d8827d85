"""Returns, how much they vary, and what they pay for that: the definitions. Pure.

Simple returns (a price over the one before, minus 1) are what a holder gains and loses. Volatility
is of log returns, as everywhere else here. Yearly figures are those of one row times the number of
rows in a year, or its square root.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from datamcp.agent_types.markets.indicators import log_returns, rate_of_change
from datamcp.agent_types.markets.missing import Missing, too_few
from datamcp.agent_types.markets.series import Series
from datamcp.agent_types.markets.tail import Shape, shape_of

DECAY = 0.94
"""The factor of the exponentially weighted volatility: RiskMetrics' for daily returns."""

MIN_WEIGHTED = 30
"""How many returns in a row the exponentially weighted volatility needs."""

_NOT_POSITIVE = "a price is not positive"


@dataclass(frozen=True, slots=True)
class PastReturns:
    """The returns of a series over one row, and what yearly figures need.

    `simple` leaves out those over a price that is not positive. `logarithmic` has None for those
    from or to such a price. `target` is the risk-free return over one row.
    """

    simple: Sequence[float]
    logarithmic: Sequence[float | None]
    target: float
    per_year: float

    @classmethod
    def of(cls, series: Series, risk_free_rate: float, per_year: float) -> "PastReturns":
        """Return those of a series; the rate is for a year, without compounding."""
        return cls(
            simple=[one for one in rate_of_change(series.close, 1) if one is not None],
            logarithmic=log_returns(series.close)[1:],
            target=risk_free_rate / per_year,
            per_year=per_year,
        )

    @property
    def shape(self) -> Shape | Missing:
        """The moments of the simple returns."""
        if len(self.simple) < 2:
            return too_few(2, len(self.simple), "returns")
        return shape_of(self.simple) or Missing("all returns are the same")


def mean_return(returns: PastReturns) -> float | Missing:
    """Return the arithmetic mean of the simple returns, over one row."""
    if not returns.simple:
        return too_few(1, 0, "returns")
    return fmean(returns.simple)


def yearly_volatility(returns: PastReturns) -> float | Missing:
    """Return the sample standard deviation of all log returns, a year."""
    known = [one for one in returns.logarithmic if one is not None]
    if len(known) < len(returns.logarithmic):
        return Missing(_NOT_POSITIVE)
    if len(known) < 2:
        return too_few(2, len(known), "returns")
    return stdev(known) * sqrt(returns.per_year)


def ewma_volatility(returns: PastReturns) -> float | Missing:
    """Return the exponentially weighted volatility after the last row, a year.

    The root of the weighted mean of squared log returns, each weighing `DECAY` of the next one; the
    mean return is taken as 0 (RiskMetrics Technical Document, 1996). The weights add up to 1, so
    that no first variance has to be assumed. Only returns after the last price that is not
    positive count.
    """
    weighted, weights, count = 0.0, 0.0, 0
    for one in returns.logarithmic:
        if one is None:
            weighted, weights, count = 0.0, 0.0, 0
            continue
        weighted = DECAY * weighted + (1 - DECAY) * one * one
        weights = DECAY * weights + (1 - DECAY)
        count += 1
    if count < MIN_WEIGHTED:
        return too_few(MIN_WEIGHTED, count, "returns of positive prices in a row")
    return sqrt(weighted / weights * returns.per_year)


def downside_deviation(returns: PastReturns) -> float | Missing:
    """Return the root of the mean squared shortfall below the risk-free return, a year.

    The mean is over all returns, those above it counting as 0 (Sortino and Price 1994).
    """
    if not returns.simple:
        return too_few(1, 0, "returns")
    squares = fmean(min(one - returns.target, 0.0) ** 2 for one in returns.simple)
    return sqrt(squares * returns.per_year)


def sharpe_ratio(returns: PastReturns) -> float | Missing:
    """Return the mean return above the risk-free one over its standard deviation, a year.

    Sharpe (1994), made yearly with the root of the rows in a year, as for independent returns.
    """
    shape = returns.shape
    if isinstance(shape, Missing):
        return shape
    return (shape.mean - returns.target) / shape.deviation * sqrt(returns.per_year)


def sortino_ratio(returns: PastReturns) -> float | Missing:
    """Return the mean return above the risk-free one, a year, over the downside deviation."""
    downside = downside_deviation(returns)
    if isinstance(downside, Missing):
        return downside
    if downside == 0:
        return Missing("no return is below the risk-free rate")
    return (fmean(returns.simple) - returns.target) * returns.per_year / downside
