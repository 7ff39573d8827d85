"""The rules that call a buy or a sell, and how each of them saw every row. Pure.

What a rule says of a row depends on that row and earlier ones only. Two averages that differ by
less than rounding does are equal: on a series that repeats itself they would cross every day.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import pairwise

from datamcp.agent_types.markets.indicators import macd, rsi, sma
from datamcp.agent_types.markets.missing import Missing, too_few
from datamcp.agent_types.markets.panel import refuse_unless_faster
from datamcp.agent_types.markets.rolling import Line, rolling_max, rolling_min
from datamcp.errors import ProcessingError

_ROUNDING = 1e-12  # of the largest price in the slow window


class Rule(StrEnum):
    """What calls a buy or a sell."""

    SMA_CROSSOVER = "sma_crossover"
    """The fast simple average crosses the slow one: above it buy, below it sell."""
    MACD_CROSSOVER = "macd_crossover"
    """The MACD line crosses its signal line: above it buy, below it sell (Appel 1979)."""
    RSI = "rsi"
    """The RSI comes back from below `oversold`: buy; or from above `overbought`: sell (Wilder 1978)."""
    BREAKOUT = "breakout"
    """The close leaves the range of the closes of the `window` rows before: above it buy, below it
    sell; only the first time since it left on the other side (Donchian's four-week rule)."""


class Side(IntEnum):
    """Which way a rule points."""

    SELL = -1
    HOLD = 0
    BUY = 1


@dataclass(frozen=True, kw_only=True)  # without slots: the agent reads its defaults
class RuleSettings:
    """Over how many rows the rules look, and the limits of the RSI.

    ProcessingError if a fast average is not shorter than its slow one, or the limits are not in
    order.
    """

    fast: int = 50
    slow: int = 200
    window: int = 20
    rsi_period: int = 14
    oversold: float = 30
    overbought: float = 70
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9

    def __post_init__(self) -> None:
        """Compare the averages, and the limits."""
        refuse_unless_faster("fast", self.fast, "slow", self.slow)
        refuse_unless_faster("macd_fast", self.macd_fast, "macd_slow", self.macd_slow)
        if self.oversold >= self.overbought:
            raise ProcessingError(
                f"oversold must be below overbought, got {self.oversold:g} and {self.overbought:g}"
            )


Values = Mapping[str, float]
"""What a rule compared, by name."""


@dataclass(frozen=True, slots=True)
class Track:
    """How a rule saw each row.

    `sides` has where it points: None where it can't tell yet, HOLD before its first word. `calls`
    has the rows at which it called, counted from 0; its side there is the call. `values` gives what
    it compared at a row.
    """

    sides: Sequence[Side | None]
    calls: Sequence[int]
    values: Callable[[int], Values]


def follow(rule: Rule, prices: Sequence[float], settings: RuleSettings) -> Track | Missing:
    """Return how a rule saw the rows of a series; Missing if it can't tell of any."""
    track, needs = _FOLLOWED[rule](prices, settings)
    if len(prices) < needs:
        return too_few(needs, len(prices))
    if track.sides[-1] is None:
        return Missing("the price has not moved")
    return track


def _averages(prices: Sequence[float], settings: RuleSettings) -> tuple[Track, int]:
    fast, slow = sma(prices, settings.fast), sma(prices, settings.slow)
    return _crossings(prices, {"sma_fast": fast, "sma_slow": slow}, settings.slow), settings.slow


def _convergence(prices: Sequence[float], settings: RuleSettings) -> tuple[Track, int]:
    lines = macd(prices, settings.macd_fast, settings.macd_slow, settings.macd_signal)
    needs = settings.macd_slow + settings.macd_signal - 1
    named = {"macd": lines.line, "macd_signal": lines.signal}
    return _crossings(prices, named, settings.macd_slow), needs


def _crossings(prices: Sequence[float], lines: Mapping[str, Line], slow: int) -> Track:
    sides: list[Side | None] = []
    calls: list[int] = []
    side = Side.HOLD
    sizes = rolling_max([abs(price) for price in prices], slow)
    for row, (one, other, size) in enumerate(zip(*lines.values(), sizes, strict=True)):
        if one is None or other is None or size is None:
            sides.append(None)
            continue
        now = _side(one - other, size * _ROUNDING)
        if now and side and now is not side:
            calls.append(row)
        side = now or side
        sides.append(side)
    return Track(sides, calls, lambda row: _at(row, lines))


def _side(apart: float, rounding: float) -> Side:
    if abs(apart) <= rounding:
        return Side.HOLD
    return Side.BUY if apart > 0 else Side.SELL


def _returns_of_rsi(prices: Sequence[float], settings: RuleSettings) -> tuple[Track, int]:
    low, high = settings.oversold, settings.overbought
    values = rsi(prices, settings.rsi_period)
    sides: list[Side | None] = [None]
    calls: list[int] = []
    side = Side.HOLD
    for row, (before, now) in enumerate(pairwise(values), start=1):
        if before is not None and now is not None:
            if before < low <= now:
                side = Side.BUY
                calls.append(row)
            elif before > high >= now:
                side = Side.SELL
                calls.append(row)
        sides.append(None if now is None else side)
    return Track(sides, calls, lambda row: _at(row, {"rsi": values})), settings.rsi_period + 1


def _breakouts(prices: Sequence[float], settings: RuleSettings) -> tuple[Track, int]:
    window = settings.window
    tops: Line = [None, *rolling_max(prices, window)[:-1]]
    bottoms: Line = [None, *rolling_min(prices, window)[:-1]]
    sides: list[Side | None] = []
    calls: list[int] = []
    side = Side.HOLD
    for row, (price, top, bottom) in enumerate(zip(prices, tops, bottoms, strict=True)):
        if top is None or bottom is None:
            sides.append(None)
            continue
        now = Side.BUY if price > top else Side.SELL if price < bottom else side
        if now is not side:
            calls.append(row)
        side = now
        sides.append(side)
    lines = {"close": prices, "highest": tops, "lowest": bottoms}
    return Track(sides, calls, lambda row: _at(row, lines)), window + 1


def _at(row: int, lines: Mapping[str, Sequence[float | None]]) -> Values:
    found = {name: line[row] for name, line in lines.items()}
    return {name: value for name, value in found.items() if value is not None}


_FOLLOWED: Mapping[Rule, Callable[[Sequence[float], RuleSettings], tuple[Track, int]]] = {
    Rule.SMA_CROSSOVER: _averages,
    Rule.MACD_CROSSOVER: _convergence,
    Rule.RSI: _returns_of_rsi,
    Rule.BREAKOUT: _breakouts,
}
