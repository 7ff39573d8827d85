"""What rules have called on a series, and where they point now: `find_signals`. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from datamcp.agent_types.markets.backtest import Backtest, backtest
from datamcp.agent_types.markets.missing import Gaps, Missing
from datamcp.agent_types.markets.quote import Result
from datamcp.agent_types.markets.rules import Rule, RuleSettings, Side, Track, follow
from datamcp.agent_types.markets.series import Series

Action = Literal["buy", "sell", "hold"]

_ACTIONS: Mapping[Side, Action] = {Side.BUY: "buy", Side.SELL: "sell", Side.HOLD: "hold"}


class RuleWord(Result):
    """What one rule says of a row."""

    rule: Rule
    """Which rule."""
    action: Action
    """What it says; `hold` as long as it has said nothing."""
    values: dict[str, float]
    """What it compared there."""


class Signal(Result):
    """What the rules called on one row, known at its close."""

    row: int
    """The number of the row among those that have a price, from 1."""
    date: date | datetime | None
    """The day, or the instant in UTC; null where the series has no dates."""
    price: float
    """The closing price."""
    action: Action
    """What more of the calling rules called; `hold` if as many called a buy as a sell."""
    strength: float
    """The part of all rules that can tell which point this way on this row, 0 to 1; 0 of `hold`."""
    rules: tuple[RuleWord, ...]
    """The rules that called."""


class Stance(Result):
    """Where the rules point at the last row."""

    action: Action
    """Where more rules point; `hold` if as many point to a buy as to a sell."""
    strength: float
    """The part of all rules that can tell which point this way, 0 to 1; 0 of `hold`."""
    buy: tuple[Rule, ...]
    """The rules that point to a buy."""
    sell: tuple[Rule, ...]
    """The rules that point to a sell."""
    rules: tuple[RuleWord, ...]
    """Where each rule points, and what it compared."""


class MarketSignals(Result):
    """What the rules called on a series, and where they point now."""

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
    stance: Stance | None
    """Where the rules point now."""
    count: int
    """How many signals there are, whether listed or not."""
    signals: tuple[Signal, ...]
    """The newest signals, at most as many as asked for, the oldest of them first."""
    backtest: Backtest | None
    """What following the signals would have returned in the past."""
    settings: dict[str, int | float]
    """The parameters of the rules."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Why a field is null; why a rule says nothing, as `rules.NAME`."""
    warnings: tuple[str, ...] = ()
    """What was left out, and what to look at."""

    def newest(self, count: int) -> "MarketSignals":
        """Return the same with no more than `count` signals listed."""
        return self.model_copy(update={"signals": self.signals[max(0, self.count - count) :]})


Tracks = Mapping[Rule, Track]


def find_signals(
    series: Series,
    settings: RuleSettings,
    *,
    rules: Sequence[Rule] = tuple(Rule),
    cost_bps: float = 0,
) -> MarketSignals:
    """Return all signals of a series, and what they would have returned."""
    gaps = Gaps()
    followed = {
        rule: gaps.fill(f"rules.{rule}", follow(rule, series.close, settings)) for rule in rules
    }
    tracks = {rule: track for rule, track in followed.items() if track is not None}
    signals = tuple(_signals(series, tracks))
    sides = {signal.row - 1: _side_of(signal) for signal in signals}
    return MarketSignals(
        first_date=series.date_of(0),
        last_date=series.date_of(len(series) - 1),
        rows=len(series),
        rows_dropped=series.dropped,
        last_price=series.close[-1],
        stance=gaps.fill("stance", _stance(tracks, len(series) - 1)),
        count=len(signals),
        signals=signals,
        backtest=gaps.fill("backtest", _tested(series, tracks, sides, cost_bps)),
        settings=asdict(settings),
        missing=gaps.reasons,
        warnings=series.warnings,
    )


def _signals(series: Series, tracks: Tracks) -> list[Signal]:
    callers: dict[int, list[Rule]] = {}
    for rule, track in tracks.items():
        for row in track.calls:
            callers.setdefault(row, []).append(rule)
    return [_signal(series, tracks, row, callers[row]) for row in sorted(callers)]


def _signal(series: Series, tracks: Tracks, row: int, callers: Sequence[Rule]) -> Signal:
    words = tuple(_word(rule, tracks[rule], row) for rule in callers)
    side = _majority([tracks[rule].sides[row] for rule in callers])
    return Signal(
        row=row + 1,
        date=series.date_of(row),
        price=series.close[row],
        action=_ACTIONS[side],
        strength=_strength(side, tracks, row),
        rules=words,
    )


def _word(rule: Rule, track: Track, row: int) -> RuleWord:
    side = track.sides[row] or Side.HOLD
    return RuleWord(rule=rule, action=_ACTIONS[side], values=dict(track.values(row)))


def _majority(sides: Sequence[Side | None]) -> Side:
    balance = sum(side or 0 for side in sides)
    return Side((balance > 0) - (balance < 0))


def _strength(side: Side, tracks: Tracks, row: int) -> float:
    told = [track.sides[row] for track in tracks.values() if track.sides[row] is not None]
    return sum(one is side for one in told) / len(told) if side else 0.0


def _stance(tracks: Tracks, row: int) -> Stance | Missing:
    if not tracks:
        return Missing("no rule can tell yet")
    side = _majority([track.sides[row] for track in tracks.values()])
    return Stance(
        action=_ACTIONS[side],
        strength=_strength(side, tracks, row),
        buy=tuple(rule for rule, track in tracks.items() if track.sides[row] is Side.BUY),
        sell=tuple(rule for rule, track in tracks.items() if track.sides[row] is Side.SELL),
        rules=tuple(_word(rule, track, row) for rule, track in tracks.items()),
    )


def _side_of(signal: Signal) -> Side:
    return next(side for side, action in _ACTIONS.items() if action == signal.action)


def _tested(
    series: Series, tracks: Tracks, sides: Mapping[int, Side], cost_bps: float
) -> Backtest | Missing:
    if not tracks:
        return Missing("no rule can tell yet")
    first = min(_first_told(track) for track in tracks.values())
    return backtest(series, sides, first, cost_bps)


def _first_told(track: Track) -> int:
    return next(row for row, side in enumerate(track.sides) if side is not None)
