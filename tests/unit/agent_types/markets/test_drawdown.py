import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prices import wti

from datamcp.agent_types.markets.drawdown import Fall, deepest_fall, drawdowns

prices = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60)


@given(prices)
def test_a_drawdown_is_never_above_zero(series: list[float]) -> None:
    """It is zero at each new high, and never below the loss of everything."""
    falls = drawdowns(series)
    assert all(fall is not None and -1 <= fall <= 0 for fall in falls)
    highs = [row for row, price in enumerate(series) if price == max(series[: row + 1])]
    assert {falls[row] for row in highs} == {0.0}


@given(prices)
def test_the_deepest_fall_is_the_worst_of_all_pairs(series: list[float]) -> None:
    """No earlier and later row are further apart; the way back is the first row as high again."""
    pairs = [
        (series[late] / series[early] - 1, early, late)
        for early in range(len(series))
        for late in range(early + 1, len(series))
    ]
    fall = deepest_fall(series)
    worst = min(pairs, default=(0.0, 0, 0))[0]
    if fall is None:
        assert worst >= 0
        return
    assert fall.depth == worst == series[fall.trough] / series[fall.peak] - 1
    assert max(series[: fall.trough]) == series[fall.peak]
    back = [row for row in range(fall.trough, len(series)) if series[row] >= series[fall.peak]]
    assert fall.recovery == (back[0] if back else None)


def test_the_oil_price() -> None:
    """From the summer of 2008 to February 2016, and never back."""
    dates, closes = zip(*wti(), strict=True)
    series = np.asarray(closes)
    falls = series / np.maximum.accumulate(series) - 1
    assert drawdowns(closes) == pytest.approx(list(falls), rel=1e-12)
    fall = deepest_fall(closes)
    assert fall is not None
    assert fall.trough == int(np.argmin(falls))
    assert [str(dates[row]) for row in (fall.peak, fall.trough)] == ["2008-07-03", "2016-02-11"]
    assert fall.recovery is None


@pytest.mark.parametrize(
    ("series", "fall"),
    [
        ([100.0, 50.0, 100.0, 120.0], Fall(-0.5, 0, 1, 2)),
        ([100.0, 90.0, 100.0, 50.0], Fall(-0.5, 2, 3, None)),
        ([100.0, 50.0, 100.0, 50.0], Fall(-0.5, 0, 1, 2)),
        ([1.0, 2.0, 2.0, 3.0], None),
        ([5.0], None),
        ([20.0, -37.63, 10.0], Fall(-2.8815, 0, 1, None)),
        ([-2.0, -1.0, -4.0], None),
    ],
)
def test_falls_by_hand(series: list[float], fall: Fall | None) -> None:
    """The last of several peaks, the first of several troughs; below zero one loses more than all."""
    found = deepest_fall(series)
    assert found == (
        fall and Fall(pytest.approx(fall.depth), fall.peak, fall.trough, fall.recovery)
    )


def test_there_is_no_fall_from_below_zero() -> None:
    """A part of a debt has no meaning."""
    assert drawdowns([-2.0, -1.0, 0.0, 4.0, 3.0]) == [None, None, None, 0.0, -0.25]
