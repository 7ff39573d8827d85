from collections.abc import Callable, Sequence
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from support.prices import Walk, assert_lines_equal, naive, walk, wti

from datamcp.agent_types.markets.indicators import (
    atr,
    bollinger,
    ema,
    log_returns,
    macd,
    momentum,
    on_balance_volume,
    rate_of_change,
    rsi,
    sma,
    stochastic,
    true_range,
    volatility,
    wilder,
)
from datamcp.agent_types.markets.rolling import Line

OIL = [price for _, price in wti()]

WALKS = [
    walk(1, 8000),
    walk(2, 700, start=1e-6, step=0.05),
    walk(3, 700, start=1e9, step=0.01),
    walk(4, 60),
    walk(5, 27, start=0.37, step=0.2),
    walk(6, 3),
]
SERIES = [OIL, *(one.close for one in WALKS)]

prices = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=80)


def array(values: Sequence[float]) -> Any:
    """Return values as TA-Lib takes them."""
    return np.asarray(values, dtype=float)


AGAINST_TALIB: dict[str, tuple[Callable[..., Line], Callable[..., Any]]] = {
    "sma": (sma, talib.SMA),
    "ema": (ema, talib.EMA),
    "rsi": (rsi, talib.RSI),
    "momentum": (momentum, talib.MOM),
    "rate_of_change": (rate_of_change, talib.ROCP),
}


@pytest.mark.parametrize("period", [2, 9, 14, 50, 200])
@pytest.mark.parametrize("name", AGAINST_TALIB)
@pytest.mark.parametrize("series", SERIES, ids=len)
def test_values_are_those_of_talib(name: str, period: int, series: list[float]) -> None:
    """On the oil price and on walks of all sizes: the same rows have values, and the same ones."""
    ours, theirs = AGAINST_TALIB[name]
    # TA-Lib takes gains and losses below 1e-14 for 0; so it is shown larger ones.
    scale = 1e12 if name == "rsi" and max(series) < 1 else 1.0
    expected = theirs(array(series) * scale, period)
    size = max(series) if name in {"sma", "momentum"} else 1.0
    assert_lines_equal(ours(series, period), expected, scale=size if name != "rsi" else 100)


@pytest.mark.parametrize("series", SERIES, ids=len)
def test_bollinger_bands_are_those_of_talib(series: list[float]) -> None:
    """With the population's standard deviation, for another width, too."""
    for width in (2.0, 1.5):
        bands = bollinger(series, 20, width)
        upper, middle, lower = talib.BBANDS(array(series), 20, width, width)
        # TA-Lib subtracts sums of squares, and so has fewer digits of the deviation than we.
        for got, expected in zip(bands[:3], (middle, upper, lower), strict=True):
            assert_lines_equal(got, expected, rel=1e-7, scale=max(series))


def test_bollinger_bands_tell_where_the_price_is() -> None:
    """%b is 0 at the lower band and 1 at the upper one; the bandwidth is a part of the middle."""
    bands = bollinger(OIL, 20, 2.0)
    row = 500
    middle, deviation = np.mean(OIL[481:501]), np.std(OIL[481:501])
    assert bands.percent_b[row] == pytest.approx(
        (OIL[row] - (middle - 2 * deviation)) / (4 * deviation), rel=1e-9
    )
    assert bands.bandwidth[row] == pytest.approx(4 * deviation / middle, rel=1e-9)


@pytest.mark.parametrize("series", SERIES, ids=len)
def test_macd_is_the_difference_of_two_averages(series: list[float]) -> None:
    """Each EMA begun at its own first prices, and the signal at the line's first values."""
    lines = macd(series, 12, 26, 9)
    line = talib.EMA(array(series), 12) - talib.EMA(array(series), 26)
    assert_lines_equal(lines.line, line, scale=max(series))
    known = line[25:]
    signal = np.concatenate([np.full(min(25, len(series)), np.nan), talib.EMA(known, 9)])
    assert_lines_equal(lines.signal, signal[: len(series)], scale=max(series))
    assert_lines_equal(lines.histogram, (line - signal)[: len(series)], scale=max(series))


