"""What a price series has risked its holder: `assess`. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from heapq import nsmallest
from typing import Literal, TypeVar

from pydantic import Field

from datamcp.agent_types.markets.drawdown import drawdowns
from datamcp.agent_types.markets.indicators import rate_of_change
from datamcp.agent_types.markets.lookback import frequency_warning
from datamcp.agent_types.markets.missing import Gaps, Missing, too_few
from datamcp.agent_types.markets.performance import (
    PastReturns,
    downside_deviation,
    ewma_volatility,
    mean_return,
    sharpe_ratio,
    sortino_ratio,
    yearly_volatility,
)
from datamcp.agent_types.markets.quote import Drawdown, Result, max_drawdown
from datamcp.agent_types.markets.series import Series
from datamcp.agent_types.markets.tail import (
    Shape,
    cornish_fisher_var,
    historical_shortfall,
    historical_var,
    is_cornish_fisher_valid,
    normal_shortfall,
    normal_var,
    rows_needed,
)

T = TypeVar("T")

CALM, WILD = 0.15, 0.30
"""The volatilities a year up to which, and from which, a risk is called low and high."""

SHALLOW, DEEP = -0.10, -0.20
"""The drawdowns down to which, and from which, a risk is called low and high."""


class TailRisk(Result):
    """What a holder may lose over the horizon: positive for a loss, negative for a gain."""

    historical_var: float | None
    """The loss that only 1 - `confidence` of the past returns over the horizon exceed."""
    historical_shortfall: float | None
    """The mean of the past losses that were at least that large."""
    normal_var: float | None
    """The loss that a normal distribution of the same mean and deviation exceeds as seldom."""
    normal_shortfall: float | None
    """The mean loss of that distribution beyond its value at risk."""
    cornish_fisher_var: float | None
    """The normal one, corrected for skewness and kurtosis."""


class WorstReturn(Result):
    """A return over one row, among the lowest of the series."""

    row: int
    """The number of the row among those that have a price, from 1."""
    date: date | datetime | None
    """The day, or the instant in UTC; null where the series has no dates."""
    value: float
    """The return over the row before: -0.1 is a loss of 10 %."""


Level = Literal["low", "medium", "high"]


class RiskAssessment(Result):
    """What a price series has risked its holder. Returns and losses are fractions of the price."""

    first_date: date | datetime | None
    """The date of the first row with a price; null where the series has no dates."""
    last_date: date | datetime | None
    """The date of the last row with a price."""
    rows: int
    """How many rows have a price."""
    rows_dropped: int
    """How many rows were left out, because they have no price."""
    level: Level | None
    """`high` if the EWMA volatility is at least 0.30 or the current drawdown at or below -0.20;
    `low` if they are at most 0.15 and above -0.10; else `medium`."""
    level_reasons: tuple[str, ...]
    """The figures that decided the level."""
    confidence: float
    """Of value at risk and expected shortfall."""
    horizon: int
    """Over how many rows these look ahead."""
    tail: TailRisk
    """What may be lost, as parts of what is held."""
    position: float | None
    """How much money is held."""
    amounts: TailRisk | None
    """What may be lost, in the unit of `position`."""
    returns: int
    """How many returns over one row there are."""
    mean_return: float | None
    """The arithmetic mean of the returns over one row."""
    skewness: float | None
    """Of the returns over one row; negative if the left tail is the longer one."""
    excess_kurtosis: float | None
    """Of the returns over one row; 0 of a normal distribution."""
    volatility: float | None
    """The sample standard deviation of all log returns, a year."""
    ewma_volatility: float | None
    """The exponentially weighted volatility now, a year (RiskMetrics, factor 0.94, mean 0)."""
    downside_deviation: float | None
    """The root of the mean squared shortfall below the risk-free rate, over all rows, a year."""
    risk_free_rate: float
    """The return a year that the ratios compare with."""
    sharpe_ratio: float | None
    """The mean return above the risk-free rate over its standard deviation, a year."""
    sortino_ratio: float | None
    """The mean return above the risk-free rate over the downside deviation, a year."""
    current_drawdown: float | None
    """The last price as a part of the highest so far, minus 1."""
    max_drawdown: Drawdown | None
    """The deepest fall of the whole series; null if it never fell."""
    worst: tuple[WorstReturn, ...]
    """The lowest returns over one row, the lowest first."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Why a field is null."""
    warnings: tuple[str, ...] = ()
    """What was left out, and what to look at."""


@dataclass(frozen=True, kw_only=True)  # without slots: the agent reads its defaults
class RiskSettings:
    """How sure, over how many rows, against which yearly rate, and how many worst returns."""

    confidence: float = 0.95
    horizon: int = 1
    risk_free_rate: float = 0.0
    worst: int = 5
    periods_per_year: float = 252


