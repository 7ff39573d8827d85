from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prices import closes, walk, wti, wti_series

from datamcp.agent_types.markets.backtest import Backtest, backtest
from datamcp.agent_types.markets.missing import Missing
from datamcp.agent_types.markets.rules import Rule, RuleSettings, Side, Track, follow
from datamcp.agent_types.markets.series import Columns, series_of
from datamcp.agent_types.markets.signals import MarketSignals, find_signals

SETTINGS = RuleSettings()
QUICK = RuleSettings(
    fast=3, slow=8, window=5, rsi_period=4, macd_fast=3, macd_slow=6, macd_signal=3
)

prices = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=100)


@pytest.fixture(scope="module")
def oil() -> MarketSignals:
    """Return the signals of the shipped oil price."""
    return find_signals(wti_series(), SETTINGS)


def test_each_signal_is_what_the_rules_of_its_row_called(oil: MarketSignals) -> None:
    """Every call is in one signal, with its date, its price, and what the rule compared."""
    days = wti()
    expected: dict[int, set[tuple[Rule, str]]] = {}
    for rule in Rule:
        track = follow(rule, [price for _, price in days], SETTINGS)
        assert isinstance(track, Track)
        for row in track.calls:
            called = "buy" if track.sides[row] is Side.BUY else "sell"
            expected.setdefault(row, set()).add((rule, called))
    found = {
        signal.row - 1: {(word.rule, word.action) for word in signal.rules}
        for signal in oil.signals
    }
    assert found == expected
    assert oil.count == len(oil.signals) == len(expected)
    assert [(s.date, s.price) for s in oil.signals] == [days[s.row - 1] for s in oil.signals]
    for signal in oil.signals:
        for word in signal.rules:
            assert set(word.values) == VALUES[word.rule]


VALUES = {
    Rule.SMA_CROSSOVER: {"sma_fast", "sma_slow"},
    Rule.MACD_CROSSOVER: {"macd", "macd_signal"},
    Rule.RSI: {"rsi"},
    Rule.BREAKOUT: {"close", "highest", "lowest"},
}


def test_strength_is_the_part_of_the_rules_that_agree(oil: MarketSignals) -> None:
    """Of those that can tell on that row, whether they call on it or not."""
    series = [price for _, price in wti()]
    tracks = [follow(rule, series, SETTINGS) for rule in Rule]
    for signal in oil.signals:
        sides = [track.sides[signal.row - 1] for track in tracks if isinstance(track, Track)]
        told = [side for side in sides if side is not None]
        wanted = {"buy": Side.BUY, "sell": Side.SELL}.get(signal.action)
        expected = 0.0 if wanted is None else told.count(wanted) / len(told)
        assert signal.strength == expected
        assert (signal.strength > 0) == (signal.action != "hold")


def test_rules_that_contradict_each_other_call_for_nothing(oil: MarketSignals) -> None:
    """As many buys as sells on one row are a hold of strength 0."""
    holds = [signal for signal in oil.signals if signal.action == "hold"]
    assert holds
    for signal in holds:
        assert sorted(word.action for word in signal.rules) == ["buy", "sell"]


def test_the_stance_is_where_most_rules_point(oil: MarketSignals) -> None:
    """In January 2019 two rules say buy and two sell."""
    assert oil.stance is not None
    assert (oil.stance.action, oil.stance.strength) == ("hold", 0.0)
    assert [word.action for word in oil.stance.rules] == ["sell", "buy", "buy", "sell"]
    assert oil.stance.buy == (Rule.MACD_CROSSOVER, Rule.RSI)
    assert oil.stance.sell == (Rule.SMA_CROSSOVER, Rule.BREAKOUT)
    alone = find_signals(wti_series(), SETTINGS, rules=[Rule.BREAKOUT]).stance
    assert alone is not None
    assert (alone.action, alone.strength) == ("sell", 1.0)


@given(prices, st.integers(1, 100))
def test_the_past_does_not_change_with_the_future(series: list[float], rows: int) -> None:
    """The signals of a shortened series are those of the whole one up to its end."""
    known = find_signals(closes(series[:rows]), QUICK)
    later = find_signals(closes(series), QUICK)
    past = [signal for signal in later.signals if signal.row <= rows]
    assert list(known.signals) == past


@given(prices, st.integers(0, 20))
def test_the_newest_signals_are_listed(series: list[float], count: int) -> None:
    """The count tells of all."""
    found = find_signals(closes(series), QUICK)
    newest = found.newest(count)
    assert newest.count == found.count
    assert list(newest.signals) == list(found.signals)[max(0, found.count - count) :]


def test_a_series_too_short_for_a_rule_says_so() -> None:
    """The others go on; where none can tell, there is neither stance nor backtest."""
    some = find_signals(walk(1, 30).series, SETTINGS)
    assert some.missing.keys() == {"rules.sma_crossover", "rules.macd_crossover"}
    assert some.stance is not None
    assert [word.rule for word in some.stance.rules] == [Rule.RSI, Rule.BREAKOUT]
    none = find_signals(walk(1, 10).series, SETTINGS)
    assert (none.stance, none.backtest, none.signals) == (None, None, ())
    assert none.missing["stance"] == none.missing["backtest"] == "no rule can tell yet"
    assert none.missing["rules.rsi"] == "needs 15 rows, there are 10"


