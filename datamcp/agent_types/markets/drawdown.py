"""Drawdowns: how far a price is below its highest so far. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from datamcp.agent_types.markets.rolling import Line


@dataclass(frozen=True, slots=True)
class Fall:
    """The deepest fall of a series, by rows counted from 0.

    `depth` is the price at the trough as a part of the peak's, minus 1: -0.5 for a fall to half.
    `recovery` is the first row after the trough at which the peak's price is reached again.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None


def drawdowns(prices: Sequence[float]) -> Line:
    """Return each price over the highest so far, minus 1: 0 at a new high, else below.

    None as long as no price was positive.
    """
    return [
        price / top - 1 if top > 0 else None
        for price, top in zip(prices, accumulate(prices, max), strict=True)
    ]


def deepest_fall(prices: Sequence[float]) -> Fall | None:
    """Return the deepest fall, the first of several; None if the price never fell.

    Its peak is the last row before the trough that had the highest price so far.
    """
    falls = [(fall, row) for row, fall in enumerate(drawdowns(prices)) if fall is not None]
    depth, trough = min(falls, default=(0.0, 0))
    if depth >= 0:
        return None
    top = max(prices[:trough])
    peak = max(row for row in range(trough) if prices[row] == top)
    after = range(trough + 1, len(prices))
    return Fall(depth, peak, trough, next((row for row in after if prices[row] >= top), None))
