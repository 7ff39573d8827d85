"""Rows of a series as results show them. Pure."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict

from datamcp.agent_types.markets.drawdown import deepest_fall
from datamcp.agent_types.markets.series import Series


class Result(BaseModel):
    """The base of all results: frozen, finite, and with the meaning of each field in its schema."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Quote(Result):
    """The price of one row."""

    row: int
    """The number of the row among those that have a price, from 1."""
    date: date | datetime | None
    """The day, or the instant in UTC; null where the series has no dates."""
    price: float
    """The closing price."""


class Drawdown(Result):
    """The deepest fall of a price from its highest so far."""

    depth: float
    """The price at the trough as a part of the peak's, minus 1: -0.5 for a fall to half."""
    peak: Quote
    """The last row before the trough with the highest price so far."""
    trough: Quote
    """The row of the deepest fall; the first, if there are several."""
    recovery: Quote | None
    """The first row after the trough with at least the price of the peak; null if not yet."""


def quote(series: Series, row: int) -> Quote:
    """Return a row, which is counted from 0, as results show it."""
    return Quote(row=row + 1, date=series.date_of(row), price=series.close[row])


def max_drawdown(series: Series) -> Drawdown | None:
    """Return the deepest fall; None if the price never fell below an earlier, positive one."""
    fall = deepest_fall(series.close)
    if fall is None:
        return None
    return Drawdown(
        depth=fall.depth,
        peak=quote(series, fall.peak),
        trough=quote(series, fall.trough),
        recovery=None if fall.recovery is None else quote(series, fall.recovery),
    )
