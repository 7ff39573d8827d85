from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from support.prices import closes, walk, working_days, wti, wti_series

from datamcp.agent_types.markets.analysis import MarketAnalysis, analyze
from datamcp.agent_types.markets.panel import Periods, panel
from datamcp.agent_types.markets.series import Columns, Series, series_of
from datamcp.errors import ProcessingError


def analyzed(series: Series, **periods: float) -> MarketAnalysis:
    """Return what a series looks like."""
    chosen = replace(Periods(), **periods)  # type: ignore[arg-type]
    return analyze(series, chosen, panel(series, chosen))


@pytest.fixture(scope="module")
def oil() -> MarketAnalysis:
    """Return what the shipped oil price looks like."""
    return analyzed(wti_series())


def test_returns_are_by_the_calendar(oil: MarketAnalysis) -> None:
    """Each since the last price on or before the same day a while ago."""
    prices = dict(wti())
    since = {
        "week": date(2018, 12, 27),
        "month": date(2018, 12, 3),
        "quarter": date(2018, 10, 3),
        "year": date(2018, 1, 3),
        "total": date(1986, 1, 2),
    }
    assert oil.last_date == date(2019, 1, 3)
    for name, day in since.items():
        found = getattr(oil.returns, name)
        assert (found.since.date, found.since.price) == (day, prices[day])
        assert found.value == prices[oil.last_date] / prices[day] - 1


def test_volatility_is_compared_with_its_own_history(oil: MarketAnalysis) -> None:
    """The percentile is the part of all windows with at most as much; from 75 on it is high."""
    returns = np.diff(np.log([price for _, price in wti()]))
    windows = np.lib.stride_tricks.sliding_window_view(returns, 21)
    history = windows.std(axis=1, ddof=1) * np.sqrt(252)
    assert oil.indicators.volatility == pytest.approx(history[-1], rel=1e-9)
    share = np.mean(history <= history[-1] * (1 + 1e-12))
    assert oil.volatility_percentile == pytest.approx(100 * share)
    assert oil.volatility_regime == "high"


def test_the_extremes_are_those_of_the_last_364_days(oil: MarketAnalysis) -> None:
    """The last row of several that have them."""
    year = [(price, day) for day, price in wti() if day > date(2018, 1, 4)]
    assert oil.high_52_weeks is not None
    assert oil.low_52_weeks is not None
    assert (oil.high_52_weeks.price, oil.high_52_weeks.date) == max(year)
    assert oil.low_52_weeks.price == min(year)[0]


def test_a_series_of_closes_alone_has_no_more(oil: MarketAnalysis) -> None:
    """What needs highs, lows or volumes is null, and says why."""
    lacking = {name for name, value in oil.indicators if value is None}
    ranges = {"true_range", "atr", "stochastic_k", "stochastic_d"}
    assert lacking == {*ranges, "on_balance_volume"}
    reasons = {name.removeprefix("indicators."): why for name, why in oil.missing.items()}
    assert {reasons.pop(name) for name in ranges} == {"the series has no highs and lows"}
    assert reasons == {"on_balance_volume": "the series has no volumes"}


def test_a_whole_series_lacks_nothing() -> None:
    """With highs, lows and volumes every indicator has a value."""
    found = analyzed(walk(1, 300).series)
    assert found.missing == {}
    assert None not in dict(found.indicators).values()
    assert MarketAnalysis.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("rows", [1, 2, 14, 15, 26, 34, 60, 199, 200])
def test_a_short_series_has_nulls_with_reasons(rows: int) -> None:
    """Never a value of fewer rows than its definition takes."""
    found = analyzed(walk(2, rows).series)
    needs = {
        "sma_fast": 50, "sma_slow": 200, "ema_fast": 50, "ema_slow": 200, "rsi": 15, "macd": 26,
        "macd_signal": 34, "macd_histogram": 34, "bollinger_middle": 20, "bollinger_upper": 20,
        "bollinger_lower": 20, "bollinger_percent_b": 20, "bollinger_bandwidth": 20,
        "momentum": 11, "rate_of_change": 11, "volatility": 22, "drawdown": 1, "true_range": 2,
        "atr": 15, "stochastic_k": 16, "stochastic_d": 18, "on_balance_volume": 1,
    }  # fmt: skip
    for name, needed in needs.items():
        assert (getattr(found.indicators, name) is None) == (rows < needed), name
        if rows < needed:
            said = f"needs {needed:,} rows, there are {rows}"
            assert found.missing[f"indicators.{name}"] == said
    assert (found.trend is None) == (rows < 200)
    nulls = {name for name, value in found if value is None and not name.startswith("max_")}
    assert nulls - {"volatility_regime"} <= found.missing.keys()