@pytest.mark.parametrize("series", [one for one in SERIES if len(one) > 300], ids=len)
def test_macd_comes_to_that_of_talib(series: list[float]) -> None:
    """TA-Lib begins the fast average where the slow one begins: 150 rows on, nothing is left of it."""
    lines = macd(series, 12, 26, 9)
    for got, expected in zip(lines, talib.MACD(array(series), 12, 26, 9), strict=True):
        assert_lines_equal(got[185:], expected[185:], scale=max(series))


@pytest.mark.parametrize("series", WALKS, ids=lambda one: len(one.close))
def test_what_needs_highs_and_lows_is_that_of_talib(series: Walk) -> None:
    """True range, its average, the stochastic, and the balance of volumes."""
    high, low, close = array(series.high), array(series.low), array(series.close)
    size = max(series.high)
    ranges = true_range(series.high, series.low, series.close)
    assert_lines_equal(ranges, talib.TRANGE(high, low, close), scale=size)
    for period in (2, 14):
        average = atr(series.high, series.low, series.close, period)
        assert_lines_equal(average, talib.ATR(high, low, close, period), scale=size)
        places = stochastic(series.high, series.low, series.close, period, 3)
        k, d = talib.STOCH(high, low, close, period, 3, 0, 3, 0)
        # TA-Lib shows %K only from where there is a %D.
        assert_lines_equal(places.d, d, scale=100)
        assert_lines_equal([a if b is not None else None for a, b in zip(*places, strict=True)], k)
    volumes = on_balance_volume(series.close, series.volume)
    assert_lines_equal(volumes, talib.OBV(close, array(series.volume)))


def test_the_stochastic_begins_with_its_first_average() -> None:
    """%K is there as soon as three places are, two rows before %D."""
    one = WALKS[3]
    places = stochastic(one.high, one.low, one.close, 14, 3)
    assert [line.index(next(v for v in line if v is not None)) for line in places] == [15, 17]
    top, bottom = max(one.high[:14]), min(one.low[:14])
    first = naive([100 * (one.close[13] - bottom) / (top - bottom)], 1, sum)[0]
    fast, _ = talib.STOCHF(array(one.high), array(one.low), array(one.close), 14, 3, 0)
    assert places.k[15] == pytest.approx((first + fast[15] + _fast(one, 14)) / 3, rel=1e-9)


def _fast(one: Walk, row: int) -> float:
    top, bottom = max(one.high[row - 13 : row + 1]), min(one.low[row - 13 : row + 1])
    return 100 * (one.close[row] - bottom) / (top - bottom)


@pytest.mark.parametrize("series", SERIES, ids=len)
def test_volatility_is_the_yearly_deviation_of_log_returns(series: list[float]) -> None:
    """With divisor n - 1, and the root of 252; a window of returns needs one price more."""
    returns = np.diff(np.log(array(series)))
    expected = [np.nan] * len(series)
    for end in range(21, len(returns) + 1):
        expected[end] = np.std(returns[end - 21 : end], ddof=1) * sqrt(252)
    assert_lines_equal(volatility(series, 21, 252), expected)


def test_wilders_average_by_hand() -> None:
    """It begins as a simple average, and then takes a part of 1 / period of each new value."""
    assert wilder([None, 1.0, 2.0, 6.0, 3.0], 3) == [None, None, None, 3.0, 3.0]
    assert ema([2.0, 4.0, 9.0, 1.0], 3) == [None, None, 5.0, 3.0]


# The worked example of StockCharts' ChartSchool for the RSI of 14 days: closes, and their RSI.
CHARTSCHOOL = (
    (
        "44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931 "
        "46.0328 45.6140 46.2820 46.2820 46.0028 46.0328 46.4116 46.2222 45.6439 46.2122 46.2521 "
        "45.7137 46.4515 45.7835 45.3548 44.0288 44.1783 44.2181 44.5672 43.4205 42.6628 43.1314"
    ),
    (
        "70.53 66.32 66.55 69.41 66.36 57.97 62.93 63.26 56.06 62.38 54.71 50.42 39.99 41.46 41.87 "
        "45.46 37.30 33.08 37.77"
    ),
)


def test_rsi_of_a_published_example() -> None:
    """Every value that the example shows, to its two digits."""
    series, shown = ([float(word) for word in text.split()] for text in CHARTSCHOOL)
    assert rsi(series, 14)[:14] == [None] * 14
    assert rsi(series, 14)[14:] == pytest.approx(shown, abs=0.005)


