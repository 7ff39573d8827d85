import itertools
from collections.abc import Sequence
from dataclasses import replace
from math import sin

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from support.prices import walk, wti

from datamcp.agent_types.markets.missing import Missing
from datamcp.agent_types.markets.rules import Rule, RuleSettings, Side, Track, follow
from datamcp.errors import ProcessingError

OIL = [price for _, price in wti()]
SETTINGS = RuleSettings()
QUICK = RuleSettings(
    fast=3, slow=8, window=5, rsi_period=4, macd_fast=3, macd_slow=6, macd_signal=3
)

prices = st.lists(st.floats(0.5, 2.0), min_size=12, max_size=120)


def tracked(rule: Rule, series: Sequence[float], settings: RuleSettings = SETTINGS) -> Track:
    """Return how a rule that can tell saw a series."""
    track = follow(rule, series, settings)
    assert isinstance(track, Track)
    return track


def crossings(above: np.ndarray) -> dict[int, Side]:  # type: ignore[type-arg]
    """Return the rows at which a line comes from one side to the other; NaN is neither."""
    rows = np.flatnonzero(~np.isnan(above))
    return {
        int(row): Side(int(above[row]))
        for before, row in itertools.pairwise(rows)
        if above[row] != above[before]
    }


@pytest.mark.parametrize("series", [OIL, walk(1, 3000).close], ids=len)
def test_crossovers_are_those_of_talibs_averages(series: list[float]) -> None:
    """Where the sign of the difference changes, and nowhere else."""
    values = np.asarray(series)
    fast, slow = talib.SMA(values, 50), talib.SMA(values, 200)
    track = tracked(Rule.SMA_CROSSOVER, series)
    assert {row: track.sides[row] for row in track.calls} == crossings(np.sign(fast - slow))
    line = talib.EMA(values, 12) - talib.EMA(values, 26)
    signal = np.concatenate([np.full(25, np.nan), talib.EMA(line[25:], 9)])
    track = tracked(Rule.MACD_CROSSOVER, series)
    assert {row: track.sides[row] for row in track.calls} == crossings(np.sign(line - signal))


@pytest.mark.parametrize("series", [OIL, walk(1, 3000).close], ids=len)
def test_the_rsi_calls_when_it_comes_back(series: list[float]) -> None:
    """From below 30 to at least 30, or from above 70 to at most 70."""
    values = talib.RSI(np.asarray(series), 14)
    expected = {}
    for row in range(15, len(series)):
        before, now = values[row - 1 : row + 1]
        if before < 30 <= now:
            expected[row] = Side.BUY
        elif before > 70 >= now:
            expected[row] = Side.SELL
    track = tracked(Rule.RSI, series)
    assert {row: track.sides[row] for row in track.calls} == expected
    assert len(expected) > 10


@pytest.mark.parametrize("series", [OIL, walk(1, 3000).close], ids=len)
def test_a_breakout_is_the_first_close_outside_of_the_range_before(series: list[float]) -> None:
    """Of 20 rows; the next ones on the same side are none."""
    expected, side = {}, None
    for row in range(20, len(series)):
        before = series[row - 20 : row]
        now = (
            Side.BUY
            if series[row] > max(before)
            else Side.SELL
            if series[row] < min(before)
            else side
        )
        if now is not side:
            expected[row] = now
        side = now
    track = tracked(Rule.BREAKOUT, series)
    assert {row: track.sides[row] for row in track.calls} == expected


@given(series=prices, rows=st.integers(12, 120))
def test_a_call_knows_nothing_of_the_future(series: list[float], rows: int) -> None:
    """Without the rows after it, every row is seen as before, to the last digit."""
    for rule in Rule:
        known, later = follow(rule, series[:rows], QUICK), follow(rule, series, QUICK)
        if isinstance(known, Missing):
            assert len(set(series[:rows])) == 1
            continue
        assert isinstance(later, Track)
        seen = min(rows, len(series))
        assert list(later.sides[:seen]) == list(known.sides)
        assert [row for row in later.calls if row < seen] == list(known.calls)
        assert all(later.values(row) == known.values(row) for row in known.calls)


@given(series=prices, power=st.integers(-30, 30))
def test_calls_do_not_depend_on_the_unit(series: list[float], power: int) -> None:
    """Prices in another unit call for the same."""
    other = [price * 2.0**power for price in series]
    for rule in Rule:
        one, again = follow(rule, series, QUICK), follow(rule, other, QUICK)
        if isinstance(one, Track) and isinstance(again, Track):
            assert (one.calls, one.sides) == (again.calls, again.sides)
        assert isinstance(one, Missing) == isinstance(again, Missing)


@pytest.mark.parametrize("rule", [Rule.SMA_CROSSOVER, Rule.MACD_CROSSOVER])
def test_rounding_is_no_crossing(rule: Rule) -> None:
    """Averages that are equal but for their last digits do not cross every day."""
    round_trip = [10 + sin(number % 10) for number in range(600)]
    settings = replace(SETTINGS, fast=50, slow=200)
    if rule is Rule.SMA_CROSSOVER:
        assert tracked(rule, round_trip, settings).calls == []
    assert tracked(rule, [0.1] * 600, settings).calls == []
    assert set(tracked(rule, [0.1] * 600, settings).sides[250:]) == {Side.HOLD}


def test_each_call_is_on_the_other_side_of_the_last() -> None:
    """Of the rules that are always on one side."""
    for rule in (Rule.SMA_CROSSOVER, Rule.MACD_CROSSOVER, Rule.BREAKOUT):
        track = tracked(rule, OIL)
        called = [track.sides[row] for row in track.calls]
        assert all(one is not other for one, other in itertools.pairwise(called))


@pytest.mark.parametrize(
    ("rule", "needs"),
    [(Rule.SMA_CROSSOVER, 200), (Rule.MACD_CROSSOVER, 34), (Rule.RSI, 15), (Rule.BREAKOUT, 21)],
)
def test_a_rule_needs_its_rows(rule: Rule, needs: int) -> None:
    """With one less it says how many; with them it can tell of the last."""
    series = walk(2, needs).close
    assert follow(rule, series[1:], SETTINGS) == Missing(
        f"needs {needs} rows, there are {needs - 1}"
    )
    track = tracked(rule, series)
    assert [side is None for side in track.sides] == [*[True] * (needs - 1), False]


def test_a_rule_on_a_price_that_never_moved() -> None:
    """The RSI is undefined, and says so; the others point nowhere."""
    assert follow(Rule.RSI, [1.0] * 300, SETTINGS) == Missing("the price has not moved")
    assert set(tracked(Rule.BREAKOUT, [1.0] * 300).sides[20:]) == {Side.HOLD}


def test_prices_below_zero_are_followed() -> None:
    """The rules compare; they do not divide."""
    series = [price - 80 for price in OIL]
    for rule in (Rule.RSI, Rule.BREAKOUT):
        assert tracked(rule, series).calls == tracked(rule, OIL).calls


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fast": 200}, "fast must be below slow, got 200 and 200"),
        ({"macd_slow": 12}, "macd_fast must be below macd_slow, got 12 and 12"),
        ({"oversold": 70.0}, "oversold must be below overbought, got 70 and 70"),
    ],
)
def test_settings_out_of_order_are_refused(wrong: dict[str, float], said: str) -> None:
    """One line names both."""
    with pytest.raises(ProcessingError) as refused:
        replace(SETTINGS, **wrong)  # type: ignore[arg-type]
    assert str(refused.value) == said