def test_dates_choose_rows_only_near_what_is_asked() -> None:
    """Of rows a month apart there is no week, and after a long gap no month."""
    months = [date(2020 + n // 12, n % 12 + 1, 28) for n in range(30)]
    monthly = series_of(Columns(dates=months, close=[float(n) for n in range(1, 31)]))
    found = analyzed(monthly, periods_per_year=12)
    assert found.returns.week is None
    assert found.missing["returns.week"] == "no price in the week up to 2022-06-21"
    assert found.returns.month is not None
    assert found.returns.month.since.row == 29
    assert found.returns.year is not None
    assert found.returns.year.since.row == 18
    gap = [*working_days(date(2020, 1, 1), 60), date(2020, 6, 1), date(2020, 6, 2)]
    assert analyzed(series_of(Columns(dates=gap, close=[1.0] * 62))).returns.month is None


@pytest.mark.parametrize(
    ("last", "since"),
    [(date(2021, 3, 31), date(2021, 2, 28)), (date(2020, 3, 30), date(2020, 2, 29)),
     (date(2021, 1, 15), date(2020, 12, 15)), (date(2020, 12, 31), date(2020, 11, 30))],
)  # fmt: skip
def test_a_month_before_its_last_days(last: date, since: date) -> None:
    """Where the month before has no such day, its last one."""
    days = [last - timedelta(days=number) for number in range(70, -1, -1)]
    found = analyzed(series_of(Columns(dates=days, close=[1.0] * 71)))
    assert found.returns.month is not None
    assert found.returns.month.since.date == since


def test_without_dates_a_year_has_as_many_rows_as_said() -> None:
    """And a week, a month and a quarter their part of it."""
    found = analyzed(closes([float(number) for number in range(1, 401)]))
    assert (found.first_date, found.last_date) == (None, None)
    spans = {"week": 5, "month": 21, "quarter": 63, "year": 252}
    for name, rows in spans.items():
        assert getattr(found.returns, name).since.row == 400 - rows
    assert found.low_52_weeks is not None
    assert found.low_52_weeks.row == 400 - 251
    short = analyzed(closes([1.0] * 200), periods_per_year=20)
    assert short.missing["returns.week"] == "with 20 rows a year, a row is longer than a week"


def test_finer_bars_are_looked_up_by_the_instant() -> None:
    """A week before an hour is the same hour a week before."""
    hours = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(400)]
    series = series_of(Columns(dates=hours, close=[float(n) for n in range(1, 401)]))
    found = analyzed(series, periods_per_year=24 * 365)
    assert found.returns.week is not None
    assert found.returns.week.since.row == 400 - 7 * 24
    assert found.warnings == ()
    assert MarketAnalysis.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("per_year", "is_right"), [(252, True), (260, True), (52, False), (365, False)]
)
def test_a_wrong_number_of_rows_a_year_is_told(per_year: float, is_right: bool) -> None:
    """The dates know better."""
    warnings = analyzed(walk(3, 300).series, periods_per_year=per_year).warnings
    told = [line for line in warnings if "rows a year" in line]
    assert told == ([] if is_right else told[:1])
    assert is_right == (told == [])


@pytest.mark.parametrize(
    ("prices", "trend"),
    [
        ([float(n) for n in range(1, 300)], "up"),
        ([float(300 - n) for n in range(1, 300)], "down"),
        ([5.0] * 300, "sideways"),
        ([*(float(n) for n in range(1, 299)), 1.0], "sideways"),
    ],
)
def test_the_trend_is_the_order_of_price_and_averages(prices: list[float], trend: str) -> None:
    """Up if the price leads both, down if it trails both."""
    assert analyzed(closes(prices)).trend == trend


def test_a_price_below_zero_has_no_returns_since() -> None:
    """What is undefined is null and says so; averages go on."""
    prices = [20.0 + number % 3 for number in range(250)]
    prices[0] = prices[-6] = prices[-11] = -37.63
    found = analyzed(closes(prices))
    assert found.returns.total is None
    assert found.missing["returns.total"] == "the price on row 1 is not positive"
    assert found.missing["indicators.volatility"] == "a price in its window is not positive"
    assert "10 rows before is not positive" in found.missing["indicators.rate_of_change"]
    assert found.returns.week is None
    assert found.indicators.sma_fast == pytest.approx(np.mean(prices[-50:]))
    assert found.indicators.rsi is not None


@pytest.mark.parametrize("power", [-30, -7, 1, 30])
def test_another_unit_changes_no_part(power: int) -> None:
    """Returns, percentiles and oscillators are of the series, not of its unit."""
    one, other = walk(4, 260), walk(4, 260, start=100.0 * 2.0**power)
    found, again = analyzed(one.series), analyzed(other.series)
    assert found.volatility_percentile == again.volatility_percentile
    assert found.indicators.rsi == again.indicators.rsi
    assert found.trend == again.trend


@pytest.mark.parametrize(
    ("periods", "said"),
    [
        ({"fast": 50, "slow": 50}, "fast must be below slow, got 50 and 50"),
        ({"macd_fast": 30}, "macd_fast must be below macd_slow, got 30 and 26"),
    ],
)
def test_a_fast_average_that_is_not_faster_is_refused(periods: dict[str, int], said: str) -> None:
    """One line names both."""
    with pytest.raises(ProcessingError) as refused:
        analyzed(closes([1.0]), **periods)
    assert str(refused.value) == said