def assess(series: Series, settings: RiskSettings, position: float | None = None) -> RiskAssessment:
    """Return the risk of holding what the series prices; `position` is an amount of money."""
    gaps = Gaps()
    returns = PastReturns.of(series, settings.risk_free_rate, settings.periods_per_year)
    shape = returns.shape
    tail = _tail(series, settings, shape, gaps)
    volatility, fall = ewma_volatility(returns), _current_drawdown(series)
    level, reasons = gaps.fill("level", _level(volatility, fall)) or (None, ())
    return RiskAssessment(
        first_date=series.date_of(0),
        last_date=series.date_of(len(series) - 1),
        rows=len(series),
        rows_dropped=series.dropped,
        level=level,
        level_reasons=reasons,
        confidence=settings.confidence,
        horizon=settings.horizon,
        tail=tail,
        position=position,
        amounts=None if position is None else _amounts(tail, position),
        returns=len(returns.simple),
        mean_return=gaps.fill("mean_return", mean_return(returns)),
        skewness=gaps.fill("skewness", _of(shape, lambda known: known.skewness)),
        excess_kurtosis=gaps.fill(
            "excess_kurtosis", _of(shape, lambda known: known.excess_kurtosis)
        ),
        volatility=gaps.fill("volatility", yearly_volatility(returns)),
        ewma_volatility=gaps.fill("ewma_volatility", volatility),
        downside_deviation=gaps.fill("downside_deviation", downside_deviation(returns)),
        risk_free_rate=settings.risk_free_rate,
        sharpe_ratio=gaps.fill("sharpe_ratio", sharpe_ratio(returns)),
        sortino_ratio=gaps.fill("sortino_ratio", sortino_ratio(returns)),
        current_drawdown=gaps.fill("current_drawdown", fall),
        max_drawdown=max_drawdown(series),
        worst=_worst(series, settings.worst),
        missing=gaps.reasons,
        warnings=(*series.warnings, *_warnings(series, settings, returns)),
    )


def _tail(series: Series, settings: RiskSettings, shape: Shape | Missing, gaps: Gaps) -> TailRisk:
    confidence, horizon = settings.confidence, settings.horizon
    past = _past(series, settings)
    ahead = shape if isinstance(shape, Missing) else shape.over(horizon)
    found = {
        "historical_var": _of(past, lambda known: historical_var(known, confidence)),
        "historical_shortfall": _of(past, lambda known: historical_shortfall(known, confidence)),
        "normal_var": _of(ahead, lambda known: normal_var(known, confidence)),
        "normal_shortfall": _of(ahead, lambda known: normal_shortfall(known, confidence)),
        "cornish_fisher_var": _of(ahead, lambda known: cornish_fisher_var(known, confidence)),
    }
    return TailRisk(**{name: gaps.fill(f"tail.{name}", one) for name, one in found.items()})


def _past(series: Series, settings: RiskSettings) -> Sequence[float] | Missing:
    """Return the past returns over the horizon, which overlap, in rising order."""
    changes = rate_of_change(series.close, settings.horizon)
    past = sorted(change for change in changes if change is not None)
    needed = rows_needed(settings.confidence)
    if len(past) < needed:
        return too_few(needed, len(past), _returns_over(settings.horizon))
    return past


def _returns_over(rows: int) -> str:
    return "returns" if rows == 1 else f"returns over {rows} rows"


def _of(known: T | Missing, take: Callable[[T], float]) -> float | Missing:
    return known if isinstance(known, Missing) else take(known)


def _current_drawdown(series: Series) -> float | Missing:
    fall = drawdowns(series.close)[-1]
    return Missing("no price was positive") if fall is None else fall


def _level(
    volatility: float | Missing, fall: float | Missing
) -> tuple[Level, tuple[str, ...]] | Missing:
    if isinstance(volatility, Missing):
        return volatility
    if isinstance(fall, Missing):
        return fall
    if volatility >= WILD or fall <= DEEP:
        wild = f"EWMA volatility {volatility:.1%} a year: at least {WILD:.0%}"
        deep = f"{-fall:.1%} below the highest price so far: at least {-DEEP:.0%}"
        return "high", (*[wild] * (volatility >= WILD), *[deep] * (fall <= DEEP))
    uneasy = f"EWMA volatility {volatility:.1%} a year: above {CALM:.0%}"
    down = f"{-fall:.1%} below the highest price so far: at least {-SHALLOW:.0%}"
    if volatility > CALM or fall <= SHALLOW:
        return "medium", (*[uneasy] * (volatility > CALM), *[down] * (fall <= SHALLOW))
    calm = f"EWMA volatility {volatility:.1%} a year: at most {CALM:.0%}"
    return "low", (calm, f"{-fall:.1%} below the highest price so far: less than {-SHALLOW:.0%}")


def _amounts(tail: TailRisk, position: float) -> TailRisk:
    shares = tail.model_dump()
    return TailRisk(
        **{name: None if share is None else share * position for name, share in shares.items()}
    )


def _worst(series: Series, count: int) -> tuple[WorstReturn, ...]:
    changes = enumerate(rate_of_change(series.close, 1))
    lowest = nsmallest(count, ((change, row) for row, change in changes if change is not None))
    return tuple(
        WorstReturn(row=row + 1, date=series.date_of(row), value=change) for change, row in lowest
    )


def _warnings(series: Series, settings: RiskSettings, returns: PastReturns) -> Iterator[str]:
    undefined = len(series) - 1 - len(returns.simple)
    if undefined:
        yield f"returns left out, as their first price is not positive: {undefined:,}"
    shape = returns.shape
    if isinstance(shape, Shape) and not is_cornish_fisher_valid(shape.over(settings.horizon)):
        yield (
            "cornish_fisher_var is an indication at best: with this skewness and kurtosis the "
            "corrected quantile does not rise everywhere"
        )
    frequency = frequency_warning(series, settings.periods_per_year)
    if frequency:
        yield frequency