def test_a_result_survives_json(oil: MarketSignals) -> None:
    """Dates come back as dates, rules as rules."""
    assert MarketSignals.model_validate_json(oil.model_dump_json()) == oil


# Backtests.


def backtested(
    series: list[float], signals: dict[int, Side], first: int = 0, cost_bps: float = 0
) -> Backtest:
    """Return a backtest that can be made."""
    found = backtest(closes(series), signals, first, cost_bps)
    assert isinstance(found, Backtest)
    return found


def test_a_signal_is_traded_at_the_close_after_it() -> None:
    """Bought at 20 and sold at 10, though the signals came at 10 and 40."""
    found = backtested([10, 20, 40, 10, 80], {0: Side.BUY, 2: Side.SELL})
    assert found.strategy_return == 10 / 20 - 1
    assert found.buy_and_hold_return == 80 / 20 - 1
    assert (found.trades, found.winning_trades, found.is_holding) == (1, 0, False)
    assert (found.rows, found.exposure) == (3, 2 / 3)
    assert found.strategy_max_drawdown == -0.75


def test_what_each_trade_costs() -> None:
    """A hundredth of a percent times the basis points, of each purchase and each sale."""
    found = backtested([1, 1, 2, 2, 3, 3], {0: Side.BUY, 2: Side.SELL, 3: Side.BUY}, cost_bps=100)
    assert found.strategy_return == pytest.approx(0.99 * 2 * 0.99 * 0.99 * 1 - 1)
    assert found.buy_and_hold_return == pytest.approx(0.99 * 3 - 1)
    assert (found.trades, found.winning_trades, found.is_holding) == (1, 1, True)


def test_a_hold_changes_nothing() -> None:
    """Nor does a second buy, or a sell of what is not held."""
    sides = {0: Side.SELL, 1: Side.BUY, 2: Side.HOLD, 3: Side.BUY}
    found = backtested([5, 4, 2, 4, 3, 6], sides, cost_bps=10)
    assert found.strategy_return == pytest.approx(0.999 * 6 / 2 - 1)
    assert found.trades == 0


def test_a_signal_on_the_last_row_is_not_traded() -> None:
    """There is no row after it."""
    assert backtested([1, 2, 3, 1], {2: Side.BUY, 3: Side.SELL}).is_holding
    assert not backtested([1, 2, 3, 1], {3: Side.BUY}).is_holding


def test_without_signals_nothing_is_gained_or_lost() -> None:
    """Buying and holding is what it is."""
    found = backtested([1, 2, 3, 6], {})
    assert (found.strategy_return, found.buy_and_hold_return, found.exposure) == (0.0, 2.0, 0.0)


@given(prices, st.floats(0, 500))
def test_backtests_agree_with_an_account_kept_by_hand(series: list[float], bps: float) -> None:
    """Money or shares, never both; cost is paid at each turn."""
    found = find_signals(closes(series), QUICK, cost_bps=bps)
    if found.backtest is None:
        return
    begin = len(series) - found.backtest.rows - 1
    sides = {signal.row - 1: signal.action for signal in found.signals}
    cash, shares = 1.0, 0.0
    for row in range(begin, len(series)):
        match sides.get(row - 1):
            case "buy" if not shares:
                cash, shares = 0.0, cash * (1 - bps / 10_000) / series[row]
            case "sell" if shares:
                cash, shares = shares * series[row] * (1 - bps / 10_000), 0.0
    worth = cash + shares * series[-1]
    assert found.backtest.strategy_return == pytest.approx(worth - 1, rel=1e-9, abs=1e-9)
    hold = series[-1] / series[begin] * (1 - bps / 10_000) - 1
    assert found.backtest.buy_and_hold_return == pytest.approx(hold, rel=1e-9, abs=1e-9)


def test_the_oil_prices_backtest_is_honest(oil: MarketSignals) -> None:
    """It begins with the first row on which a rule could tell, and says what it is not."""
    found = oil.backtest
    assert found is not None
    days = wti()
    assert found.first_date == days[15][0]
    assert found.buy_and_hold_return == pytest.approx(days[-1][1] / days[15][1] - 1)
    assert "not a promise" in found.caveat
    costly = find_signals(wti_series(), SETTINGS, cost_bps=10).backtest
    assert costly is not None
    assert costly.trades == found.trades
    assert costly.strategy_return < found.strategy_return


def test_prices_below_zero_have_no_backtest() -> None:
    """The first one is named; the signals are there nevertheless."""
    days = wti()
    low = series_of(
        Columns(dates=[day for day, _ in days], close=[price - 30 for _, price in days])
    )
    found = find_signals(low, SETTINGS)
    assert found.count > 0
    assert found.backtest is None
    assert found.missing["backtest"] == "the price on 1986-01-23 is not positive"


def test_prices_that_multiply_beyond_all_numbers() -> None:
    """There is no return to tell."""
    wild = [1e-15, 1e15] * 40
    signals = {row: Side.BUY if row % 2 else Side.SELL for row in range(80)}
    assert isinstance(backtest(closes(wild), signals, 0, 0), Missing)


def test_each_signal_comes_after_the_last() -> None:
    """One for each row, the oldest first."""
    rows = [signal.row for signal in find_signals(walk(7, 500).series, QUICK).signals]
    assert all(one < other for one, other in pairwise(rows))
    fewer = find_signals(walk(7, 500).series, replace(QUICK, window=400), rules=[Rule.BREAKOUT])
    assert fewer.count < len(rows)