def test_rsi_by_hand() -> None:
    """Two rises of 1 and a fall of 2 in four rows: half and half, then a rise of 4."""
    values = rsi([10.0, 11.0, 12.0, 10.0, 14.0], 3)
    assert values[:3] == [None, None, None]
    assert values[3] == pytest.approx(50)
    gain, loss = (2 / 3 * 2 + 4) / 3, (2 / 3 * 2) / 3
    assert values[4] == pytest.approx(100 * gain / (gain + loss))


@given(prices, st.integers(2, 20))
def test_rsi_is_between_0_and_100(series: list[float], period: int) -> None:
    """Whatever the prices; 100 if they only rise, and nothing if they never move."""
    values = rsi(series, period)
    assert all(value is None or 0 <= value <= 100 for value in values)
    assert all(value is None for value in rsi([series[0]] * 50, period))
    rising = rsi([*range(1, 60)], period)
    assert set(rising[period:]) == {100.0}
    assert set(rsi([*range(60, 1, -1)], period)[period:]) == {0.0}


@given(prices, st.integers(2, 20), st.integers(-20, 20))
def test_parts_do_not_depend_on_the_unit(series: list[float], period: int, power: int) -> None:
    """Returns, the RSI and %b of prices in another unit are the same to the last digit."""
    other = [price * 2.0**power for price in series]
    assert rsi(other, period) == rsi(series, period)
    assert rate_of_change(other, period) == rate_of_change(series, period)
    assert log_returns(other) == log_returns(series)
    assert bollinger(other, period, 2.0).percent_b == bollinger(series, period, 2.0).percent_b
    assert volatility(other, period, 252) == volatility(series, period, 252)


LINES: dict[str, Callable[[list[float]], Sequence[Line]]] = {
    "sma": lambda x: [sma(x, 5)],
    "ema": lambda x: [ema(x, 5)],
    "rsi": lambda x: [rsi(x, 5)],
    "macd": lambda x: macd(x, 3, 6, 4),
    "bollinger": lambda x: bollinger(x, 5, 2.0),
    "momentum": lambda x: [momentum(x, 5), rate_of_change(x, 5)],
    "volatility": lambda x: [volatility(x, 5, 252)],
    "ranges": lambda x: [atr(x, x, x, 5), *stochastic(x, x, x, 5, 3)],
    "volumes": lambda x: [on_balance_volume(x, x)],
}


@given(series=prices, rows=st.integers(1, 80))
def test_no_value_knows_the_future(series: list[float], rows: int) -> None:
    """Without the rows after it, each value is the same to the last digit; each row has its place."""
    for name, computed in LINES.items():
        known, later = computed(series[:rows]), computed(series)
        assert [line[:rows] for line in later] == list(known), name
        assert {len(line) for line in later} == {len(series)}, name


def test_prices_below_zero_have_no_returns() -> None:
    """A change is no part of nothing or of a debt; a fall to below zero is one of more than all."""
    series = [20.0, 18.27, -37.63, 10.01, 0.0, 5.0]
    assert rate_of_change(series, 1) == [
        None,
        pytest.approx(-0.0865),
        pytest.approx(-3.05966, rel=1e-5),
        None,
        -1.0,
        None,
    ]
    assert log_returns(series) == [None, log(18.27 / 20), None, None, None, None]
    assert volatility(series, 2, 252) == [None] * 6
    assert momentum(series, 1)[2:4] == [pytest.approx(-55.9), pytest.approx(47.64)]
    assert sma(series, 2)[2] == pytest.approx(-9.68)
    assert bollinger(series, 2, 2.0).bandwidth[2] is None


def test_a_price_that_stands_still() -> None:
    """Averages are the price; what divides by its movement is undefined."""
    still = [0.1] * 40
    assert set(sma(still, 7)[6:]) == set(ema(still, 7)[6:]) == {0.1}
    assert set(macd(still, 3, 6, 4).histogram[8:]) == {0.0}
    bands = bollinger(still, 5, 2.0)
    assert (bands.upper[-1], bands.percent_b[-1], bands.bandwidth[-1]) == (0.1, None, 0.0)
    assert stochastic(still, still, still, 5, 3).k == [None] * 40
    assert volatility(still, 5, 252)[-1] == 0.0
